"""The matrix of releases in docs/ and the README: runs the contract under several interpreters, one after the other.

    python -m conformance.selftest.published --python A B C --results FOLDER [--page FILE.html]

They need what a run needs. FOLDER keeps their results, and what is there already is not run again: so an interrupted
command goes on, and a new release costs one run. Delete a file to run its release again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from conformance.commands.page import page
from conformance.harness.foreign_text import one_line
from conformance.harness.isolation.interpreter import PLACE, CannotRun, build_of
from conformance.results.files import ResultsError, load
from conformance.selftest.arguments import Parser

MATRIX = Path(PLACE) / "docs" / "releases.svg"

RUN = ("-q", "-n", "2", "-p", "no:cacheprovider", "--effort", "smoke", "--no-reports", "--hypothesis-seed=0")
"""The arguments of each run: the same cases everywhere."""


def results_of(python: str, folder: Path) -> Path:
    """The results file of an interpreter's PyTorch, after a run unless it is there. Raises CannotRun."""
    try:
        version = build_of(python).version
    except CannotRun as reason:
        raise CannotRun(f"{python}: {reason}") from None
    path = folder.resolve() / f"{version}.json"
    if _is_complete(path):
        return path
    print(f"{version}: {python}", flush=True)
    here = dict(os.environ, PYTHONPATH=PLACE)
    command = [python, "-m", "pytest", *RUN, f"--results={path}"]
    done = subprocess.run(command, cwd=PLACE, env=here, capture_output=True, text=True)
    if not _is_complete(path):
        said = (done.stdout + done.stderr).strip().splitlines() or ["nothing"]
        raise CannotRun(f"{python}: pytest ended with {done.returncode} and no complete results: {one_line(said[-1])}")
    return path


def _is_complete(path: Path) -> bool:
    try:
        return load(path).complete
    except ResultsError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: runs what is missing, and writes the matrix and, where asked for, the page."""
    parser = Parser("published", description="Runs the contract under interpreters and writes docs/releases.svg.")
    parser.add_argument(
        "--python", nargs="+", required=True, metavar="PATH", help="interpreters that can run pytest here"
    )
    parser.add_argument(
        "--results", type=Path, required=True, metavar="FOLDER", help="of results, kept for the next time"
    )
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="the page over these results too")
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    try:
        paths = [results_of(python, options.results) for python in options.python]
    except CannotRun as error:
        parser.error(one_line(str(error), 400))
    return page(paths, options.page, MATRIX)


if __name__ == "__main__":
    sys.exit(main())
