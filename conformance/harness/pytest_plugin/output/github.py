"""What GitHub Actions shows of a run: a summary of the job, and annotations."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from conformance.clauses import AMBER, CLAUSES, REMARK
from conformance.harness.findings.recorder import Finding, most_frequent
from conformance.harness.findings.rendering import counted, finding_text
from conformance.harness.foreign_text import one_line, printable, say
from conformance.harness.pytest_plugin.output.report import Report
from conformance.harness.pytest_plugin.output.results import results_of
from conformance.harness.pytest_plugin.output.summary import WIDEST, Summary
from conformance.harness.reports.templating import fenced, markdown
from conformance.results.document import Judged, Results

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable that names the file of the job's summary."""

ACTIONS = "GITHUB_ACTIONS"
"""The variable that is true where lines of the output may be commands."""

MOST_ANNOTATIONS = 10
"""GitHub shows so many errors, and so many warnings, of a step."""

MOST_FINDINGS = 50
"""The most findings in a summary, which GitHub limits to one megabyte."""

MARKS = {"red": "❌", "error": "❌", "amber": "🟠", "remark": "💬", "known": "☑️", "pass": "✅", "nothing": "⬜"}
"""The outcomes of a clause, the worst first."""


def job_summary(results: Results, report: Report) -> str:
    """The summary of a job as Markdown: verdict, clauses and their outcomes, findings."""
    totals, environment = results.totals, results.environment
    counts = f"{counted(totals.cases, 'case')}, {counted(totals.properties, 'property')}, {results.seconds:.0f} s"
    machine = f"oneDNN {environment.onednn or 'none'}, {environment.capability}, NumPy {environment.numpy}"
    lines = [f"### {results.verdict} {markdown(results.said)}", "", markdown(f"{counts}; {machine}"), ""]
    if results.judged:
        lines += ["| clause | claim | outcome | worst error / bound |", "| --- | --- | --- | ---: |"]
        of = {clause: [row for row in results.judged if row.clause == clause] for clause in CLAUSES}
        lines += [_row(clause, rows) for clause, rows in of.items() if rows]
    shown = [*report.findings, *_quiet(report, AMBER), *_quiet(report, REMARK)]
    for finding in shown[:MOST_FINDINGS]:
        lines += ["", fenced(finding_text(finding, WIDEST))]
    if len(shown) > MOST_FINDINGS:
        lines += ["", f"and {counted(len(shown) - MOST_FINDINGS, 'more finding')}"]
    return "\n".join(lines) + "\n\n"


def _row(clause: str, rows: Sequence[Judged]) -> str:
    """A clause's row."""
    outcome = next(name for name in MARKS if any(row.outcome == name for row in rows))
    worst = max(row.worst for row in rows)
    ratio = f"{worst:.2f}" if worst else ""
    return f"| {clause} | {markdown(CLAUSES[clause].claim)} | {MARKS[outcome]} {outcome} | {ratio} |"


def _quiet(report: Report, severity: str) -> list[Finding]:
    found = most_frequent(report.session.recorder.quiet.values(), severity, known=False)
    return [finding for finding, _ in found]


def command(name: str, title: str, message: str) -> str:
    """A line that GitHub Actions takes as a command."""
    return f"::{name} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def commands(report: Report) -> Iterator[str]:
    """The commands that annotate a run: an error for each cause, and for what else keeps it from passing; a warning
    for each amber finding and new remark."""
    summary = Summary(report, WIDEST)
    verdict, said = summary.verdict()[0]
    causes = [cause.simplest for cause in summary.causes]
    if verdict in ("FAIL", "ERROR", "INCOMPLETE"):
        yield command("error", f"conformance: {verdict}", one_line(said, 1000))
    yield from _annotated("error", causes, MOST_ANNOTATIONS - 1)
    yield from _annotated("warning", [*_quiet(report, AMBER), *_quiet(report, REMARK)], MOST_ANNOTATIONS)


def _annotated(name: str, findings: Iterable[Finding], most: int) -> Iterator[str]:
    for finding in list(findings)[:most]:
        title = one_line(f"{finding.severity.upper()} {finding.clause}: {finding.claim}")
        yield command(name, title, finding_text(finding, WIDEST))


def append_summary(text: str) -> str:
    """Appends to the summary of the job, where there is one; returns why it cannot, or ""."""
    if not (path := os.environ.get(SUMMARY)):
        return ""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return f"{SUMMARY}: {error.strerror}; no summary of the job was written"
    return ""


@contextmanager
def no_commands() -> Iterator[None]:
    """Has GitHub Actions take nothing that the block prints as a command."""
    token = _token()
    if token:
        say(f"::stop-commands::{token}")
    try:
        yield
    finally:
        if token:
            say(f"::{token}::")


def _token() -> str:
    """What ends a block without commands; "" outside of GitHub Actions."""
    return secrets.token_hex(16) if os.environ.get(ACTIONS) == "true" else ""


class GithubActions:
    """Appends the summary of the job, and prints the annotations. Nothing else that the run prints is a command: text
    of a subject could be one."""

    def __init__(self, report: Report, seed: str) -> None:
        self.report, self.seed = report, seed
        self.token = _token()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        if self.token:
            _print(session.config, f"::stop-commands::{self.token}")

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, config: pytest.Config) -> None:
        if self.report.is_empty():
            return
        if self.token:
            _print(config, f"::{self.token}::", *commands(self.report), f"::stop-commands::{self.token}")
        if os.environ.get(SUMMARY):
            text = job_summary(results_of(self.report, self.seed), self.report)
            if trouble := append_summary(text):
                _print(config, f"conformance: {trouble}")

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        if self.token:
            _print(config, f"::{self.token}::")


def _print(config: pytest.Config, *lines: str) -> None:
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.ensure_newline()
        for line in lines:
            terminal.write_line(printable(line))


def install(config: pytest.Config, report: Report) -> None:
    """Registers it where the run is one of GitHub's, or where a summary is wanted; not in workers."""
    if not hasattr(config, "workerinput") and (os.environ.get(SUMMARY) or os.environ.get(ACTIONS) == "true"):
        seed = config.option.hypothesis_seed or ""
        config.pluginmanager.register(GithubActions(report, seed), "conformance-github")
