"""The command that lists a model's recurrent modules: `python -m conformance inventory package.module:build`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import MOST, kept_from_terminal, one_line, piece, say, told_of_import
from conformance.harness.models.fleet import of_source
from conformance.harness.models.inventory import SUFFIX, written
from conformance.harness.models.loading import LikeError

WRITTEN, USAGE = 0, 4
"""Exit codes."""


def inventory(model: str, output: Path) -> int:
    """Writes the case lines of a model's recurrent modules to a file; returns the exit code."""
    if output.suffix != SUFFIX:
        return _usage(f"{piece(output)}: name a file that ends in {SUFFIX}, as --like expects")
    sys.path.insert(0, os.getcwd())
    try:
        with kept_from_terminal() as kept:
            found, left = of_source(model)
        output.write_text(written(found, left), encoding="utf-8")
    except LikeError as error:
        return _usage(str(error))
    except OSError as error:
        return _usage(f"{piece(output)}: {error.strerror}; name a file that can be written")
    for told in told_of_import(kept.text):
        say(told, sys.stderr)
    say(f"{piece(output)}: {counted(len(found), 'module')}")
    for one in left:
        say(f"  {one_line(one.name)}: {one_line(one.reason)}")
    return WRITTEN


def _usage(message: str) -> int:
    say(one_line(f"python -m conformance inventory: {message}", MOST), sys.stderr)
    return USAGE
