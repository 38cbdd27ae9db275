"""What GitHub is told of a run: one summary, few annotations, and no command that a subject wrote."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.clauses import AMBER, REMARK
from conformance.harness.pytest_plugin.output import github
from conformance.harness.pytest_plugin.output.results import results_of
from conformance.selftest.unit.results.examples import FINDING, HOSTILE, RAISES, full, report


def summary(made):
    return github.job_summary(results_of(made, "7"), made)


class Terminal:
    """Keeps the lines that are written."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def ensure_newline(self) -> None:
        pass

    def write_line(self, line: str) -> None:
        self.lines.append(line)


def config(terminal) -> Any:
    """The configuration of a run that has such a terminal."""
    manager = SimpleNamespace(get_plugin=lambda name: terminal, register=lambda plugin, name: registered.append(plugin))
    registered: list[Any] = []
    option = SimpleNamespace(hypothesis_seed="7")
    return SimpleNamespace(pluginmanager=manager, registered=registered, option=option)


def commands_in(lines):
    """The commands that GitHub's runner takes from lines: at the start of one, indented or not, unless it was told to
    stop."""
    stopped, found = "", []
    for line in "\n".join(lines).splitlines():
        stripped = line.strip()
        if stopped:
            stopped = "" if stripped == f"::{stopped}::" else stopped
        elif stripped.startswith("::stop-commands::"):
            stopped = stripped.removeprefix("::stop-commands::")
        elif stripped.startswith("::") or "##[" in stripped:
            found.append(stripped)
    return found


def test_summary_of_a_job_has_verdict_clauses_and_findings():
    made = report()
    made.findings = [FINDING]
    text = summary(made)
    assert text.startswith("### FAIL torch ")
    assert "| B1 | values lie within the error bound of the documented equations | ❌ red | 0.50 |" in text
    assert f"```\n{FINDING.text()}\n```" in text
    assert "| B2 |" not in text, "only what was judged"
    assert "✅ pass" in summary(report())


def test_summary_of_a_job_shows_hostile_text_as_it_is():
    text = summary(full())
    fences, outside = 0, []
    for line in text.splitlines():
        if re.fullmatch("`{3,}", line):
            fences += 1
        elif fences % 2 == 0:
            outside.append(line)
    assert fences == 2 * len([*full().findings, AMBER, REMARK])
    assert not re.search(r"(?<!\\)[<\[*]", "\n".join(line for line in outside if "|" not in line))
    assert "\x1b" not in text
    assert "<script>" in text, "inside of a block that shows text as it is"


def test_summary_of_a_job_keeps_to_what_github_takes():
    made = report()
    made.findings = [replace(RAISES, case=f"v1 lstm i{n} h1 t1 float32") for n in range(200)]
    text = summary(made)
    assert len(text.encode()) < 2**20
    assert "and 150 more findings" in text


def test_commands_are_escaped_as_github_demands():
    assert github.command("error", "a: b, 50%\r\n", "c: d, 50%\r\ne") == (
        "::error title=a%3A b%2C 50%25%0D%0A::c: d, 50%25%0D%0Ae"
    )


def test_causes_are_errors_and_what_does_not_fail_are_warnings():
    made = report()
    assert list(github.commands(made)) == []
    made.session.recorder.note(replace(FINDING, severity=AMBER))
    made.session.recorder.note(replace(FINDING, severity=REMARK, clause="A5"))
    assert [line.partition(" ")[0] for line in github.commands(made)] == ["::warning", "::warning"]
    made.findings = [FINDING, replace(FINDING, test="test_other")]
    said = list(github.commands(made))
    assert [line.partition(" ")[0] for line in said] == ["::error", "::error", "::warning", "::warning"]
    assert said[0].startswith("::error title=conformance%3A FAIL::torch ")
    assert said[1].startswith("::error title=RED B1%3A results lie within their error bound::RED  B1  LSTM fails")


def test_annotations_are_no_more_than_github_shows_and_each_is_one_line():
    made = full()
    made.findings = [
        replace(RAISES, cell="gru", case=f"v1 gru i1 h1 t1 float32 seed={n}", lines=(f"{'x' * n} {HOSTILE}",))
        for n in range(40)
    ]
    for n in range(40):
        made.session.recorder.note(replace(RAISES, severity=AMBER, kind=f"{HOSTILE} {n}"))
    said = list(github.commands(made))
    assert sum(line.startswith("::error ") for line in said) == 10
    assert sum(line.startswith("::warning ") for line in said) == 10
    assert [line for line in said if "\n" in line or "\r" in line or "\x1b" in line] == []


@pytest.mark.parametrize("set_", [True, False])
def test_nothing_but_the_annotations_is_a_command(set_, monkeypatch, tmp_path):
    monkeypatch.setenv(github.ACTIONS, "true" if set_ else "false")
    monkeypatch.setenv(github.SUMMARY, str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("of the step before\n")
    made, terminal = full(), Terminal()
    asked = config(terminal)
    github.install(asked, made)
    (plugin,) = asked.registered
    plugin.pytest_sessionstart(SimpleNamespace(config=asked))
    terminal.lines += ["text of a subject", "  ::add-mask::x", "##[error]x"]
    plugin.pytest_terminal_summary(asked)
    terminal.lines += ["::error::x"]
    plugin.pytest_unconfigure(asked)
    expected = list(github.commands(made)) if set_ else ["::add-mask::x", "##[error]x", "::error::x"]
    assert commands_in(terminal.lines) == expected
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("of the step before\n### FAIL ")


def test_summary_that_cannot_be_written_is_said_in_a_line(monkeypatch, tmp_path):
    monkeypatch.delenv(github.ACTIONS, raising=False)
    monkeypatch.setenv(github.SUMMARY, str(tmp_path / "no" / "folder.md"))
    terminal = Terminal()
    github.GithubActions(full(), "7").pytest_terminal_summary(config(terminal))
    assert terminal.lines == [
        "conformance: GITHUB_STEP_SUMMARY: No such file or directory; no summary of the job was written"
    ]


def test_nothing_is_registered_outside_of_github_or_in_a_worker(monkeypatch):
    monkeypatch.delenv(github.ACTIONS, raising=False)
    monkeypatch.delenv(github.SUMMARY, raising=False)
    asked = config(Terminal())
    github.install(asked, report())
    monkeypatch.setenv(github.ACTIONS, "true")
    asked.workerinput = {}
    github.install(asked, report())
    assert asked.registered == []
