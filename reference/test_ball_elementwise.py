"""Elementwise operators of `ball` enclose the possible results, and are vacuous where a result may overflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from reference.ball import Ball, affine, blend, concatenate, relu, sigmoid, stack, tanh
from reference.roundings import Rounding
from reference.testing.balls import (
    COUNT,
    EACH_MODEL,
    EACH_NARROW_MODEL,
    EACH_SCALE,
    INFINITE_RADII,
    Operands,
    Points,
    as_stored,
    assert_nowhere_narrower,
    assert_typed,
    encloses,
    exactly,
)
from reference.testing.models import EACH_DTYPE

pytestmark = INFINITE_RADII


# Enclosures


@EACH_SCALE
@EACH_NARROW_MODEL
def test_a_sum_of_two_points_is_enclosed(rounding: Rounding, scale: str) -> None:
    points = Points(rounding, scale)
    a, b = points.ball(COUNT), points.ball(COUNT)
    assert encloses(a + b, rounding.format.round(points.stored(a) + points.stored(b))).all()


@pytest.mark.parametrize("flushed", [False, True])
@EACH_SCALE
@EACH_NARROW_MODEL
def test_a_product_of_two_points_is_enclosed(rounding: Rounding, scale: str, flushed: bool) -> None:
    points = Points(rounding, scale)
    a, b = points.ball(COUNT), points.gate(COUNT)
    assert encloses(a * b, as_stored(points.inside(a) * points.inside(b), rounding, flushed)).all()


FUNCTIONS: dict[str, tuple[Callable[[Ball], Ball], Callable[[np.ndarray], np.ndarray]]] = {
    "sigmoid": (sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": (tanh, np.tanh),
}


def _accuracy(name: str, rounding: Rounding, x: np.ndarray) -> np.ndarray:
    """The relative error that the model allows at x."""
    units = rounding.tanh if name == "tanh" else rounding.sigmoid + rounding.sigmoid_slope * np.abs(x)
    return np.asarray(units * rounding.unit_roundoff)


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
@EACH_SCALE
@EACH_NARROW_MODEL
def test_a_function_as_inaccurate_as_the_model_allows_is_enclosed(
    rounding: Rounding, scale: str, name: str, flushed: bool
) -> None:
    operator, function = FUNCTIONS[name]
    points = Points(rounding, scale)
    z = points.ball(COUNT)
    x = points.inside(z)
    y = points.erring(function(x), _accuracy(name, rounding, x))
    y = np.where((np.abs(y) < rounding.floor) & flushed, 0, y)
    assert encloses(operator(z), y).all()


@EACH_SCALE
@EACH_NARROW_MODEL
def test_relu_of_a_point_is_enclosed(rounding: Rounding, scale: str) -> None:
    points = Points(rounding, scale)
    z = points.ball(COUNT)
    assert encloses(relu(z), np.maximum(points.inside(z), 0)).all()


BLENDS: dict[str, Callable[..., np.ndarray]] = {
    "(1 - z) n + z h": lambda z, n, h, r: r(r(r(1 - z) * n) + r(z * h)),
    "(h - n) z + n": lambda z, n, h, r: r(r(r(h - n) * z) + n),
    "rounded once": lambda z, n, h, r: r((1 - z) * n + z * h),
}


@pytest.mark.parametrize("worst", [False, True], ids=["to nearest", "worst"])
@pytest.mark.parametrize("form", BLENDS)
@EACH_SCALE
@EACH_NARROW_MODEL
def test_either_blend_with_every_operation_rounded_is_enclosed(
    rounding: Rounding, scale: str, form: str, worst: bool
) -> None:
    points = Points(rounding, scale)
    z, n, h = points.gate(COUNT), points.ball(COUNT), points.ball(COUNT)
    rounded = points.rounding_function(worst)
    computed = BLENDS[form](points.inside(z), points.inside(n), points.inside(h), rounded)
    assert encloses(blend(z, n, h), computed).all()


# Radii


@EACH_MODEL
def test_exact_operands_leave_the_rounding_of_the_result_alone(rounding: Rounding) -> None:
    u, floor, a, b = rounding.unit_roundoff, rounding.floor, exactly(rounding, 0.75), exactly(rounding, -0.5)
    accuracy = rounding.sigmoid + rounding.sigmoid_slope * 0.75
    assert (a + b).radius == u * 0.25
    assert (a * b).radius == u * 0.375 + floor
    assert relu(a).radius == relu(b).radius == 0
    assert tanh(a).radius == pytest.approx(rounding.tanh * u * np.tanh(0.75) + floor, rel=1e-14)
    assert sigmoid(a).radius == pytest.approx(accuracy * u / (1 + np.exp(-0.75)) + rounding.sigmoid_floor, rel=1e-14)


@EACH_MODEL
def test_a_saturated_function_carries_no_error_and_never_more_than_its_range(rounding: Rounding) -> None:
    far = Ball(np.full(1, 1000, rounding.working_type), np.ones(1), rounding)
    anything = Ball(np.zeros(1, rounding.working_type), np.full(1, 1000.0), rounding)
    accuracy = (rounding.sigmoid + rounding.sigmoid_slope * 1001) * rounding.unit_roundoff
    assert tanh(far).radius <= 1.02 * rounding.tanh * rounding.unit_roundoff
    assert sigmoid(far).radius <= 1.02 * accuracy
    assert 1 <= tanh(anything).radius <= 1 + 2 * rounding.tanh * rounding.unit_roundoff
    assert 0.5 <= sigmoid(anything).radius <= 0.5 + 1.02 * accuracy
    assert (sigmoid(anything) * tanh(anything)).radius >= 1  # a gate of anything times anything is anything up to 1


@EACH_MODEL
@pytest.mark.parametrize("x", [-40.0, -3.0, -0.5, 0.0, 2.0])
@pytest.mark.parametrize("error", [2.0**-40, 2.0**-4, 4.0])
def test_a_function_carries_an_error_as_far_as_it_moves_towards_zero(
    rounding: Rounding, x: float, error: float
) -> None:
    z = Ball(np.full(1, x, rounding.working_type), np.full(1, error), rounding)
    far, near = mpmath.mpf(abs(x)), mpmath.mpf(abs(x)) - mpmath.mpf(error * rounding.inner_slack)
    for function, precise in {tanh: mpmath.tanh, sigmoid: _logistic}.items():
        with mpmath.workdps(50):
            moved = float(precise(far) - precise(near))
        radius, accuracy = function(z).radius, function(exactly(rounding, x)).radius
        more_accuracy = (rounding.sigmoid + rounding.tanh + rounding.sigmoid_slope * error) * rounding.unit_roundoff
        assert moved * (1 - 1e-14) <= radius <= (moved + accuracy + more_accuracy * min(error, 1)) * (1 + 1e-14)


def _logistic(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


@EACH_MODEL
def test_relu_is_exactly_zero_where_all_of_the_ball_is_negative(rounding: Rounding) -> None:
    z = Ball(np.array([-2.0, -rounding.slack, -1.0, -0.5, 3.0], rounding.working_type), np.ones(5), rounding)
    np.testing.assert_array_equal(relu(z).midpoint, [0, 0, 0, 0, 3])
    np.testing.assert_array_equal(relu(z).radius, [0, 0, 1, 1, 1])


OPERATORS: dict[str, Callable[[Points], Ball]] = {
    "+": lambda points: points.ball(COUNT) + points.ball(COUNT),
    "*": lambda points: points.ball(COUNT) * points.ball(COUNT),
    "sigmoid": lambda points: sigmoid(points.ball(COUNT)),
    "tanh": lambda points: tanh(points.ball(COUNT)),
    "relu": lambda points: relu(points.ball(COUNT)),
    "blend": lambda points: blend(points.gate(COUNT), points.ball(COUNT), points.ball(COUNT)),
    "affine": lambda points: affine(Operands(points).term, Operands(points).term),
}


@pytest.mark.parametrize("operator", OPERATORS)
@EACH_DTYPE
def test_the_union_is_nowhere_narrower_than_the_measured_model(dtype: str, operator: str) -> None:
    assert_nowhere_narrower(OPERATORS[operator], dtype)


# Vacuous balls


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@EACH_MODEL
def test_what_is_no_number_has_an_infinite_radius_through_every_operator(rounding: Rounding, value: float) -> None:
    unknown, known = exactly(rounding, value), exactly(rounding, 0.5)
    zero = exactly(rounding, 0.0)
    results = [unknown, relu(unknown), tanh(unknown), sigmoid(unknown), stack([known, unknown], 0)[1]]
    for other in (known, zero, unknown):
        results += [unknown + other, other + unknown, unknown * other, other * unknown]
        results += [blend(unknown, other, other), blend(other, unknown, other), blend(other, other, unknown)]
    for result in results:
        assert np.isposinf(result.radius).all()
        assert np.isfinite(result.midpoint).all()


@EACH_MODEL
def test_a_silent_element_leaves_its_neighbours_alone(rounding: Rounding) -> None:
    both, known = exactly(rounding, np.nan, -0.5), exactly(rounding, 0.25, 0.25)
    alone = (exactly(rounding, -0.5), exactly(rounding, 0.25))
    for operator in (lambda a, b: a + b, lambda a, b: a * b, lambda a, b: blend(b, a, a)):
        assert operator(both, known)[1:].radius == operator(*alone).radius
        assert operator(both, known)[1:].midpoint == operator(*alone).midpoint
    for function in (relu, tanh, sigmoid):
        assert function(both)[1:].radius == function(alone[0]).radius
        assert np.isposinf(function(concatenate([known, both], 0)).radius[2])


@EACH_MODEL
def test_a_result_that_may_overflow_is_vacuous(rounding: Rounding) -> None:
    top = rounding.format.largest
    half, three_quarters, two = exactly(rounding, top / 2), exactly(rounding, 0.75 * top), exactly(rounding, 2.0)
    assert np.isposinf((half + half).radius)
    assert np.isposinf((two * half).radius)
    assert np.isposinf((two * three_quarters).radius)
    assert np.isposinf(blend(two, exactly(rounding, -top), exactly(rounding, top)).radius)
    assert np.isfinite((half + exactly(rounding, top / 4)).radius)
    assert np.isfinite((two * exactly(rounding, top / 4)).radius)
    wide = Ball(np.full(1, top / 2, rounding.working_type), np.full(1, top / 2), rounding)
    assert np.isposinf((wide + exactly(rounding, 0.0)).radius)


@EACH_MODEL
def test_a_function_of_a_large_number_is_known(rounding: Rounding) -> None:
    large = exactly(rounding, rounding.format.largest / 2, -rounding.format.largest / 2)
    np.testing.assert_array_equal(tanh(large).midpoint, [1, -1])
    np.testing.assert_array_equal(sigmoid(large).midpoint, [1, 0])
    assert np.isfinite(tanh(large).radius).all()


# Balls themselves


@EACH_MODEL
def test_joining_and_taking_apart_keep_midpoints_and_radii(rounding: Rounding) -> None:
    points = Points(rounding)
    a, b = points.ball(2, 3), points.ball(2, 3)
    for joined, first, second in [
        (stack([a, b], 1), np.s_[:, 0], np.s_[:, 1]),
        (concatenate([a, b], 1), np.s_[:, :3], np.s_[:, 3:]),
    ]:
        for original, part in ((a, joined[first]), (b, joined[second])):
            np.testing.assert_array_equal(part.midpoint, original.midpoint)
            np.testing.assert_array_equal(part.radius, original.radius)


@EACH_MODEL
def test_widening_and_slack_change_the_radius_alone(rounding: Rounding) -> None:
    ball = Points(rounding).ball(7)
    np.testing.assert_array_equal(ball.widened(0.5).radius, ball.radius + 0.5)
    np.testing.assert_array_equal(ball.slackened().radius, ball.radius * rounding.slack)
    np.testing.assert_array_equal(ball.widened(0.5).midpoint, ball.midpoint)
    np.testing.assert_array_equal(ball.slackened().midpoint, ball.midpoint)
    np.testing.assert_array_equal(ball.largest, np.abs(ball.midpoint).astype(np.float64) + ball.radius)


@EACH_MODEL
def test_midpoints_have_the_working_type_and_radii_are_float64(rounding: Rounding) -> None:
    for operator in OPERATORS.values():
        assert_typed(operator(Points(rounding)))
