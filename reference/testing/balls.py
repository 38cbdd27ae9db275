"""For the tests of `ball`: random balls, points inside them, and what an implementation makes of these points.

An implementation is played by exact points of the operands' balls, an operation in float64 or wider, and one rounding
to the format, or the worst error that the rounding model allows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from reference.ball import Ball, Term
from reference.formats import Format
from reference.problem import GRU, LSTM
from reference.roundings import Rounding
from reference.testing.models import red_model

INFINITE_RADII = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
"""Infinity times zero, and sums beyond the largest float64, are how a value that says nothing spreads."""

NARROW_MODELS = {f"{dtype} measured": red_model(GRU, dtype, "AVX2") for dtype in ("float32", "float16", "bfloat16")}
NARROW_MODELS |= {f"{dtype} union": red_model(GRU, dtype, "AVX512") for dtype in ("float32", "float16", "bfloat16")}
NARROW_MODELS["float32 oneDNN"] = red_model(LSTM, "float32", "AVX2")
EACH_NARROW_MODEL = pytest.mark.parametrize("rounding", NARROW_MODELS.values(), ids=NARROW_MODELS)

ALL_MODELS = NARROW_MODELS | {
    "float64 measured": red_model(GRU, "float64", "AVX2"),
    "float64 union": red_model(GRU, "float64", "AVX512"),
}
EACH_MODEL = pytest.mark.parametrize("rounding", ALL_MODELS.values(), ids=ALL_MODELS)

EACH_SCALE = pytest.mark.parametrize("scale", ["ordinary", "wide", "tiny", "exact"])

COUNT = 4000


class Points:
    """Random balls, and points inside them: the two ends and the middle oftener than others.

    scale  ordinary: up to 1; wide: up to 100; tiny: around the smallest normal number; exact: ordinary, without radius
    """

    def __init__(self, rounding: Rounding, scale: str = "ordinary", seed: int = 0) -> None:
        self.rounding = rounding
        self.rng = np.random.default_rng(seed)
        self.scale = {"wide": 100.0, "tiny": 4 * rounding.format.smallest_normal}.get(scale, 1.0)
        self.with_radius = 0.0 if scale == "exact" else 0.8

    def ball(self, *shape: int) -> Ball:
        """Midpoints that the format holds; radii from nothing to half of the scale."""
        u = self.rounding.unit_roundoff
        midpoint = self.rounding.format.round(self.rng.uniform(-self.scale, self.scale, shape))
        relative = np.exp2(self.rng.uniform(np.log2(u), -1, shape)) * (self.rng.uniform(size=shape) < self.with_radius)
        return Ball(midpoint.astype(self.rounding.working_type), relative * self.scale, self.rounding)

    def gate(self, *shape: int) -> Ball:
        """Between 0 and 1, as after a sigmoid."""
        ball = self.ball(*shape)
        return Ball(np.abs(ball.midpoint) / self.scale, ball.radius / self.scale, ball.rounding)

    def inside(self, ball: Ball) -> np.ndarray:
        """A point of each ball."""
        where = self.rng.uniform(-1, 1, ball.radius.shape)
        return ball.midpoint + ball.radius * np.where(np.abs(where) < 0.7, np.round(1.3 * where), where)

    def stored(self, ball: Ball) -> np.ndarray:
        """A number of the format in each ball."""
        point = ball.rounding.format.round(self.inside(ball))
        return np.where(np.abs(point - ball.midpoint) <= ball.radius, point, ball.midpoint)

    def erring(self, exact: np.ndarray, bound: float | np.ndarray) -> np.ndarray:
        """`exact` with a relative error up to `bound`, often as large."""
        return exact * (1 + bound * np.clip(self.rng.uniform(-2, 2, exact.shape), -1, 1))

    def rounding_function(self, worst: bool) -> Callable[[np.ndarray], np.ndarray]:
        """Rounds to nearest; worst: errs by up to the unit roundoff, often by as much."""
        return (lambda exact: self.erring(exact, self.rounding.unit_roundoff)) if worst else self.rounding.format.round


def encloses(ball: Ball, computed: np.ndarray) -> np.ndarray:
    """Where the ball, all of whose radii are finite, holds what was computed."""
    allowed = ball.slackened().radius
    assert np.isfinite(allowed).all()
    return np.abs(computed - ball.midpoint) <= allowed


def as_stored(exact: np.ndarray, rounding: Rounding, flushed: bool) -> np.ndarray:
    """A result as the format stores it; flushed: as zero where it is smaller than the smallest kept number."""
    stored = rounding.format.round(exact)
    return np.where(np.abs(stored) < rounding.floor, 0, stored) if flushed else stored


def exactly(rounding: Rounding, *values: float) -> Ball:
    """A ball of these values without radius."""
    return Ball.exact(np.array(values), rounding)


def assert_close(one: Ball, other: Ball, name: str, rtol: float) -> None:
    """Two balls are equal up to the order in which a matrix product is summed."""
    for kind, atol in (("midpoint", 1e-15), ("radius", 0)):
        first, second = (np.asarray(getattr(ball, kind), float) for ball in (one, other))
        np.testing.assert_allclose(first, second, rtol=rtol, atol=atol, err_msg=f"{name} {kind}")


def assert_nowhere_narrower(operator: Callable[[Points], Ball], dtype: str) -> None:
    """The union of all kernels has the midpoints of either measured one, and radii at least as large."""
    union = operator(Points(red_model(GRU, dtype, "AVX512")))
    for cell in (LSTM, GRU):
        measured = operator(Points(red_model(cell, dtype, "AVX2")))
        np.testing.assert_array_equal(measured.midpoint, union.midpoint)
        assert (measured.radius <= union.radius).all()


def assert_typed(ball: Ball) -> None:
    """Midpoints have the working type, radii are float64, and there is one for each midpoint."""
    assert ball.midpoint.dtype == ball.rounding.working_type
    assert ball.radius.dtype == np.float64
    assert ball.midpoint.shape == ball.radius.shape


class Operands:
    """One row and five gate rows of a term: a ball of x, and what an implementation has of it."""

    def __init__(self, points: Points) -> None:
        features = int(points.rng.integers(1, 12))
        x = points.ball(1, 1, features)
        weight, bias = (points.ball(1, 5, *more).midpoint.astype(np.float64) for more in [(features,), ()])
        self.term = Term(x, weight, bias)
        self.x, self.weight, self.bias = points.inside(x)[0, 0], weight[0], bias[0]

    def products(self, format: Format, rng: np.random.Generator) -> list[np.ndarray]:
        """The products, rounded, in some order; each for all gate rows."""
        return [format.round(self.x[k] * self.weight[:, k]) for k in rng.permutation(len(self.x))]

    def worst_sum(self, bound: float, rng: np.random.Generator) -> np.ndarray:
        """The sum of the products, all of them too large by `bound`, relatively, or all too small."""
        products = self.x * self.weight
        return products.sum(-1) + rng.choice([-1, 1], 5) * bound * np.abs(products).sum(-1)
