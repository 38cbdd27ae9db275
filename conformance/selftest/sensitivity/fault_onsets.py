"""The largest size at which a run detects a fault that starts there.

    python -m conformance.selftest.sensitivity.fault_onsets

A module is sound up to a unit, row, step, feature, layer or length of a packed row, and wrong from there on. Counted is
the largest such place that B1 and B2 see with every one of five seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from conformance.harness.execution import machine
from conformance.selftest.arguments import Parser
from conformance.selftest.faults.sizes import SIZED, beyond
from conformance.selftest.trial import findings
from reference.problem import GRU

SEEDS = range(5)
PLACES = {
    "unit": (1, 2, 4, 8, 15, 16, 31, 32),
    "row": (1, 2, 3, 4),
    "step": (1, 2, 4, 6, 8, 9, 10, 11),
    "feature": (1, 2, 4, 8, 15, 16, 31, 32),
    "layer": (1, 2),
    "length": (1, 2, 4, 6, 8, 9, 10, 11),
}
"""Where faults begin, up to just below the largest size that is drawn."""


HEAD = """# Up to which size is a fault seen?

Printed by `python -m conformance.selftest.sensitivity.fault_onsets`: a GRU that is sound up to a unit, row, step,
feature, layer or length of a packed row and wrong from there on, and the share of five seeds with which B1 and B2 see
it. The places reach to just below the largest size that is drawn.
"""


def share_seen(what: str, place: int, effort: str, cell: str = GRU) -> float:
    """The share of seeds with which a fault from `place` on is seen."""
    fault = beyond(what, place, effort)
    seen = [any(True for _ in findings(fault.subject, fault.clauses, (cell,), seed, effort)) for seed in SEEDS]
    return sum(seen) / len(seen)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints a table for each effort."""
    parser = Parser("thresholds", description="Up to which size a run sees a fault that shows only from there on.")
    parser.add_argument("--effort", action="append", choices=("smoke", "default"), help="smoke and default if left out")
    options = parser.parse_args(arguments)
    machine.pin()
    print(HEAD)
    print("| wrong from | effort | seen with every seed up to | share of seeds at each place |")
    print("| --- | --- | ---: | --- |")
    for effort in options.effort or ("smoke", "default"):
        for what in SIZED:
            shares = {place: share_seen(what, place, effort) for place in PLACES[what]}
            sure = [place for place, share in shares.items() if share == 1]
            told = ", ".join(f"{place}: {share:.0%}" for place, share in shares.items())
            print(f"| {what} | {effort} | {max(sure, default='none')} | {told} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
