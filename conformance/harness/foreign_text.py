"""Text that others wrote, on its way to a terminal: escaped, cut, and kept where it would be written unasked.

What `printable` returns moves no cursor, ends no line and turns no direction round. All that the suite writes went
through it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any

MOST = 1000
"""The most characters of one part of a finding, and of a line about an error; longer ones are cut."""

LONGEST_BLOCK = 20_000
"""The most characters of several lines, such as a traceback or what a test printed."""

LONGEST_TRACEBACK = 100_000
"""The most characters of a failure: all findings of a test, or the traceback of an error of the suite."""

LONGEST_PIECE = 160
"""The most characters of a value, a name or a path inside a line about an error, so that its remedy has room."""

_BEGINS = 2
"""A text that is cut keeps its last third: lines about errors end in their remedies."""


def printable(text: str) -> str:
    """A line whose characters that do not print are escaped as in Python; spaces stay as they are."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """As `printable`, of lines that stay apart."""
    return "\n".join(map(printable, text.expandtabs().split("\n")))


def one_line(text: str, most: int = 200) -> str:
    """Foreign text on one line, its control characters escaped as in Python, cut to `most` characters."""
    return _cut(printable(" ".join(text.split())), most)


def piece(text: object) -> str:
    """A value, a name or a path inside a line about an error."""
    return one_line(str(text), LONGEST_PIECE)


def block(text: str, most: int = LONGEST_BLOCK) -> str:
    """Foreign lines, each printable, cut to `most` characters."""
    return _cut(printable_lines(text), most)


def _cut(text: str, most: int) -> str:
    """The beginning and the end of a text that is longer."""
    if len(text) <= most:
        return text
    begins = most * _BEGINS // (_BEGINS + 1)
    return f"{text[:begins]}…{text[len(text) - (most - begins - 1) :]}"


def said_by(error: BaseException, most: int = 200) -> str:
    """An exception's type and text on one line, also where no text of it can be had."""
    return one_line(f"{type(error).__name__}: {text_of(error, most)}", most)


def text_of(foreign: object, most: int = 200) -> str:
    """The text of an exception, or of anything else whose class is a subject's, on one line."""
    try:
        return one_line(str(foreign), most)
    except Exception:
        return "its text cannot be had"


def encodable(data: Any) -> Any:
    """Plain data, in whose texts lone surrogates are escaped: no channel takes those."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {encodable(name): encodable(value) for name, value in data.items()}
    return type(data)(map(encodable, data)) if isinstance(data, list | tuple) else data


def say(text: str, to: IO[str] | None = None) -> None:
    """Writes lines to the terminal, by default on the standard output."""
    print(printable_lines(text), file=to, flush=True)


def told_of_import(printed: str) -> list[str]:
    """What is said of what a subject or a model wrote when it was imported: a line, or none."""
    return [f"conformance: written while it was imported: {one_line(printed)}"] if printed.strip() else []


class Kept:
    """What was written in a block of `kept_from_terminal`, once that has ended."""

    text = ""


@contextlib.contextmanager
def kept_from_terminal() -> Iterator[Kept]:
    """Keeps what a subject or a model writes to the standard streams, also below Python; the first of it is told."""
    kept = Kept()
    with tempfile.TemporaryFile() as file, contextlib.ExitStack() as undo:
        undo.callback(lambda: setattr(kept, "text", _read(file)))
        _flush()
        for number in (1, 2):
            with contextlib.suppress(OSError):  # a process that has no such stream
                undo.callback(_put_back, os.dup(number), number)
                os.dup2(file.fileno(), number)
        if not all(map(_is_of_the_system, (sys.stdout, sys.stderr))):
            text = open(file.fileno(), "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            undo.enter_context(text)
            undo.enter_context(contextlib.redirect_stdout(text))
            undo.enter_context(contextlib.redirect_stderr(text))
        undo.callback(_flush)
        yield kept


def _is_of_the_system(stream: IO[str]) -> bool:
    """Whether it writes where the system's stream goes, as that of a program does."""
    try:
        return stream.fileno() in (1, 2)
    except Exception:  # whatever stands in its place
        return False


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # one that is closed
            stream.flush()


def _put_back(copy: int, number: int) -> None:
    os.dup2(copy, number)
    os.close(copy)


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(LONGEST_BLOCK).decode(errors="backslashreplace")
