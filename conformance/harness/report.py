"""What a run says: each failure in one shape, and at the end one page that a stranger understands."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest

from conformance.clauses import AMBER, REMARK
from conformance.harness import platform, witness
from conformance.harness.options import Options
from conformance.harness.property import MODULES, Property
from conformance.harness.recorder import Finding, Tally, as_repeat, told
from conformance.harness.runner import EAGER_ROUTES
from conformance.harness.session import Session
from conformance.harness.verdict import Deviation, one_line

FINDINGS = "conformance findings"
SUITE_ERROR = "conformance suite error"
FIXED = "conformance known deviation gone"


def rewrite(report: pytest.TestReport, found: Property, item: pytest.Item, error: BaseException) -> None:
    """Gives a failed property's report our own shape. An error of the suite keeps its traceback, and says so."""
    from conformance.harness import session

    node = f"{found.name}[{item.callspec.params.get('cell', '')}]"  # type: ignore[attr-defined]
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

    def header(self, seed: str | None) -> list[str]:
        return [
            platform.describe(),
            f"conformance: subject {self.session.subject.name}, effort {self.options.effort}, seed {seed or 'fixed'}",
        ]

    def add(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == FINDINGS:
                self.findings += [Finding.from_json(data) for data in value]  # type: ignore[attr-defined]
            elif name == SUITE_ERROR:
                self.suite_errors.append((report.nodeid, str(value)))
            elif name == FIXED and report.when == "call":
                self.gone.append(str(value))

    def tested_nothing(self) -> list[str]:
        """Properties that compared nothing that could have failed, where that is to fail the run."""
        if not self.options.no_stale or self.options.case is not None:
            return []
        return [node for node, tally in self.session.recorder.tallies.items() if tally.silent == tally.cases]

    def write(self, terminal: Any, seed: str | None) -> None:
        """The summary, deviations first."""
        recorder = self.session.recorder
        if not (recorder.tallies or self.findings or self.suite_errors):
            return
        terminal.section("conformance", sep="=")
        for line in [*self._quiet_lines(), *self._unsupported_lines(), *self._silent_lines()]:
            terminal.write_line(line)
        for line in self._last_lines(seed):
            terminal.write_line(line)

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
        return [
            f"UNSUPPORTED  {dtype} on {device} by {', '.join(cells)} ({', '.join(routes)}), {count} calls left out: "
            + one_line(message, 90)
            for dtype, device, message, cells, routes, count in self.session.recorder.left_out()
        ]

    def _silent_lines(self) -> list[str]:
        return [
            f"tested nothing: {node}"
            for node, tally in self.session.recorder.tallies.items()
            if tally.silent == tally.cases
        ]

    def _last_lines(self, seed: str | None) -> list[str]:
        total = Tally()
        for tally in self.session.recorder.tallies.values():
            total.add(tally)
        node, worst = max(self.session.recorder.tallies.items(), key=lambda item: item[1].worst, default=("", Tally()))
        silent, vacuous = 100 * total.silent / max(total.cases, 1), 100 * total.vacuous / max(total.elements, 1)
        return [
            ", ".join(f"{count} {what}" for what, count in self._counts().items()),
            f"{total.cases} cases, {silent:.1f} % of them said nothing, {vacuous:.1f} % of all bounds were vacuous; "
            f"worst error/bound {worst.worst:.2f} in {node}",
            f"{platform.describe()}; not reached: {', '.join(self._not_reached())}",
            f"seed {seed or 'fixed'}, {time.monotonic() - self.started:.0f} s; again: {self._again(seed)}",
        ]

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
        combinations = product(MODULES, self.session.axes.dtypes, EAGER_ROUTES)
        expected = {label for combination in combinations for label in witness.expected(*combination)}
        absent = [name for name in ("cuda", "mps", "xpu") if name not in self.options.devices]
        return absent + sorted(expected - self.session.recorder.kernels.keys())

    def _again(self, seed: str | None) -> str:
        """The command line as it was given, with the seed."""
        given = [word for word in self.arguments if not word.startswith("--hypothesis-seed")]
        return shlex.join(["pytest", *given, *([f"--hypothesis-seed={seed}"] if seed else [])])
