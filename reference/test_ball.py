"""Every operator of `ball` encloses what a correct implementation computes, and says nothing where it may overflow.

An implementation is played here by exact points of the operands' balls, an operation in float64 or wider, and one
rounding to the format, or the worst error that the rounding model allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest

from reference.ball import (
    Ball,
    Term,
    affine,
    alone,
    blend,
    blend_backward,
    concatenate,
    linear,
    outer,
    product,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_slope,
    stack,
    summed,
    tanh,
    tanh_slope,
)
from reference.formats import FORMATS, Format
from reference.problem import GRU, LSTM
from reference.roundings import Rounding, model

pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
"""Infinity times zero, and sums beyond the largest float64, are how a value that says nothing spreads."""


def _model(dtype: str, capability: str, cell: str = GRU) -> Rounding:
    return model(cell, dtype, "cpu", capability, "2.13", "torch.nn").red


MODELS = {f"{dtype} measured": _model(dtype, "AVX2") for dtype in ("float32", "float16", "bfloat16")}
MODELS |= {f"{dtype} union": _model(dtype, "AVX512") for dtype in ("float32", "float16", "bfloat16")}
MODELS["float32 oneDNN"] = _model("float32", "AVX2", LSTM)
NARROW = pytest.mark.parametrize("rounding", MODELS.values(), ids=MODELS)

EVERY = {**MODELS, "float64 measured": _model("float64", "AVX2"), "float64 union": _model("float64", "AVX512")}
ALL = pytest.mark.parametrize("rounding", EVERY.values(), ids=EVERY)
DTYPES = pytest.mark.parametrize("dtype", FORMATS)
SCALES = pytest.mark.parametrize("scale", ["ordinary", "wide", "tiny", "exact"])

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


def _encloses(ball: Ball, computed: np.ndarray) -> np.ndarray:
    allowed = ball.slackened().radius
    assert np.isfinite(allowed).all()
    return np.abs(computed - ball.midpoint) <= allowed


def _stored(exact: np.ndarray, rounding: Rounding, flushed: bool) -> np.ndarray:
    """A result as the format stores it; flushed: as zero where it is smaller than the smallest kept number."""
    stored = rounding.format.round(exact)
    return np.where(np.abs(stored) < rounding.floor, 0, stored) if flushed else stored


@SCALES
@NARROW
def test_a_sum_of_two_points_is_enclosed(rounding: Rounding, scale: str) -> None:
    points = Points(rounding, scale)
    a, b = points.ball(COUNT), points.ball(COUNT)
    assert _encloses(a + b, rounding.format.round(points.stored(a) + points.stored(b))).all()


@pytest.mark.parametrize("flushed", [False, True])
@SCALES
@NARROW
def test_a_product_of_two_points_is_enclosed(rounding: Rounding, scale: str, flushed: bool) -> None:
    points = Points(rounding, scale)
    a, b = points.ball(COUNT), points.gate(COUNT)
    assert _encloses(a * b, _stored(points.inside(a) * points.inside(b), rounding, flushed)).all()


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
@SCALES
@NARROW
def test_a_function_as_inaccurate_as_the_model_allows_is_enclosed(
    rounding: Rounding, scale: str, name: str, flushed: bool
) -> None:
    operator, function = FUNCTIONS[name]
    points = Points(rounding, scale)
    z = points.ball(COUNT)
    x = points.inside(z)
    y = points.erring(function(x), _accuracy(name, rounding, x))
    y = np.where((np.abs(y) < rounding.floor) & flushed, 0, y)
    assert _encloses(operator(z), y).all()


@SCALES
@NARROW
def test_relu_of_a_point_is_enclosed(rounding: Rounding, scale: str) -> None:
    points = Points(rounding, scale)
    z = points.ball(COUNT)
    assert _encloses(relu(z), np.maximum(points.inside(z), 0)).all()


BLENDS: dict[str, Callable[..., np.ndarray]] = {
    "(1 - z) n + z h": lambda z, n, h, r: r(r(r(1 - z) * n) + r(z * h)),
    "(h - n) z + n": lambda z, n, h, r: r(r(r(h - n) * z) + n),
    "rounded once": lambda z, n, h, r: r((1 - z) * n + z * h),
}


@pytest.mark.parametrize("worst", [False, True], ids=["to nearest", "worst"])
@pytest.mark.parametrize("form", BLENDS)
@SCALES
@NARROW
def test_either_blend_with_every_operation_rounded_is_enclosed(
    rounding: Rounding, scale: str, form: str, worst: bool
) -> None:
    points = Points(rounding, scale)
    z, n, h = points.gate(COUNT), points.ball(COUNT), points.ball(COUNT)
    rounded = (lambda exact: points.erring(exact, rounding.unit_roundoff)) if worst else rounding.format.round
    computed = BLENDS[form](points.inside(z), points.inside(n), points.inside(h), rounded)
    assert _encloses(blend(z, n, h), computed).all()


def _in_order(summands: list[np.ndarray], format: Format) -> np.ndarray:
    """The sum of `summands` from left to right, rounded after every addition."""
    total = np.zeros_like(summands[0])
    for summand in summands:
        total = format.round(total + summand)
    return total


def _pairwise(summands: list[np.ndarray], format: Format) -> np.ndarray:
    """The sum of `summands` in a balanced tree, rounded after every addition."""
    while len(summands) > 1:
        left_over = summands[len(summands) // 2 * 2 :]
        summands = [format.round(a + b) for a, b in zip(summands[::2], summands[1::2], strict=False)] + left_over
    return summands[0]


SUMMATIONS = pytest.mark.parametrize("add_up", [_in_order, _pairwise])


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


@SUMMATIONS
@pytest.mark.parametrize("name", [name for name, rounding in EVERY.items() if not rounding.stored])
def test_a_pre_activation_is_enclosed_in_whatever_order_it_is_summed(
    name: str, add_up: Callable[[list[np.ndarray], Format], np.ndarray]
) -> None:
    rounding = EVERY[name]
    points, format = Points(rounding), rounding.format
    for _ in range(200):
        both = [Operands(points), Operands(points)]
        summands = [product for one in both for product in one.products(format, points.rng)] + [b.bias for b in both]
        shuffled = [summands[k] for k in points.rng.permutation(len(summands))]
        assert _encloses(affine(*(one.term for one in both))[0, 0], add_up(shuffled, format)).all()


@SUMMATIONS
@pytest.mark.parametrize("name", [name for name, rounding in EVERY.items() if rounding.stored])
def test_a_stored_pre_activation_is_enclosed_in_whatever_order_its_products_are_summed(
    name: str, add_up: Callable[[list[np.ndarray], Format], np.ndarray]
) -> None:
    rounding = EVERY[name]
    points, store = Points(rounding), rounding.format.round
    running = _running(rounding)
    for _ in range(200):
        both = [Operands(points), Operands(points)]
        sums = [add_up(one.products(running, points.rng), running) for one in both]
        ball = affine(*(one.term for one in both))[0, 0]
        first, second = (one.bias for one in both)
        assert _encloses(ball, store(store(store(sums[0]) + first) + store(store(sums[1]) + second))).all()
        assert _encloses(ball, store(store(sums[0] + first) + store(sums[1] + second))).all()
        assert _encloses(ball, store(sums[0] + first + sums[1] + second)).all()
        if rounding.fused_biases:
            assert _encloses(ball, store(store(store(sums[0]) + store(first + second)) + store(sums[1]))).all()


@pytest.mark.parametrize("scale", ["ordinary", "tiny", "exact"])
@pytest.mark.parametrize("name", [name for name, rounding in EVERY.items() if rounding.stored])
def test_a_stored_pre_activation_with_the_worst_error_everywhere_is_enclosed(name: str, scale: str) -> None:
    rounding = EVERY[name]
    points, u = Points(rounding, scale), rounding.unit_roundoff
    for _ in range(200):
        both = [Operands(points), Operands(points)]
        parts = []
        for one in both:
            total = points.erring(one.worst_sum(len(one.x) * rounding.accumulation, points.rng), u)
            parts.append(points.erring(total + one.bias, u))
        ball = affine(*(one.term for one in both))[0, 0]
        assert _encloses(ball, points.erring(parts[0] + parts[1], u)).all()


@pytest.mark.parametrize("subnormal", ["x", "weight"])
def test_a_pre_activation_whose_subnormal_operands_are_read_as_zero_is_enclosed(subnormal: str) -> None:
    rounding = EVERY["bfloat16 union"]
    rng, format = np.random.default_rng(0), rounding.format
    sizes = {"x": 100.0, "weight": 100.0, subnormal: format.smallest_normal * (1 - format.unit_roundoff)}
    x = Ball.exact(format.round(rng.uniform(-sizes["x"], sizes["x"], (1, 1000, 3))), rounding)
    weight = format.round(rng.uniform(-sizes["weight"], sizes["weight"], (1, 5, 3)))
    assert _encloses(affine(Term(x, weight, None)), np.zeros((1, 1000, 5))).all()


def test_biases_that_are_added_first_leave_their_own_rounding() -> None:
    rounding = EVERY["bfloat16 union"]
    nothing, ones = Ball.exact(np.zeros((1, 1, 1)), rounding), np.ones((1, 1, 1))
    terms = Term(nothing, ones, np.full((1, 1), 0.75)), Term(nothing, ones, np.full((1, 1), -0.25))
    apart = affine(*terms).radius - _without_fusion(terms)
    summed = rounding.accumulation * (0.75 + 0.25)
    assert apart == pytest.approx(0.5 * rounding.unit_roundoff + summed, rel=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_one_running_sum_over_input_and_state_in_the_stored_type_stays_inside(dtype: str) -> None:
    rounding = EVERY[f"{dtype} union"]
    x, h = Ball.exact(np.ones((1, 1, 1)), rounding), Ball.exact(np.ones((1, 1, 33)), rounding)
    first = 1 / rounding.unit_roundoff
    z = affine(Term(x, np.full((1, 1, 1), first), None), Term(h, np.full((1, 1, 33), 0.875), None))
    total = np.array(first)
    for _ in range(33):
        total = rounding.format.round(total + 0.875)
    assert abs(total - z.midpoint) <= z.radius


def _without_fusion(terms: tuple[Term, ...]) -> np.ndarray:
    rounding = replace(terms[0].x.rounding, fused_biases=False)
    return affine(*(Term(Ball.exact(t.x.midpoint, rounding), t.weight, t.bias) for t in terms)).radius


def _running(rounding: Rounding) -> Format:
    """The format of a running sum that is as precise as the model says."""
    return next(format for format in FORMATS.values() if format.unit_roundoff == rounding.accumulation)


def _exact(rounding: Rounding, *values: float) -> Ball:
    return Ball.exact(np.array(values), rounding)


@ALL
def test_exact_operands_leave_the_rounding_of_the_result_alone(rounding: Rounding) -> None:
    u, floor, a, b = rounding.unit_roundoff, rounding.floor, _exact(rounding, 0.75), _exact(rounding, -0.5)
    accuracy = rounding.sigmoid + rounding.sigmoid_slope * 0.75
    assert (a + b).radius == u * 0.25
    assert (a * b).radius == u * 0.375 + floor
    assert relu(a).radius == relu(b).radius == 0
    assert tanh(a).radius == pytest.approx(rounding.tanh * u * np.tanh(0.75) + floor, rel=1e-14)
    assert sigmoid(a).radius == pytest.approx(accuracy * u / (1 + np.exp(-0.75)) + rounding.sigmoid_floor, rel=1e-14)


@ALL
def test_exact_summands_leave_a_rounding_for_each_and_one_more(rounding: Rounding) -> None:
    x, weight, bias = Ball.exact(np.array([[[0.5, 0.25]]]), rounding), np.array([[[0.5, -1.0]]]), np.array([[2.0]])
    z = affine(Term(x, weight, bias), Term(x, weight, None))
    u, size = rounding.unit_roundoff, 0.5 + 0.5 + 2.0
    assert z.midpoint == 2
    if not rounding.stored:
        assert z.radius == pytest.approx((2 + 2 + 1 + 1) * u * size + 4 * rounding.floor, rel=1e-14)
    else:  # either product is zero, but not its parts; 2 is stored after the bias, and again after the second term
        running = rounding.accumulation * ((2 + 1) * (0.5 + 2.0) + (2 + 1) * 0.5)
        if rounding.fused_biases:  # one sum over both terms: the additions of each meet the other's size
            running += rounding.accumulation * (2 * 0.5 + 2 * (0.5 + 2.0))
        assert running + u * 2 + u * 2 <= z.radius <= (running + u * 2 + u * 2) * (1 + 4 * u)


@ALL
def test_a_saturated_function_carries_no_error_and_never_more_than_its_range(rounding: Rounding) -> None:
    far = Ball(np.full(1, 1000, rounding.working_type), np.ones(1), rounding)
    anything = Ball(np.zeros(1, rounding.working_type), np.full(1, 1000.0), rounding)
    accuracy = (rounding.sigmoid + rounding.sigmoid_slope * 1001) * rounding.unit_roundoff
    assert tanh(far).radius <= 1.02 * rounding.tanh * rounding.unit_roundoff
    assert sigmoid(far).radius <= 1.02 * accuracy
    assert 1 <= tanh(anything).radius <= 1 + 2 * rounding.tanh * rounding.unit_roundoff
    assert 0.5 <= sigmoid(anything).radius <= 0.5 + 1.02 * accuracy
    assert (sigmoid(anything) * tanh(anything)).radius >= 1  # a gate of anything times anything is anything up to 1


@ALL
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
        radius, accuracy = function(z).radius, function(_exact(rounding, x)).radius
        more_accuracy = (rounding.sigmoid + rounding.tanh + rounding.sigmoid_slope * error) * rounding.unit_roundoff
        assert moved * (1 - 1e-14) <= radius <= (moved + accuracy + more_accuracy * min(error, 1)) * (1 + 1e-14)


def _logistic(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


@ALL
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
@DTYPES
def test_the_union_is_nowhere_narrower_than_the_measured_model(dtype: str, operator: str) -> None:
    for cell in (LSTM, GRU):
        measured = OPERATORS[operator](Points(_model(dtype, "AVX2", cell)))
        union = OPERATORS[operator](Points(_model(dtype, "AVX512")))
        np.testing.assert_array_equal(measured.midpoint, union.midpoint)
        assert (measured.radius <= union.radius).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@ALL
def test_what_is_no_number_has_an_infinite_radius_through_every_operator(rounding: Rounding, value: float) -> None:
    unknown, known = _exact(rounding, value), _exact(rounding, 0.5)
    zero = _exact(rounding, 0.0)
    results = [unknown, relu(unknown), tanh(unknown), sigmoid(unknown), stack([known, unknown], 0)[1]]
    for other in (known, zero, unknown):
        results += [unknown + other, other + unknown, unknown * other, other * unknown]
        results += [blend(unknown, other, other), blend(other, unknown, other), blend(other, other, unknown)]
    for result in results:
        assert np.isposinf(result.radius).all()
        assert np.isfinite(result.midpoint).all()


@pytest.mark.parametrize("weight", [0.0, 0.5])
@ALL
def test_what_is_no_number_silences_every_pre_activation_that_reads_it_and_no_other(
    rounding: Rounding, weight: float
) -> None:
    x = Ball.exact(np.array([[[1.0, np.nan], [1.0, 1.0]]]), rounding)
    z = affine(Term(x, np.full((1, 3, 2), weight), np.ones((1, 3))))
    assert np.isposinf(z.radius[0, 0]).all()
    assert np.isfinite(z.radius[0, 1]).all()
    np.testing.assert_array_equal(z.midpoint[0, 1], np.full(3, 1 + 2 * weight))


@ALL
def test_a_silent_element_leaves_its_neighbours_alone(rounding: Rounding) -> None:
    both, known = _exact(rounding, np.nan, -0.5), _exact(rounding, 0.25, 0.25)
    alone = (_exact(rounding, -0.5), _exact(rounding, 0.25))
    for operator in (lambda a, b: a + b, lambda a, b: a * b, lambda a, b: blend(b, a, a)):
        assert operator(both, known)[1:].radius == operator(*alone).radius
        assert operator(both, known)[1:].midpoint == operator(*alone).midpoint
    for function in (relu, tanh, sigmoid):
        assert function(both)[1:].radius == function(alone[0]).radius
        assert np.isposinf(function(concatenate([known, both], 0)).radius[2])


@ALL
def test_a_result_that_may_overflow_says_nothing(rounding: Rounding) -> None:
    top = rounding.format.largest
    half, three_quarters, two = _exact(rounding, top / 2), _exact(rounding, 0.75 * top), _exact(rounding, 2.0)
    assert np.isposinf((half + half).radius)
    assert np.isposinf((two * half).radius)
    assert np.isposinf((two * three_quarters).radius)
    assert np.isposinf(blend(two, _exact(rounding, -top), _exact(rounding, top)).radius)
    assert np.isfinite((half + _exact(rounding, top / 4)).radius)
    assert np.isfinite((two * _exact(rounding, top / 4)).radius)
    wide = Ball(np.full(1, top / 2, rounding.working_type), np.full(1, top / 2), rounding)
    assert np.isposinf((wide + _exact(rounding, 0.0)).radius)


@ALL
def test_a_sum_whose_parts_may_overflow_says_nothing_even_where_it_is_zero_in_the_end(rounding: Rounding) -> None:
    top = rounding.format.largest
    weight = 0.75 * top * np.array([[[1.0, 1.0, -1.0, -1.0]]])
    x = Ball.exact(np.ones((1, 1, 4)), rounding)
    assert np.isposinf(affine(Term(x, weight, None)).radius)
    assert np.isfinite(affine(Term(x, weight / 16, None)).radius)
    one = Ball.exact(np.ones((1, 1, 1)), rounding)
    cancelled = Term(one, np.full((1, 1, 1), top), np.full((1, 1), -top))
    assert np.isposinf(affine(cancelled).radius)


@ALL
def test_a_function_of_a_large_number_is_known(rounding: Rounding) -> None:
    large = _exact(rounding, rounding.format.largest / 2, -rounding.format.largest / 2)
    np.testing.assert_array_equal(tanh(large).midpoint, [1, -1])
    np.testing.assert_array_equal(sigmoid(large).midpoint, [1, 0])
    assert np.isfinite(tanh(large).radius).all()


@ALL
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


@ALL
def test_widening_and_slack_change_the_radius_alone(rounding: Rounding) -> None:
    ball = Points(rounding).ball(7)
    np.testing.assert_array_equal(ball.widened(0.5).radius, ball.radius + 0.5)
    np.testing.assert_array_equal(ball.slackened().radius, ball.radius * rounding.slack)
    np.testing.assert_array_equal(ball.widened(0.5).midpoint, ball.midpoint)
    np.testing.assert_array_equal(ball.slackened().midpoint, ball.midpoint)
    np.testing.assert_array_equal(ball.largest, np.abs(ball.midpoint).astype(np.float64) + ball.radius)


@ALL
def test_midpoints_have_the_working_type_and_radii_are_float64(rounding: Rounding) -> None:
    for operator in OPERATORS.values():
        result = operator(Points(rounding))
        assert result.midpoint.dtype == rounding.working_type
        assert result.radius.dtype == np.float64
        assert result.midpoint.shape == result.radius.shape


# What a derivative needs


@pytest.mark.parametrize("flushed", [False, True])
@SCALES
@NARROW
def test_a_product_in_any_order_is_enclosed(rounding: Rounding, scale: str, flushed: bool) -> None:
    points = Points(rounding, scale)
    factors = [points.ball(COUNT), points.gate(COUNT), points.gate(COUNT), points.ball(COUNT)]
    ball, inside = product(*factors), [points.inside(factor) for factor in factors]
    for _ in range(6):
        computed, *others = (inside[k] for k in points.rng.permutation(4))
        for other in others:
            computed = _stored(computed * other, rounding, flushed)
        assert _encloses(ball, computed).all()


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
@NARROW
def test_a_slope_in_whatever_form_is_enclosed(rounding: Rounding, scale: str, form: str, worst: bool) -> None:
    points, (operator, computed) = Points(rounding, scale), SLOPES[form]
    y = points.gate(COUNT) if operator is sigmoid_slope else points.ball(COUNT)
    rounded = (lambda exact: points.erring(exact, rounding.unit_roundoff)) if worst else rounding.format.round
    assert _encloses(operator(y), computed(points.inside(y), rounded)).all()


BLENDS_BACKWARD: dict[str, Callable[..., tuple[np.ndarray, ...]]] = {
    "(1 - z) n + z h": lambda z, n, h, g, r: (r(r(g * h) - r(g * n)), r(g * r(1 - z)), r(g * z)),
    "(h - n) z + n": lambda z, n, h, g, r: (r(g * r(h - n)), r(g - r(g * z)), r(g * z)),
    "rounded once": lambda z, n, h, g, r: (r(g * (h - n)), r(g * (1 - z)), r(g * z)),
}


@pytest.mark.parametrize("worst", [False, True], ids=["to nearest", "worst"])
@pytest.mark.parametrize("form", BLENDS_BACKWARD)
@SCALES
@NARROW
def test_the_gradients_of_either_blend_are_enclosed(rounding: Rounding, scale: str, form: str, worst: bool) -> None:
    points = Points(rounding, scale)
    z, n, h, g = points.gate(COUNT), points.ball(COUNT), points.ball(COUNT), points.ball(COUNT)
    rounded = (lambda exact: points.erring(exact, rounding.unit_roundoff)) if worst else rounding.format.round
    computed = BLENDS_BACKWARD[form](*map(points.inside, (z, n, h, g)), rounded)
    for ball, values in zip(blend_backward(z, n, h, g), computed, strict=True):
        assert _encloses(ball, values).all()


@SCALES
@NARROW
def test_what_relu_passes_is_enclosed(rounding: Rounding, scale: str) -> None:
    points = Points(rounding, scale)
    z, g = points.ball(COUNT), points.ball(COUNT)
    ball = relu_backward(z, g)
    assert _encloses(ball, np.where(points.inside(z) > 0, points.inside(g), 0)).all()
    decided = np.abs(z.midpoint) > z.radius * rounding.slack
    np.testing.assert_array_equal(ball.radius[decided], np.where(z.midpoint > 0, g.radius, 0)[decided])
    assert (ball.radius <= g.largest).all()


@SUMMATIONS
@SCALES
@NARROW
def test_a_sum_of_several_in_any_order_is_enclosed(
    rounding: Rounding, scale: str, add_up: Callable[[list[np.ndarray], Format], np.ndarray]
) -> None:
    points = Points(rounding, scale)
    balls = [points.ball(COUNT) for _ in range(4)]
    inside = [points.stored(ball) for ball in balls]
    ball = summed(*map(alone, balls))
    for _ in range(6):
        shuffled = [inside[k] for k in points.rng.permutation(4)]
        assert _encloses(ball, add_up(shuffled, rounding.format)).all()


@ALL
def test_only_summands_that_are_not_zero_are_added(rounding: Rounding) -> None:
    a, b, nothing = _exact(rounding, 0.5), _exact(rounding, 0.25), _exact(rounding, 0.0)
    one = summed(alone(nothing), alone(a), alone(nothing))
    assert (one.midpoint, one.radius) == (0.5, 0)
    two = summed(alone(a), alone(nothing), alone(b)).radius
    fused = 0.75 * rounding.accumulation if rounding.fused_biases else 0
    assert two == 0.75 * rounding.unit_roundoff + fused


class Matrices:
    """Balls x (2, 3, 4, 5) and weight (2, 5, 6), and what an implementation has of the first."""

    def __init__(self, points: Points) -> None:
        self.x, self.weight = points.ball(2, 3, 4, 5), points.ball(2, 5, 6).midpoint.astype(np.float64)
        self.inside = points.stored(self.x)

    def products(self, format: Format) -> list[np.ndarray]:
        """Those of x @ weight, each rounded."""
        return [format.round(self.inside[..., k, None] * self.weight[:, None, None, k]) for k in range(5)]


@SUMMATIONS
@pytest.mark.parametrize("scale", ["ordinary", "tiny", "exact"])
@NARROW
def test_a_matrix_product_is_enclosed_in_whatever_order_it_is_summed(
    rounding: Rounding, scale: str, add_up: Callable[[list[np.ndarray], Format], np.ndarray]
) -> None:
    points, running, store = Points(rounding, scale), _running(rounding), rounding.format.round
    for _ in range(50):
        given = Matrices(points)
        ball = linear(given.x, given.weight).ball
        assert ball.midpoint.shape == (2, 3, 4, 6)
        products = [given.products(running)[k] for k in points.rng.permutation(5)]
        assert _encloses(ball, store(add_up(products, running))).all()


@SUMMATIONS
@pytest.mark.parametrize("name", [name for name, rounding in EVERY.items() if rounding.fused_biases])
def test_one_running_sum_through_a_matrix_product_and_other_summands_is_enclosed(
    name: str, add_up: Callable[[list[np.ndarray], Format], np.ndarray]
) -> None:
    rounding = EVERY[name]
    points, format = Points(rounding), rounding.format
    for _ in range(50):
        given, others = Matrices(points), [points.ball(2, 3, 4, 6) for _ in range(2)]
        ball = summed(linear(given.x, given.weight), *map(alone, others))
        summands = [*given.products(format), *map(points.stored, others)]
        shuffled = [summands[k] for k in points.rng.permutation(len(summands))]
        assert _encloses(ball, add_up(shuffled, format)).all()


@SUMMATIONS
@NARROW
def test_a_sum_over_rows_and_steps_is_enclosed_whether_or_not_each_step_is_stored(
    rounding: Rounding, add_up: Callable[[list[np.ndarray], Format], np.ndarray]
) -> None:
    points, running, format = Points(rounding), _running(rounding), rounding.format
    for _ in range(50):
        g, x = points.ball(1, 3, 4, 2), points.ball(1, 3, 4, 5)
        inside, read = points.stored(g)[0], points.stored(x)[0]
        ball = outer(g, x)[0]
        assert ball.midpoint.shape == (2, 5)
        steps = [[running.round(np.outer(inside[n, t], read[n, t])) for n in range(3)] for t in range(4)]
        assert _encloses(ball, format.round(add_up([part for step in steps for part in step], running))).all()
        assert _encloses(ball, add_up([format.round(add_up(step, running)) for step in steps], format)).all()


@ALL
def test_zero_leaves_no_rounding_behind(rounding: Rounding) -> None:
    nothing, something = _exact(rounding, 0.0), Points(rounding).ball(1)
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
@DTYPES
def test_the_union_is_nowhere_narrower_for_derivatives_either(dtype: str, operator: str) -> None:
    for cell in (LSTM, GRU):
        measured = DERIVATIVES[operator](Points(_model(dtype, "AVX2", cell)))
        union = DERIVATIVES[operator](Points(_model(dtype, "AVX512")))
        np.testing.assert_array_equal(measured.midpoint, union.midpoint)
        assert (measured.radius <= union.radius).all()
        assert union.midpoint.dtype == union.rounding.working_type
        assert union.radius.dtype == np.float64
        assert union.midpoint.shape == union.radius.shape


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@ALL
def test_what_is_no_number_silences_every_derivative_that_it_meets(rounding: Rounding, value: float) -> None:
    unknown, known = _exact(rounding, value), _exact(rounding, 0.5)
    results = [tanh_slope(unknown), sigmoid_slope(unknown)]
    for other in (known, _exact(rounding, 0.0), unknown):
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


@ALL
def test_a_product_of_which_a_part_may_overflow_says_nothing(rounding: Rounding) -> None:
    large, small = _exact(rounding, rounding.format.largest / 2), _exact(rounding, 2.0**-10)
    assert np.isposinf(product(large, small, large).radius)
    assert np.isposinf(product(small, _exact(rounding, 4.0), large).radius)
    assert np.isfinite(product(small, small, large).radius)
