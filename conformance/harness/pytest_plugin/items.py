"""What a test item is about: its property and cell, and whether it is asked for."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

ASKED = pytest.StashKey[Any]()
"""The property of an item as it is asked: of a user's module, or within what a subject states."""

UNASKED = pytest.StashKey[str]()
"""What a subject states that leaves nothing to ask of a property."""

NOT_ASKED = "not asked"
"""How the reason of a property begins that a subject cannot be asked."""


def narrow(item: pytest.Item, judged: Any) -> None:
    """Has the property of an item draw what the subject states, or notes that this leaves nothing."""
    found, cell = property_of(item), cell_of(item)
    if found is None or cell not in judged.stated:
        return
    narrowed = found.within(judged.stated[cell], cell)
    if isinstance(narrowed, str):
        item.stash[UNASKED] = narrowed
    else:
        item.stash[ASKED] = narrowed


def is_fuzzed(config: pytest.Config) -> bool:
    """Whether HypoFuzz collects the tests, to call them after pytest has ended."""
    given = config.option
    return "hypofuzz.collection" in sys.modules and bool(given.collectonly) and given.markexpr == "hypothesis"


def own_test(found: Any, item: pytest.Item, seed: str | None) -> Callable[..., None]:
    """The test of a property for the cell of an item, with a seed of its own if the run has one."""
    from conformance.harness.property import derived_seed

    if is_fuzzed(item.config) and found.cases(cell_of(item)) is not None:
        from conformance.harness.pytest_plugin import fuzzing

        return fuzzing.target(found, cell_of(item))
    node = item.nodeid.rpartition("::")[2]
    test = found.test(cell_of(item), seed=None if seed is None else derived_seed(int(seed), node))
    return _that_asks(test, node_of_item(item))


def node_of_item(item: pytest.Item) -> str:
    """The name of a property's test for its cell."""
    from conformance.harness.findings.recorder import node as node_of

    found = property_of(item)
    return node_of(found.name, cell_of(item), found.module)


def _that_asks(test: Callable[..., None], node: str) -> Callable[..., None]:
    """A test that is skipped where it compared nothing, because nothing could be asked of the subject."""

    def asking(**arguments: object) -> None:
        test(**arguments)
        skip_if_not_asked(node)

    functools.update_wrapper(asking, test)
    asking.__dict__.pop("__wrapped__", None)
    return asking


def skip_if_not_asked(node: str) -> None:
    """Skips a test that compared nothing, because nothing could be asked of the subject."""
    from conformance.harness import session

    here = session.current()
    if why := here.nothing_asked(node):
        del here.recorder.tallies[node]
        pytest.skip(f"{NOT_ASKED}: {why}")


def is_asked_for(item: pytest.Item, options: Any, cells: Sequence[str]) -> bool:
    """Whether --cell and --case leave a test in. What is about no cell is none of --cell's business."""
    found, cell = property_of(item), cell_of(item)
    if options.fleet.configurations and (found is None or not found.module):
        return False
    if cells and cell and cell not in cells:
        return False
    if found is not None and found.clause.needs_statement and cell not in options.subject.stated:
        return False
    return options.case is None or (found is not None and found.fits(options.case, cell) and options.cell in ("", cell))


def property_of(item: pytest.Item) -> Any:
    """The property that a test claims, or None."""
    mark = item.get_closest_marker("conformance")
    return None if mark is None else item.stash.get(ASKED, mark.args[0])


def cell_of(item: pytest.Item) -> str:
    """The cell that a property's test, or the replay of a known deviation, is about; "" for any other test."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    replayed = getattr(given.get("known_deviation"), "case", "")
    if replayed:
        from strategies import parse

        return parse(replayed)[1]
    return str(given.get("cell", "")) if property_of(item) is not None else ""


def lack_of(item: pytest.Item, judged: Any) -> str:
    """Why a property's test has nothing to judge in this subject; "" where it has."""
    found, cell = property_of(item), cell_of(item)
    if found is None:
        return ""
    if cell and cell not in judged.classes:
        return f"no {', '.join(judged.lacking)}: {judged.name} has none"
    if item.stash.get(UNASKED, ""):
        return f"{NOT_ASKED}: {item.stash[UNASKED]}"
    binding = found.clause.binds
    return "" if found.clause.binds_subject(judged.name) else f"{found.clause.id} binds {binding} alone"
