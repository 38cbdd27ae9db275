"""Text of others reaches a terminal through one module: no other place writes, and what is hostile is harmless."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.harness import foreign_text
from conformance.harness.foreign_text import block, kept_from_terminal, one_line, piece, printable, said_by, say

ROOT = Path(__file__).parents[3]

ESCAPING = {"one_line", "printable", "printable_lines", "block", "piece", "said_by", "text_of", "usage_error"}
"""What a text may have come through, right where it is written."""

WRITERS = {
    "print",
    "UsageError",
    "warn",
    "warn_explicit",
    "issue_config_time_warning",
    "print_exc",
    "print_exception",
    "print_help",
    "write_line",
    "write_sep",
    "write_raw",
    "section",
    "os.write",
    "exit",
    "parser.error",
    "pytest.skip",
    "pytest.fail",
    "pytest.xfail",
}
"""Calls that write, or whose text pytest writes: a name, or one with what it is called on."""

STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__", "terminal", "terminalreporter", "_tw", "buffer"}
"""What `write` is called on where it writes to a terminal."""

REVIEWED = {
    ("__main__.py", "", "sys.exit"): "an exit code",
    ("__main__.py", "error", "self.exit"): "one_line, with the end of the line behind it",
    ("harness/isolation/call_journal.py", "_fill", "os.write"): "zeros, to a file",
    ("harness/isolation/call_watcher.py", "_say", "print"): "ascii, and a number",
    ("harness/isolation/folders.py", "_own", "os.write"): "a constant, to a file",
    ("harness/property.py", "_look", "pytest.skip"): "sanitise in report.py",
    ("harness/property.py", "reached", "pytest.skip"): "sanitise in report.py",
    ("harness/pytest_plugin/crash_recovery.py", "_interrupt_end", "os.write"): "a constant",
    ("harness/pytest_plugin/items.py", "skip_if_not_asked", "pytest.skip"): "sanitise in report.py",
    ("harness/pytest_plugin/output/report.py", "sanitise", "longrepr"): "block and one_line",
    ("harness/pytest_plugin/output/report.py", "sanitise", "sections"): "block",
    ("harness/pytest_plugin/output/report.py", "tell", "longrepr"): "Finding.text, each line of it printable",
    ("harness/pytest_plugin/output/unsaved.py", "write", "stderr.write"): "what would go to the standard output",
    ("harness/pytest_plugin/plugin.py", "_write_folders", "terminal.write_line"): "a number",
    ("harness/pytest_plugin/plugin.py", "pytest_pyfunc_call", "pytest.skip"): "a constant",
    ("harness/pytest_plugin/plugin.py", "pytest_runtest_setup", "pytest.skip"): "sanitise in report.py",
    ("harness/state_dicts/writing.py", "main", "print"): "a tool that adds files of this suite: their names",
    ("test_known.py", "test_known_deviation_is_still_there", "pytest.fail"): "sanitise in report.py",
}
"""Places whose text comes through in another way, and why it is harmless: file, function, call."""


class _Places(ast.NodeVisitor):
    """Where a file writes: the function, the call, and whether its text is escaped right there."""

    def __init__(self):
        self.inside = [""]
        self.found = []

    def visit_FunctionDef(self, node):
        self.inside.append(node.name)
        self.generic_visit(node)
        self.inside.pop()

    def visit_Call(self, node):
        names = _dotted(node.func)
        called = ".".join(names[-2:])
        if {called, names[-1]} & WRITERS or (names[-1] in ("write", "writelines") and STREAMS & set(names)):
            self.found.append((self.inside[-1], called, all(map(_is_escaped, node.args))))
        self.generic_visit(node)

    def visit_Assign(self, node):
        for target in node.targets:
            several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = zip(target.elts, node.value.elts, strict=True) if several else [(target, node.value)]
            for one, value in pairs:
                if isinstance(one, ast.Attribute) and one.attr in ("longrepr", "sections"):
                    self.found.append((self.inside[-1], one.attr, _is_escaped(value)))
        self.generic_visit(node)


def _dotted(node):
    if isinstance(node, ast.Attribute):
        return [*_dotted(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else ["?"]


def _is_escaped(node):
    """Whether an argument is a constant, or has come through the one module."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.JoinedStr):
        return all(_is_escaped(one.value) for one in node.values if isinstance(one, ast.FormattedValue))
    return isinstance(node, ast.Call) and _dotted(node.func)[-1] in ESCAPING


def places(text):
    found = _Places()
    found.visit(ast.parse(text))
    return found.found


def all_places():
    """Every place that writes text which is not escaped right there."""
    for path in sorted((ROOT / "conformance").rglob("*.py")):
        name = path.relative_to(ROOT / "conformance").as_posix()
        if not name.startswith("selftest/"):  # tools and tests of developers
            for function, called, is_escaped in places(path.read_text(encoding="utf-8")):
                if not is_escaped:
                    yield name, function, called


def test_nothing_writes_to_the_terminal_but_through_the_one_module_or_where_it_was_reviewed():
    assert set(all_places()) == set(REVIEWED)


@pytest.mark.parametrize(
    "line",
    [
        "print(text)",
        "sys.stderr.write(f'{one_line(text)} {text}')",
        "terminal.write_line(text)",
        "raise pytest.UsageError(f'no {text}')",
        "report.outcome, report.longrepr = 'failed', text",
    ],
)
def test_a_new_place_is_seen(line):
    assert [is_escaped for _, _, is_escaped in places(line)] == [False]


def test_a_place_whose_text_is_escaped_is_none():
    text = "print(one_line(text, 9)); terminal.write_line(f'a {piece(text)}'); file.write(text)"
    assert all(is_escaped for _, _, is_escaped in places(text))


BITS = (
    "\x1b[31mred \x1b]0;title\x07",
    "two\nlines\r\x0b\x0c\x85 \u2028",
    "\x9b31m \x00 \x7f\t",
    "<b>&amp;[x](y) `_*|",
    "\u202eright to left\u2066\u200f",
    "lone \udcff surrogate",
)
HOSTILE = [*BITS, "x" * 20_000, "".join(BITS) + "x" * 20_000]
"""Texts that move a cursor, end a line, turn a direction round, are no text, or have no end."""

ESCAPES = {text: f"hostile {number}" for number, text in enumerate(HOSTILE)}

every_hostile = pytest.mark.parametrize("text", HOSTILE, ids=ESCAPES.values())


def assert_harmless(shown, longest=foreign_text.MOST):
    """No character of these lines but those that print, and no line that is too long."""
    for line in shown.split("\n"):
        assert line.isprintable(), ascii(line)[:300]
        assert len(line) <= longest, line[:300]
    shown.encode()


@every_hostile
def test_what_is_hostile_is_escaped_and_cut_and_what_ends_the_line_stays(text):
    remedy = "; name one that is here"
    assert_harmless(one_line(text), 200)
    assert_harmless(printable(text), 200_000)
    assert "\n" not in printable(text)
    assert one_line(f"--option {piece(text)}: none{remedy}", 400).endswith(remedy)
    assert one_line(f"--option {text}: none{remedy}", 400).endswith(remedy)
    assert len(block(text * 3)) <= foreign_text.LONGEST_BLOCK
    assert_harmless(block(text), 20_000)


def test_what_prints_stays_as_it_is():
    assert printable("  naïve  日本 \\n") == "  naïve  日本 \\n"
    assert one_line("a  b\n c") == "a b c"


class Silent(Exception):
    def __str__(self):
        raise RuntimeError


def test_an_exception_without_a_text_is_told():
    assert said_by(Silent()) == "Silent: its text cannot be had"


@every_hostile
def test_say_writes_what_is_harmless(text, capsys):
    say(f"{text}\nthe next line")
    out, _ = capsys.readouterr()
    assert out.endswith("\nthe next line\n")
    assert_harmless(out, 200_000)


def test_what_is_written_in_a_block_is_kept_whatever_wrote_it(capfd):
    with kept_from_terminal() as kept:
        print("by Python")
        print("as an error", file=sys.stderr)
        sys.stdout.flush()
        os.write(1, b"below it \xff\n")
        subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
    print("after")
    assert sorted(kept.text.splitlines()) == ["as an error", "below it \\xff", "by Python", "by a child"]
    assert capfd.readouterr() == ("after\n", "")


def _written_and_raised():
    print("before it")
    raise ZeroDivisionError


def test_what_is_written_before_an_exception_is_kept_and_the_streams_come_back(capfd):
    with pytest.raises(ZeroDivisionError), kept_from_terminal() as kept:
        _written_and_raised()
    assert kept.text == "before it\n"
    print("after")
    assert capfd.readouterr().out == "after\n"
