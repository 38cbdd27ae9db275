"""The reference against its second opinion: `python -m conformance.selftest.cross_check --cases 20000 --seed 0`.

Each case is compared on one cell, under one rounding model, in one mode. Both references must know the same numbers;
their values and their error bounds must agree as closely as the reference's own arithmetic permits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any

import numpy as np

import reference
from conformance.selftest.arguments import Parser
from reference.formats import Format
from reference.network import Enclosure
from reference.problem import GATES, Problem
from reference.roundings import Rounding
from reference.testing import mpmath_reference
from reference.testing.mpmath_reference import Results, mp
from strategies import Case, cases
from strategies.case_line import LARGEST_SEED
from strategies.drawn_cases import look_at

SMALL = cases(
    input_size=range(1, 5),
    hidden_size=range(1, 5),
    num_layers=range(1, 4),
    batch_size=range(1, 3),
    steps=range(1, 5),
    device="cpu",
    projection=None,
    packed=None,
)

CAPABILITIES = {"measured": "AVX2", "union": "AVX512"}
"""The rounding models, each with a CPU capability that it judges."""

MODES = ("full", "forced")

COMBINATIONS = tuple(product(GATES, CAPABILITIES, MODES))

WORKING_FUNCTIONS = 8.0
"""What tanh and the exponential of the working type may be off, in its unit roundoff (glibc's manual: 3 ulp, 6 u)."""

RADIUS = 1e-8
"""Radii may differ by this, relatively. They are sums of positive float64 terms, a few hundred along a path, and their
rounding stays below 1e-11; the midpoints' rounding enters beside another error alone. What is not negligible, a factor
1 + u too few or too many, is 6e-8 in float32."""


@dataclass
class Comparison:
    """How far the two references are apart: the worst over `numbers` numbers, `vacuous` of them without a bound.

    midpoint   error of a midpoint / its radius; infinite if only one of the two is vacuous
    radius     difference of the radii / the exact radius
    """

    numbers: int = 0
    vacuous: int = 0
    midpoint: float = 0.0
    radius: float = 0.0

    def add(self, other: Comparison) -> None:
        """Takes what another comparison found into this one."""
        self.numbers += other.numbers
        self.vacuous += other.vacuous
        self.midpoint = max(self.midpoint, other.midpoint)
        self.radius = max(self.radius, other.radius)

    def agrees(self, rounding: Rounding) -> bool:
        """Whether the references are as close as the working type permits."""
        return self.midpoint <= midpoint_allowed(rounding) and self.radius <= RADIUS


def midpoint_allowed(rounding: Rounding) -> float:
    """How large a midpoint's error may be, in units of its radius.

    The reference rounds as any implementation does, in its working type: its errors obey the rules that give the
    radius, with a smaller unit roundoff. So they are as much smaller than the radius as the working type's constants
    are smaller than the model's.
    """
    working = float(np.finfo(rounding.working_type).eps) / 2
    arithmetic = working / min(rounding.unit_roundoff, rounding.accumulation)
    functions = WORKING_FUNCTIONS * working / (min(rounding.tanh, rounding.sigmoid) * rounding.unit_roundoff)
    return max(arithmetic, functions)


def rounding_of(name: str, cell: str, dtype: str) -> Rounding:
    """The rounding model `measured` or `union` of `cell` in `dtype`."""
    return reference.model(cell, dtype, "cpu", CAPABILITIES[name], "2.13", "torch.nn").red


def compare(problem: Problem, rounding: Rounding, mode: str, pick: int = 0) -> Comparison:
    """Both references on `problem`: the whole stack (full), or layer after layer from what was seen (forced).

    What was seen is made up: the midpoints as the format stores them, shaken by a unit in the last place.
    """
    if mode == "full":
        return apart(reference.forward(problem, rounding), mpmath_reference.forward(problem, rounding))
    total, below = Comparison(), problem.input
    for layer in range(problem.architecture.num_layers):
        alone = problem.layer(layer, below)
        seen = shaken(reference.forward(alone, rounding).output.midpoint, rounding.format, pick)
        first = reference.forward_forced(alone, rounding, seen)
        total.add(apart(first, mpmath_reference.forward_forced(alone, rounding, seen)))
        below = seen.reshape(*seen.shape[:2], -1)
    return total


def shaken(values: np.ndarray, format: Format, pick: int) -> np.ndarray:
    """`values` rounded to `format`, then moved by -1, 0 or 1 units in the last place, drawn from the seed `pick`."""
    rounded = format.round(values)
    _, exponent = np.frexp(np.where(rounded == 0, format.smallest_subnormal, rounded))
    unit = np.ldexp(1.0, np.maximum(exponent, format.min_exponent + 1) - format.precision)
    return format.round(rounded + np.random.default_rng(pick).integers(-1, 2, rounded.shape) * unit)


def apart(first: Enclosure, second: Results) -> Comparison:
    """The distance of every number. Raises AssertionError where the two have different shapes."""
    total = Comparison()
    for name in ("output", "h_n", "c_n"):
        ball, values = getattr(first, name), getattr(second, name)
        assert (ball is None) == (values is None), f"one of the two has a {name}, the other has none"
        if ball is None:
            continue
        pairs = np.array(values, object)
        assert pairs.shape == (*ball.midpoint.shape, 2), f"{name} is {ball.midpoint.shape} and {pairs.shape[:-1]}"
        both = zip(ball.midpoint.flat, ball.radius.flat, pairs.reshape(-1, 2), strict=True)
        for midpoint, radius, (exact, error) in both:
            total.add(_one(midpoint, radius, exact, error))
    return total


def _one(midpoint: np.floating, radius: float, exact: Any, error: Any) -> Comparison:
    vacuous = mp.isinf(error)
    if not np.isfinite(radius) or vacuous:
        distance = 0.0 if np.isposinf(radius) and vacuous else np.inf
        return Comparison(1, 1, distance, distance)
    return Comparison(1, 0, _distance(midpoint, exact, error), _distance(radius, error, error))


def _distance(x: np.floating | float, exact: Any, unit: Any) -> float:
    """abs(x - exact) / unit; 0 / 0 is 0."""
    difference = abs(mpmath_reference.number(x) - exact)
    if not unit:
        return np.inf if difference else 0.0
    return float(difference / unit)


class CrossCheck:
    """Comparisons of many cases, each on the next combination of cell, rounding model and mode."""

    def __init__(self) -> None:
        self.cases = 0
        self.total = Comparison()
        self.share = 0.0
        self.first = ""
        self._combinations = cycle(COMBINATIONS)

    def look_at(self, case: Case) -> None:
        """Compares one case, and keeps the line of the first that disagrees."""
        cell, name, mode = next(self._combinations)
        rounding = rounding_of(name, cell, case.dtype)
        found = compare(case.on(cell), rounding, mode, case.pick)
        self.cases += 1
        self.total.add(found)
        self.share = max(self.share, found.midpoint / midpoint_allowed(rounding))
        if not found.agrees(rounding):
            self.first = self.first or f"{case.line(cell)} ({name}, {mode})"

    def __str__(self) -> str:
        return (
            f"{self.cases} cases, {self.total.numbers} numbers, {self.total.vacuous} of them vacuous: midpoints off "
            f"by at most {self.total.midpoint:.2g} of their radius ({self.share:.0%} of what is allowed), "
            f"radii by {self.total.radius:.2g} of themselves"
            + (f"; DISAGREES first on {self.first}" if self.first else "; agrees")
        )


def run(cases: int, seed: int) -> CrossCheck:
    """Compares as many cases as asked for, the same ones for the same seed."""
    campaign = CrossCheck()
    look_at(SMALL, cases, seed, campaign.look_at)
    return campaign


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints one line; 0 where the references agree, 1 where not, 2 for arguments that it cannot use."""
    parser = Parser("second_opinion", description="Compares the reference with mpmath, radii included.")
    parser.add_argument("--cases", type=int, default=1000, help="how many cases (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="which cases (default 0)")
    options = parser.parse_args(arguments)
    if options.cases < 1:
        parser.error(f"--cases is at least 1, not {options.cases}")
    if not 0 <= options.seed <= LARGEST_SEED:
        parser.error(f"--seed lies between 0 and {LARGEST_SEED}, it is {options.seed}")
    campaign = run(options.cases, options.seed)
    print(campaign)
    return 1 if campaign.first else 0


if __name__ == "__main__":
    sys.exit(main())
