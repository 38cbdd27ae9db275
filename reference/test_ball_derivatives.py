"""Operators of back-propagation in `ball`: they enclose the possible results, and a zero factor gives exactly zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from reference.ball import (
    Ball,
    alone,
    blend_backward,
    linear,
    outer,
    product,
    relu_backward,
    sigmoid_slope,
    summed,
    tanh_slope,
)
from reference.problem import GRU
from reference.roundings import Rounding
from reference.testing.balls import (
    COUNT,
    EACH_MODEL,
    EACH_NARROW_MODEL,
    EACH_SCALE,
    INFINITE_RADII,
    Points,
    as_stored,
    assert_nowhere_narrower,
    assert_typed,
    encloses,
    exactly,
)
from reference.testing.models import EACH_DTYPE, red_model

pytestmark = INFINITE_RADII


@pytest.mark.parametrize("flushed", [False, True])
@EACH_SCALE
@EACH_NARROW_MODEL
def test_a_product_in_any_order_is_enclosed(rounding: Rounding, scale: str, flushed: bool) -> None:
    points = Points(rounding, scale)
    factors = [points.ball(COUNT), points.gate(COUNT), points.gate(COUNT), points.ball(COUNT)]
    ball, inside = product(*factors), [points.inside(factor) for factor in factors]
    for _ in range(6):
        computed, *others = (inside[k] for k in points.rng.permutation(4))
        for other in others:
            computed = as_stored(computed * other, rounding, flushed)
        assert encloses(ball, computed).all()


SLOPES: dict[str, tuple[Callable[[Ball], Ball], Callable[..., np.ndarray]]] = {
    "1 - y y": (tanh_slope, lambda y, r: r(1 - r(y * y))),
    "(1 - y) (1 + y)": (tanh_slope, lambda y, r: r(r(1 - y) * r(1 + y))),
    "tanh's, rounded once": (tanh_slope, lambda y, r: r(1 - y * y)),
    "y (1 - y)": (sigmoid_slope, lambda y, r: r(y * r(1 - y))),
    "the sigmoid's, rounded once": (sigmoid_slope, lambda y, r: r(y * (1 - y))),
}


@pytest.mark.parametrize("worst", [False, True], ids=["to nearest", "worst"])
@pytest.mark.parametrize("form", SLOPES)
@pytest.mark.parametrize("scale", ["ordinary", "tiny", "exact"])
@EACH_NARROW_MODEL
def test_a_slope_in_whatever_form_is_enclosed(rounding: Rounding, scale: str, form: str, worst: bool) -> None:
    points, (operator, computed) = Points(rounding, scale), SLOPES[form]
    y = points.gate(COUNT) if operator is sigmoid_slope else points.ball(COUNT)
    rounded = points.rounding_function(worst)
    assert encloses(operator(y), computed(points.inside(y), rounded)).all()


BLENDS_BACKWARD: dict[str, Callable[..., tuple[np.ndarray, ...]]] = {
    "(1 - z) n + z h": lambda z, n, h, g, r: (r(r(g * h) - r(g * n)), r(g * r(1 - z)), r(g * z)),
    "(h - n) z + n": lambda z, n, h, g, r: (r(g * r(h - n)), r(g - r(g * z)), r(g * z)),
    "rounded once": lambda z, n, h, g, r: (r(g * (h - n)), r(g * (1 - z)), r(g * z)),
}


@pytest.mark.parametrize("worst", [False, True], ids=["to nearest", "worst"])
@pytest.mark.parametrize("form", BLENDS_BACKWARD)
@EACH_SCALE
@EACH_NARROW_MODEL
def test_the_gradients_of_either_blend_are_enclosed(rounding: Rounding, scale: str, form: str, worst: bool) -> None:
    points = Points(rounding, scale)
    z, n, h, g = points.gate(COUNT), points.ball(COUNT), points.ball(COUNT), points.ball(COUNT)
    rounded = points.rounding_function(worst)
    computed = BLENDS_BACKWARD[form](*map(points.inside, (z, n, h, g)), rounded)
    for ball, values in zip(blend_backward(z, n, h, g), computed, strict=True):
        assert encloses(ball, values).all()


@EACH_SCALE
@EACH_NARROW_MODEL
def test_what_relu_passes_is_enclosed(rounding: Rounding, scale: str) -> None:
    points = Points(rounding, scale)
    z, g = points.ball(COUNT), points.ball(COUNT)
    ball = relu_backward(z, g)
    assert encloses(ball, np.where(points.inside(z) > 0, points.inside(g), 0)).all()
    decided = np.abs(z.midpoint) > z.radius * rounding.slack
    np.testing.assert_array_equal(ball.radius[decided], np.where(z.midpoint > 0, g.radius, 0)[decided])
    assert (ball.radius <= g.largest).all()


@EACH_MODEL
def test_zero_leaves_no_rounding_behind(rounding: Rounding) -> None:
    nothing, something = exactly(rounding, 0.0), Points(rounding).ball(1)
    results = [product(nothing, something, something), product(something, nothing), relu_backward(something, nothing)]
    results += blend_backward(something, something, something, nothing)
    wide = [ball.rearranged(lambda values: values.reshape(1, 1, 1, 1)) for ball in (nothing, something)]
    results += [linear(wide[0], np.ones((1, 1, 1))).ball, linear(wide[1], np.zeros((1, 1, 1))).ball]
    results += [outer(wide[0], wide[1]), outer(wide[1], wide[0])]
    for result in results:
        assert not result.midpoint.any()
        assert not result.radius.any()


DERIVATIVES: dict[str, Callable[[Points], Ball]] = {
    "product": lambda points: product(points.ball(COUNT), points.gate(COUNT), points.ball(COUNT)),
    "tanh_slope": lambda points: tanh_slope(points.ball(COUNT)),
    "sigmoid_slope": lambda points: sigmoid_slope(points.gate(COUNT)),
    "relu_backward": lambda points: relu_backward(points.ball(COUNT), points.ball(COUNT)),
    "blend_backward": lambda points: blend_backward(points.gate(COUNT), *(points.ball(COUNT) for _ in range(3)))[0],
    "summed": lambda points: summed(*(alone(points.ball(COUNT)) for _ in range(3))),
    "linear": lambda points: linear(points.ball(2, 3, 4, 5), np.ones((2, 5, 6))).ball,
    "outer": lambda points: outer(points.ball(2, 3, 4, 5), points.ball(2, 3, 4, 6)),
}


@pytest.mark.parametrize("operator", DERIVATIVES)
@EACH_DTYPE
def test_the_union_is_nowhere_narrower_for_derivatives_either(dtype: str, operator: str) -> None:
    assert_nowhere_narrower(DERIVATIVES[operator], dtype)
    assert_typed(DERIVATIVES[operator](Points(red_model(GRU, dtype, "AVX512"))))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@EACH_MODEL
def test_what_is_no_number_silences_every_derivative_that_it_meets(rounding: Rounding, value: float) -> None:
    unknown, known = exactly(rounding, value), exactly(rounding, 0.5)
    results = [tanh_slope(unknown), sigmoid_slope(unknown)]
    for other in (known, exactly(rounding, 0.0), unknown):
        results += [
            product(unknown, other, known),
            product(other, known, unknown),
            summed(alone(unknown), alone(other)),
        ]
        results += [relu_backward(unknown, other), relu_backward(other, unknown)]
        results += blend_backward(other, other, other, unknown)
        results += [blend_backward(unknown, other, other, known)[k] for k in (1, 2)]
        results += [blend_backward(other, unknown, other, known)[0], blend_backward(other, other, unknown, known)[0]]
        a, b = (ball.rearranged(lambda values: values.reshape(1, 1, 1, 1)) for ball in (unknown, other))
        results += [outer(a, b), outer(b, a), linear(a, np.asarray(b.midpoint[0], np.float64)).ball]
    for result in results:
        assert np.isposinf(result.radius).all()
        assert np.isfinite(result.midpoint).all()


@EACH_MODEL
def test_a_product_whose_partial_product_may_overflow_is_vacuous(rounding: Rounding) -> None:
    large, small = exactly(rounding, rounding.format.largest / 2), exactly(rounding, 2.0**-10)
    assert np.isposinf(product(large, small, large).radius)
    assert np.isposinf(product(small, exactly(rounding, 4.0), large).radius)
    assert np.isfinite(product(small, small, large).radius)
