"""The largest size at which a run detects a fault that starts there.

    python -m conformance.selftest.sensitivity.fault_onsets --effort smoke --kind gradients --dtype bfloat16

A module is sound up to a unit, row, step, feature, layer, length of a packed row or product of sizes, and wrong from
there on. Counted is the largest such place that B1 and B2, or C1 and E1, see with every one of five seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product

from conformance.harness.execution import machine
from conformance.harness.property import Property, properties
from conformance.selftest.arguments import Parser
from conformance.selftest.faults.fault import Fault
from conformance.selftest.faults.sizes import PRODUCTS, beyond, past_a_product, steeper_beyond
from conformance.selftest.trial import findings_by
from reference.problem import GRU

SEEDS = range(5)
PLACES = {
    "unit": (1, 8, 32, 64, 256, 400, 1024),
    "row": (1, 4, 8, 64, 256, 512, 800),
    "step": (1, 4, 8, 16, 100, 250, 500, 800),
    "feature": (1, 8, 32, 64, 256, 400, 1024),
    "layer": (1, 2, 4, 6, 8, 10),
    "length": (1, 2, 4, 8, 11, 100),
    **dict.fromkeys(PRODUCTS, (1000, 65_535)),
}
"""Where faults begin."""

LARGE = 33
"""The places from which on properties of large cases are tried first: others do not reach them."""

DTYPES = ("float32", "bfloat16")
KINDS = ("values", "gradients")

HEAD = """# Up to which size is a fault seen?

Printed by `python -m conformance.selftest.sensitivity.fault_onsets`: a GRU that is sound up to a unit, row, step,
feature, layer, length of a packed row or product of sizes and wrong from there on, in its values or in its gradients,
and the share of five seeds with which B1 and B2, or C1 and E1, see it in one dtype.
"""


def fault(kind: str, what: str, place: int, effort: str) -> Fault:
    """The fault of values or gradients that begins at a place."""
    if what in PRODUCTS:
        return past_a_product(what, place, kind == "gradients", effort)
    made = (beyond if kind == "values" else steeper_beyond)(what, place, effort)
    return made if kind == "values" else replace(made, clauses=("C1", "E1"))


@cache
def judges(clauses: tuple[str, ...], place: int) -> list[Property]:
    """The properties of some clauses, those first that are likely to see a fault from `place` on."""
    chosen = [tested for tested in properties() if tested.clause.id in clauses]
    return sorted(chosen, key=lambda tested: _is_large(tested) == (place < LARGE))


def _is_large(tested: Property) -> bool:
    return any(cases is not None and cases.large for _, cases in tested.families)


def is_seen(broken: Fault, place: int, seed: int, dtype: str) -> bool:
    """Whether some property finds the fault in this dtype with this seed."""
    judging = judges(broken.clauses, place)
    return any(_finds(tested, broken, seed, dtype) for tested in judging)


def _finds(tested: Property, broken: Fault, seed: int, dtype: str) -> bool:
    found = findings_by(tested, broken.subject, (GRU,), seed, broken.effort, enough=lambda _: True, dtypes=(dtype,))
    return any(True for _ in found)


def rows(efforts: Sequence[str], kinds: Sequence[str] = KINDS, dtypes: Sequence[str] = DTYPES) -> Iterator[str]:
    """A line of the table for each effort, kind of fault, place and dtype."""
    for effort, kind, what, dtype in product(efforts, kinds, PLACES, dtypes):
        if (kind, what) == ("gradients", "length"):
            continue
        shares = {}
        for place in PLACES[what]:
            broken = fault(kind, what, place, effort)
            shares[place] = sum(is_seen(broken, place, seed, dtype) for seed in SEEDS) / len(SEEDS)
        sure = [place for place, share in shares.items() if share == 1]
        text = ", ".join(f"{place}: {share:.0%}" for place, share in shares.items())
        yield f"| {kind} | {what} | {dtype} | {effort} | {max(sure, default='none')} | {text} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints a table for each effort."""
    parser = Parser("fault_onsets", description="Up to which size a run sees a fault that shows only from there on.")
    parser.add_argument("--effort", action="append", choices=("smoke", "default"), help="smoke and default if left out")
    parser.add_argument("--kind", action="append", choices=KINDS, help="both if left out")
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="both if left out")
    options = parser.parse_args(arguments)
    machine.pin()
    print(HEAD)
    print("| what | wrong from | dtype | effort | seen with every seed up to | share of seeds at each place |")
    print("| --- | --- | --- | --- | ---: | --- |")
    for row in rows(options.effort or ("smoke", "default"), options.kind or KINDS, options.dtype or DTYPES):
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
