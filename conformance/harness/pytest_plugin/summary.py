"""What a run says: each failure in one shape, and at the end one page that a stranger understands."""

from __future__ import annotations

import re
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest

from conformance.clauses import AMBER, CLAUSES, REMARK
from conformance.harness import session
from conformance.harness.cells import CELL_NAMES, MODULES
from conformance.harness.checks import case_record
from conformance.harness.checks.values import one_line
from conformance.harness.execution import kernels, machine
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.recorder import Finding, Tally, as_repeat, told
from conformance.harness.property import Property
from conformance.harness.pytest_plugin.options import Options
from conformance.harness.session import Session
from reference.roundings import HALF_FUNCTION, lacks_wider_type

FINDINGS = "conformance findings"
SUITE_ERROR = "conformance suite error"
FIXED = "conformance known deviation gone"
LACKING = "conformance lacking"


def rewrite(report: pytest.TestReport, found: Property, item: pytest.Item, error: BaseException) -> None:
    """Gives a failed property's report our own shape. An error of the suite keeps its traceback, and says so."""
    node = case_record.node(found.name, item.callspec.params["cell"])  # type: ignore[attr-defined]
    findings = findings_of(error, session.current().latest.get(node))
    if findings:
        report.longrepr = "\n\n".join(finding.text() for finding in findings)
        report.user_properties.append((FINDINGS, [finding.to_json() for finding in findings]))
    else:
        report.user_properties.append((SUITE_ERROR, one_line(f"{type(error).__name__}: {error}")))
        report.sections.append(
            ("error of the suite", "Not a deviation of PyTorch: please report it, with the traceback above.")
        )


def findings_of(error: BaseException, before: Finding | None) -> list[Finding]:
    """The deviations inside `error`; none where it is, or contains, anything else.

    Where one does not repeat it stands alone: what else such a subject shows is chance.
    """
    from hypothesis.errors import Flaky

    if isinstance(error, Flaky):
        return [as_repeat(before)] if before is not None else []
    if isinstance(error, Deviation):
        return [error.finding]
    parts = [findings_of(part, before) for part in getattr(error, "exceptions", ())]
    found = [finding for part in parts for finding in part] if all(parts) else []
    return next(([finding] for finding in found if not finding.repeatable), found)


RELIABLY = 0.95
"""The share of tests that counts as nearly all."""


MANY = 5
"""From so many red findings on they are also told by likeness, for one defect may break many properties."""

MOST_NAMES = 5
"""How many tests that never ran are named."""


def likeness(finding: Finding) -> str:
    """What findings of one defect probably share: an exception's words without numbers, else the kernels reached."""
    if finding.failed:
        return re.sub(r"\d+", "#", finding.lines[0])
    return "+".join(finding.kernels) or f"route {finding.route}"


class Report:
    """Collects the reports of all tests and writes the summary."""

    def __init__(self, session: Session, options: Options, arguments: Sequence[str]) -> None:
        self.session = session
        self.options = options
        self.arguments = arguments
        self.started = time.monotonic()
        self.findings: list[Finding] = []
        self.suite_errors: list[tuple[str, str]] = []
        self.gone: list[str] = []
        self.lacking: Counter[str] = Counter()
        self.interrupted = ""
        self.never_ran: list[str] = []
        self.unfinished: list[str] = []

    def header(self, seed: str | None) -> list[str]:
        return [
            machine.describe(),
            f"conformance: subject {self.session.subject.name}, effort {self.options.effort}, seed {seed or 'fixed'}",
        ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps what a test's process said of it."""
        for name, value in report.user_properties:
            if name == FINDINGS:
                self.findings += [Finding.from_json(data) for data in value]  # type: ignore[attr-defined]
            elif name == SUITE_ERROR:
                self.suite_errors.append((report.nodeid, str(value)))
            elif name == FIXED and report.when == "call":
                self.gone.append(str(value))
            elif name == LACKING and report.when == "setup":
                self.lacking[str(value)] += 1

    def tested_nothing(self) -> bool:
        """Whether properties compared nothing that could have failed, where that is to fail the run."""
        wanted = self.options.no_stale and self.options.case is None
        return wanted and bool(self._silent() or (self.lacking and not self.session.recorder.tallies))

    def _silent(self) -> list[str]:
        """Properties that ran, each with its cell, found nothing and compared nothing that could have failed."""
        red = {case_record.node(finding.test, finding.cell) for finding in self.findings}
        tallies = self.session.recorder.tallies.items()
        return [node for node, tally in tallies if tally.silent == tally.cases and node not in red]

    def write(self, terminal: Any, seed: str | None) -> None:
        """The summary, deviations first."""
        if not (
            self.session.recorder.tallies or self.findings or self.suite_errors or self.lacking or self.incomplete()
        ):
            return
        terminal.section("conformance", sep="=")
        found = [*self._grouped_lines(), *self.unfinished, *self._quiet_lines()]
        for line in [*found, *self._unsupported_lines(), *self._silent_lines(), *self._last_lines(seed)]:
            terminal.write_line(line)

    def _grouped_lines(self) -> list[str]:
        """Of many red findings, how many each cell has of one likeness, in which clauses, and the one to begin with."""
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault((finding.cell, likeness(finding)), []).append(finding)
        if len(self.findings) < MANY:
            return []
        lines = []
        for found in sorted(groups.values(), key=lambda group: -len(group)):
            broken = [clause for clause in CLAUSES if any(finding.clause == clause for finding in found)]
            simplest = min(found, key=lambda one: (not one.case, len(one.case), broken.index(one.clause)))
            what = one_line(simplest.lines[0]) if simplest.failed else likeness(simplest)
            lines += [
                f"{len(found)} RED  {CELL_NAMES[simplest.cell]}, {what}, in {' '.join(broken)}",
                f"       begin with  {simplest.again}",
            ]
        return lines

    def _quiet_lines(self) -> list[str]:
        quiet = list(self.session.recorder.quiet.values())
        lines = []
        for finding, count in told(quiet, AMBER, known=False) + told(quiet, REMARK, known=False):
            lines += [finding.text(), f"       seen {count} times"]
        names: Counter[str] = Counter()
        for finding, count in quiet:
            names[finding.known] += count
        entries = {entry.id: entry for entry in self.session.known}
        lines += [
            f"KNOWN  {entries[name].clause:<3} {name}, seen {n} times: {entries[name].tracker}"
            for name, n in names.items()
            if name in entries
        ]
        lines += [f"GONE   known deviation {name} is no longer there: remove its entry" for name in self.gone]
        return lines

    def _unsupported_lines(self) -> list[str]:
        lines = [f"UNSUPPORTED  {reason}, {count} properties left out" for reason, count in self.lacking.items()]
        for row in self.session.recorder.left_out():
            narrowed = [row.dtypes - {row.what}] if not row.dtypes.issuperset(self.session.axes.dtypes) else []
            narrowed += [row.routes] if not row.routes.issuperset(self.session.routes) else []
            where = "; ".join(", ".join(sorted(names)) for names in (row.cells, *narrowed) if names)
            on = f" on {row.device}" if row.device != "cpu" else ""
            refused = one_line(row.message, 90)
            lines.append(f"UNSUPPORTED  {row.what}{on} ({where}), {row.calls} calls left out: {refused}")
        return lines

    def _silent_lines(self) -> list[str]:
        return [f"tested nothing: {node}" for node in self._silent()]

    def _last_lines(self, seed: str | None) -> list[str]:
        tallies = self.session.recorder.tallies
        total = Tally()
        for tally in tallies.values():
            total.add(tally)
        node, worst = max(tallies.items(), key=lambda item: item[1].worst, default=("", Tally()))
        share = 100 * total.silent / max(total.cases, 1)
        vacuous = 100 * total.vacuous / max(total.elements, 1)
        left_out = self.lacking.total()
        nothing, properties = len(self._silent()) + left_out, len(tallies) + left_out
        told = {
            "": ", ".join(f"{count} {what}" for what, count in self._counts().items()),
            "incomplete": self.incomplete(),
            "cases": f"{total.cases}, {share:.1f} % of them said nothing",
            "properties": f"{properties}, {nothing} of them tested nothing"
            + (f", {left_out} for want of a class" if left_out else "")
            + (f": this run says nothing about {self.session.subject.name}" if nothing == properties else ""),
            "bounds": f"worst error/bound {worst.worst:.2f}" + (f" in {node}" if node else "") + ", "
            f"{vacuous:.1f} % of all bounds were vacuous{self._doubled()}",
            "sees": self._sees(),
            "16-bit": self._accuracy(),
            "machine": machine.describe(),
            "not reached": ", ".join(self._not_reached()) or "nothing",
            "seed": f"{seed or 'fixed'}, {time.monotonic() - self.started:.0f} s",
            "again": self._again(seed),
        }
        return [f"{name:<13}{text}" if name else text for name, text in told.items() if text]

    def incomplete(self) -> str:
        """What kept the run from its end, and how many tests never ran, the first of them by name."""
        parts = [self.interrupted] if self.interrupted else []
        if self.never_ran:
            names = [nodeid.rpartition("::")[2] for nodeid in self.never_ran]
            more = ", ..." if len(names) > MOST_NAMES else ""
            parts += [f"{len(names)} tests never ran: {', '.join(names[:MOST_NAMES])}{more}"]
        return "; ".join(parts)

    def _sees(self) -> str:
        """For each dtype the relative error that nearly every test with error bounds would have shown in this run."""
        of: dict[str, list[float]] = {}
        for tally in self.session.recorder.tallies.values():
            for dtype, error in tally.sees.items():
                of.setdefault(dtype, []).append(error)
        smallest = {dtype: sorted(errors)[int(RELIABLY * (len(errors) - 1))] for dtype, errors in of.items()}
        told = ", ".join(f"{dtype} {error:.0e}" for dtype, error in sorted(smallest.items()) if error < 1)
        head = f"{RELIABLY:.0%} of the tests with bounds would have shown, had it been in every result, an error of"
        return f"{head} {told} (relative)" if told else ""

    def _accuracy(self) -> str:
        """The worst error of tanh and sigmoid over every 16-bit value, beside the constant of the model."""
        worst = sorted(self.session.recorder.accuracy.items())
        told = ", ".join(f"{function} {error:.3f} u" for function, error in worst)
        return f"{told} at most, the bounds allow {HALF_FUNCTION} u" if told else ""

    def _doubled(self) -> str:
        """What to say where the reference has nothing wider than float64 to compute float64's bounds in."""
        concerned = lacks_wider_type() and "float64" in self.session.axes.dtypes
        return "; those of float64 are doubled, for NumPy has no wider type here" if concerned else ""

    def _counts(self) -> dict[str, int]:
        quiet = list(self.session.recorder.quiet.values())
        repeatable = [finding for finding in self.findings if finding.repeatable]
        return {
            "red": len(repeatable),
            "not repeatable": len(self.findings) - len(repeatable),
            "error of the suite": len(self.suite_errors),
            "amber": len(told(quiet, AMBER, False)),
            "remark": len(told(quiet, REMARK, False)),
            "known": len({finding.known for finding, _ in quiet if finding.known}),
            "known but gone": len(self.gone),
        }

    def _not_reached(self) -> list[str]:
        """Kinds of devices that are absent, and kernels of this machine that no witness saw."""
        cells = [cell for cell in MODULES if cell in self.options.cells]
        judged = cells if self.session.subject.name == TORCH_NN else []
        combinations = product(judged, self.session.axes.dtypes, self.session.routes)
        expected = {label for combination in combinations for label in kernels.expected(*combination)}
        absent = [name for name in ("cuda", "mps", "xpu") if name not in self.options.devices]
        return absent + sorted(expected - self.session.recorder.kernels.keys())

    def _again(self, seed: str | None) -> str:
        """The command line as it was given, with the seed."""
        given = [word for word in self.arguments if not word.startswith("--hypothesis-seed")]
        return shlex.join(["pytest", *given, *([f"--hypothesis-seed={seed}"] if seed else [])])
