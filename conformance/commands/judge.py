"""Whether the results that a file holds are allowed: `python -m conformance judge FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.harness.foreign_text import MOST, one_line, piece, say
from conformance.judging.entries import read
from conformance.judging.errors import JudgeError
from conformance.judging.recorded_call import of_entries
from conformance.judging.report import report

ALLOWED, NOT_ALLOWED, NOTHING_SAID, UNUSABLE = 0, 1, 3, 4
"""Exit codes."""


def judge(file: str, seed: int) -> int:
    """Prints the verdict on a file's results; returns the exit code."""
    try:
        said = report(of_entries(read(Path(file))), seed)
    except JudgeError as error:
        say(one_line(f"{piece(file)}: {error}", MOST), sys.stderr)
        return UNUSABLE
    say(said.text)
    if not said.allowed:
        return NOT_ALLOWED
    return NOTHING_SAID if said.says_nothing else ALLOWED
