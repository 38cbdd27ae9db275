"""The file of `--leave-out`: tests that a run leaves out, one pattern a line, each with its reason.

# what stands behind a # alone is a comment
test_results_lie_within_their_error_bound[[]gru]   # our GRU has another blend, see issue 12
test_rows_*                                        # rows are padded to eight
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from conformance.harness import bounded_files
from conformance.harness.foreign_text import one_line, piece

FORM = "a line is a pattern of test names, a # and the reason"


class LeaveOutError(ValueError):
    """A file that cannot be read; the message gives the place and the remedy."""


@dataclass(frozen=True)
class LeftOut:
    """A pattern of the names of tests, as in `fnmatch`, and why what it matches is left out."""

    pattern: str
    reason: str


def read(path: Path) -> tuple[LeftOut, ...]:
    """The patterns of a file. Raises LeaveOutError."""
    try:
        text = bounded_files.text_of(path)
    except (OSError, UnicodeDecodeError, bounded_files.NotBounded) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        why = str(error) if isinstance(error, bounded_files.NotBounded) else why
        raise LeaveOutError(f"{piece(path)}: {why}; name a file in which {FORM}") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return tuple(_entry(path, number, line) for number, line in lines if line and not line.startswith("#"))


def _entry(path: Path, number: int, line: str) -> LeftOut:
    pattern, _, reason = (part.strip() for part in line.partition("#"))
    if not reason or len(pattern.split()) != 1:
        raise LeaveOutError(f"{piece(path)}, line {number}: {one_line(line)} is none; {FORM}")
    return LeftOut(pattern, reason)


def reason_for(name: str, entries: tuple[LeftOut, ...]) -> str:
    """Why the test of this name is left out; "" where it is not."""
    return next((f"as asked, {one_line(one.reason)}" for one in entries if fnmatchcase(name, one.pattern)), "")
