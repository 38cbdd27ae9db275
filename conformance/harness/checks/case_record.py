"""The record of the current case: counts of comparisons, and findings. It is the only ambient state."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from conformance.clauses import CLAUSES, Clause
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.observation import Observation
from conformance.harness.findings.counts import JudgedCounts
from conformance.harness.findings.recorder import Element, Finding, Recorder, node
from reference.problem import Problem
from reference.roundings import Judgement
from strategies import Case
from strategies.weights import Weights


class Run(Protocol):
    """The part of a session that a case record uses."""

    recorder: Recorder

    @property
    def subject(self) -> Any: ...

    def options(self, cell: str, module: str, weights: Weights | None = None) -> str: ...

    @property
    def repeats_bits(self) -> bool: ...

    def judgement(self, problem: Problem) -> Judgement: ...


class Found(NamedTuple):
    """A finding, the observation that shows it, and that of another call with which it was compared."""

    finding: Finding
    seen: Observation
    other: Observation | None = None


@dataclass
class CaseRecord:
    """The record of one property on one case.

    run        the session; its record while no property runs has no clause
    test       the name of the property's test, with the value of its parameter if it has one
    judged     what was compared in each dtype and on each route
    module     the path of the user's module that it is asked of, "" if of none
    findings   each with the observations that show it
    untaken    the routes of calls of which the run takes none
    unasked    why calls were not made, or do not count: what the subject states, or rejects in the smallest call
    enclosures cached by `bounds` for the current problem
    """

    run: Run
    clause: Clause | None = None
    test: str = ""
    cell: str = ""
    case: Case | None = None
    elements: int = 0
    vacuous: float = 0.0
    worst: float = 0.0
    judged: dict[tuple[str, str], JudgedCounts] = field(default_factory=dict)
    detectable_error: dict[str, float] = field(default_factory=dict)
    findings: list[Found] = field(default_factory=list)
    untaken: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    enclosures: MutableMapping[tuple[object, ...], tuple[object, Any]] = field(default_factory=dict)
    module: str = ""

    @property
    def node(self) -> str:
        return node(self.test, self.cell, self.module)

    def wanted_in_vain(self, routes: tuple[str, ...]) -> None:
        """A call was left out, because the run takes none of its routes."""
        self.untaken = tuple(dict.fromkeys((*self.untaken, *routes)))

    def not_asked(self, why: str) -> None:
        """A call was not made, or does not count."""
        self.unasked = tuple(dict.fromkeys((*self.unasked, why)))

    def checked(self, seen: Observation, elements: int, vacuous: float, ratio: float) -> None:
        """Counts a comparison of `seen`; `vacuous` is the vacuous share of its elements, `ratio` its worst error /
        bound."""
        self.elements += elements
        self.vacuous += vacuous * elements
        if ratio <= 1:
            self.worst = max(self.worst, ratio)
        place = (seen.problem.dtype, seen.route)
        if place not in self.judged:
            self.judged[place] = JudgedCounts(cases=1)
        self.judged[place].compared(elements, vacuous, ratio)

    def found(
        self,
        seen: Observation,
        field: str,
        kind: str,
        lines: list[str],
        severity: str = "",
        clause: str | None = None,
        failure: Failure | None = None,
        element: Element | None = None,
        other: Observation | None = None,
        documented: object = None,
    ) -> None:
        """A deviation of `seen`; its severity and clause are the property's own unless given.

        failure: set if the deviation is that the call gave no result. other: the call that it was compared with.
        documented: what a fact should be.
        """
        assert self.clause is not None, "assertions belong in a property marked with @clause"
        of = CLAUSES[clause or self.clause.id]
        finding = Finding(
            severity=severity or of.severity,
            clause=of.id,
            test=self.test,
            cell=self.cell,
            subject=seen.subject,
            route=seen.route,
            dtype=seen.problem.dtype,
            field=field,
            kind=kind,
            lines=(*lines, *([seen.problem.relation] if seen.manner.change else [])),
            case=seen.problem.case if self.case is not None else "",
            options=self.run.options(self.cell, self.module, self.case.weights if self.case is not None else None),
            failure=failure,
            element=element,
            documented="" if documented is None else repr(documented),
            module=self.module,
            surrounding=surrounding_of(seen, other),
        )
        self.findings.append(Found(finding, seen, other))


def surrounding_of(seen: Observation, other: Observation | None) -> str:
    """What was set around one of the calls that a finding is of; "" for nothing."""
    compared = () if seen.failure is not None else (*seen.parts, *(() if other is None else (other,)))
    return next((one.manner.surrounding for one in (seen, *compared) if one.manner.surrounding), "")


_stack: list[CaseRecord] = []


def current() -> CaseRecord:
    """The innermost record. Raises LookupError if no session has begun."""
    if not _stack:
        raise LookupError("no session was begun")
    return _stack[-1]


def push(record: CaseRecord) -> None:
    """Makes `record` the current one."""
    _stack.append(record)


def pop(record: CaseRecord) -> None:
    """Makes the enclosing record current again."""
    assert _stack.pop() is record, "records end in the order in which they began"


@contextmanager
def entered(record: CaseRecord) -> Iterator[CaseRecord]:
    """Makes `record` current within the block."""
    push(record)
    try:
        yield record
    finally:
        pop(record)
