"""A property: a clause of the contract, the cells and cases it is about, and the test that claims it."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import hypothesis
import numpy as np
import pytest

from conformance.clauses import CLAUSES, RED, Clause
from conformance.harness import deaths, oracle, session
from conformance.harness.observation import Observation
from conformance.harness.recorder import Finding, as_repeat
from conformance.harness.runner import BACKWARD_ROUTES, CONSTRUCTOR, EAGER_ROUTES, ROUTES, Plan
from conformance.harness.session import CaseRecord
from conformance.harness.verdict import Deviation, usable
from reference.problem import CELL_SUFFIX, GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Loss, Problem
from strategies import Case, Cases

MODULES = (RNN_TANH, RNN_RELU, LSTM, GRU)
SINGLE_STEPS = tuple(name + CELL_SUFFIX for name in MODULES)


@dataclass(frozen=True)
class Property:
    """A test of the contract. `body` takes the case and the cell and makes assertions of `verdict`."""

    clause: Clause
    name: str
    cells: tuple[str, ...]
    cases: Cases | None
    body: Callable[..., None]

    def fits(self, case: Case, cell: str) -> bool:
        """Whether the property is about `case` on `cell`."""
        return self.cases is not None and case in self.cases and cell in self.cells

    def check(self, cell: str, case: Case | None) -> None:
        """Looks at one case in the current session; raises its first unknown deviation that fails a run."""
        here = session.current()
        with here.looking_at(CaseRecord(here, self, cell, case)) as record:
            self.body(case, cell) if case is not None else self.body(cell)
        oracle.forget()
        tally = here.recorder.tally(record.node)
        tally.cases += 1
        tally.elements += record.elements
        tally.vacuous += record.vacuous
        tally.worst = max(tally.worst, record.worst)
        for dtype, error in record.sees.items() if self.clause.severity == RED else ():
            tally.seen(dtype, error)
        tally.silent += record.elements == 0 or record.vacuous >= record.elements
        failing = [finding for finding in record.findings if not self._is_quiet(here, finding, case)]
        if failing:
            raise Deviation.of(self._repeated(here, record.node, failing[0]))

    def test(self, settings: hypothesis.settings | None = None, seed: int | None = None) -> Callable[..., None]:
        """The property as a Hypothesis test of (cell), or a plain one where it draws nothing."""
        if self.cases is None:

            @functools.wraps(self.body)
            def plain(cell: str) -> None:
                self.check(cell, None)

            return plain

        @functools.wraps(self.body)
        def drawn(case: Case, cell: str) -> None:
            self.check(cell, case)

        test = hypothesis.given(case=self.cases.strategy(lambda: session.current().axes))(drawn)
        test = settings(test) if settings is not None else test
        return hypothesis.seed(seed)(test) if seed is not None else test

    @staticmethod
    def _is_quiet(here: session.Session, finding: Finding, case: Case | None) -> bool:
        known = here.known_as(finding, case)
        if known or finding.severity != RED:
            here.recorder.note(replace(finding, known=known))
            return True
        return False

    @staticmethod
    def _repeated(here: session.Session, node: str, finding: Finding) -> Finding:
        return finding if here.repeats(node, finding) else as_repeat(finding)


def derived_seed(seed: int, node: str) -> int:
    """A seed of its own for each property and cell, so that they do not all look at the same cases."""
    return zlib.crc32(f"{seed} {node}".encode())


def clause(
    id: str, on: tuple[str, ...] = MODULES, given: Cases | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a function of (case, cell), or of (cell) without `given`, a property of clause `id`."""

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        found = Property(CLAUSES[id], body.__name__, on, given, body)
        test = pytest.mark.parametrize("cell", on)(found.test())
        test.conformance = found  # type: ignore[attr-defined]
        return test

    return decorate


def observe(
    problem: Problem,
    routes: tuple[str, ...] = EAGER_ROUTES,
    layers: bool = False,
    again: bool = False,
    stepwise: bool = False,
    poison: tuple[slice, slice] | None = None,
    values: bool = True,
) -> list[Observation]:
    """The subject's observations of `problem`, one for each route. A call that failed is a finding and left out.

    layers, again, stepwise, poison: as in `Plan`. values=False keeps those of wrong shapes, for their facts.
    """
    seen = session.current().observe(problem, Plan(routes, layers, again, stepwise, poison=poison))
    return [one for one in seen if all(usable(part, values) for part in (one, *one.layers, *one.again, *one.steps))]


def differentiate(problem: Problem, loss: Loss, routes: tuple[str, ...] = BACKWARD_ROUTES) -> list[Observation]:
    """The subject's gradients of `loss`, one observation for each route; a call that failed is a finding, left out."""
    seen = session.current().observe(problem, Plan(routes, loss=loss))
    return [one for one in seen if usable(one)]


def beside(
    problem: Problem, other: Problem, routes: tuple[str, ...] = EAGER_ROUTES
) -> Iterator[tuple[Observation, Observation]]:
    """Observations of two problems that say the same, route by route."""
    others = {seen.route: seen for seen in observe(other, routes)}
    for seen in observe(problem, tuple(others)):
        yield seen, others[seen.route]


def in_turn(route: str, count: int, problem: Callable[[int, Any], Problem]) -> list[Observation]:
    """So many calls, the problem of each made from its number and from what the call before it returned.

    Nothing at all where one of them failed.
    """
    seen: list[Observation] = []
    for number in range(count):
        one = observe(problem(number, seen[-1] if seen else None), (route,))
        if not one:
            return []
        seen += one
    return seen


def parameters_drawn(seed: int, *architectures: Architecture) -> list[dict[str, np.ndarray]]:
    """The float32 parameters that the subject draws for these architectures, one after the other, from one seed."""
    here = session.current()
    try:
        return here.calls.draw(here.subject, seed, architectures)
    except deaths.Died as died:
        raise Deviation.of(here.case_at_hand().died(str(died), CONSTRUCTOR, "float32", "")) from None


def devices() -> tuple[str, ...]:
    """The devices of the run, the simplest first."""
    return session.current().axes.devices


def probes(cells: Sequence[str]) -> list[list[Observation]]:
    """Calls of size 1, for each dtype, device and route of the run a list with one for each cell."""
    here = session.current()
    combinations = [(dtype, device, r) for dtype in here.axes.dtypes for device in here.axes.devices for r in ROUTES]
    return [[here.probe(cell, *combination) for cell in cells] for combination in combinations]
