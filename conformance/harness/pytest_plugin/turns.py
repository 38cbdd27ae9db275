"""The order of a run that ends after a time: chapters take turns, and the seed fixes what each begins with."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from itertools import zip_longest

import pytest

from conformance.harness.property import FULL_FIRST, MARK
from conformance.harness.pytest_plugin.deadline import seconds_given
from conformance.harness.pytest_plugin.items import ASKED
from conformance.harness.session import Session
from strategies.cost import level, seconds_of

PART_IN_FULL = 0.5
"""The part of the time of a run that calls in full may take."""

LEFT = pytest.StashKey[float]()
"""How many items a process will still run, this one too; of a run that ends after a time."""

SECONDS_OF_A_CASE = 1.0
"""The processor seconds that a drawn case of a model may be estimated to take where time is limited."""

Key = tuple[int, str, str]


def in_turns(items: Sequence[pytest.Item], seed: int) -> list[pytest.Item]:
    """The tests, one of each chapter and module in turn; in B2, C and D first, where modules come in full."""
    groups: dict[Key, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(_key(item), []).append(item)
    shuffled = [random.Random(f"{seed} {key}").sample(groups[key], len(groups[key])) for key in sorted(groups)]
    return [item for turn in zip_longest(*shuffled) for item in turn if item is not None]


def share_out_time(here: Session, config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Gives each property an equal share of the time that is left, so that the run comes to all of them if it can."""
    processes = int(getattr(config, "workerinput", {}).get("workercount", 1))
    for place, item in enumerate(items):
        item.stash[LEFT] = (len(items) - place) / processes
    if here.fleet.configurations:
        here.axes.most_seconds = SECONDS_OF_A_CASE
        in_all = seconds_given(config) * processes
        here.seconds_full = max(SECONDS_OF_A_CASE, seconds_in_full(items, in_all, here.axes.most_numbers))


def seconds_in_full(items: Iterable[pytest.Item], total: float, most_numbers: int) -> float:
    """The most that a model's call in full may be estimated to take, so that all fit in their part of a run's time.

    total: the seconds of all processes of the run.
    """
    costs = list[float]()
    for found in (item.stash.get(ASKED, None) for item in items):
        family = found.families[0][1] if found is not None else None
        if found is not None and found.is_full_first and family is not None:
            costs += [seconds_of(case, found.clause.id) for case, _ in family.firsts(most_numbers)]
    return level(costs, total * PART_IN_FULL)


def begin(here: Session, item: pytest.Item) -> None:
    """Gives an item its share of the time that is left, in a run that ends after a time."""
    if LEFT in item.stash:
        here.seconds_each = max(0.0, here.deadline - time.time()) / item.stash[LEFT]


def _key(item: pytest.Item) -> Key:
    """The place of a test's chapter in a turn, its chapter, and the module that it is asked of."""
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return len(FULL_FIRST) + 1, "", ""
    id, found = mark.args[0].clause.id, item.stash.get(ASKED, None)
    chapter = id if id in FULL_FIRST else id[0]
    place = FULL_FIRST.index(chapter) if chapter in FULL_FIRST else len(FULL_FIRST)
    return place, chapter, "" if found is None else found.module
