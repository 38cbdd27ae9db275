"""The cases of a comparison: the same lines for both sides, drawn as the contract draws them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from conformance.harness.cells import CELL_NAMES, SINGLE_STEPS
from conformance.harness.findings.recorder import node
from conformance.harness.models.fleet import Fleet
from conformance.harness.property import Property, derived_seed, properties
from conformance.harness.pytest_plugin.asked import asked
from strategies import Axes, Case
from strategies.configurations import Configuration, ModelCases
from strategies.drawn_cases import look_at
from strategies.values import INITIAL

OF_THIS_PROCESS = ("D5",)
"""Clauses about the memory of a process, which no other interpreter answers."""

MOST_NUMBERS = 2**17
"""The largest `Case.numbers` of a case with a size far out."""

MOST_OF_MODELS = 2**20
"""The same of a user's module, where its parameters leave room."""

NO_MODELS = Fleet()


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


@dataclass(frozen=True)
class Module:
    """A module that is timed, trained and handed over as a file: its name in the report, and a call of it."""

    name: str
    cell: str
    case: Case


def tasks(count: int, seed: int, cells: Collection[str] = (), models: Fleet = NO_MODELS) -> Iterator[Task]:
    """`count` cases of each property and cell, fewer of rare ones but one at least; the same for the same seed.

    Of models, each property is asked at their configurations, the call in full first.
    """
    named = [one for one in properties() if one.clause.id not in OF_THIS_PROCESS]
    for tested in asked(named, models).properties if models.configurations else named:
        for cell in tested.cells:
            if not cells or cell in cells:
                yield from (Task(tested, cell, case) for case in _cases(tested, cell, count, seed))


def _cases(tested: Property, cell: str, count: int, seed: int) -> list[Case | None]:
    family = tested.cases(cell)
    if family is None:
        return [None]
    found: list[Case | None] = []
    of_this, most = derived_seed(seed, node(tested.name, cell)), MOST_NUMBERS
    if isinstance(family, ModelCases):
        found, most = [family.first(MOST_OF_MODELS)], MOST_OF_MODELS
    drawn = max(1, count // family.share) - len(found)
    if drawn:
        look_at(family, drawn, of_this, found.append, lambda: Axes(most_numbers=most))
    return found


def modules(cells: Sequence[str], models: Fleet) -> list[Module]:
    """The modules of the models, or one of each cell at a size at which kernels, not Python, take the time."""
    if models.configurations:
        return [Module(one.name, one.cell, _affordable(one)) for one in models.configurations if one.cell in cells]
    sizes = {cell: 1 if cell in SINGLE_STEPS else 32 for cell in cells}
    return [Module(CELL_NAMES[cell], cell, Case(64, 128, 1, 16, steps, fill=INITIAL)) for cell, steps in sizes.items()]


def _affordable(of: Configuration) -> Case:
    """A call of the module with its own weights if they are known, with fewer rows and steps if it is large."""
    case = replace(of.case, fill=INITIAL, weights=of.weights)
    for name in ("batch_size", "steps"):
        case = case.within(MOST_OF_MODELS, name)
    return case
