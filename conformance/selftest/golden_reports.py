"""The examples under docs/reports: a folder for each red known deviation and cell.

    python -m conformance.selftest.golden_reports

writes those anew that belong to the PyTorch at hand: each is kept as the last of `RELEASES` that has it writes it.
What certain processors alone have is left out, and code in the documentation, which is its own script.
docs/reports.md says what their scripts do on which release.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from conformance.clauses import RED
from conformance.commands.report import Wanted, report
from conformance.harness.execution import machine
from conformance.harness.findings.known import SHIPPED, Known, load
from conformance.harness.findings.recorder import SEPARATOR
from conformance.harness.reports import folder
from strategies import parse

FOLDER = Path(__file__).parents[2] / "docs" / "reports"
RELEASES = ("2.2", "2.6", "2.9", "2.0", "2.13")
"""The releases that examples are written with, those that are asked first last."""


OF_CODE = "test_code_in_the_documentation"
"""How the names of the properties begin that are about code in the documentation."""


def examples() -> list[Known]:
    """The known deviations of `RELEASES` that are kept: of those that have one folder the first."""
    first: dict[Path, Known] = {}
    flags = machine.cpu_flags()
    for known in load(SHIPPED):
        is_everybodys = known.severity == RED and not known.with_cpu_flag
        if (
            is_everybodys
            and not known.test.startswith(OF_CODE)
            and any(known.concerns(release, flags) for release in RELEASES)
        ):
            first.setdefault(folder_of(known), known)
    return list(first.values())


def release_of(known: Known) -> str:
    """The release that an example is written with."""
    flags = machine.cpu_flags()
    return next(release for release in reversed(RELEASES) if known.concerns(release, flags))


def folder_of(known: Known) -> Path:
    """Where an example is."""
    _, cell = parse(known.case)
    return FOLDER / folder.name_of((*known.signature, cell))


def wanted(known: Known) -> Wanted:
    """The report of an entry alone: its case may show more."""
    _, cell = parse(known.case)
    return Wanted(known.case, FOLDER, known.test, only=[SEPARATOR.join((*known.signature, cell))])


def main() -> int:
    """Writes every example of the PyTorch at hand; 0 where each was found, 4 where it has none."""
    ours = [known for known in examples() if release_of(known) == machine.release()]
    if not ours:
        print(f"PyTorch {machine.release()} writes no example; run it with {' or '.join(RELEASES)}", file=sys.stderr)
        return 4
    for known in ours:
        shutil.rmtree(folder_of(known), ignore_errors=True)
    return max(report(wanted(known)) for known in ours)


if __name__ == "__main__":
    sys.exit(main())
