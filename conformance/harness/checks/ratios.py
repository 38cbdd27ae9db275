"""The ratio error / bound of values, and the share of vacuous bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.ball import Ball
from reference.problem import RNN_RELU, Problem


@dataclass(frozen=True)
class BoundComparison:
    """A comparison with bounds: error / bound of each element, the worst of them, the share of vacuous bounds, and the
    smallest relative error that some bound would detect if every element had it."""

    ratios: np.ndarray
    worst: float
    vacuous: float
    detectable_error: float = np.inf


def is_bounded(problem: Problem, name: str) -> bool:
    """Whether the equations keep a result between -1 and 1; gradients never are."""
    a = problem.architecture
    return name in ("output", "h_n") and a.cell != RNN_RELU and not a.proj_size


@np.errstate(all="ignore")
def compare_with_bounds(values: np.ndarray, ball: Ball, bounded: bool) -> BoundComparison:
    """error / bound of every element. 0/0 counts as 0, x/0 as infinite; an infinite bound is vacuous."""
    assert values.shape == ball.midpoint.shape, "a comparison never broadcasts"
    error = np.abs((values - ball.midpoint).astype(np.float64, copy=False))
    ratios = np.asarray(error / ball.radius)  # an array even of a single number
    ratios[np.isnan(ratios)] = np.inf
    ratios[error == 0] = 0.0
    if ball.overflows:
        ratios[~np.isfinite(ball.radius)] = 0.0
    share = float(np.count_nonzero(says_nothing(ball, bounded)) / values.size) if values.size else 0.0
    return BoundComparison(ratios, float(ratios.max(initial=0.0)), share, _smallest_seen(error, ball))


def says_nothing(ball: Ball, bounded: bool) -> np.ndarray:
    """Which bounds are vacuous: at least as wide as the values themselves, which are at most 1 if `bounded`."""
    scale = 1.0 if bounded else float(np.abs(ball.midpoint).max(initial=0.0))
    return np.asarray(ball.radius >= scale if scale else ~np.isfinite(ball.radius))


def _smallest_seen(error: np.ndarray, ball: Ball) -> float:
    """The smallest relative error, at least the unit roundoff, that would leave some bound."""
    relative = (ball.radius + error) / np.abs(ball.midpoint.astype(np.float64, copy=False))
    smallest = float(np.fmin.reduce(relative, axis=None, initial=np.inf))  # ignores NaN
    return max(smallest, ball.rounding.unit_roundoff)
