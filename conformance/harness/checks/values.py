"""From observations to findings: comparisons, each of which names the element that is farthest out.

An assertion records what it finds in the case at hand and never raises; `property.check` raises the first unknown
deviation once the whole case has been checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

import reference
from conformance.clauses import AMBER, RED, TORCH_NN, clause_of_shape
from conformance.harness.checks import case_record
from conformance.harness.checks.bounds import allowed, from_inputs, from_own_states, judgement
from conformance.harness.checks.ratios import compare_with_bounds, is_bounded
from conformance.harness.execution.failure import MISMATCHED, Failure
from conformance.harness.execution.observation import Differentiated, LabelledArray, Observation, documented_shapes
from conformance.harness.findings.recorder import Element
from conformance.harness.findings.rendering import rounded
from conformance.harness.foreign_text import one_line
from reference.ball import Ball
from reference.network import Enclosure
from reference.problem import REVERSE
from reference.roundings import STATED, Rounding

Slice = tuple[Any, ...]
"""A result's name, where to look in one observation, where in the other, and its name there if that is another."""

Enclosing = Callable[[Observation, Rounding], Enclosure]


def assert_within(seen: Observation, enclosing: Enclosing) -> None:
    """Every result of `seen` lies in the enclosure; the sharper model, where there is one, is tried first.

    Beyond the sharper model is amber; beyond what any correct implementation may return is red.
    """

    assert_enclosed(seen, partial(_enclosed, seen, enclosing), forced=enclosing is from_own_states)


def lies_within(seen: Observation, enclosing: Enclosing) -> bool:
    """Whether `assert_within` would find nothing; it counts no comparison."""
    return are_enclosed(seen, partial(_enclosed, seen, enclosing))


def _enclosed(seen: Observation, enclosing: Enclosing, rounding: Rounding) -> list[Enclosed]:
    enclosure = enclosing(seen, rounding)
    return [
        (labelled, getattr(enclosure, name), is_bounded(seen.problem, name)) for name, labelled in seen.results.items()
    ]


Enclosed = tuple[LabelledArray, Ball, bool]
"""A returned array, its enclosure, and whether it is bounded by 1."""


def assert_enclosed(
    seen: Observation,
    compared: Callable[[Rounding], list[Enclosed]],
    clause: str | None = None,
    beyond_red: str = RED,
    other: Observation | None = None,
    forced: bool = False,
) -> None:
    """Every array lies in its enclosure; the first that does not is the finding.

    other: the first pass of several. forced: whether the enclosures are those of single steps from own values
    """
    case = case_record.current()
    models = judgement(seen)
    sharp = models.amber or models.red
    outside = _outside(seen, compared(sharp))
    if not outside:
        return
    severity = beyond_red
    if models.amber:
        beyond = _outside(seen, compared(models.red), count=False)
        severity, outside = (beyond_red, beyond) if beyond else (AMBER, outside)
    for labelled, ball, ratios in outside[:1]:
        at = farthest_out(labelled, ratios)
        lines = describe_within(labelled, ball, ratios)
        case.found(
            seen,
            labelled.field,
            OUTSIDE,
            lines,
            severity=severity,
            clause=clause,
            element=replace(element_of(labelled, at, ball.midpoint[at], ball.radius[at]), forced=forced),
            other=other,
        )


def are_enclosed(seen: Observation, compared: Callable[[Rounding], list[Enclosed]]) -> bool:
    """Whether every array lies in its enclosure, of the sharper model where there is one; no comparison is counted."""
    models = judgement(seen)
    return not _outside(seen, compared(models.amber or models.red), count=False)


def element_of(
    got: LabelledArray, at: tuple[int, ...], wanted: Any, allowed: Any = 0.0, other: LabelledArray | None = None
) -> Element:
    """Element `at` of a result as data, beside what it should be, or the element of another result there."""
    there = ("", {}) if other is None else (other.field, other.where(at))
    return Element(got.field, got.where(at), float(got.values[at]), float(wanted), float(allowed), *there)


def assert_at_most(seen: Observation, got: LabelledArray, limit: np.ndarray, kind: str) -> None:
    """Every element of a result is at most `limit` (same shape). NaN and inf are not, unless something may have
    overflowed."""
    right = got.values <= limit
    if not np.isfinite(got.values).all():
        ball = getattr(from_inputs(seen), got.field)
        right |= ~np.isfinite(got.values) & ~np.isfinite(ball.radius)
    assert_every(seen, got, limit, right, kind, lambda at: f"allowed at most {number(limit[at])}")


def assert_not_negative(seen: Observation, got: LabelledArray) -> None:
    """No element is below zero. NaN is not: it is legal after an overflow, which the error bounds judge."""
    assert_every(seen, got, got.values, ~(got.values < 0), "is negative", lambda at: "allowed at least 0")


def assert_near_printed(
    seen: Observation, got: LabelledArray, printed: np.ndarray, digits: int, radius: np.ndarray
) -> None:
    """Every element is the number printed with `digits` decimals, up to its error bound."""
    near = np.abs(got.values - printed) <= radius + 0.5 * 10.0**-digits
    assert_every(seen, got, printed, near, "is not as printed", lambda at: f"printed {printed[at]} +- {radius[at]:.2g}")


def assert_signs_agree(seen: Observation, got: LabelledArray, other: LabelledArray) -> None:
    """No element is positive where its counterpart is negative, or the reverse. NaN has no sign."""
    agree = ~(np.sign(got.values) * np.sign(other.values) < 0)
    kind = f"sign opposed to {other.field}"
    assert_every(seen, got, other.values, agree, kind, lambda at: f"{other.field} there {number(other.values[at])}")


def assert_same(
    seen: Observation,
    got: LabelledArray,
    wanted: LabelledArray,
    relation: str = "",
    severity: str = "",
    other: Observation | None = None,
) -> None:
    """Equal element by element under IEEE ==, NaN equal to NaN, +0 to -0.

    relation: says of which call `wanted` is, where that call does not say it. other: that call, if it is not `seen`.
    """
    of = relation or ("the same call" if other is None else other.problem.relation or "another call")

    def there(at: tuple[int, ...]) -> str:
        return f"{of}: {wanted.at(at)} {number(wanted.values[at])}"

    kind = f"differs from {wanted.field}"
    assert_every(
        seen, got, wanted.values, are_equal(got, wanted), kind, there, severity=severity, compared=(wanted, other)
    )


def assert_unchanged(seen: Observation, other: Observation, *parts: Slice, relation: str) -> None:
    """Parts of another call, which differs from `seen` in nothing that matters, are the same.

    Where that was not measured, a difference within both bounds is amber. relation: says which call `seen` is, whose
    values a finding shows as the ones wanted.
    """
    for part in parts:
        wanted, got = _both(seen, other, part)
        severity = ""
        if not are_equal(got, wanted).all() and not is_measured(seen):
            severity = RED if parts_apart(seen, other, [part], allowed(seen), count=False) else AMBER
        assert_same(seen, got, wanted, relation, severity, other)


OUTSIDE = "outside its bound"
"""The kind of a result that rounding errors do not explain."""

NOT_ACCURATE = "is not accurate"
"""The end of the kind of a result whose function, named before it, is less accurate than its model."""

NOT_EXACT = "is not exact"
"""The kind of a result of data in which nothing is rounded before the end."""


def assert_exact(seen: Observation, enclosing: Enclosing) -> None:
    """Every result is the exact one, rounded to the dtype: of data in which nothing is rounded before the end.

    An implementation that states its accuracy is held to that.
    """
    if allowed(seen).provenance == STATED:
        assert_within(seen, enclosing)
        return
    enclosure = enclosing(seen, _in_float64(seen.problem.architecture.cell))  # for its midpoints alone
    for name, labelled in seen.results.items():
        rounded = allowed(seen).format.round(getattr(enclosure, name).midpoint)
        right = (labelled.values == rounded) | (np.isnan(labelled.values) & np.isnan(rounded))
        assert_every(seen, labelled, rounded, right, NOT_EXACT, partial(_reference, rounded))


def _reference(exact: np.ndarray, at: tuple[int, ...]) -> str:
    return f"reference {number(exact[at])}   no error is allowed"


@cache
def _in_float64(cell: str) -> Rounding:
    """A rounding model for float64; the same object each time, so that an enclosure is computed once."""
    return reference.model(cell, "float64", "cpu", "", "", "").red


def assert_agree(seen: Observation, other: Observation, *parts: Slice) -> None:
    """Parts of two observations of the same numbers differ by at most twice the bound of the first, from its inputs."""
    models = judgement(seen)
    sharp = models.amber or models.red
    apart = parts_apart(seen, other, parts, sharp)
    if not apart:
        return
    severity = RED
    if models.amber:
        beyond = parts_apart(seen, other, parts, models.red, count=False)
        severity, apart = (RED, beyond) if beyond else (AMBER, apart)
    got, wanted, radius, ratios = apart[0]
    at = tuple(int(i) for i in np.unravel_index(int(ratios.argmax()), ratios.shape))
    lines = [
        f"{got.at(at)}:  got {number(got.values[at])}",
        f"{other.problem.relation or 'other call'}: {wanted.at(at)} {number(wanted.values[at])}   "
        f"allowed to differ by {radius[at]:.2g}; {_times(ratios[at], got.values[at], wanted.values[at])}",
    ]
    element = element_of(got, at, wanted.values[at], radius[at], wanted)
    case_record.current().found(
        seen, got.field, "does not agree", lines, severity=severity, element=element, other=other
    )


def assert_same_or_agree(seen: Observation, other: Observation, *parts: Slice) -> None:
    """Parts of two observations are the same; if different kernels computed them, they agree within their bounds."""
    if differ(seen, other, *parts) and seen.kernels != other.kernels:
        assert_agree(seen, other, *parts)
        return
    for part in parts:
        assert_same(seen, *_both(seen, other, part), other.problem.relation, other=other)


def is_exact(seen: Observation) -> bool:
    """Whether the clause at hand keeps two calls of this subject equal to the bit."""
    clause = case_record.current().clause
    return clause is not None and clause.is_exact_for(seen.subject) and is_measured(seen)


def is_measured(seen: Observation) -> bool:
    """Whether calls that say the same were measured to be equal to the bit, with these classes, here."""
    run = case_record.current().run
    own = run.subject.is_pytorchs_own(seen.problem.architecture.name)
    return own and seen.problem.device == "cpu" and run.repeats_bits


def differ(seen: Observation, other: Observation, *parts: Slice) -> bool:
    """Whether any part of two observations is not the same."""
    return not all(are_equal(*_both(seen, other, part)).all() for part in parts)


def parts_apart(
    seen: Observation, other: Observation, parts: Sequence[Slice], rounding: Rounding, count: bool = True
) -> list[tuple[LabelledArray, LabelledArray, np.ndarray, np.ndarray]]:
    """Of the parts that differ by more than both bounds: values here and there, what is allowed, and the ratios."""
    enclosure, found = from_inputs(seen, rounding), []
    for part in parts:
        (got, wanted), ball, name = _both(seen, other, part), getattr(enclosure, part[0])[part[1]], part[0]
        both = Ball(wanted.values, 2 * ball.radius, rounding, overflows=True)
        comparison = compare_with_bounds(got.values, both, bounded=is_bounded(seen.problem, name))
        equal = are_equal(got, wanted)
        ratios = np.where(equal, 0.0, comparison.ratios)
        if count:
            case_record.current().checked(seen, got.values.size, comparison.vacuous, float(ratios.max(initial=0.0)))
        if not ratios.max(initial=0.0) <= 1:
            found.append((got, wanted, both.radius, ratios))
    return found


def _both(seen: Observation, other: Observation, part: Slice) -> tuple[LabelledArray, LabelledArray]:
    """A part of one observation, and its counterpart in the other."""
    name, at, there, *renamed = part
    return getattr(seen, name)[at], getattr(other, renamed[0] if renamed else name)[there]


def are_equal(got: LabelledArray, wanted: LabelledArray) -> np.ndarray:
    """Which elements are equal under IEEE ==, NaN equal to NaN."""
    assert got.values.shape == wanted.values.shape, "a comparison never broadcasts"
    return (got.values == wanted.values) | (np.isnan(got.values) & np.isnan(wanted.values))


def assert_different_where_disjoint(
    seen: Observation, got: LabelledArray, other: LabelledArray, balls: tuple[Ball, Ball]
) -> None:
    """Where the enclosures of two values are disjoint, the values differ."""
    apart = np.abs(balls[0].midpoint - balls[1].midpoint) > balls[0].radius + balls[1].radius
    differ = (got.values != other.values) | ~apart
    assert_every(
        seen,
        got,
        other.values,
        differ,
        f"equals {other.field}",
        lambda at: f"the same as {other.at(at)}",
        int(apart.sum()),
        compared=(other, None),
    )


def assert_every(
    seen: Observation,
    got: LabelledArray,
    other: np.ndarray,
    right: np.ndarray,
    kind: str,
    beside: Callable[[tuple[int, ...]], str],
    telling: int | None = None,
    severity: str = "",
    compared: tuple[LabelledArray | None, Observation | None] = (None, None),
    allowed: np.ndarray | None = None,
    field: str = "",
) -> None:
    """Counts a comparison with `other`; its first wrong element is the finding, with the text `beside`.

    compared: the labels of `other`, and the call that it is of. allowed: by how much each element may differ; the
    finding then is the wrong element of the largest error / bound. field: the finding's, if not that of `got`
    """
    assert got.values.shape == other.shape, "a comparison never broadcasts"
    case = case_record.current()
    case.checked(seen, got.values.size if telling is None else telling, 0.0, 0.0)
    if not right.all():
        ratios = np.ones(right.shape) if allowed is None else _ratios(got.values, other, allowed)
        index = tuple(int(i) for i in np.unravel_index(int(np.where(right, -1.0, ratios).argmax()), right.shape))
        lines = [f"{got.at(index)}:  got {number(got.values[index])}   {beside(index)}"]
        lines += [f"{int((~right).sum())} of {right.size} elements are wrong"] if right.size > 1 else []
        labels, call = compared
        element = element_of(got, index, other[index], 0.0 if allowed is None else allowed[index], labels)
        case.found(seen, field or got.field, kind, lines, severity=severity, element=element, other=call)


def assert_accurate(seen: Observation, function: str, got: LabelledArray, exact: np.ndarray, most: float) -> None:
    """A function's values are as accurate as its rounding model says; the summary shows the worst error."""
    rounding = judgement(seen).amber or allowed(seen)
    u, floor = rounding.unit_roundoff, rounding.tanh_floor if function == "tanh" else rounding.sigmoid_floor
    error, limit = np.abs(got.values - exact), most * u * np.abs(exact) + floor
    ratios = _ratios(got.values, exact, limit)
    assert_every(
        seen,
        got,
        exact,
        error <= limit,
        f"{function} {NOT_ACCURATE}",
        lambda at: f"{function} is {exact[at]:.9g} +- {limit[at]:.2g} allowed; {_times(ratios[at], got.values[at])}",
        allowed=limit,
    )
    beyond = np.maximum(error - floor, 0)  # underflow does not count as inaccuracy
    worst = float((beyond / np.maximum(u * np.abs(exact), floor)).max(initial=0.0))
    case_record.current().run.recorder.measured(f"{seen.problem.dtype} {function}", worst)


@np.errstate(all="ignore")
def _ratios(values: np.ndarray, wanted: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """error / bound of every element; that of NaN is infinite."""
    ratios = np.abs(values - wanted) / allowed
    return np.where(np.isnan(ratios), np.inf, ratios)


def assert_fact(seen: Observation, field: str, kind: str, got: object, wanted: object) -> None:
    """A fact (shape, dtype, device, names, text) is the one that is documented."""
    case = case_record.current()
    case.checked(seen, 1, 0.0, 0.0)
    if got != wanted:
        line = f"{field}, {kind}:  got {got}   documented {wanted}"
        case.found(seen, field, kind, [line], documented=wanted)


def assert_nothing(
    seen: Observation, field: str, kind: str, got: Iterable[str] | Mapping[str, str], severity: str = ""
) -> None:
    """A list of offences is empty; each offence is a finding of its own kind. A mapping says more of each."""
    case = case_record.current()
    case.checked(seen, 1, 0.0, 0.0)
    for offence in got:
        more = got[offence] if isinstance(got, Mapping) else ""
        line = "   ".join(filter(None, (f"{field}, {kind}:  {offence}", more)))
        case.found(seen, field, f"{kind}: {offence}", [line], severity=severity)


def assert_impossible(seen: Observation, stated: str) -> None:
    """A call that a subject states as impossible fails, or gives no right result."""
    case = case_record.current()
    case.checked(seen, 1, 0.0, 0.0)
    is_right = seen.failure is None and not seen.misshapen and lies_within(seen, from_inputs)
    if is_right and isinstance(seen, Differentiated) and seen.loss is not None:
        is_right = seen.raw_gradients.keys() >= set(seen.loss.wanted)
    if is_right:
        case.found(seen, "statement", stated, [f"states {stated}, and this works: {seen.problem.case}"])


def assert_accepted(seen: Observation, siblings: Sequence[Observation]) -> None:
    """`seen` was not refused while one of its siblings was accepted."""
    case = case_record.current()
    case.checked(seen, 1, 0.0, 0.0)
    accepting = [other.problem.architecture.name for other in siblings if other.failure is None]
    if seen.failure is not None and accepting:
        line = f"{one_line(seen.failure.text)}   accepted by {', '.join(accepting)}"
        case.found(seen, "call", f"refuses {seen.problem.dtype}", [line], failure=seen.failure)


LONGEST_MESSAGE = 500
"""The most characters of an exception's text: what it advises stands at its end."""


def assert_returned(seen: Observation, field: str = "call", severity: str = "") -> bool:
    """The call, or its parts, gave a result. Returns whether it did. severity: of a call that ended no process."""
    failure = seen.failure
    if failure is None:
        return True
    clause = clause_of_shape("parameters") if failure.kind == MISMATCHED else None
    severity = RED if failure.ended_process else severity
    is_pytorchs = seen.subject == TORCH_NN
    case_record.current().found(
        seen,
        field,
        failure.title,
        [one_line(failure.text, LONGEST_MESSAGE), *([] if is_pytorchs else _raised_at(failure))],
        severity=severity,
        clause=clause,
        failure=failure,
    )
    return False


def _raised_at(failure: Failure) -> list[str]:
    """Where a subject raised an exception: a line for each of its own frames, the innermost last."""
    return [f"at {one_line(frame)}" for frame in failure.frames]


def assert_documented_shape(seen: Observation) -> bool:
    """Every result has the documented shape. Returns whether it has."""
    name = seen.misshapen
    if not name:
        return True
    got, wanted = seen.facts[name].shape, documented_shapes(seen.problem)[name]
    line = f"{name}, shape:  got {got}   documented {wanted}"
    case_record.current().found(seen, name, "shape", [line], clause=clause_of_shape(name), documented=wanted)
    return False


def _outside(
    seen: Observation, compared: Sequence[Enclosed], count: bool = True
) -> list[tuple[LabelledArray, Ball, np.ndarray]]:
    """The arrays with an element outside their enclosure; `count` records each comparison."""
    found = []
    for labelled, ball, bounded in compared:
        comparison = compare_with_bounds(labelled.values, ball, bounded)
        if count:
            case, dtype = case_record.current(), seen.problem.dtype
            case.checked(seen, labelled.values.size, comparison.vacuous, comparison.worst)
            case.detectable_error[dtype] = min(case.detectable_error.get(dtype, np.inf), comparison.detectable_error)
        if not comparison.worst <= 1:
            found.append((labelled, ball, comparison.ratios))
    return found


def farthest_out(got: LabelledArray, ratios: np.ndarray) -> tuple[int, ...]:
    """The element of the largest error / bound; of those of an output, at the step that first left its bounds."""
    outside = ratios > 1
    if outside.any():
        began = _own_time(ratios.shape, [name for name, _ in got.axes])
        ratios = np.where(began == began[outside].min(), ratios, -1)
    return tuple(int(i) for i in np.unravel_index(int(ratios.argmax()), ratios.shape))


def describe_within(got: LabelledArray, ball: Ball, ratios: np.ndarray) -> list[str]:
    """Where an output first left its bounds, and by how much; of states, the element that is farthest out."""
    names, index = [name for name, _ in got.axes], farthest_out(got, ratios)
    value, wanted, radius = got.values[index], float(ball.midpoint[index]), ball.radius[index]
    far = _times(ratios[index], value)
    lines = [f"{got.at(index)}:  got {number(value)}   reference {wanted:.9g} +- {radius:.2g} allowed; {far}"]
    if ratios[index] > 1 and {"direction", "step"} <= set(names) and ratios.shape[names.index("step")] > 1:
        along = tuple(axis for axis, name in enumerate(names) if name != "step")
        lines.append(_right_at(got.axes[names.index("step")][1], np.asarray((ratios <= 1).all(axis=along))))
    return lines


MOST_STEPS_NAMED = 12


def _right_at(steps: Sequence[int], is_right: np.ndarray) -> str:
    """The steps of an output whose values are within their bounds, or the first of the others if these are fewer."""
    right, wrong = ([str(steps[t]) for t in np.flatnonzero(which).tolist()] for which in (is_right, ~is_right))
    if len(right) <= MOST_STEPS_NAMED:
        return f"right at step {', '.join(right)}" if right else "wrong at every step"
    more = " and later ones" if len(wrong) > MOST_STEPS_NAMED else ""
    return f"right at {len(right)} of {len(steps)} steps, wrong at step {', '.join(wrong[:MOST_STEPS_NAMED])}{more}"


def _times(ratio: float, got: float, other: float = 0.0) -> str:
    """error / bound in words, where neither says more that a value or the `other` one is NaN or infinite."""
    for name, value in (("got", got), ("the other", other)):
        if not np.isfinite(ratio) and not np.isfinite(value):
            return f"{name} is {'NaN' if np.isnan(value) else 'infinite'}"
    if not np.isfinite(ratio):
        return "no error is allowed"
    if ratio <= 1:
        return f"off by {ratio:.2g} of that"
    return f"off by {rounded(ratio)} times that" if ratio >= 1.05 else "off by just more than that"


def _own_time(shape: tuple[int, ...], names: list[str]) -> np.ndarray:
    """For each element of an output the step of its direction that computed it; 0 for anything else."""
    if not {"step", "direction"} <= set(names):
        return np.zeros(shape, int)
    index = np.indices(shape)
    step, backwards = index[names.index("step")], shape[names.index("step")] - 1 - index[names.index("step")]
    return np.where(index[names.index("direction")] == REVERSE, backwards, step)


def number(value: Any) -> str:
    """A value in decimal, and exactly in hexadecimal without trailing zeros."""
    digits, _, exponent = float(value).hex().partition("p")
    exact = f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}p{exponent}" if exponent else digits
    return f"{float(value):.9g} ({exact})" if exponent else exact
