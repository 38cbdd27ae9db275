"""Which property is nearest to a case that none is about, and what of the case keeps it out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from conformance.harness.findings.rendering import listed
from conformance.harness.property import Property, properties
from strategies import Case
from strategies.axes import LAYOUT_WORDS

WORDS = {"spoil": "bad", "history": "do"}
"""Fields that most families have no value of, and their words in a case line."""

MOST_LISTED = 4
"""Permitted values that a line lists; of more it gives the first ones."""


def unfitting(case: Case, cells: Collection[str]) -> str:
    """A line that says why no property is about a case on one of these cells; "" where some is."""
    asked = [(tested, cell) for tested in properties() for cell in tested.cells if cell in cells]
    if any(tested.fits(case, cell) for tested, cell in asked):
        return ""
    apart = [(tested, cell, _misfits(tested, cell, case)) for tested, cell in asked]
    near = [one for one in apart if one[2]]
    if not near:
        return "no property draws a case on this cell"
    tested, cell, why = min(near, key=lambda one: (len(WORDS.keys() & one[2].keys()), len(one[2])))
    return f"no property is about it; the nearest, {tested.name} of {cell}, takes {', '.join(why.values())}"


def _misfits(tested: Property, cell: str, case: Case) -> dict[str, str]:
    """By field, what a property takes in place of what the case has."""
    family = tested.cases(cell)
    if family is None:
        return {}
    return {name: _taken(name, case, family.pinned.get(name, ("",))) for name in family.misfits(case)}


def _taken(name: str, case: Case, permitted: Collection[Any]) -> str:
    if name == "layout":
        needed = set(LAYOUT_WORDS).intersection(*permitted) - set(case.layout)
        refused = set(case.layout).difference(*permitted)
        said = [f"the word {word}" for word in sorted(needed)] + [f"no word {word}" for word in sorted(refused)]
        return " and ".join(said) or "other words of a layout together"
    if word := WORDS.get(name):
        return f"{word}={next(iter(permitted))}" if any(permitted) else f"no {word}="
    if set(permitted) <= {True, False}:
        return f"{name}={any(permitted)}"
    return f"{name} {listed(dict.fromkeys(permitted), MOST_LISTED)}, not {getattr(case, name)}"
