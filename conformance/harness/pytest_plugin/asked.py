"""Which properties are asked of a user's modules, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from conformance.harness.models.fleet import Fleet
from conformance.harness.property import LIKE, MARK, Property
from conformance.harness.pytest_plugin.items import ASKED
from strategies.configurations import Configuration

ANOTHER_NAME = "asked already under another name"
"""Properties for one size after the other are the same at a given size."""


@dataclass(frozen=True)
class Asked:
    """Properties, each of one module; and for each reason how many are not asked."""

    properties: tuple[Property, ...]
    reasons: Counter[str]


def asked(tested: Iterable[Property], models: Fleet) -> Asked:
    """The properties as they are asked of each configuration, the same claim about the same cases once."""
    kept, reasons = list[Property](), Counter[str]()
    before: dict[tuple[int, str], list[Property]] = {}
    for one, configuration in ((one, each) for each in models.configurations for one in tested):
        if configuration.cell not in one.cells:
            continue
        at = one.at(configuration)
        if isinstance(at, str):
            reasons[at] += 1
            continue
        alike = before.setdefault((id(at.body), at.module), [])
        if any(at.families == other.families for other in alike):
            reasons[ANOTHER_NAME] += 1
            continue
        alike.append(at)
        kept.append(at)
    return Asked(tuple(kept), reasons)


def asked_items(items: Sequence[pytest.Item], models: Fleet) -> None:
    """Gives each item that is asked of a module the property as it is asked there."""
    there = [(item, found, like) for item, found, like in _of_modules(items) if like.cell in found.cells]
    distinct = {id(found): found for _, found, _ in there}
    at = {(one.name, one.module): one for one in asked(distinct.values(), models).properties}
    for item, found, like in there:
        own = at.get((found.name, like.name))
        if own is not None and item.callspec.params["cell"] == like.cell:  # type: ignore[attr-defined]
            item.stash[ASKED] = own


def _of_modules(items: Iterable[pytest.Item]) -> Iterator[tuple[pytest.Item, Property, Configuration]]:
    """The items with a module, the property that each claims, and the configuration."""
    for item in items:
        mark = item.get_closest_marker(MARK)
        like = item.callspec.params.get(LIKE) if hasattr(item, "callspec") else None
        if mark is not None and like is not None:
            yield item, mark.args[0], like
