"""Hostile text in everything that a run reads from others is harmless where it is shown, and hides no remedy."""

import json
import os
import re
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import execnet
import pytest

from conformance.commands import compare, judge
from conformance.harness.execution import subject
from conformance.harness.execution.subject import SubjectError
from conformance.harness.foreign_text import LONGEST_TRACEBACK, MOST
from conformance.harness.pytest_plugin import command_line, options, plugin
from conformance.harness.pytest_plugin.output import report as reports
from conformance.harness.pytest_plugin.output import summary
from conformance.selftest.unit.pytest_plugin.test_command_line import run, run_in_turn
from conformance.selftest.unit.pytest_plugin.test_summary import FINDING, report
from conformance.selftest.unit.test_foreign_text import HOSTILE, Silent, assert_harmless, every_hostile

ENTRY = {
    "id": "an-entry",
    "severity": "red",
    "clause": "B1",
    "field": "output",
    "kind": "shape",
    "test": "test_results_lie_within_their_error_bound",
    "case": "v1 lstm i1 h1 t1 float32",
    "torch": ">=2.0",
    "tracker": "none found",
}

REFUSED = {
    "severity": "severity red, amber or remark",
    "clause": "severity red, amber or remark",
    "test": "docs/clauses.md lists all",
    "case": "begins with 'v1'",
    "torch": 'releases are written as ">=2.0,<2.4"',
    "elsewhere": 'elsewhere is "nan" or left out',
    "expires": "such as 2026-12-31",
}
"""Keys of an entry, and how the line ends or what it says of a value that cannot be."""

SHOWN = ("id", "tracker", "owner", "reason", "note")
"""Keys whose values may be anything."""


def toml(text):
    """A text as TOML has it: no text of TOML has a lone surrogate."""
    return json.dumps("".join(c for c in text if not "\ud800" <= c <= "\udfff"), ensure_ascii=True).replace(
        "\x7f", "\\u007f"
    )


def without_nul(text):
    """A text as an argument of a program may be."""
    return text.replace("\0", "")


def known_file(folder, **changed):
    path = folder / "known.toml"
    lines = [f"{name} = {toml(value)}" for name, value in (ENTRY | changed).items()]
    path.write_text("\n".join(["[[deviation]]", *lines]), encoding="utf-8")
    return path


def read(**given):
    return options.read(
        "smoke", given.pop("subjects", []), None, [], [], [], [], known=given.pop("known", []), no_stale=False, **given
    )


def refusal(**given):
    """The line of pytest's error about these options."""
    with pytest.raises(options.OptionError) as refused:
        read(**given)
    return str(command_line.usage_error(str(refused.value)))


@every_hostile
@pytest.mark.parametrize("name", REFUSED)
def test_a_value_of_a_known_entry_that_cannot_be_is_shown_harmless_with_the_remedy(name, text, tmp_path):
    line = refusal(known=[known_file(tmp_path, **{name: text})])
    assert_harmless(line)
    assert "\n" not in line
    assert REFUSED[name] in line


@every_hostile
def test_an_unknown_key_and_where_are_shown_harmless(text, tmp_path):
    path = known_file(tmp_path)
    entry = path.read_text()
    for more, remedy in (
        (f"{toml(text)} = 1", "; leave it out"),
        (f"where = {{ {toml(text)} = 1 }}", "it has cell, "),
        (f"where = {{ cell = {toml(text)} }}", "it is one of "),
        (f"where = {{ steps = {toml(text)} }}", "a whole number"),
    ):
        path.write_text(f"{entry}\n{more}")
        line = refusal(known=[path])
        assert_harmless(line)
        assert remedy in line


@every_hostile
def test_what_an_entry_may_say_is_harmless_in_the_summary(text, tmp_path):
    made = report(show_known=True)
    entries = read(known=[known_file(tmp_path, **dict.fromkeys(SHOWN, text))]).known[-1:]
    made.options = replace(made.options, known=entries)
    made.gone, made.still_there = [entries[0].id], [entries[0].id]
    written = list[str]()
    terminal: Any = SimpleNamespace(section=lambda *_, **__: None, write_line=written.append)
    summary.write(made, terminal, seed="7")
    assert any("show" not in line and "seen" in line for line in written)
    assert_harmless("\n".join(written))


@every_hostile
@pytest.mark.parametrize("option", ["known", "like"])
def test_a_path_is_shown_harmless_with_the_remedy(option, text):
    place = f"no/such/{without_nul(text)}.toml"
    line = refusal(known=[Path(place)]) if option == "known" else refusal(like=[place])
    assert_harmless(line)
    assert "; name a file " in line


@every_hostile
def test_a_file_of_a_command_is_shown_harmless_with_the_remedy(text, capsys):
    text = without_nul(text)
    assert judge.judge(f"{text}.npz", 0) == judge.UNUSABLE
    assert compare.compare(compare.Wanted(f"{text}.json", f"{text}.json")) == compare.USAGE
    _, errors = capsys.readouterr()
    assert errors.count("\n") == 2
    assert_harmless(errors)
    assert errors.splitlines()[0].endswith("file that can be read")
    assert errors.splitlines()[1].endswith("give the path of a results file")


@every_hostile
def test_names_of_a_subject_are_shown_harmless(text):
    for named in (text, f"lstm=torch.nn:{text}", f"{text}=torch.nn:LSTM", f"lstm={text}:LSTM"):
        with pytest.raises(SubjectError) as refused:
            subject.named([named])
        assert_harmless(str(command_line.usage_error(f"--subject {refused.value}")))
    made = report()
    made.session.subject = subject.Subject(text, made.session.subject.classes)
    shown = [*made.header("7"), *summary.Summary(made, 80).lines("7")]
    assert_harmless("\n".join(line for line in shown if text not in line or text.isprintable()), 20_000)


@every_hostile
def test_a_finding_of_hostile_words_is_shown_harmless(text):
    found = replace(FINDING, subject=text, lines=(f"{text}:  got {text}",), what=(text,), module=text)
    assert_harmless(found.text(), 20_100)


class Loud(Warning):
    pass


@every_hostile
def test_a_warning_is_shown_harmless(text):
    category = type(without_nul(text).encode(errors="ignore").decode(), (Warning,), {})
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn_explicit(text, category, f"{without_nul(text)}.py", 3)
        warnings.warn_explicit(Loud(text), None, "a.py", 3)  # type: ignore[arg-type]
    for message in seen:
        plugin.pytest_warning_recorded(message)
        said = warnings.formatwarning(message.message, message.category, message.filename, message.lineno, message.line)
        assert_harmless(said, 2 * MOST)


def test_a_warning_without_a_text_is_told():
    message: Any = warnings.WarningMessage(Loud(), UserWarning, "a.py", 1)
    message.message = Silent()
    plugin.pytest_warning_recorded(message)
    assert message.message == "its text cannot be had"


@every_hostile
def test_what_a_test_printed_and_an_exception_are_shown_harmless(text):
    told: Any = SimpleNamespace(sections=[("Captured stdout call", text)], outcome="failed", longrepr=f"E  {text}")
    told.user_properties = [("found", [{text: (text, 1)}])]
    reports.sanitise(told)
    assert_harmless(told.sections[0][1] + told.longrepr, LONGEST_TRACEBACK)
    assert execnet.loads(execnet.dumps(told.user_properties)) == told.user_properties
    skipped: Any = SimpleNamespace(sections=[], user_properties=[], outcome="skipped", longrepr=("a.py", 3, text))
    reports.sanitise(skipped)
    assert_harmless(skipped.longrepr[2])


SUBJECT = r"""
import logging, os, sys, warnings
import torch

TEXT = {text!r}

TYPED = TEXT.encode(errors="replace").decode()  # no stream takes a lone surrogate

print(TYPED)
os.write(2, TEXT.encode(errors="surrogateescape"))
warnings.warn(TEXT)
logging.getLogger("hostile").warning("%s", TEXT)

class Refusal(Exception):
    def __str__(self):
        return TEXT

class LSTM(torch.nn.LSTM):
    def forward(self, input, hx=None):
        print(TYPED)
        print(TYPED, file=sys.stderr)
        warnings.warn(TEXT, type(TEXT.replace(chr(0), "").encode(errors="ignore").decode(), (Warning,), {{}}))
        if isinstance(input, torch.Tensor) and input.shape[0] > 1:
            raise Refusal
        return super().forward(input, hx)

LSTM.__name__ = LSTM.__qualname__ = Refusal.__name__ = TEXT.replace(chr(0), "").encode(errors="ignore").decode()
"""


@pytest.mark.parametrize(
    "how",
    [("-p", "no:xdist"), pytest.param(("-n", "1"), marks=pytest.mark.thorough(reason="as the other, in a worker"))],
    ids=["in this process", "in a worker"],
)
def test_what_a_subject_says_anywhere_is_harmless_in_the_output_of_a_run(how, tmp_path):
    (tmp_path / "hostile.py").write_text(SUBJECT.format(text=HOSTILE[-1]), encoding="utf-8")
    asked = ("--subject", "lstm=hostile:LSTM", "--effort", "smoke", "conformance/test_shapes.py", "-k", "lstm", "-rA")
    code, shown = run(*how, *asked, PYTHONPATH=os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    assert_harmless(shown, 21_000)
    assert code == 1
    assert "INTERNALERROR" not in shown
    (said,) = (line for line in shown.splitlines() if "written while it was imported: " in line)
    assert r"\x1b[31mred" in said
    assert len(said) < 300
    assert "Captured stdout call" in shown
    assert re.search(r"^RED .*A1", shown, re.MULTILINE)


TAKES_ANYTHING = ("reports",)
"""Options that no value is refused of before a run is red."""


def test_no_value_of_an_option_reaches_the_terminal_as_it_is():
    with_value = [name for name, how in command_line.OPTIONS.items() if how.get("action") != "store_true"]
    tried = [(f"--{name}={without_nul(HOSTILE[-1])}", name) for name in (*with_value, "hypothesis-seed")]
    runs = [["-p", "no:xdist", "-k", "no_such_test", one] for one, _ in tried]
    ends = run_in_turn(runs)
    for (_, name), (code, shown) in zip(tried, ends, strict=True):
        assert_harmless(shown, MOST + len("ERROR: "))
        if name not in TAKES_ANYTHING:
            assert code == 4, shown
            assert len([line for line in shown.splitlines() if line.strip()]) == 1, shown
