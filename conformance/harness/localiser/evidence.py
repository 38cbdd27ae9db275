"""Whether returned numbers equal those of a variant, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reference.ball import Ball

Balls = Mapping[str, Ball]
"""Enclosures by the name of a result or of a gradient, in canonical shape."""

Arrays = Mapping[str, np.ndarray]
"""Returned numbers by the same names, in the same shapes."""

ENOUGH = 12.0
"""The bits of agreement that are no chance."""

OF_SOME_STEPS = 8.0
"""The bits more that a variant of some steps needs: there are many of them."""

MOST_OF_A_NUMBER = 20.0
"""The bits that a single number can give."""

SIGN_AND_SIZE = 3.0
"""The bits that the sign and the exponent of a number give."""


@np.errstate(all="ignore")
def inside(values: np.ndarray, ball: Ball) -> np.ndarray:
    """A mask of the values that lie in their ball; in a vacuous one all do."""
    return (np.abs(values - ball.midpoint) <= ball.radius) | ~np.isfinite(ball.radius)


def wrong(values: Arrays, documented: Balls) -> dict[str, np.ndarray]:
    """Masks of the values out of their bounds, by name."""
    return {name: ~inside(numbers, documented[name]) for name, numbers in values.items()}


@np.errstate(all="ignore")
def bits(values: Arrays, variant: Balls, documented: Balls, chosen: Arrays) -> float:
    """How much of what sets a variant apart from the documentation is in the chosen values, in bits.

    A number tells log2(gap / radius), the gap being that between the two midpoints, but no more than its significant
    bits, sign and size: 1 and 0.5 are reached in many ways, and 0 tells nothing. Equal numbers count once, whatever
    their signs: results repeat each other.
    """
    told: dict[float, float] = {}
    for name, numbers in values.items():
        one, other = variant[name], documented[name]
        gap = np.abs(one.midpoint - other.midpoint)
        apart = chosen[name] & (gap > one.radius + other.radius) & np.isfinite(one.radius)
        sizes = np.abs(numbers[apart])
        each = np.minimum(np.log2(np.asarray(gap[apart] / one.radius[apart], np.float64)), MOST_OF_A_NUMBER)
        each = np.minimum(each, np.where(sizes > 0, significant_bits(sizes) + SIGN_AND_SIZE, 0.0))
        told |= dict(zip(sizes.tolist(), each.tolist(), strict=True))
    return sum(told.values())


def significant_bits(numbers: np.ndarray) -> np.ndarray:
    """The bits from the first to the last 1 of each number, none of which is negative; 0 for zero."""
    mantissa = np.ldexp(np.frexp(np.nan_to_num(numbers, posinf=0.0))[0], 53).astype(np.int64)
    lowest = np.where(mantissa == 0, 1, mantissa & -mantissa)
    return np.where(mantissa == 0, 0.0, 53 - np.log2(lowest.astype(np.float64)))
