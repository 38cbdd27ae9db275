"""Comparisons of gradients: with their bounds, with zero, and with each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from conformance.clauses import RED
from conformance.harness.observation import INDEX, Labelled, Observation
from conformance.harness.oracle import from_cotangents, underflow_of_gradients
from conformance.harness.session import current_case
from conformance.harness.verdict import Compared, assert_enclosed, assert_every, assert_same, number
from reference.ball import Ball
from reference.roundings import WIDEST, Rounding

Gradients = Mapping[str, np.ndarray]
"""By the name of what they are of, canonical."""


def assert_gradients_within(seen: Observation, times: float = 1, clause: str | None = None) -> None:
    """Every gradient lies in its enclosure, amber and red as for results. Where it must be zero there may be none.

    times: what bounds are multiplied by. clause: the one that a deviation is of, if it is not the property's own.
    """

    def compared(rounding: Rounding) -> list[Compared]:
        enclosure = from_cotangents(seen, rounding)
        return [(labelled, _widened(enclosure.of(name), times), False) for name, labelled in seen.gradients.items()]

    wanted = seen.loss.wanted if seen.loss else ()
    for name in wanted:
        if name not in seen.gradients:
            _may_be_missing(seen, name, clause)
    assert_enclosed(seen, compared, clause)


def _widened(ball: Ball, times: float) -> Ball:
    return ball if times == 1 else Ball(ball.midpoint, times * ball.radius, ball.rounding, ball.overflows)


def _may_be_missing(seen: Observation, name: str, clause: str | None) -> None:
    """A gradient that is None stands for zeros."""
    ball, field = from_cotangents(seen, seen.judgement.red).of(name), f"gradient of {name}"
    apart = np.abs(ball.midpoint) > ball.radius
    case = current_case()
    case.checked(1, 0.0, 0.0)
    if apart.any():
        largest = float(np.abs(np.where(apart, ball.midpoint, 0)).max())
        lines = [f"{field}:  got None   an element of {largest:.9g} is not zero"]
        case.found(seen, field, "is missing", lines, severity=RED, clause=clause)


def assert_zero(seen: Observation, got: Labelled, may_overflow: np.ndarray) -> None:
    """Every element is zero, of either sign; not where something may have overflowed, and been multiplied by zero."""
    right = (got.values == 0) | may_overflow
    assert_every(
        seen, got, np.zeros_like(got.values), right, "is not zero", lambda at: "no part of the loss hangs on it"
    )


def assert_twice(twice: Observation, once: Observation) -> None:
    """Every gradient is exactly twice the other observation's, but where that overflows."""
    for name, gradient in once.gradients.items():
        doubled = gradient.mapped(lambda values: once.judgement.red.format.round(2 * values))
        assert_same(twice, twice.gradients[name], doubled, "first pass, doubled")


def assert_scaled(seen: Observation, scaled: Observation, factor: float) -> None:
    """The gradients of a loss times a power of two are exactly so many times the others; underflow and overflow aside.

    Both may have lost what underflows: the first has lost `factor` times as much of what is compared.
    """
    lost = underflow_of_gradients(seen)
    largest = seen.judgement.red.format.largest
    for name, once in seen.gradients.items():
        got, wanted = scaled.gradients[name], factor * once.values
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(got.values - wanted) <= (1 + factor) * lost[name]
            overflows = factor * (np.abs(once.values) + lost[name]) >= largest
        relation = f"the loss times {factor:g}: the gradient times that is"
        _every_near(seen, got, wanted, (got.values == wanted) | near | overflows, relation, np.isfinite(lost[name]))


def _every_near(
    seen: Observation, got: Labelled, wanted: np.ndarray, right: np.ndarray, relation: str, telling: np.ndarray
) -> None:
    def beside(at: tuple[int, ...]) -> str:
        return f"{relation} {number(wanted[at])}"

    assert_every(seen, got, wanted, right, "does not grow with the loss", beside, int(telling.sum()))


def assert_gradients_agree(seen: Observation, others: Gradients, relation: str, names: Iterable[str]) -> None:
    """Gradients found in another way, as a correct implementation may, differ by at most twice the bound."""
    enclosure = from_cotangents(seen, seen.judgement.red)
    for name in names:
        radius = np.asarray(2 * enclosure.of(name).radius, np.float64)
        _within(seen, seen.gradients[name], others[name], radius, relation)


def _within(seen: Observation, got: Labelled, wanted: np.ndarray, radius: np.ndarray, relation: str) -> None:
    """Two values of each element are at most `radius` apart; an infinite one says nothing."""
    with np.errstate(invalid="ignore"):
        right = (np.abs(got.values - wanted) <= radius) | np.isinf(radius)
    assert_every(
        seen,
        got,
        wanted,
        right,
        "does not agree",
        lambda at: f"{relation} {number(wanted[at])}   allowed to differ by {radius[at]:.2g}",
        int(np.isfinite(radius).sum()),
    )


def assert_balanced(seen: Observation, field: str, left: np.ndarray, right: np.ndarray, radius: np.ndarray) -> None:
    """Two sums that the equations make equal differ by at most the sum of the errors allowed in them."""
    got = np.asarray(left)
    labelled = Labelled.of(field, got, *INDEX[: got.ndim])
    _within(seen, labelled, np.asarray(right), np.asarray(radius), "must balance")


def summed(values: np.ndarray, gradient: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """<values, gradient> in the widest type, and the error that the gradient's bounds allow it; inf where one of these
    says nothing, zero times it included."""
    wide = values.astype(WIDEST)
    allowed = (np.abs(wide) * radius).sum() * (1 + 2.0**-40) if np.isfinite(radius).all() else np.inf
    with np.errstate(invalid="ignore"):
        return (wide * gradient).sum(), np.float64(allowed)
