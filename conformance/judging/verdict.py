"""What is said of one result of a call: allowed or not, and the element that says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

import reference
from conformance.clauses import CLAUSES
from conformance.harness.cells import CELL_NAMES
from conformance.harness.checks.ratios import compare_with_bounds, is_bounded, says_nothing
from conformance.harness.checks.values import describe_within, farthest_out, number
from conformance.harness.execution.observation import Differentiated, LabelledArray
from conformance.harness.findings.rendering import counted, detail, rounded, wrapped
from conformance.judging.recorded_call import RecordedCall
from conformance.judging.sampling import MOST_PRODUCTS, products
from reference import limits
from reference.ball import Ball
from reference.network import Enclosure
from reference.problem import FORWARD, LSTM, REVERSE, RNN_RELU, Problem
from reference.roundings import Rounding

WIDTH = 80
"""Columns of a verdict's text."""

ENDS, LIMITS = ("D1", "D2"), "D3"
"""The clauses of results that equal others, and of the largest values."""

BACKWARD_TIMES = 4
"""How much longer gradients take than results."""


@dataclass(frozen=True)
class Verdict:
    """What is said of one result, and the element that is farthest out, or nearest to its bound if none is out.

    allowed        whether a correct implementation may return it, as far as the bounds say anything
    clause         the id of the clause that the element was compared by
    field, place   where it is: output; layer 0 forward, row 0, step 1, unit 1
    got            the value that was returned
    reference      the documented value
    allowed_error  how far a correct implementation may be from it
    times          the error in units of that
    far            that in words, as in "is NaN"
    vacuous        the share of values of which no bound says anything; 1.0: nothing can be said
    rows           the rows of the batch whose values were judged
    text           all of this as a terminal of 80 columns shows it
    """

    allowed: bool
    clause: str
    field: str
    place: str
    got: float
    reference: float
    allowed_error: float
    times: float
    far: str
    vacuous: float
    rows: tuple[int, ...]
    text: str

    @property
    def says_nothing(self) -> bool:
        """Whether nothing can be said: no value is out, and no bound is narrower than what it bounds."""
        return self.allowed and self.vacuous >= 1

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False)
class Comparison:
    """A returned array beside its bounds under one clause: error / bound of each value, and which say nothing."""

    clause: str
    got: LabelledArray
    ball: Ball
    ratios: np.ndarray
    silent: np.ndarray

    @classmethod
    def of(cls, clause: str, got: LabelledArray, ball: Ball, bounded: bool = False) -> Comparison:
        """`bounded`: whether the equations keep the values between -1 and 1."""
        return cls(
            clause, got, ball, compare_with_bounds(got.values, ball, bounded).ratios, says_nothing(ball, bounded)
        )

    @property
    def worst(self) -> float:
        return float(self.ratios.max(initial=0.0))


def judged(call: RecordedCall, label: str, rows: Sequence[int], whole: Enclosure) -> Verdict:
    """The verdict on the result of this label.

    rows   those of the batch whose values are judged
    whole  the enclosure of these rows from the inputs of the call
    """
    seen = call.results[label]
    compared = [*_of_values(call, seen, rows, whole), *_of_gradients(call, seen, rows)]
    relations = [*_ends(seen, call.rounding), *_limits(call, seen, rows, whole)]
    outside = [one for one in (*compared, *relations) if not one.worst <= 1]
    telling = [one for one in compared if not one.silent.all()] or compared
    worst = outside[0] if outside else max(telling, key=lambda one: float(np.where(one.silent, 0, one.ratios).max()))
    shown = worst if outside else replace(worst, ratios=np.where(worst.silent, 0, worst.ratios))
    vacuous = _share_silent(compared)
    at = farthest_out(shown.got, shown.ratios)
    field, _, place = shown.got.at(at).partition(", ")
    return Verdict(
        allowed=not outside,
        clause=shown.clause,
        field=field,
        place=place,
        got=float(shown.got.values[at]),
        reference=float(shown.ball.midpoint[at]),
        allowed_error=float(shown.ball.radius[at]),
        times=float(shown.ratios[at]),
        far=_far(call.problem, shown, at),
        vacuous=vacuous,
        rows=tuple(rows),
        text="\n".join(_text(call.problem, label, shown, not outside, vacuous)),
    )


def from_inputs(call: RecordedCall, rows: Sequence[int]) -> Enclosure:
    """The enclosure of these rows, from the inputs of the call through all layers and steps."""
    return reference.forward(_part(call.problem, rows), call.rounding)


def _part(problem: Problem, rows: Sequence[int]) -> Problem:
    return problem if len(rows) == problem.batch_size else problem.rows(rows)


def _of_values(call: RecordedCall, seen: Differentiated, rows: Sequence[int], whole: Enclosure) -> Iterator[Comparison]:
    """Each result beside its bounds from the inputs, and of a single layer also step by step from the output."""
    problem, part = call.problem, _part(call.problem, rows)
    kept = {name: labelled.rows(rows, part.steps) for name, labelled in seen.results.items()}
    for name, got in kept.items():
        yield Comparison.of("B1", got, getattr(whole, name), is_bounded(problem, name))
    if problem.architecture.num_layers == 1 and problem.steps > 1 and "output" in kept:
        forced = reference.forward_forced(part, call.rounding, kept["output"].values)
        for name, got in kept.items():
            yield Comparison.of("B2", got, getattr(forced, name), is_bounded(problem, name))


def differentiable_here(problem: Problem, rows: Sequence[int]) -> bool:
    """Whether gradients are judged: sums over all rows, they need all of them."""
    everything = BACKWARD_TIMES * problem.batch_size * products(problem)
    return len(rows) == problem.batch_size and everything <= MOST_PRODUCTS


def _of_gradients(call: RecordedCall, seen: Differentiated, rows: Sequence[int]) -> Iterator[Comparison]:
    """Each gradient beside its bounds from the inputs."""
    if seen.loss is None or not seen.raw_gradients or not differentiable_here(call.problem, rows):
        return
    bounds = reference.backward(call.problem, call.rounding, seen.loss.cotangents)
    for name, got in seen.gradients.items():
        yield Comparison.of("C1", got, bounds.of(name))


def _ends(seen: Differentiated, rounding: Rounding) -> Iterator[Comparison]:
    """The last state of the last layer beside the output at the end of each row, of all rows."""
    problem, results = seen.problem, seen.results
    if not {"output", "h_n"} <= results.keys():
        return
    output, rows = results["output"].values, np.arange(problem.batch_size)
    last = np.array(problem.lengths) - 1 if problem.lengths is not None else np.full(len(rows), problem.steps - 1)
    clause = ENDS[problem.architecture.bidirectional]
    ends = {FORWARD: output[rows, last, FORWARD]}
    if problem.architecture.bidirectional:
        ends[REVERSE] = output[:, 0, REVERSE]
    for direction, end in ends.items():
        yield Comparison.of(clause, results["h_n"][-1, direction], Ball.exact(end, rounding))


def _limits(call: RecordedCall, seen: Differentiated, rows: Sequence[int], whole: Enclosure) -> Iterator[Comparison]:
    """States beside the largest that the equations give; NaN and inf pass where a gate may have overflowed."""
    part, a = _part(call.problem, rows), call.problem.architecture
    if a.cell == RNN_RELU or a.proj_size:
        return
    h, overflows = limits.hidden_state(part, call.rounding), _may_overflow(part, call.rounding)
    tops = {"h_n": h, "output": np.broadcast_to(h[-1].swapaxes(0, 1)[:, None], whole.output.midpoint.shape)}
    if a.cell == LSTM:
        tops["c_n"] = limits.cell_state(part, call.rounding)
    for name, labelled in seen.results.items():
        got = labelled.rows(rows, part.steps)
        is_legal = overflows & ~np.isfinite(got.values) & ~np.isfinite(getattr(whole, name).radius)
        top = np.where(is_legal, np.inf, tops[name])
        yield Comparison.of(LIMITS, got, Ball(np.zeros(top.shape), top, call.rounding, overflows=True))


def _may_overflow(problem: Problem, rounding: Rounding) -> bool:
    """Whether some gate may leave the range of the type; bounds that have grown without end do not say that it may."""
    return not limits.preactivation(problem, rounding) < rounding.format.largest


def _share_silent(compared: Sequence[Comparison]) -> float:
    """The share of values of which no comparison says anything."""
    silent: dict[str, np.ndarray] = {}
    for one in compared:
        silent[one.got.field] = silent.get(one.got.field, np.True_) & one.silent
    return sum(int(mask.sum()) for mask in silent.values()) / sum(mask.size for mask in silent.values())


def _text(problem: Problem, label: str, shown: Comparison, allowed: bool, vacuous: float) -> Iterator[str]:
    """The lines of a verdict."""
    clause, name = CLAUSES[shown.clause], CELL_NAMES[problem.architecture.name]
    whose = f"{name}, {label}" if label else name
    if allowed and vacuous >= 1:
        head, said = "    ", f"{whose}: no bound is narrower than the values"
    elif allowed:
        head, said = "OK  ", f"{whose}: every value lies within its bound; the nearest to it:"
    else:
        head, said = "RED ", f"{whose} fails: {clause.claim}"
    head = f"{head} {clause.id:<3} "
    yield from wrapped(said, WIDTH, head, " " * len(head))
    if allowed and vacuous >= 1:
        return
    for line in _details(problem, shown):
        yield from detail(line, WIDTH)
    if vacuous:
        yield f"  {share(vacuous)} of the bounds say nothing"


def _details(problem: Problem, shown: Comparison) -> Iterator[str]:
    """The element that a verdict shows: what was returned, and what is allowed there."""
    at = farthest_out(shown.got, shown.ratios)
    got = f"{shown.got.at(at)}:  got {number(shown.got.values[at])}"
    if steps := _steps_before(problem, shown.got, at):
        row = shown.got.where(at)["row"]
        yield f"{got}   documented 0 padding: row {row} has {counted(steps, 'step')}"
    elif shown.clause in ENDS:
        yield f"{got}   documented {number(shown.ball.midpoint[at])} the output at the end of the row"
    elif shown.clause == LIMITS:
        yield f"{got}   allowed at most {number(shown.ball.radius[at])} by the equations"
    else:
        yield from describe_within(shown.got, shown.ball, shown.ratios)


def _steps_before(problem: Problem, got: LabelledArray, at: tuple[int, ...]) -> int:
    """The steps of the row of a packed batch, after which an element of its output is padding; 0 if it is none."""
    where = got.where(at)
    if got.field != "output" or problem.lengths is None or where["step"] < problem.lengths[where["row"]]:
        return 0
    return problem.lengths[where["row"]]


def _far(problem: Problem, shown: Comparison, at: tuple[int, ...]) -> str:
    """How far an element is out, in words."""
    got, times = shown.got.values[at], shown.ratios[at]
    if not np.isfinite(got):
        return "is NaN" if np.isnan(got) else "is infinite"
    if _steps_before(problem, shown.got, at):
        return "is padding and not 0"
    if shown.clause in ENDS:
        return "is not the output at the end of the row"
    return f"is off by {rounded(times)} times its bound" if np.isfinite(times) else "is off where no error is allowed"


def share(part: float) -> str:
    """A share in percent, one that is neither nothing nor all never as 0 % or 100 %."""
    return f"{min(max(100 * part, 0.1), 99.9) if 0 < part < 1 else 100 * part:.1f} %"
