"""The command that makes one page of results files: `python -m conformance page RESULTS.json... -o page.html`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import MOST, one_line, piece, say
from conformance.page import drawing, runs
from conformance.results.files import ResultsError, write_text

WRITTEN, USAGE = 0, 4
"""Exit codes."""

HTML, SVG = ".html", ".svg"


def page(results: Sequence[Path], output: Path | None, matrix: Path | None) -> int:
    """Writes the page, the matrix alone, or both; returns the exit code."""
    if output is None and matrix is None:
        return _usage("name what to write: -o page.html, --svg matrix.svg, or both")
    for path, suffix in ((output, HTML), (matrix, SVG)):
        if path is not None and path.suffix != suffix:
            return _usage(f"{piece(path)}: name a file that ends in {suffix}")
    try:
        shown, left_out = runs.read(results)
    except ResultsError as error:
        return _usage(str(error))
    texts = {}
    if output is not None:
        texts[output] = drawing.page(shown, left_out, datetime.now(timezone.utc))
    if matrix is not None:
        texts[matrix] = drawing.svg(shown)
    for path, text in texts.items():
        try:
            write_text(path, text)
        except OSError as error:
            return _usage(f"{piece(path)}: {error.strerror}; name a file that can be written")
        say(f"{piece(path)}: {counted(len(shown), 'release')}")
    for words in left_out:
        say(words)
    return WRITTEN


def _usage(message: str) -> int:
    say(one_line(f"python -m conformance page: {message}", MOST), sys.stderr)
    return USAGE
