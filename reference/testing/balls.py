"""Helpers for the tests of `ball`: random balls, points inside them, and simulated implementations.

A simulated implementation takes points of the operands' balls, applies the operation in float64 or wider, and then
rounds to the format or makes the worst error that the rounding model allows.
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
"""A vacuous ball spreads through infinity times zero and through sums beyond the largest float64."""

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
    """Random balls, and points inside them, most often the two ends and the middle.

    scale  ordinary: up to 1; wide: up to 100; tiny: around the smallest normal number; exact: ordinary, radius 0
    """

    def __init__(self, rounding: Rounding, scale: str = "ordinary", seed: int = 0) -> None:
        self.rounding = rounding
        self.rng = np.random.default_rng(seed)
        self.scale = {"wide": 100.0, "tiny": 4 * rounding.format.smallest_normal}.get(scale, 1.0)
        self.with_radius = 0.0 if scale == "exact" else 0.8

    def ball(self, *shape: int) -> Ball:
        """A ball of this shape: midpoints that the format stores, radii from 0 to half of the scale."""
        u = self.rounding.unit_roundoff
        midpoint = self.rounding.format.round(self.rng.uniform(-self.scale, self.scale, shape))
        relative = np.exp2(self.rng.uniform(np.log2(u), -1, shape)) * (self.rng.uniform(size=shape) < self.with_radius)
        return Ball(midpoint.astype(self.rounding.working_type), relative * self.scale, self.rounding)

    def gate(self, *shape: int) -> Ball:
        """A ball of this shape with midpoints between 0 and 1, as after a sigmoid."""
        ball = self.ball(*shape)
        return Ball(np.abs(ball.midpoint) / self.scale, ball.radius / self.scale, ball.rounding)

    def inside(self, ball: Ball) -> np.ndarray:
        """A point in each ball."""
        where = self.rng.uniform(-1, 1, ball.radius.shape)
        return ball.midpoint + ball.radius * np.where(np.abs(where) < 0.7, np.round(1.3 * where), where)

    def stored(self, ball: Ball) -> np.ndarray:
        """A number that the format stores in each ball."""
        point = ball.rounding.format.round(self.inside(ball))
        return np.where(np.abs(point - ball.midpoint) <= ball.radius, point, ball.midpoint)

    def erring(self, exact: np.ndarray, bound: float | np.ndarray) -> np.ndarray:
        """`exact` with a relative error of at most `bound`, often exactly `bound`."""
        return exact * (1 + bound * np.clip(self.rng.uniform(-2, 2, exact.shape), -1, 1))

    def rounding_function(self, worst: bool) -> Callable[[np.ndarray], np.ndarray]:
        """Rounding to nearest, or with `worst` an error of at most the unit roundoff, often exactly that."""
        return (lambda exact: self.erring(exact, self.rounding.unit_roundoff)) if worst else self.rounding.format.round


def encloses(ball: Ball, computed: np.ndarray) -> np.ndarray:
    """A mask of the elements of `computed` that lie in the ball. Asserts that all radii are finite."""
    allowed = ball.slackened().radius
    assert np.isfinite(allowed).all()
    return np.abs(computed - ball.midpoint) <= allowed


def as_stored(exact: np.ndarray, rounding: Rounding, flushed: bool) -> np.ndarray:
    """A result as the format stores it; with `flushed`, results below the smallest kept number become zero."""
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
    """The union model gives the same midpoints as each measured model, and radii at least as large."""
    union = operator(Points(red_model(GRU, dtype, "AVX512")))
    for cell in (LSTM, GRU):
        measured = operator(Points(red_model(cell, dtype, "AVX2")))
        np.testing.assert_array_equal(measured.midpoint, union.midpoint)
        assert (measured.radius <= union.radius).all()


def assert_typed(ball: Ball) -> None:
    """Midpoints have the working type; radii are float64 and have the same shape."""
    assert ball.midpoint.dtype == ball.rounding.working_type
    assert ball.radius.dtype == np.float64
    assert ball.midpoint.shape == ball.radius.shape


class Operands:
    """A term with one row of x and five gate rows, and the operands of a simulated implementation."""

    def __init__(self, points: Points) -> None:
        features = int(points.rng.integers(1, 12))
        x = points.ball(1, 1, features)
        weight, bias = (points.ball(1, 5, *more).midpoint.astype(np.float64) for more in [(features,), ()])
        self.term = Term(x, weight, bias)
        self.x, self.weight, self.bias = points.inside(x)[0, 0], weight[0], bias[0]

    def products(self, format: Format, rng: np.random.Generator) -> list[np.ndarray]:
        """The rounded products in a random order, each an array over the gate rows."""
        return [format.round(self.x[k] * self.weight[:, k]) for k in rng.permutation(len(self.x))]

    def worst_sum(self, bound: float, rng: np.random.Generator) -> np.ndarray:
        """The sum of the products, each with a relative error of `bound`, all upwards or all downwards."""
        products = self.x * self.weight
        return products.sum(-1) + rng.choice([-1, 1], 5) * bound * np.abs(products).sum(-1)
