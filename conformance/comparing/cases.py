"""The cases of a comparison: the same lines for both sides, drawn as the contract draws them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from conformance.harness.findings.recorder import node
from conformance.harness.property import Property, derived_seed, properties
from strategies import Axes, Case
from strategies.drawn_cases import look_at

OF_THIS_PROCESS = ("D5",)
"""Clauses about the memory of a process, which no other interpreter answers."""

MOST_NUMBERS = 2**17
"""The largest `Case.numbers` of a case with a size far out."""


@dataclass(frozen=True)
class Task:
    """One case under one property."""

    tested: Property
    cell: str
    case: Case | None

    @property
    def dtype(self) -> str:
        return self.case.dtype if self.case is not None else ""

    @property
    def line(self) -> str:
        """What runs it again: a case line, or the name of a test that draws none."""
        return self.case.line(self.cell) if self.case is not None else node(self.tested.name, self.cell)


def tasks(count: int, seed: int, cells: Collection[str] = ()) -> Iterator[Task]:
    """`count` cases of each property and cell, fewer of rare ones but one at least; the same for the same seed."""
    for tested in properties():
        if tested.clause.id in OF_THIS_PROCESS:
            continue
        for cell in tested.cells:
            if not cells or cell in cells:
                yield from (Task(tested, cell, case) for case in _cases(tested, cell, count, seed))


def _cases(tested: Property, cell: str, count: int, seed: int) -> list[Case | None]:
    family = tested.cases(cell)
    if family is None:
        return [None]
    found: list[Case | None] = []
    of_this = derived_seed(seed, node(tested.name, cell))
    look_at(family, max(1, count // family.share), of_this, found.append, lambda: Axes(most_numbers=MOST_NUMBERS))
    return found
