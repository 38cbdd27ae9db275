"""Whether returned numbers equal those of a variant, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reference.ball import Ball

Balls = Mapping[str, Ball]
"""Enclosures by the name of a result or of a gradient, in canonical shape."""

Arrays = Mapping[str, np.ndarray]
"""Returned numbers by the same names, in the same shapes."""

ENOUGH = 16.0
"""The bits of agreement that are no chance: some 200 variants are tried, so one call in 300 would agree with one."""

MOST_OF_A_NUMBER = 20.0
"""The bits that a single number can give."""


@np.errstate(all="ignore")
def inside(values: np.ndarray, ball: Ball) -> np.ndarray:
    """A mask of the values that lie in their ball; in a vacuous one all do."""
    return (np.abs(values - ball.midpoint) <= ball.radius) | ~np.isfinite(ball.radius)


def wrong(values: Arrays, documented: Balls) -> dict[str, np.ndarray]:
    """Masks of the values out of their bounds, by name."""
    return {name: ~inside(numbers, documented[name]) for name, numbers in values.items()}


@np.errstate(all="ignore")
def bits(values: np.ndarray, variant: Ball, documented: Ball, chosen: np.ndarray) -> float:
    """How much of what sets the variant apart from the documentation is in the values, in bits.

    A number tells log2(gap / radius), the gap being that between the two midpoints, and no more than its significant
    bits: 0, 1 and 0.5 are reached in many ways. Numbers that differ in their sign alone count once.
    """
    gap = np.abs(variant.midpoint - documented.midpoint)
    apart = chosen & (gap > variant.radius + documented.radius) & np.isfinite(variant.radius)
    if not apart.any():
        return 0.0
    numbers = np.abs(values[apart])
    told = np.log2(np.asarray(gap[apart] / variant.radius[apart], np.float64))
    told = np.minimum(np.minimum(told, _significant_bits(numbers)), MOST_OF_A_NUMBER)
    _, first = np.unique(numbers, return_index=True)
    return float(told[first].sum())


def _significant_bits(numbers: np.ndarray) -> np.ndarray:
    """The bits from the first to the last 1 of each number; 0 for zero."""
    mantissa = np.ldexp(np.frexp(np.nan_to_num(numbers, posinf=0.0))[0], 53).astype(np.int64)
    lowest = np.where(mantissa == 0, 1, mantissa & -mantissa)
    return np.where(mantissa == 0, 0.0, 53 - np.log2(lowest.astype(np.float64)))
