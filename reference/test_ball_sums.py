"""Sums of products enclose the results of correct implementations, for any order, blocks and types of the sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from reference.ball import Ball, Term, affine, alone, linear, outer, summed
from reference.formats import FORMATS, Format
from reference.roundings import Rounding
from reference.testing.balls import (
    ALL_MODELS,
    COUNT,
    EACH_MODEL,
    EACH_NARROW_MODEL,
    EACH_SCALE,
    INFINITE_RADII,
    Operands,
    Points,
    encloses,
    exactly,
)

pytestmark = INFINITE_RADII

Summation = Callable[[list[np.ndarray], Format], np.ndarray]


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


def _running(rounding: Rounding) -> Format:
    """The format of a running sum with the precision of the model."""
    return next(format for format in FORMATS.values() if format.unit_roundoff == rounding.accumulation)


# Pre-activations


@SUMMATIONS
@pytest.mark.parametrize("name", [name for name, rounding in ALL_MODELS.items() if not rounding.stored])
def test_a_pre_activation_is_enclosed_in_whatever_order_it_is_summed(name: str, add_up: Summation) -> None:
    rounding = ALL_MODELS[name]
    points, format = Points(rounding), rounding.format
    for _ in range(200):
        both = [Operands(points), Operands(points)]
        summands = [product for one in both for product in one.products(format, points.rng)] + [b.bias for b in both]
        shuffled = [summands[k] for k in points.rng.permutation(len(summands))]
        assert encloses(affine(*(one.term for one in both))[0, 0], add_up(shuffled, format)).all()


@SUMMATIONS
@pytest.mark.parametrize("name", [name for name, rounding in ALL_MODELS.items() if rounding.stored])
def test_a_stored_pre_activation_is_enclosed_in_whatever_order_its_products_are_summed(
    name: str, add_up: Summation
) -> None:
    rounding = ALL_MODELS[name]
    points, store = Points(rounding), rounding.format.round
    running = _running(rounding)
    for _ in range(200):
        both = [Operands(points), Operands(points)]
        sums = [add_up(one.products(running, points.rng), running) for one in both]
        ball = affine(*(one.term for one in both))[0, 0]
        first, second = (one.bias for one in both)
        assert encloses(ball, store(store(store(sums[0]) + first) + store(store(sums[1]) + second))).all()
        assert encloses(ball, store(store(sums[0] + first) + store(sums[1] + second))).all()
        assert encloses(ball, store(sums[0] + first + sums[1] + second)).all()
        if rounding.fused_biases:
            assert encloses(ball, store(store(store(sums[0]) + store(first + second)) + store(sums[1]))).all()


@pytest.mark.parametrize("scale", ["ordinary", "tiny", "exact"])
@pytest.mark.parametrize("name", [name for name, rounding in ALL_MODELS.items() if rounding.stored])
def test_a_stored_pre_activation_with_the_worst_error_everywhere_is_enclosed(name: str, scale: str) -> None:
    rounding = ALL_MODELS[name]
    points, u = Points(rounding, scale), rounding.unit_roundoff
    for _ in range(200):
        both = [Operands(points), Operands(points)]
        parts = []
        for one in both:
            total = points.erring(one.worst_sum(len(one.x) * rounding.accumulation, points.rng), u)
            parts.append(points.erring(total + one.bias, u))
        ball = affine(*(one.term for one in both))[0, 0]
        assert encloses(ball, points.erring(parts[0] + parts[1], u)).all()


@pytest.mark.parametrize("subnormal", ["x", "weight"])
def test_a_pre_activation_whose_subnormal_operands_are_read_as_zero_is_enclosed(subnormal: str) -> None:
    rounding = ALL_MODELS["bfloat16 union"]
    rng, format = np.random.default_rng(0), rounding.format
    sizes = {"x": 100.0, "weight": 100.0, subnormal: format.smallest_normal * (1 - format.unit_roundoff)}
    x = Ball.exact(format.round(rng.uniform(-sizes["x"], sizes["x"], (1, 1000, 3))), rounding)
    weight = format.round(rng.uniform(-sizes["weight"], sizes["weight"], (1, 5, 3)))
    assert encloses(affine(Term(x, weight, None)), np.zeros((1, 1000, 5))).all()


def test_biases_that_are_added_first_leave_their_own_rounding() -> None:
    rounding = ALL_MODELS["bfloat16 union"]
    nothing, ones = Ball.exact(np.zeros((1, 1, 1)), rounding), np.ones((1, 1, 1))
    terms = Term(nothing, ones, np.full((1, 1), 0.75)), Term(nothing, ones, np.full((1, 1), -0.25))
    apart = affine(*terms).radius - _without_fusion(terms)
    summed = rounding.accumulation * (0.75 + 0.25)
    assert apart == pytest.approx(0.5 * rounding.unit_roundoff + summed, rel=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_one_running_sum_over_input_and_state_in_the_stored_type_stays_inside(dtype: str) -> None:
    rounding = ALL_MODELS[f"{dtype} union"]
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


@EACH_MODEL
def test_exact_summands_leave_a_rounding_for_each_and_one_more(rounding: Rounding) -> None:
    x, weight, bias = Ball.exact(np.array([[[0.5, 0.25]]]), rounding), np.array([[[0.5, -1.0]]]), np.array([[2.0]])
    z = affine(Term(x, weight, bias), Term(x, weight, None))
    u, size = rounding.unit_roundoff, 0.5 + 0.5 + 2.0
    assert z.midpoint == 2
    if not rounding.stored:
        assert z.radius == pytest.approx((2 + 2 + 1 + 1) * u * size + 4 * rounding.floor, rel=1e-14)
    else:  # both products are zero, their parts are not; 2 is stored after the bias, and again after the second term
        running = rounding.accumulation * ((2 + 1) * (0.5 + 2.0) + (2 + 1) * 0.5)
        if rounding.fused_biases:  # one sum over both terms: each passes through the other's additions
            running += rounding.accumulation * (2 * 0.5 + 2 * (0.5 + 2.0))
        assert running + u * 2 + u * 2 <= z.radius <= (running + u * 2 + u * 2) * (1 + 4 * u)


@pytest.mark.parametrize("weight", [0.0, 0.5])
@EACH_MODEL
def test_what_is_no_number_silences_every_pre_activation_that_reads_it_and_no_other(
    rounding: Rounding, weight: float
) -> None:
    x = Ball.exact(np.array([[[1.0, np.nan], [1.0, 1.0]]]), rounding)
    z = affine(Term(x, np.full((1, 3, 2), weight), np.ones((1, 3))))
    assert np.isposinf(z.radius[0, 0]).all()
    assert np.isfinite(z.radius[0, 1]).all()
    np.testing.assert_array_equal(z.midpoint[0, 1], np.full(3, 1 + 2 * weight))


@EACH_MODEL
def test_a_sum_whose_parts_may_overflow_is_vacuous_even_if_it_is_zero_in_the_end(rounding: Rounding) -> None:
    top = rounding.format.largest
    weight = 0.75 * top * np.array([[[1.0, 1.0, -1.0, -1.0]]])
    x = Ball.exact(np.ones((1, 1, 4)), rounding)
    assert np.isposinf(affine(Term(x, weight, None)).radius)
    assert np.isfinite(affine(Term(x, weight / 16, None)).radius)
    one = Ball.exact(np.ones((1, 1, 1)), rounding)
    cancelled = Term(one, np.full((1, 1, 1), top), np.full((1, 1), -top))
    assert np.isposinf(affine(cancelled).radius)


# Sums of gradients


@SUMMATIONS
@EACH_SCALE
@EACH_NARROW_MODEL
def test_a_sum_of_several_in_any_order_is_enclosed(rounding: Rounding, scale: str, add_up: Summation) -> None:
    points = Points(rounding, scale)
    balls = [points.ball(COUNT) for _ in range(4)]
    inside = [points.stored(ball) for ball in balls]
    ball = summed(*map(alone, balls))
    for _ in range(6):
        shuffled = [inside[k] for k in points.rng.permutation(4)]
        assert encloses(ball, add_up(shuffled, rounding.format)).all()


@EACH_MODEL
def test_only_summands_that_are_not_zero_are_added(rounding: Rounding) -> None:
    a, b, nothing = exactly(rounding, 0.5), exactly(rounding, 0.25), exactly(rounding, 0.0)
    one = summed(alone(nothing), alone(a), alone(nothing))
    assert (one.midpoint, one.radius) == (0.5, 0)
    two = summed(alone(a), alone(nothing), alone(b)).radius
    fused = 0.75 * rounding.accumulation if rounding.fused_biases else 0
    assert two == 0.75 * rounding.unit_roundoff + fused


class Matrices:
    """A ball x (2, 3, 4, 5), a weight (2, 5, 6), and the values of x in a simulated implementation."""

    def __init__(self, points: Points) -> None:
        self.x, self.weight = points.ball(2, 3, 4, 5), points.ball(2, 5, 6).midpoint.astype(np.float64)
        self.inside = points.stored(self.x)

    def products(self, format: Format) -> list[np.ndarray]:
        """The rounded products of x @ weight."""
        return [format.round(self.inside[..., k, None] * self.weight[:, None, None, k]) for k in range(5)]


@SUMMATIONS
@pytest.mark.parametrize("scale", ["ordinary", "tiny", "exact"])
@EACH_NARROW_MODEL
def test_a_matrix_product_is_enclosed_in_whatever_order_it_is_summed(
    rounding: Rounding, scale: str, add_up: Summation
) -> None:
    points, running, store = Points(rounding, scale), _running(rounding), rounding.format.round
    for _ in range(50):
        given = Matrices(points)
        ball = linear(given.x, given.weight).ball
        assert ball.midpoint.shape == (2, 3, 4, 6)
        products = [given.products(running)[k] for k in points.rng.permutation(5)]
        assert encloses(ball, store(add_up(products, running))).all()


@SUMMATIONS
@pytest.mark.parametrize("name", [name for name, rounding in ALL_MODELS.items() if rounding.fused_biases])
def test_one_running_sum_through_a_matrix_product_and_other_summands_is_enclosed(name: str, add_up: Summation) -> None:
    rounding = ALL_MODELS[name]
    points, format = Points(rounding), rounding.format
    for _ in range(50):
        given, others = Matrices(points), [points.ball(2, 3, 4, 6) for _ in range(2)]
        ball = summed(linear(given.x, given.weight), *map(alone, others))
        summands = [*given.products(format), *map(points.stored, others)]
        shuffled = [summands[k] for k in points.rng.permutation(len(summands))]
        assert encloses(ball, add_up(shuffled, format)).all()


@SUMMATIONS
@EACH_NARROW_MODEL
def test_a_sum_over_rows_and_steps_is_enclosed_whether_or_not_each_step_is_stored(
    rounding: Rounding, add_up: Summation
) -> None:
    points, running, format = Points(rounding), _running(rounding), rounding.format
    for _ in range(50):
        g, x = points.ball(1, 3, 4, 2), points.ball(1, 3, 4, 5)
        inside, read = points.stored(g)[0], points.stored(x)[0]
        ball = outer(g, x)[0]
        assert ball.midpoint.shape == (2, 5)
        steps = [[running.round(np.outer(inside[n, t], read[n, t])) for n in range(3)] for t in range(4)]
        assert encloses(ball, format.round(add_up([part for step in steps for part in step], running))).all()
        assert encloses(ball, add_up([format.round(add_up(step, running)) for step in steps], format)).all()
