"""The largest size at which a run detects a fault that starts there.

    python -m conformance.selftest.sensitivity.fault_onsets

A module is sound up to a unit, row, step, feature, layer or length of a packed row, and wrong from there on. Counted is
the largest such place that B1 and B2 see with every one of five seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

from conformance.harness.execution import machine
from conformance.selftest.arguments import Parser
from conformance.selftest.faults.sizes import SIZED, beyond, steeper_beyond
from conformance.selftest.trial import findings
from reference.problem import GRU

SEEDS = range(5)
PLACES = {
    "unit": (1, 2, 4, 8, 16, 32, 64, 128, 256, 400),
    "row": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    "step": (1, 2, 4, 8, 16, 32, 64, 100, 250, 500),
    "feature": (1, 2, 4, 8, 16, 32, 64, 128, 256, 400),
    "layer": (1, 2, 4, 6, 8, 10),
    "length": (1, 2, 4, 6, 8, 9, 10, 11),
}
"""Where faults begin."""

KINDS = {"values": beyond, "gradients": steeper_beyond}
"""What is wrong from there on, and the fault of it."""


HEAD = """# Up to which size is a fault seen?

Printed by `python -m conformance.selftest.sensitivity.fault_onsets`: a GRU that is sound up to a unit, row, step,
feature, layer or length of a packed row and wrong from there on, in its values or in its gradients, and the share of
five seeds with which B1 and B2, or C1, see it.
"""


def share_seen(kind: str, what: str, place: int, effort: str, cell: str = GRU) -> float:
    """The share of seeds with which a fault from `place` on is seen."""
    fault = KINDS[kind](what, place, effort)
    seen = [any(True for _ in findings(fault.subject, fault.clauses, (cell,), seed, effort)) for seed in SEEDS]
    return sum(seen) / len(seen)


def _row(kind: str, what: str, effort: str) -> str:
    shares = {place: share_seen(kind, what, place, effort) for place in PLACES[what]}
    sure = [place for place, share in shares.items() if share == 1]
    text = ", ".join(f"{place}: {share:.0%}" for place, share in shares.items())
    return f"| {kind} | {what} | {effort} | {max(sure, default='none')} | {text} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints a table for each effort."""
    parser = Parser("thresholds", description="Up to which size a run sees a fault that shows only from there on.")
    parser.add_argument("--effort", action="append", choices=("smoke", "default"), help="smoke and default if left out")
    options = parser.parse_args(arguments)
    machine.pin()
    print(HEAD)
    print("| what | wrong from | effort | seen with every seed up to | share of seeds at each place |")
    print("| --- | --- | --- | ---: | --- |")
    for effort in options.effort or ("smoke", "default"):
        for kind, what in product(KINDS, SIZED):
            if (kind, what) != ("gradients", "length"):
                print(_row(kind, what, effort), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
