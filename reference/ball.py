"""Midpoint-radius arithmetic: each value with a bound on how far a correct implementation may be from it.

A ball of midpoint m and radius e guarantees that an implementation that rounds as `rounding` allows computes a value
within e of m. Operators follow first-order running error analysis (Higham, Accuracy and Stability of Numerical
Algorithms, chapter 3); `Rounding.slack` covers the products of two small errors. A ball with an infinite radius is
vacuous: an intermediate result may overflow there, so inf and nan are legal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from reference.roundings import Rounding


class Ball:
    """An array of midpoints, an array of radii of the same shape, and the rounding model that the radii follow.

    midpoint   in the rounding's working type
    radius     float64; inf where the ball is vacuous
    overflows  whether any radius may be infinite
    granule    as `Problem.granule`, for these midpoints and the weights that multiply them; 0 if unknown
    """

    __slots__ = ("_largest", "granule", "midpoint", "overflows", "radius", "rounding")

    def __init__(
        self,
        midpoint: np.ndarray,
        radius: np.ndarray,
        rounding: Rounding,
        overflows: bool = False,
        granule: float = 0.0,
    ) -> None:
        self.midpoint = midpoint
        self.radius = radius
        self.rounding = rounding
        self.overflows = overflows
        self.granule = granule
        self._largest: np.ndarray | None = None

    @classmethod
    def exact(cls, values: np.ndarray, rounding: Rounding, granule: float = 0.0) -> Ball:
        """`values` without error. An infinite or NaN value makes a vacuous ball.

        granule: as `Problem.granule`, for the values and the weights that will multiply them.
        """
        values = np.asarray(values, rounding.working_type)
        finite = np.isfinite(values)
        if finite.all():
            return cls(values, np.zeros(values.shape), rounding, granule=granule)
        return cls(np.where(finite, values, 0), np.where(finite, 0.0, np.inf), rounding, overflows=True)

    def __getitem__(self, key: Any) -> Ball:
        return Ball(self.midpoint[key], self.radius[key], self.rounding, self.overflows, self.granule)

    def __add__(self, other: Ball) -> Ball:
        midpoint = self.midpoint + other.midpoint
        radius = self.radius + other.radius
        radius = radius + self.rounding.unit_roundoff * (_abs(midpoint) + radius)
        return self._bounded(midpoint, radius, other)

    def __mul__(self, other: Ball) -> Ball:
        a, b = _abs(self.midpoint), _abs(other.midpoint)
        radius = a * other.radius + (b + other.radius) * self.radius
        radius += self.rounding.unit_roundoff * (a * b + radius) + self.rounding.floor
        return self._bounded(self.midpoint * other.midpoint, radius, other)

    def rearranged(self, move: Callable[[np.ndarray], np.ndarray]) -> Ball:
        """Midpoints and radii, both passed through `move`; it may repeat, drop and reorder elements, never compute."""
        return Ball(move(self.midpoint), move(self.radius), self.rounding, self.overflows, self.granule)

    @property
    def largest(self) -> np.ndarray:
        """The largest absolute value inside each ball; kept, so that no radius may be written after it was read."""
        if self._largest is None:
            self._largest = _abs(self.midpoint) + self.radius
        return self._largest

    def widened(self, more: np.ndarray | float) -> Ball:
        """The same midpoints with `more` added to every radius."""
        return Ball(self.midpoint, self.radius + more, self.rounding, self.overflows)

    def slackened(self) -> Ball:
        """The same midpoints, their radii times `Rounding.slack`."""
        return Ball(self.midpoint, self.radius * self.rounding.slack, self.rounding, self.overflows)

    def _bounded(
        self,
        midpoint: np.ndarray,
        radius: np.ndarray,
        *others: Ball,
        sums: np.ndarray | None = None,
        share: float = 0.0,
    ) -> Ball:
        """A result of this ball and `others`, vacuous where the result or a partial sum of it may overflow.

        Partial sums are at most `sums`, or `share` times the radius, in absolute value.
        """
        top = self.rounding.format.largest
        overflows = self.overflows or any(other.overflows for other in others)
        if not overflows and midpoint.size:
            largest = max(_max(midpoint), -_min(midpoint)) + (0.0 if sums is None else _max(sums))
            if largest + _max(radius) * (1 + share) < top:
                return Ball(midpoint, radius, self.rounding)
        reach = _abs(midpoint) + radius * (1 + share) + (0.0 if sums is None else sums)
        beyond = ~(reach < top)
        if not beyond.any():
            return Ball(midpoint, radius, self.rounding, overflows)
        return Ball(np.where(beyond, 0, midpoint), np.where(beyond, np.inf, radius), self.rounding, True)


def _abs(values: np.ndarray) -> np.ndarray:
    # rounded first: the absolute values of extended precision take three times as long
    return np.abs(values.astype(np.float64, copy=False))


def _max(values: np.ndarray) -> float:
    return float(np.maximum.reduce(values, axis=None))


def _min(values: np.ndarray) -> float:
    return float(np.minimum.reduce(values, axis=None))


class Term(NamedTuple):
    """One summand x @ weight.T + bias of a pre-activation: x (..., I), weight (D, G*H, I), bias (D, G*H) or None."""

    x: Ball
    weight: np.ndarray
    bias: np.ndarray | None


def affine(*terms: Term) -> Ball:
    """The sum of `terms`, added in any order: a pre-activation (D, N, T, G*H) or (D, N, G*H)."""
    z = _stored_affine(*terms) if terms[0].x.rounding.stored else _summed_affine(*terms)
    if any(term.x.granule == 0 for term in terms):
        return z
    z.radius[_sums_are_exact(*terms)] = 0.0
    return z


def _sums_are_exact(*terms: Term) -> np.ndarray:
    """A mask of the elements whose partial sums are all stored exactly, in any order of summation.

    Values and weights are multiples of the granule g, so every partial sum is a multiple of g * g. The format holds
    each multiple of g * g up to g * g / u.
    """
    size: np.ndarray | float = 0.0
    for x, weight, bias in terms:
        product = _product(_abs(x.midpoint), np.abs(weight))
        size = size + product + (0.0 if bias is None else np.abs(_along(bias, product)))
    granule = terms[0].x.granule
    return np.asarray(size) * terms[0].x.rounding.unit_roundoff <= granule * granule


def _product(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x @ weight.T for each direction; rows and steps share one axis during the product."""
    flat = x.reshape(x.shape[0], -1, x.shape[-1]) @ weight.swapaxes(-1, -2)
    return flat.reshape(*x.shape[:-1], flat.shape[-1])


def _along(bias: np.ndarray, like: np.ndarray) -> np.ndarray:
    """`bias` (D, G*H), reshaped to broadcast against values (D, N, G*H) or (D, N, T, G*H)."""
    return bias.reshape(bias.shape[:1] + (1,) * (like.ndim - 2) + bias.shape[1:])


def _underflow(x: Ball, weight: np.ndarray) -> np.ndarray | float:
    """The error from underflow: one floor for each product, and the operands that are read as zero."""
    lost = weight.shape[-1] * x.rounding.floor
    if not x.rounding.flushed_operands:
        return lost
    operands = x.largest.sum(-1)[..., None] + _along(_abs(weight).sum(-1), x.midpoint)
    return lost + x.rounding.flushed_operands * operands


def _summed_affine(*terms: Term) -> Ball:
    """float32 and float64: in any order, blocked or fused, n summands err by at most n u times their absolute sum.

    Source: Jeannerod and Rump (2013).
    """
    x, rounding = concatenate([term.x for term in terms], -1), terms[0].x.rounding
    weight = np.concatenate([term.weight for term in terms], -1) if len(terms) > 1 else terms[0].weight
    biases = [term.bias.astype(rounding.working_type, copy=False) for term in terms if term.bias is not None]
    u_sum = (weight.shape[-1] + len(biases) + 1) * rounding.accumulation
    midpoint = _product(x.midpoint, weight.astype(rounding.working_type, copy=False))
    radius = _product(x.radius + u_sum * x.largest, np.abs(weight))
    radius += _underflow(x, weight)
    if biases:
        midpoint += _along(sum(biases[1:], biases[0]), midpoint)
        sizes = [_abs(bias) for bias in biases]
        radius += u_sum * _along(sum(sizes[1:], sizes[0]), midpoint)
    return x._bounded(midpoint, radius, share=1 / u_sum)


def _stored_affine(*terms: Term) -> Ball:
    """16-bit types: each term's product is rounded, then its sum with the bias, then the sum of the two terms."""
    total: Ball | None = None
    for term in terms:
        part = _stored_term(term)
        total = part if total is None else total + part
    assert total is not None
    if total.rounding.fused_biases and len(terms) == 2:
        total = total.widened(_of_one_running_sum(*terms))
    return total


def _of_one_running_sum(a: Term, b: Term) -> np.ndarray:
    """The error that one running sum over both terms may add, and that of adding the biases first.

    In one running sum, the magnitudes of each term pass through the additions of the other.
    """
    sizes = [_product(term.x.largest, np.abs(term.weight)) for term in (a, b)]
    for size, term in zip(sizes, (a, b), strict=True):
        size += 0.0 if term.bias is None else np.abs(_along(term.bias, size))
    rounding = a.x.rounding
    more = rounding.accumulation * (a.weight.shape[-1] * sizes[1] + b.weight.shape[-1] * sizes[0])
    if a.bias is not None and b.bias is not None:
        more += rounding.unit_roundoff * np.abs(_along(a.bias + b.bias, more))
    return more


def _stored_term(term: Term) -> Ball:
    """The running sum may start or end with the bias; the product may be stored before the bias is added."""
    x, weight, bias = term
    u, u_sum = x.rounding.unit_roundoff, x.rounding.accumulation
    product = _product(x.midpoint, weight)
    total, magnitude = product, _product(x.largest, np.abs(weight))
    if bias is not None:
        total, magnitude = product + _along(bias, product), magnitude + np.abs(_along(bias, product))
    radius = _product(x.radius, np.abs(weight)) + _underflow(x, weight) + (weight.shape[-1] + 1) * u_sum * magnitude
    radius = radius + u * (np.abs(product) + radius)
    radius = radius + u * (np.abs(total) + radius)
    return x._bounded(total, radius, sums=magnitude)


def sigmoid(z: Ball) -> Ball:
    """1 / (1 + exp(-z)), elementwise.

    An error e moves the value most where it moves z towards zero: with a = abs(z) and b = a - e, sigmoid(a) -
    sigmoid(b) is sigmoid(a) sigmoid(-b) (1 - exp(-e)). This is not linear in e, so the slack is applied to e first.
    """
    rounding, e = z.rounding, z.radius * z.rounding.inner_slack
    y = 1 / (1 + np.exp(-z.midpoint))
    size = y.astype(np.float64, copy=False)
    carried = np.maximum(size, 1 - size) * -np.expm1(-e) / (1 + np.exp(_abs(z.midpoint) - e))
    error = rounding.sigmoid + (rounding.sigmoid_slope * z.largest if rounding.sigmoid_slope else 0.0)
    radius = carried + error * rounding.unit_roundoff * np.minimum(size + carried, 1.0)
    return _function(z, y, radius + rounding.sigmoid_floor)


def tanh(z: Ball) -> Ball:
    """Hyperbolic tangent, elementwise; errors carry over as for `sigmoid`, since tanh(z) = 2 sigmoid(2 z) - 1."""
    rounding, e = z.rounding, 2 * z.rounding.inner_slack * z.radius
    y = np.tanh(z.midpoint)
    size = _abs(y)
    carried = (1 + size) * -np.expm1(-e) / (1 + np.exp(2 * _abs(z.midpoint) - e))
    radius = carried + rounding.tanh * rounding.unit_roundoff * np.minimum(size + carried, 1.0)
    return _function(z, y, radius + rounding.tanh_floor)


def relu(z: Ball) -> Ball:
    """max(z, 0), elementwise."""
    radius = np.where(z.midpoint.astype(np.float64) + z.radius * z.rounding.slack <= 0, 0.0, z.radius)
    return _function(z, np.maximum(z.midpoint, 0), radius)


def blend(z: Ball, n: Ball, h: Ball) -> Ball:
    """(1 - z) * n + z * h, computed in this form or as (h - n) * z + n."""
    u, floor = z.rounding.unit_roundoff, z.rounding.floor
    difference = h.midpoint - n.midpoint
    one_minus_z = 1 - z.midpoint
    midpoint = one_minus_z * n.midpoint + z.midpoint * h.midpoint
    states = h.radius + n.radius
    radius = (
        _abs(difference) * z.radius + _abs(one_minus_z) * n.radius + _abs(z.midpoint) * h.radius + z.radius * states
    )
    largest = _abs(midpoint) + radius
    by_difference = 2 * (_abs(difference) + states) * z.largest + largest
    by_products = 2 * (_abs(one_minus_z) + z.radius) * n.largest + z.largest * h.largest + largest
    radius = radius + u * np.maximum(by_difference, by_products) + 3 * floor
    return z._bounded(midpoint, radius, n, h)


def concatenate(balls: Sequence[Ball], axis: int) -> Ball:
    """`balls` joined along an existing axis; a single ball is returned unchanged."""
    if len(balls) == 1:
        return balls[0]
    midpoint = np.concatenate([ball.midpoint for ball in balls], axis)
    radius = np.concatenate([ball.radius for ball in balls], axis)
    return Ball(midpoint, radius, balls[0].rounding, any(ball.overflows for ball in balls))


def stack(balls: Sequence[Ball], axis: int) -> Ball:
    """`balls` joined along a new axis."""
    if len(balls) == 1:
        return balls[0][(slice(None),) * axis + (None,)]
    midpoint = np.stack([ball.midpoint for ball in balls], axis)
    radius = np.stack([ball.radius for ball in balls], axis)
    granule = min(ball.granule for ball in balls)
    return Ball(midpoint, radius, balls[0].rounding, any(ball.overflows for ball in balls), granule)


def where(condition: np.ndarray, a: Ball, b: Ball) -> Ball:
    """`a` where the condition holds, else `b`, as in np.where."""
    midpoint = np.where(condition, a.midpoint, b.midpoint)
    radius = np.where(condition, a.radius, b.radius)
    return Ball(midpoint, radius, a.rounding, a.overflows or b.overflows)


# Operations of back-propagation. A factor or a summand that is zero without error causes no rounding: adding zero and
# multiplying by zero are exact, and a gradient that the loss does not depend on is exactly zero.


def product(*factors: Ball) -> Ball:
    """The product of all `factors`, multiplied in any order; exactly zero where a factor is."""
    rounding = factors[0].rounding
    midpoint, radius = factors[0].midpoint, factors[0].radius
    present, others = factors[0].largest > 0, np.maximum(factors[0].largest, 1.0)
    for factor in factors[1:]:
        radius = _abs(midpoint) * factor.radius + radius * factor.largest
        midpoint = midpoint * factor.midpoint
        present, others = present & (factor.largest > 0), others * np.maximum(factor.largest, 1.0)
    count = len(factors) - 1
    radius = radius + ((1 + rounding.unit_roundoff) ** count - 1) * (_abs(midpoint) + radius)
    radius = radius + count * rounding.floor * others * present  # a partial product underflows, then is multiplied
    return factors[0]._bounded(midpoint, radius, *factors[1:], sums=others)


def tanh_slope(y: Ball) -> Ball:
    """1 - y * y, computed in this form or as (1 - y) * (1 + y): the derivative of tanh where its value is `y`."""
    size = _abs(y.midpoint)
    radius = (2 * size + y.radius) * y.radius
    midpoint = (1 - y.midpoint) * (1 + y.midpoint)
    largest = _abs(midpoint) + radius
    radius = radius + y.rounding.unit_roundoff * np.maximum(y.largest**2 + largest, 3 * largest) + y.rounding.floor
    return y._bounded(midpoint, radius)


def sigmoid_slope(y: Ball) -> Ball:
    """y * (1 - y): the derivative of the sigmoid where its value is `y`."""
    radius = (_abs(1 - 2 * y.midpoint) + y.radius) * y.radius
    midpoint = y.midpoint * (1 - y.midpoint)
    radius = radius + 2 * y.rounding.unit_roundoff * (_abs(midpoint) + radius) + y.rounding.floor
    return y._bounded(midpoint, radius)


def relu_backward(z: Ball, g: Ball) -> Ball:
    """`g` where z is positive, else zero; both are allowed where the ball of z contains zero."""
    positive, undecided = z.midpoint > 0, _abs(z.midpoint) <= z.radius * z.rounding.slack
    radius = np.where(undecided, g.largest, np.where(positive, g.radius, 0.0))
    radius = np.where(np.isfinite(z.radius) & np.isfinite(g.radius), radius, np.inf)
    return Ball(np.where(positive, g.midpoint, 0), radius, g.rounding, z.overflows or g.overflows)


def blend_backward(z: Ball, n: Ball, h: Ball, g: Ball) -> tuple[Ball, Ball, Ball]:
    """The gradients g * (h - n), g * (1 - z) and g * z of (1 - z) * n + z * h, or of (h - n) * z + n.

    In the first form, the first gradient is computed as g * h - g * n; in the second form, the second as g - g * z.
    """
    u, floor, present = z.rounding.unit_roundoff, z.rounding.floor, g.largest > 0
    difference, states = h.midpoint - n.midpoint, h.largest + n.largest
    radius = _abs(difference) * g.radius + g.largest * (h.radius + n.radius)
    to_z = g.midpoint * difference
    radius = radius + u * (g.largest * states + _abs(to_z) + radius)
    radius = radius + 2 * floor * present * np.maximum(g.largest, 1.0) * np.maximum(states, 1.0)
    dz = g._bounded(to_z, radius, z, n, h, sums=g.largest * states)

    rest = 1 - z.midpoint
    to_n = g.midpoint * rest
    radius = _abs(rest) * g.radius + g.largest * z.radius
    largest = _abs(to_n) + radius
    radius = radius + u * np.maximum(2 * largest, g.largest * z.largest + largest)
    radius = radius + floor * present * np.maximum(g.largest, 1.0)
    return dz, g._bounded(to_n, radius, z, n, h), product(g, z)


class Summand(NamedTuple):
    """A part of a larger sum: itself a sum of `terms` products whose absolute values add up to `size`."""

    ball: Ball
    terms: np.ndarray
    size: np.ndarray

    def rearranged(self, move: Callable[[np.ndarray], np.ndarray]) -> Summand:
        """All three arrays passed through `move`; it may repeat, drop and reorder elements, never compute."""
        return Summand(self.ball.rearranged(move), move(self.terms), move(self.size))


def alone(ball: Ball) -> Summand:
    """A summand that is a single number: one term, or no term where it is exactly zero."""
    return Summand(ball, (ball.largest > 0).astype(np.float64), ball.largest)


def summed(*summands: Summand) -> Ball:
    """The sum of all `summands`, added in any order: m - 1 roundings where m of them are not zero.

    If the model fuses sums, one running sum may take in the terms of all summands. The magnitudes of each summand then
    pass through the additions of the others.
    """
    balls = [summand.ball for summand in summands]
    rounding = balls[0].rounding
    midpoint = sum((ball.midpoint for ball in balls[1:]), balls[0].midpoint)
    size = sum((ball.largest for ball in balls[1:]), balls[0].largest)
    count = np.sum([ball.largest > 0 for ball in balls], 0)
    radius = sum((ball.radius for ball in balls[1:]), balls[0].radius)
    radius = radius + rounding.unit_roundoff * np.maximum(count - 1, 0) * size
    if rounding.fused_biases and len(summands) > 1:
        terms, sizes = sum(summand.terms for summand in summands), sum(summand.size for summand in summands)
        within = sum(summand.terms * summand.size for summand in summands)
        radius = radius + rounding.accumulation * (terms * sizes - within)
    return balls[0]._bounded(midpoint, radius, *balls[1:], sums=size)


def linear(x: Ball, weight: np.ndarray) -> Summand:
    """x @ weight for each direction, rounded once when stored: x (D, ..., K), weight (D, K, features)."""
    flat = x.rearranged(lambda values: values.reshape(values.shape[0], -1, values.shape[-1]))
    midpoint, radius, terms, size = _sums_of_products(flat, Ball.exact(weight, x.rounding))
    if x.rounding.stored:
        radius = radius + x.rounding.unit_roundoff * (_abs(midpoint) + radius)
    summand = Summand(x._bounded(midpoint, radius, sums=size), terms, size)
    return summand.rearranged(lambda values: values.reshape(*x.midpoint.shape[:-1], -1))


def outer(g: Ball, x: Ball) -> Ball:
    """The sum of g x^T over rows and steps: g (D, N, T, K), x (D, N, T, features) give (D, K, features).

    The sum may run in any order and grouping. In 16-bit types, each of the T steps stores its sum over the rows, and
    the running sum over the steps.
    """
    steps = g.midpoint.shape[2]
    g, x = (ball.rearranged(lambda values: values.reshape(values.shape[0], -1, values.shape[-1])) for ball in (g, x))
    midpoint, radius, _, size = _sums_of_products(g.rearranged(lambda values: values.swapaxes(1, 2)), x)
    if g.rounding.stored:
        radius = radius + (steps + 1) * g.rounding.unit_roundoff * size
    return g._bounded(midpoint, radius, x, sums=size)


def _sums_of_products(a: Ball, b: Ball) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """a @ b: midpoints, radii, the number of nonzero terms, and the largest sum of their absolute values.

    In any order, blocked or fused, n terms err by at most n u times that sum (Jeannerod and Rump 2013).
    """
    rounding, size_a, size_b = a.rounding, a.largest, b.largest
    size = size_a @ size_b
    there_a, there_b = (size_a > 0).astype(np.float64), (size_b > 0).astype(np.float64)
    terms = there_a @ there_b
    radius = a.radius @ size_b + terms * (rounding.accumulation * size + rounding.floor)
    if b.radius.any():
        radius += _abs(a.midpoint) @ b.radius
    if rounding.flushed_operands:  # a flushed operand removes its whole product
        radius = radius + rounding.flushed_operands * (size_a @ there_b + there_a @ size_b)
    return a.midpoint @ b.midpoint, radius, terms, size


def _function(z: Ball, y: np.ndarray, radius: np.ndarray) -> Ball:
    """The ball of a function value, vacuous where its argument is vacuous."""
    if z.overflows:
        radius = np.where(np.isinf(z.radius) | np.isnan(radius), np.inf, radius)
    return Ball(y, radius, z.rounding, z.overflows)
