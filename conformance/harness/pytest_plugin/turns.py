"""The order of a run that ends after a time: chapters take turns, and the seed fixes what each begins with."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import zip_longest

import pytest

from conformance.harness.property import FULL_FIRST, MARK
from conformance.harness.pytest_plugin.plugin import ASKED
from strategies.cost import level, seconds_of

PART_IN_FULL = 0.5
"""The part of the time of a run that calls in full may take."""

Key = tuple[int, str, str]


def in_turns(items: Sequence[pytest.Item], seed: int) -> list[pytest.Item]:
    """The tests, one of each chapter and module in turn; in B2, C and D first, where modules come in full."""
    groups: dict[Key, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(_key(item), []).append(item)
    shuffled = [random.Random(f"{seed} {key}").sample(groups[key], len(groups[key])) for key in sorted(groups)]
    return [item for turn in zip_longest(*shuffled) for item in turn if item is not None]


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


def _key(item: pytest.Item) -> Key:
    """The place of a test's chapter in a turn, its chapter, and the module that it is asked of."""
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return len(FULL_FIRST) + 1, "", ""
    id, found = mark.args[0].clause.id, item.stash.get(ASKED, None)
    chapter = id if id in FULL_FIRST else id[0]
    place = FULL_FIRST.index(chapter) if chapter in FULL_FIRST else len(FULL_FIRST)
    return place, chapter, "" if found is None else found.module
