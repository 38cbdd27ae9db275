"""One trial of a subject: the properties of some clauses, in this process, under a nested session and a seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, replace

import hypothesis
from hypothesis import HealthCheck, Phase

from conformance.harness import session
from conformance.harness.execution.subject import Subject
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.known import Known
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.property import Property, derived_seed, properties
from conformance.harness.pytest_plugin import command_line
from conformance.harness.pytest_plugin.output.report import findings_of
from conformance.harness.session import Session
from strategies import Axes, Case
from strategies.axes import DTYPES, MOST_NUMBERS

FEW = "few"
EFFORTS = command_line.EFFORTS | {FEW: 5}
"""Cases per property: the efforts of the command line, and one for trials that must be quick."""

NUMBERS = MOST_NUMBERS | {FEW: 2**17}
"""The largest `Case.numbers` of a case with a field far out, by effort."""

Enough = Callable[[Finding], bool]
"""Whether a finding is all that a trial is made for."""


class OutOfTime(BaseException):
    """A trial took longer than it may: Hypothesis lets it through, and the trial has no result."""


class _Found(BaseException):
    """A finding that is enough: Hypothesis lets it through, and shrinks no further."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


@dataclass(frozen=True, kw_only=True)
class _Sought(Property):
    """A property that is over with the first finding that is enough. Raises OutOfTime after its deadline."""

    enough: Enough
    deadline: float

    def check(self, cell: str, case: Case | None) -> None:
        if time.perf_counter() > self.deadline:
            raise OutOfTime
        try:
            super().check(cell, case)
        except Deviation as deviation:
            if self.enough(deviation.finding):
                raise _Found(deviation.finding) from None
            raise


def settings(effort: str) -> hypothesis.settings:
    """Hypothesis's settings for a trial: no database, no explanations."""
    return hypothesis.settings(
        max_examples=EFFORTS[effort],
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


def findings(
    subject: Subject,
    clauses: Collection[str],
    cells: Collection[str],
    seed: int,
    effort: str = "smoke",
    known: tuple[Known, ...] = (),
    enough: Enough | None = None,
) -> Iterator[Finding]:
    """What the properties of `clauses` find in `subject`, property by property; a `known` one says so.

    A finding that is `enough` is given as it is found; others are shrunk to the smallest.
    """
    for tested in properties():
        if tested.clause.id in clauses:
            yield from findings_by(tested, subject, cells, seed, effort, known, enough)


def findings_by(
    tested: Property,
    subject: Subject,
    cells: Collection[str],
    seed: int,
    effort: str = "smoke",
    known: tuple[Known, ...] = (),
    enough: Enough | None = None,
    deadline: float = math.inf,
    dtypes: tuple[str, ...] = (),
) -> Iterator[Finding]:
    """What one property finds in `subject`, cell by cell; quiet findings come last.

    Where a finding can be `enough`, OutOfTime is raised after `deadline`, a time of `time.perf_counter`. dtypes: those
    that are drawn; all of them unless given.
    """
    if enough is not None:
        given = {each.name: getattr(tested, each.name) for each in fields(tested)}
        tested = _Sought(**given, enough=enough, deadline=deadline)
    axes = Axes(most_numbers=NUMBERS[effort])
    axes = replace(axes, dtypes=dtypes or axes.dtypes)
    with session.nested(Session(subject, axes, known, dtypes=dtypes or DTYPES)) as here:
        for cell in tested.cells:
            if cell in cells:
                yield from _failures(tested, cell, seed, effort)
        yield from here.recorder.quiet_findings()


def _failures(tested: Property, cell: str, seed: int, effort: str) -> list[Finding]:
    node = node_of(tested.name, cell)
    try:
        tested.test(cell, settings(effort), derived_seed(seed, node))(cell=cell)
    except _Found as found_enough:
        return [found_enough.finding]
    except Exception as error:
        found = findings_of(error, session.current().latest.get(node))
        if not found:
            raise
        return found
    return []
