"""What the reports of all tests come to: findings, errors of the suite, what never ran."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from conformance.harness import session
from conformance.harness.execution import machine, settings
from conformance.harness.execution.module_call import is_time_limit
from conformance.harness.execution.routes import ROUTES
from conformance.harness.findings.counts import PropertyStats
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.recorder import Finding, Key, as_repeat
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.findings.rendering import case_of, counted
from conformance.harness.foreign_text import (
    LONGEST_TRACEBACK,
    MOST,
    block,
    encodable,
    one_line,
    piece,
    said_by,
    told_of_import,
)
from conformance.harness.property import Property
from conformance.harness.pytest_plugin.options import Options
from conformance.harness.pytest_plugin.output.causes import Cause, causes
from conformance.harness.session import Session

if TYPE_CHECKING:
    from conformance.harness.pytest_plugin.output.report_folders import Folders

NO_VERSION = "conformance: its version is none: it is taken for a release that is newer than all others"

FINDINGS = "conformance findings"
SUITE_ERROR = "conformance suite error"
FIXED = "conformance known deviation gone"
STILL_THERE = "conformance known deviation still there"
LACKING = "conformance lacking"
UNASKED_AT = "conformance not asked of"
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
        report.user_properties.append((SUITE_ERROR, said_by(error)))
        report.sections.append(
            ("error of the suite", "Not a deviation of PyTorch: please report it, with the traceback above.")
        )


def sanitise(report: pytest.TestReport) -> None:
    """Leaves nothing in a report that moves a cursor or has no end: in what a test printed, a reason, a traceback."""
    report.user_properties = encodable(report.user_properties)
    report.sections = [(title, block(text)) for title, text in report.sections]
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = path, line, one_line(reason, MOST)
    text = str(report.longrepr) if report.outcome == "failed" else ""
    if (shown := block(text, LONGEST_TRACEBACK)) != text:
        report.longrepr = shown


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
        self._found = set[tuple[str, Key]]()
        self.suite_errors: list[tuple[str, str]] = []
        self.other_failures: list[str] = []
        self.gone: list[str] = []
        self.still_there: list[str] = []
        self.lacking: Counter[str] = Counter()
        self.unasked: Counter[tuple[str, str]] = Counter()
        self.not_reached: Counter[str] = Counter()
        self.cut_short = set[str]()
        self.interrupted = ""
        self.ended_by_user = False
        self.never_ran: list[str] = []
        self.unfinished: list[str] = []
        self.folders: Folders | None = None
        self.entries_written = ""
        self.announced = ""
        self.is_writing_folders = False

    @contextmanager
    def writing_folders(self) -> Iterator[None]:
        """While folders are written Ctrl-C ends that alone."""
        self.is_writing_folders = True
        try:
            yield
        except KeyboardInterrupt:
            pass
        finally:
            self.is_writing_folders = False

    def header(self, seed: str | None) -> list[str]:
        judged, effort = piece(self.session.subject.name), self.options.effort
        left_out = ", ".join(route for route in ROUTES if route not in self.options.routes)
        without = f", left out by --route: {left_out}" if left_out else ""
        models = self.session.fleet
        of = [f"conformance: {len(models.configurations)} configurations of {one_line(', '.join(models.sources))}"]
        return [
            machine.describe(),
            *([] if machine.build().has_version else [NO_VERSION]),
            f"conformance: subject {judged}, effort {effort}, seed {piece(seed or 'fixed')}{without}",
            *(f"conformance: judged at the accuracy it states: {one}" for one in self.session.subject.accuracies),
            *(of if models.sources else []),
            *told_of_import(self.options.printed),
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
                self._add(report.nodeid, [Finding.from_json(data) for data in value])  # type: ignore[attr-defined]
            elif name == SUITE_ERROR and report.nodeid not in dict(self.suite_errors):
                self.suite_errors.append((report.nodeid, str(value)))
            elif name == FIXED and report.when == "call" and value not in self.gone:
                self.gone.append(str(value))
            elif name == STILL_THERE and report.when == "call":
                self.still_there.append(str(value))
            elif name == LACKING and report.when != "teardown":
                self.lacking[str(value)] += 1
            elif name == UNASKED_AT and report.when != "teardown":
                self.unasked[str(value[0]), str(value[1])] += 1  # type: ignore[index]
            elif name == NOT_REACHED and report.when != "teardown":
                self.not_reached[str(value)] += 1
            elif name == CUT_SHORT and report.when == "call":
                self.cut_short.add(str(value))
        if report.outcome == "failed" and not explained and report.nodeid not in self.other_failures:
            self.other_failures.append(report.nodeid)

    def _add(self, nodeid: str, findings: Sequence[Finding]) -> None:
        """Adds what a test found, once: it has several reports where a plugin has it run again."""
        keys = {(nodeid, finding.key) for finding in findings}
        self.findings += [finding for finding in findings if (nodeid, finding.key) not in self._found]
        self._found |= keys

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

    def asked_nothing(self) -> bool:
        """Whether nothing was compared, and some properties could not be asked of the subject."""
        return bool(self.unasked) and len(self.session.recorder.tallies) == len(self.silent_tests())

    def says_nothing(self) -> bool:
        """Whether a run that found nothing fails because of what it did not compare."""
        return self.tested_nothing() or self.reached_nothing() or self.asked_nothing()

    def vacuous_tests(self) -> list[str]:
        """Properties that ran to their end, each with its cell, and compared nothing that could have failed."""
        return [node for node in self.silent_tests() if node not in self.cut_short]

    def silent_tests(self) -> list[str]:
        """Properties that ran, each with its cell, found nothing and compared nothing that could have failed."""
        tallies, red = self.session.recorder.tallies.items(), self.red_tests(self.findings)
        return [node for node, tally in tallies if tally.vacuous_cases == tally.cases and node not in red]

    def red_tests(self, findings: Iterable[Finding]) -> set[str]:
        return {finding.node for finding in findings}

    def causes(self) -> list[Cause]:
        """Findings that probably share a cause, the largest group first."""
        return causes(self.findings)

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
