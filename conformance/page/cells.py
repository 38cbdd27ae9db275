"""The cells of the matrix: what a run says of a clause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from conformance.clauses import CLAUSES
from conformance.harness.findings.rendering import counted
from conformance.page.runs import Run
from conformance.page.states import STATES, State
from conformance.results.document import Deviation, Found, Judged, Tested

NOT_RUN, PASS, PART = "not run", "pass", "part"

Place: TypeAlias = tuple[State, float]
"""The state of a class in a dtype, and its largest error / bound."""


@dataclass(frozen=True)
class Cell:
    """A clause in a run.

    findings  those of the clause, known ones too, the worst first
    known     the known deviations that findings name, by id
    """

    run: Run
    state: State
    findings: tuple[Found, ...]
    known: dict[str, Deviation]
    tests: tuple[Tested, ...]
    judged: tuple[Judged, ...]

    @property
    def said(self) -> str:
        """What was looked at, and what was found, in words."""
        worst = max((one.worst for one in self.judged), default=0.0)
        severities = Counter("known" if one.known else one.severity for one in self.findings)
        words = [f"{severities[name]} {name}" for name in STATES if severities[name]]
        words += [counted(len(self.tests), "property"), counted(sum(one.cases for one in self.tests), "case")]
        return ", ".join([*words, f"largest error / bound {worst:.2f}"] if worst else words)

    @property
    def dtypes(self) -> list[str]:
        """Those that were judged."""
        return list(dict.fromkeys(one.dtype for one in self.judged))

    def places(self) -> dict[str, list[Place | None]]:
        """For each class what was judged of it in each dtype, if anything."""
        cells = dict.fromkeys(one.cell for one in self.judged)
        return {cell: [self._place(cell, dtype) for dtype in self.dtypes] for cell in cells}

    def _place(self, cell: str, dtype: str) -> Place | None:
        rows = [one for one in self.judged if (one.cell, one.dtype) == (cell, dtype)]
        return (state(self.run, (one.outcome for one in rows)), max(one.worst for one in rows)) if rows else None


@dataclass(frozen=True)
class Row:
    """A clause in each run.

    slug   names it in links
    claim  what it says, or empty where only the files know it
    link   its source in the documentation, or empty
    """

    clause: str
    slug: str
    claim: str
    link: str
    cells: tuple[Cell, ...]


def state(run: Run, outcomes: Iterable[str]) -> State:
    """The worst of some outcomes in a run; none is `not run`. What passes in a run that is not whole passes in part."""
    found = set(outcomes)
    worst = next((name for name in STATES if name in found), NOT_RUN)
    return STATES[PART if worst == PASS and run.why_in_part() else worst]


def matrix(runs: Sequence[Run]) -> list[Row]:
    """The clauses of the contract, then those that only the files know."""
    theirs = {one.clause for run in runs for one in run.results.judged}
    theirs |= {one.clause for run in runs for one in run.results.properties}
    rows = [Row(one.id, one.id, one.claim, one.link, _cells(runs, one.id)) for one in CLAUSES.values()]
    others = sorted(theirs - CLAUSES.keys())
    return rows + [Row(id, f"clause{place}", "", "", _cells(runs, id)) for place, id in enumerate(others)]


def _cells(runs: Sequence[Run], clause: str) -> tuple[Cell, ...]:
    return tuple(_cell(run, clause) for run in runs)


def _cell(run: Run, clause: str) -> Cell:
    """What a run says of a clause."""
    results = run.results
    judged = tuple(one for one in results.judged if one.clause == clause)
    tests = tuple(one for one in results.properties if one.clause == clause)
    findings = tuple(one for one in results.findings if one.clause == clause)
    outcomes: list[str] = [*(one.outcome for one in judged), *(one.outcome for one in tests)]
    outcomes += ["known" if one.known else one.severity for one in findings]
    named = {one.known for one in findings}
    known = {one.id: one for one in results.known if one.id in named}
    return Cell(run, state(run, outcomes), findings, known, tests, judged)
