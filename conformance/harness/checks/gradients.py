"""Comparisons of gradients: with their bounds, with zero, and with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from conformance.clauses import AMBER, RED
from conformance.harness.checks import case_record
from conformance.harness.checks.bounds import allowed, from_cotangents, from_own_gradients, underflow_of_gradients
from conformance.harness.checks.ratios import compare_with_bounds
from conformance.harness.checks.values import (
    Enclosed,
    are_enclosed,
    are_equal,
    assert_enclosed,
    assert_every,
    assert_nothing,
    assert_same,
    element_of,
    is_measured,
    number,
)
from conformance.harness.execution.observation import INDEX, Differentiated, LabelledArray
from reference.backward import Gradients as Enclosures
from reference.ball import Ball
from reference.roundings import WIDEST, Rounding

Gradients = Mapping[str, np.ndarray]
"""Gradients in canonical shape, by the name of their tensor."""

Enclosing = Callable[[Differentiated, Rounding], Enclosures]


def assert_gradients_within(
    seen: Differentiated,
    enclosing: Enclosing = from_cotangents,
    times: float = 1,
    clause: str | None = None,
    severity: str = RED,
    first: Differentiated | None = None,
) -> None:
    """Every gradient lies in its enclosure, amber and red as for results. Where it must be zero there may be none.

    enclosing: gives the enclosures. times: what bounds are multiplied by. clause: the one that a deviation is of, if
    it is not the property's own. severity: that of a deviation beyond the red limit. first: the call as it was made,
    if `seen` has another problem that says the same.
    """

    def enclosed(name: str, rounding: Rounding) -> Ball:
        return _widened(enclosing(seen, rounding).of(name), times)

    _assert_each_within(seen, enclosed, clause, severity, first=first, forced=enclosing is from_own_gradients)


def gradients_lie_within(seen: Differentiated) -> bool:
    """Whether `assert_gradients_within` would find nothing; it counts no comparison."""
    wanted = seen.loss.wanted if seen.loss else ()

    def compared(rounding: Rounding) -> list[Enclosed]:
        return [(seen.gradient(name), from_cotangents(seen, rounding).of(name), False) for name in wanted]

    return are_enclosed(seen, compared)


def assert_gradients_add_up(seen: Differentiated) -> None:
    """After each later pass every gradient lies in the sum of the enclosures of all passes so far."""
    passes = (seen, *seen.later_passes)
    for count, last in enumerate(passes[1:], 2):
        _assert_each_within(last, partial(_sum, passes[:count]), after=f" after {count} passes", first=seen)


def _sum(passes: Sequence[Differentiated], name: str, rounding: Rounding) -> Ball:
    """The enclosure of a sum of gradients that is rounded once for each summand, and may underflow as often."""
    first, *others = (from_cotangents(one, rounding).of(name) for one in passes)
    return sum((other.widened(rounding.floor) for other in others), first).slackened()


def _assert_each_within(
    seen: Differentiated,
    enclosed: Callable[[str, Rounding], Ball],
    clause: str | None = None,
    severity: str = RED,
    after: str = "",
    first: Differentiated | None = None,
    forced: bool = False,
) -> None:
    """Every gradient lies in the enclosure of its name.

    after: says when, in a finding. first: the first pass of several. forced: as in `assert_enclosed`
    """

    def compared(rounding: Rounding) -> list[Enclosed]:
        return [(got.called(got.field + after), enclosed(name, rounding), False) for name, got in gradients.items()]

    gradients, wanted = seen.gradients, seen.loss.wanted if seen.loss else ()
    for name in wanted:
        if name not in gradients:
            _may_be_missing(seen, name, enclosed(name, allowed(seen)), clause, severity, first)
    assert_enclosed(seen, compared, clause, severity, first, forced)


def _widened(ball: Ball, times: float) -> Ball:
    return ball if times == 1 else Ball(ball.midpoint, times * ball.radius, ball.rounding, ball.overflows)


def _may_be_missing(
    seen: Differentiated, name: str, ball: Ball, clause: str | None, severity: str, first: Differentiated | None
) -> None:
    """Records a finding if zeros, which None stands for, lie outside the bounds."""
    zero = seen.zero_gradient(name)
    apart = np.abs(ball.midpoint) - ball.radius
    case = case_record.current()
    case.checked(seen, 1, 0.0, 0.0)
    if (apart > 0).any():
        at = tuple(int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))
        bound = f"{float(ball.midpoint[at]):.9g} +- {ball.radius[at]:.2g}"
        lines = [f"{zero.field}:  got None, which stands for zeros   allowed at {zero.at(at)}: {bound}"]
        element = element_of(zero, at, ball.midpoint[at], ball.radius[at])
        case.found(
            seen, zero.field, "is missing", lines, severity=severity, clause=clause, element=element, other=first
        )


def assert_zero(seen: Differentiated, got: LabelledArray, may_overflow: np.ndarray) -> None:
    """Every element is zero, of either sign; not where something may have overflowed, and been multiplied by zero."""
    right = (got.values == 0) | may_overflow
    telling = int((~may_overflow).sum())
    zeros = np.zeros_like(got.values)
    assert_every(seen, got, zeros, right, "is not zero", lambda at: "no part of the loss hangs on it", telling)


def assert_twice(twice: Differentiated, once: Differentiated) -> None:
    """Every gradient is exactly twice the other observation's, but where that overflows, or may be flushed to zero.

    Where bits were not measured to repeat, a difference within the error of both passes is amber.
    """
    format, floor = allowed(once).format, allowed(once).floor
    for name, first in once.gradients.items():
        got, doubled = twice.gradient(name), format.round(2 * first.values)
        with np.errstate(invalid="ignore"):
            flushed = np.abs(got.values - doubled) <= 2 * floor
        right = (got.values == doubled) | (np.isnan(got.values) & np.isnan(doubled)) | flushed
        beside = _times(2, "of one pass", first.values, doubled)
        severity = _of_bits(once, name, got, doubled, 2, right)
        compared = (first, once)
        kind = "two passes do not add up"
        assert_every(twice, got, doubled, right, kind, beside, severity=severity, compared=compared)


def assert_scaled(seen: Differentiated, scaled: Differentiated, factor: float) -> None:
    """The gradients of a loss times a power of two are exactly so many times the others; underflow and overflow aside.

    Both may have lost what underflows: the first has lost `factor` times as much of what is compared. Where bits were
    not measured to repeat, a difference within both bounds is amber.
    """
    lost, enclosure = underflow_of_gradients(seen), from_cotangents(scaled)
    for name, once in seen.gradients.items():
        got, wanted = scaled.gradient(name), factor * once.values
        vacuous = ~(np.isfinite(lost[name]) & np.isfinite(enclosure.of(name).radius))
        with np.errstate(invalid="ignore"):
            near = np.abs(got.values - wanted) <= (1 + factor) * lost[name]
        beside = _times(factor, "of the loss alone", once.values, wanted)
        right, telling = (got.values == wanted) | near | vacuous, int((~vacuous).sum())
        severity = _of_bits(seen, name, got, wanted, factor, right)
        apart, kind = (1 + factor) * lost[name], "does not grow with the loss"
        assert_every(seen, got, wanted, right, kind, beside, telling, severity, (once, scaled), apart)


def _of_bits(
    once: Differentiated, name: str, got: LabelledArray, wanted: np.ndarray, factor: float, right: np.ndarray
) -> str:
    """The severity of elements that are not `right`, of a gradient that should be `factor` times that of `once`.

    The clause's own where bits were measured to repeat; elsewhere amber up to the errors that both may have.
    """
    if right.all() or is_measured(once):
        return ""
    ball, unit_roundoff = from_cotangents(once).of(name), allowed(once).unit_roundoff
    apart = np.abs(got.values - wanted)[~right]
    radius = (2 * factor * (ball.radius + unit_roundoff * np.abs(ball.midpoint)))[~right]
    return AMBER if bool(np.all((apart <= radius) | ~np.isfinite(radius))) else RED


def assert_gradients_unchanged(seen: Differentiated, other: Differentiated, relation: str) -> None:
    """Gradients of another call, which differs from `seen` in nothing that matters, are the same.

    Where that was not measured, a difference within both bounds is amber. relation: says what the other call is.
    """
    assert_nothing(seen, "gradient", f"not there {relation}", sorted(seen.gradients.keys() - other.gradients.keys()))
    assert_nothing(other, "gradient", f"only {relation}", sorted(other.gradients.keys() - seen.gradients.keys()))
    common = [name for name in seen.gradients if name in other.gradients]
    for name in common:
        got, wanted = other.gradients[name], seen.gradients[name]
        severity = _of_bits(seen, name, got, wanted.values, 1, are_equal(got, wanted))
        assert_same(other, got, wanted, f"plainly, not {relation}", severity, seen)


def assert_gradients_agree(
    seen: Differentiated,
    others: Gradients,
    relation: str,
    names: Iterable[str],
    other: Differentiated | None = None,
) -> None:
    """Gradients computed in another correct way differ by at most twice the bound.

    other: the first call of that way, where it is one of several
    """
    enclosure = from_cotangents(seen)
    for name in names:
        radius = np.asarray(2 * enclosure.of(name).radius, np.float64)
        _within(seen, seen.gradient(name), others[name], radius, relation, other=other)


def _within(
    seen: Differentiated,
    got: LabelledArray,
    wanted: np.ndarray,
    radius: np.ndarray,
    relation: str,
    labels: LabelledArray | None = None,
    other: Differentiated | None = None,
) -> None:
    """Two values of each element are at most `radius` apart; an infinite radius is vacuous.

    labels: of `wanted`. other: the call that it is of, if it is not `seen`
    """
    comparison = compare_with_bounds(got.values, Ball(wanted, radius, allowed(seen), overflows=True), bounded=False)
    case_record.current().checked(seen, got.values.size, comparison.vacuous, comparison.worst)
    beside = _beside(relation, wanted, radius)
    right, compared = comparison.ratios <= 1, (labels, other)
    assert_every(seen, got, wanted, right, "does not agree", beside, telling=0, compared=compared, allowed=radius)


def _times(factor: float, of: str, once: np.ndarray, wanted: np.ndarray) -> Callable[[tuple[int, ...]], str]:
    """Describes the value wanted at a wrong element, which is so many times another; of: says what that is of."""
    return lambda at: f"documented {number(wanted[at])}   {factor:g} times {float(once[at]):.9g} {of}"


def _beside(relation: str, wanted: np.ndarray, radius: np.ndarray | None = None) -> Callable[[tuple[int, ...]], str]:
    """Describes the value wanted at a wrong element, and the allowed difference."""

    def beside(at: tuple[int, ...]) -> str:
        apart = "" if radius is None else f"   allowed to differ by {radius[at]:.2g}"
        return f"{relation} {number(wanted[at])}{apart}"

    return beside


def assert_balanced(
    seen: Differentiated, field: str, left: np.ndarray, right: np.ndarray, radius: np.ndarray, other: str
) -> None:
    """Two quantities that the equations make equal differ by at most `radius`, the sum of their allowed errors.

    field and other name them in a finding.
    """
    got, wanted = np.asarray(left), np.asarray(right)
    labelled, beside = (LabelledArray.of(*of, *INDEX[: got.ndim]) for of in ((field, got), (other, wanted)))
    _within(seen, labelled, wanted, np.asarray(radius), f"but {other} is", beside)


def summed(values: np.ndarray, gradient: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """<values, gradient> in the widest type, and the error that the gradient's bounds allow it; inf if one of these
    is vacuous, even if multiplied by zero."""
    wide, own = values.astype(WIDEST), (values.size + 1) * float(np.finfo(WIDEST).eps)
    with np.errstate(invalid="ignore"):
        error = (np.abs(wide) * (radius * (1 + 2.0**-40) + own * np.abs(gradient))).sum()
        return (wide * gradient).sum(), np.float64(error if np.isfinite(error) else np.inf)
