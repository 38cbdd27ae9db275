"""What the reports of all tests come to: findings, errors of the suite, what never ran."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from conformance.clauses import CLAUSES
from conformance.harness import session
from conformance.harness.execution import machine, settings
from conformance.harness.execution.module_call import is_time_limit
from conformance.harness.execution.routes import ROUTES
from conformance.harness.findings.counts import PropertyStats
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.recorder import Finding, as_repeat
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.findings.rendering import case_of, counted, one_line
from conformance.harness.property import Property
from conformance.harness.pytest_plugin.options import Options
from conformance.harness.session import Session

if TYPE_CHECKING:
    from conformance.harness.pytest_plugin.output.report_folders import Folders

FINDINGS = "conformance findings"
SUITE_ERROR = "conformance suite error"
FIXED = "conformance known deviation gone"
STILL_THERE = "conformance known deviation still there"
LACKING = "conformance lacking"
NOT_REACHED = "conformance not reached"
CUT_SHORT = "conformance cut short"


def rewrite(report: pytest.TestReport, found: Property, item: pytest.Item, error: BaseException) -> None:
    """Gives a failed property's report our own shape. An error of the suite keeps its traceback, and says so."""
    node = node_of(found.name, item.callspec.params["cell"], found.module)  # type: ignore[attr-defined]
    here = session.current()
    findings = [found.explained(here, one, case_of(one)) for one in findings_of(error, here.latest.get(node))]
    if findings:
        tell(report, findings)
    else:
        report.user_properties.append((SUITE_ERROR, one_line(f"{type(error).__name__}: {error}")))
        report.sections.append(
            ("error of the suite", "Not a deviation of PyTorch: please report it, with the traceback above.")
        )


def tell(report: pytest.TestReport, findings: Sequence[Finding]) -> None:
    """Makes a report that of a test with these findings."""
    report.longrepr = "\n\n".join(finding.text() for finding in findings)
    report.user_properties.append((FINDINGS, [finding.to_json() for finding in findings]))


def findings_of(error: BaseException, before: Finding | None) -> list[Finding]:
    """The deviations inside `error`; none where it is, or contains, anything else.

    Where one does not repeat it stands alone: what else such a subject shows is chance.
    """
    from hypothesis.errors import Flaky

    if isinstance(error, Flaky) or is_time_limit(error):  # also where the search for a smaller case took too long
        return [before if is_time_limit(error) else as_repeat(before)] if before is not None else []
    if isinstance(error, Deviation):
        return [error.explained()]
    parts = [findings_of(part, before) for part in getattr(error, "exceptions", ())]
    found = [finding for part in parts for finding in part] if all(parts) else []
    return next(([finding] for finding in found if not finding.repeatable), found)


MOST_NAMES = 5
"""How many tests that never ran are named."""


def likeness(finding: Finding) -> str:
    """What findings of one defect probably share: an exception's words without numbers, else the kernels reached."""
    if finding.failed:
        return re.sub(r"\d+", "#", finding.lines[0])
    return "+".join(finding.kernels) or f"route {finding.route}"


def simplest_of(findings: Sequence[Finding]) -> Finding:
    """The finding with the shortest case line, of the first clause in the contract's order."""
    return min(findings, key=simplicity)


def simplicity(finding: Finding) -> tuple[bool, int, int]:
    """By what findings are ordered, the simplest first."""
    return not finding.case, len(finding.case), list(CLAUSES).index(finding.clause)


def _marks(group: Sequence[Finding]) -> set[tuple[str, ...]]:
    """What a group shares with another of the same cause: its simplest command, or what is wrong with numbers."""
    wrong = {(one.cell, *one.signature) for one in group if not one.failed}
    return {(simplest_of(group).again,), *wrong}


class Report:
    """Collects the reports of all tests and writes the summary."""

    def __init__(
        self, session: Session, options: Options, arguments: Sequence[str], narrowed: Sequence[str] = ()
    ) -> None:
        self.session = session
        self.options = options
        self.arguments = arguments
        self.narrowed = narrowed
        self.started = time.monotonic()
        self.began = datetime.now(timezone.utc)
        self.seconds: dict[str, float] = {}
        self.collected: list[str] = []
        self.merged: set[str] = set()
        self.findings: list[Finding] = []
        self.suite_errors: list[tuple[str, str]] = []
        self.other_failures: list[str] = []
        self.gone: list[str] = []
        self.still_there: list[str] = []
        self.lacking: Counter[str] = Counter()
        self.not_reached: Counter[str] = Counter()
        self.cut_short = set[str]()
        self.interrupted = ""
        self.ended_by_user = False
        self.never_ran: list[str] = []
        self.unfinished: list[str] = []
        self.folders: Folders | None = None
        self.announced = ""

    def header(self, seed: str | None) -> list[str]:
        judged, effort = self.session.subject.name, self.options.effort
        left_out = ", ".join(route for route in ROUTES if route not in self.options.routes)
        without = f", left out by --route: {left_out}" if left_out else ""
        models = self.session.fleet
        of = [f"conformance: {len(models.configurations)} configurations of {one_line(', '.join(models.sources))}"]
        return [
            machine.describe(),
            f"conformance: subject {judged}, effort {effort}, seed {seed or 'fixed'}{without}",
            *(of if models.sources else []),
            *([f"conformance: {self.announced}"] if self.announced else []),
            *(f"conformance: {one} was set; undone for this run" for one in self.session.put_right),
            *(f"conformance: {one} found, left as found; results may be its work" for one in settings.modes()),
        ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps what a test's process said of it."""
        explained = False
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        for name, value in report.user_properties:
            explained |= name in (FINDINGS, SUITE_ERROR, FIXED)
            if name == FINDINGS:
                self.findings += [Finding.from_json(data) for data in value]  # type: ignore[attr-defined]
            elif name == SUITE_ERROR:
                self.suite_errors.append((report.nodeid, str(value)))
            elif name == FIXED and report.when == "call":
                self.gone.append(str(value))
            elif name == STILL_THERE and report.when == "call":
                self.still_there.append(str(value))
            elif name == LACKING and report.when != "teardown":
                self.lacking[str(value)] += 1
            elif name == NOT_REACHED and report.when != "teardown":
                self.not_reached[str(value)] += 1
            elif name == CUT_SHORT and report.when == "call":
                self.cut_short.add(str(value))
        if report.outcome == "failed" and not explained:
            self.other_failures.append(report.nodeid)

    def merge(self, worker: str, data: dict[str, Any]) -> None:
        """Adds what a worker recorded, once: one that is interrupted may say it at its end too."""
        if worker not in self.merged:
            self.merged.add(worker)
            self.session.recorder.merge(data)

    def tested_nothing(self) -> bool:
        """Whether properties compared nothing that could have failed, where that is to fail the run."""
        wanted = self.options.no_stale and self.options.case is None
        return wanted and bool(self.vacuous_tests() or (self.lacking and not self.session.recorder.tallies))

    def reached_nothing(self) -> bool:
        """Whether the time of a run was over before anything was compared."""
        silent = set(self.silent_tests())
        return bool(self.not_reached) and not self.lacking and not self.session.recorder.tallies.keys() - silent

    def says_nothing(self) -> bool:
        """Whether a run that found nothing fails because of what it did not compare."""
        return self.tested_nothing() or self.reached_nothing()

    def vacuous_tests(self) -> list[str]:
        """Properties that ran to their end, each with its cell, and compared nothing that could have failed."""
        return [node for node in self.silent_tests() if node not in self.cut_short]

    def silent_tests(self) -> list[str]:
        """Properties that ran, each with its cell, found nothing and compared nothing that could have failed."""
        tallies, red = self.session.recorder.tallies.items(), self.red_tests(self.findings)
        return [node for node, tally in tallies if tally.vacuous_cases == tally.cases and node not in red]

    def red_tests(self, findings: Iterable[Finding]) -> set[str]:
        return {finding.node for finding in findings}

    def groups(self) -> list[list[Finding]]:
        """Findings that probably share a cause, the largest group first.

        They are alike, have the same simplest command, or are told by one report, which calls by different kernels are.
        """
        alike: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            alike.setdefault((finding.cell, likeness(finding)), []).append(finding)
        groups: list[list[Finding]] = []
        for group in alike.values():
            same = [one for one in groups if _marks(one) & _marks(group)]
            groups = [one for one in groups if one not in same]
            groups.append([finding for one in (*same, group) for finding in one])
        return sorted(groups, key=lambda group: -len(group))

    def total(self) -> PropertyStats:
        total = PropertyStats()
        for tally in self.session.recorder.tallies.values():
            total.add(tally)
        return total

    def incomplete(self) -> str:
        """What kept the run from its end, and how many tests never ran, the first of them by name."""
        parts = [self.interrupted] if self.interrupted else []
        if self.never_ran:
            names = [nodeid.rpartition("::")[2] for nodeid in self.never_ran]
            more = ", ..." if len(names) > MOST_NAMES else ""
            parts += [f"{counted(len(names), 'test')} never ran: {', '.join(names[:MOST_NAMES])}{more}"]
        return "; ".join(parts)

    def is_empty(self) -> bool:
        """Whether no test of the contract was asked for."""
        recorder = self.session.recorder
        said = (self.findings, self.suite_errors, self.lacking, self.not_reached, self.gone, self.still_there)
        return not (recorder.tallies or recorder.quiet or any(said) or self.incomplete())
