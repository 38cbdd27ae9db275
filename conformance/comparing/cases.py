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
from strategies.weights import Weights

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
    """A module that is timed, trained or handed over as a file: its name in the report, and a call of it."""

    name: str
    cell: str
    case: Case


def tasks(count: int, seed: int, cells: Collection[str] = (), models: Fleet = NO_MODELS) -> Iterator[Task]:
    """`count` cases of each property and cell, fewer of rare ones but one at least; the same for the same seed.

    Of models, each property is asked at their configurations, calls in full first: in `FULL_FIRST` each call and the
    weights of each module, elsewhere one of these, in turn.
    """
    named = [one for one in properties() if one.clause.id not in OF_THIS_PROCESS]
    for turn, tested in enumerate(asked(named, models).properties if models.configurations else named):
        for cell in tested.cells:
            if not cells or cell in cells:
                yield from (Task(tested, cell, case) for case in _cases(tested, cell, count, seed, turn))


def _cases(tested: Property, cell: str, count: int, seed: int, turn: int) -> list[Case | None]:
    family = tested.cases(cell)
    if family is None:
        return [None]
    found: list[Case | None] = []
    of_this, most = derived_seed(seed, node(tested.name, cell)), MOST_NUMBERS
    if isinstance(family, ModelCases):
        firsts = [case for case, _ in family.firsts(MOST_OF_MODELS)]
        found = [*firsts] if tested.is_full_first else [firsts[turn % len(firsts)]]
        most = MOST_OF_MODELS
    drawn = max(1, count // family.share) - len(found)
    if drawn > 0:
        look_at(family, drawn, of_this, found.append, lambda: Axes(most_numbers=most))
    return found


def modules(cells: Sequence[str], models: Fleet) -> list[Module]:
    """The modules of the models at their largest call, equal ones once, or one of each cell at a size at which kernels,
    not Python, take the time."""
    if models.configurations:
        there = [one for one in models.configurations if one.cell in cells]
        weights = [(one, each) for one in there for each in one.every_weights or (None,)]
        return [Module(_name(one, each), one.cell, _affordable(one.case, each)) for one, each in weights]
    sizes = {cell: 1 if cell in SINGLE_STEPS else 32 for cell in cells}
    return [Module(CELL_NAMES[cell], cell, Case(64, 128, 1, 16, steps, fill=INITIAL)) for cell, steps in sizes.items()]


def calls(cells: Sequence[str], models: Fleet) -> list[Module]:
    """The same for each call of each configuration: what weights a module has is nothing to the time that it takes."""
    if not models.configurations:
        return modules(cells, models)
    there = [(one, case) for one in models.configurations if one.cell in cells for case in (one.case, *one.calls)]
    return [Module(one.name, one.cell, _affordable(case, one.weights)) for one, case in there]


def _name(of: Configuration, weights: Weights | None) -> str:
    """The module that has these weights; behind its model if the run has several."""
    if weights is None:
        return of.name
    path = weights.name.removeprefix(f"{weights.model}:")
    return f"{weights.model}:{path}" if of.several else path


def _affordable(case: Case, weights: Weights | None) -> Case:
    """A call with these weights if they are known, with fewer rows and steps if it is large."""
    case = replace(case, fill=INITIAL, weights=weights)
    for name in ("batch_size", "steps"):
        case = case.within(MOST_OF_MODELS, name)
    return case
