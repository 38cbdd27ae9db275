"""The examples under docs/reports: the folders of the red known deviations that newer releases of PyTorch have.

    python -m conformance.selftest.golden_reports

writes them anew with the PyTorch at hand; docs/reports.md says what their scripts do on which release.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from conformance.clauses import RED
from conformance.commands.report import Wanted, report
from conformance.harness.execution import machine
from conformance.harness.findings.known import SHIPPED, Known, load

FOLDER = Path(__file__).parents[2] / "docs" / "reports"
NEWER = ("2.13.0", "2.15.0")
"""The releases whose deviations are kept as examples."""


def examples() -> list[Known]:
    """The known deviations that are kept."""
    flags = machine.cpu_flags()
    return [
        known
        for known in load(SHIPPED)
        if known.severity == RED and known.case and any(known.concerns(release, flags) for release in NEWER)
    ]


def main() -> int:
    """Writes every example; 0 where each was found."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    return max(report(Wanted(known.case, FOLDER, known.test)) for known in examples())


if __name__ == "__main__":
    sys.exit(main())
