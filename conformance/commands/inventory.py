"""The command that lists a model's recurrent modules: `python -m conformance inventory package.module:build`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from conformance.harness.findings.rendering import counted, one_line
from conformance.harness.models.fleet import of_source
from conformance.harness.models.inventory import SUFFIX, written
from conformance.harness.models.loading import LikeError

WRITTEN, USAGE = 0, 4
"""Exit codes."""


def inventory(model: str, output: Path) -> int:
    """Writes the case lines of a model's recurrent modules to a file; returns the exit code."""
    if output.suffix != SUFFIX:
        return _usage(f"{one_line(str(output))}: name a file that ends in {SUFFIX}, as --like expects")
    sys.path.insert(0, os.getcwd())
    try:
        found, left = of_source(model)
        output.write_text(written(found, left), encoding="utf-8")
    except LikeError as error:
        return _usage(str(error))
    except OSError as error:
        return _usage(f"{one_line(str(output))}: {error.strerror}; name a file that can be written")
    print(f"{one_line(str(output))}: {counted(len(found), 'module')}")
    for one in left:
        print(f"  {one_line(one.name)}: {one_line(one.reason)}")
    return WRITTEN


def _usage(message: str) -> int:
    print(one_line(f"python -m conformance inventory: {message}", 400), file=sys.stderr)
    return USAGE
