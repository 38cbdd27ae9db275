"""Variants that are the documented results in other places, or of a call that was read in another way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from conformance.harness.localiser.evidence import Balls
from reference.ball import Ball, concatenate, where
from reference.network import Enclosure, forward, running_rows
from reference.problem import FORWARD, LSTM, REVERSE, Problem
from reference.roundings import Rounding

Varied = Iterator[tuple[str, Balls]]
"""The words that complete `equals the documented results ...`, and enclosures of all results."""

STATES = ("h_n", "c_n")

ROWS = {"output": 0, "h_n": 2, "c_n": 2}
DIRECTIONS = {"output": 2, "h_n": 1, "c_n": 1}
"""The axis of a result that counts rows, or directions."""


def by_name(enclosure: Enclosure, problem: Problem) -> dict[str, Ball]:
    """The enclosures of what a call returns."""
    found = {"h_n": enclosure.h_n} | ({} if enclosure.c_n is None else {"c_n": enclosure.c_n})
    return found if problem.architecture.single_step else {"output": enclosure.output} | found


def moved(right: Balls, change: Callable[[np.ndarray], np.ndarray], *names: str) -> Balls:
    """All enclosures, those of these names passed through `change`."""
    return {name: ball.rearranged(change) if name in names else ball for name, ball in right.items()}


def reordered(right: Balls, names: Sequence[str], axes: Mapping[str, int], order: Sequence[int]) -> Balls:
    """All enclosures, those of these names in another order along their axis."""
    return {
        name: ball.rearranged(partial(_taken, axes[name], order)) if name in names else ball
        for name, ball in right.items()
    }


def _taken(axis: int, order: Sequence[int], values: np.ndarray) -> np.ndarray:
    return np.take(values, list(order), axis)


def _parts(right: Balls) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The words and names of all results, of the output and of the last states."""
    yield "", tuple(right)
    if "output" in right:
        yield " of output", ("output",)
        states = tuple(name for name in STATES if name in right)
        yield f" of {' and '.join(states)}", states


def directions_exchanged(problem: Problem, rounding: Rounding, right: Balls) -> Varied:
    for words, order in (
        ("the directions exchanged", (REVERSE, FORWARD)),
        ("the forward direction in both halves", (FORWARD, FORWARD)),
        ("the reverse direction in both halves", (REVERSE, REVERSE)),
    ):
        for of, names in _parts(right) if problem.architecture.bidirectional else ():
            yield f"with {words}{of}", reordered(right, names, DIRECTIONS, order)


def output_moved_in_time(problem: Problem, rounding: Rounding, right: Balls) -> Varied:
    if "output" in right and problem.steps > 1 and problem.lengths is None:
        first = Ball.exact(np.moveaxis(problem.state("h_0")[-1], 0, 1)[:, None], rounding)
        yield "with the output reversed in time", moved(right, lambda v: v[:, ::-1], "output")
        for filled, edge in (("h_0", first), ("zeros", _zero(first))):
            earlier = concatenate([edge, right["output"][:, :-1]], 1)
            yield f"with the output of the step before, {filled} at step 0", {**right, "output": earlier}
        later = moved(right, lambda v: np.concatenate([v[:, 1:], v[:, -1:]], 1), "output")
        yield "with the output of the step after", later


def _zero(like: Ball) -> Ball:
    return Ball.exact(np.zeros(like.midpoint.shape), like.rounding)


def last_states_from_elsewhere(problem: Problem, rounding: Rounding, right: Balls) -> Varied:
    """h_n and c_n exchanged, not advanced, or of another step, layer or place."""
    a = problem.architecture
    if a.cell == LSTM and right["h_n"].midpoint.shape == right["c_n"].midpoint.shape:
        yield "with h_n and c_n exchanged", {**right, "h_n": right["c_n"], "c_n": right["h_n"]}
        yield "with h_n as c_n too", {**right, "c_n": right["h_n"]}
        yield "with c_n as h_n too", {**right, "h_n": right["c_n"]}
    given = {"h_n": "h_0", "c_n": "c_0"}
    kept = {name: Ball.exact(problem.state(given[name]), rounding) for name in STATES if name in right}
    for names in (tuple(kept), *((name,) for name in kept if len(kept) > 1)):
        words = " and ".join(f"{given[name]} as {name}" for name in names)
        yield f"with {words}", {**right, **{name: kept[name] for name in names}}
    if problem.lengths is None and problem.steps > 1 and "output" in right and a.num_layers == 1:
        for words, at in (("first", 0), ("last", -1)):
            seen = right["output"].rearranged(lambda v, at=at: np.moveaxis(v[:, at], 1, 0)[None])  # type: ignore[misc]
            yield f"with the output of the {words} step as h_n", {**right, "h_n": seen}
    if a.num_layers > 1:
        yield "with the last states in the reverse order of layers", moved(right, lambda v: v[::-1], *STATES)
        if a.bidirectional:

            def other_order(values: np.ndarray) -> np.ndarray:
                return values.swapaxes(0, 1).reshape(values.shape)

            yield "with the last states direction by direction", moved(right, other_order, *STATES)


def rows_moved(problem: Problem, rounding: Rounding, right: Balls) -> Varied:
    n = problem.batch_size
    if n > 1:
        orders: dict[str, Sequence[int]] = {"in reverse": range(n)[::-1], "moved on by one": [n - 1, *range(n - 1)]}
        if n > 2:
            orders["moved back by one"] = [*range(1, n), 0]
        if problem.lengths is not None:
            orders["longest first"] = sorted(range(n), key=lambda row: -problem.lengths[row])  # type: ignore[index]
        for words, order in orders.items():
            for of, names in _parts(right):
                yield f"with the rows{of} {words}", reordered(right, names, ROWS, order)


def output_of_another_layer(problem: Problem, rounding: Rounding, right: Balls) -> Varied:
    a = problem.architecture
    for layer in range(a.num_layers - 1):
        below = replace(a, num_layers=layer + 1)
        h_0, c_0 = (None if state is None else state[: layer + 1] for state in (problem.h_0, problem.c_0))
        part = replace(problem, architecture=below, h_0=h_0, c_0=c_0)
        yield f"with the output of layer {layer}", {**right, "output": forward(part, rounding).output}


def rows_and_steps_exchanged(problem: Problem, rounding: Rounding, right: Balls) -> Varied:
    """batch_first ignored, where the shapes allow it."""
    if problem.lengths is None and problem.batch_size == problem.steps > 1:
        other = replace(problem, input=problem.input.swapaxes(0, 1))
        found = by_name(forward(other, rounding), problem)
        words = "with rows and steps exchanged, as for the other batch_first"
        yield words, moved(found, lambda values: values.swapaxes(0, 1), "output")
        yield "with rows and steps of the input exchanged", found
        swapped = moved(right, lambda values: values.swapaxes(0, 1), "output")
        yield "with rows and steps of the output exchanged", swapped


def rows_run_on(problem: Problem, rounding: Rounding, right: Balls) -> Varied:
    """Rows of a packed sequence that go on past their end, with zeros as input."""
    if problem.lengths is not None:
        running = running_rows(problem)
        x = np.where(running[..., None], problem.input, 0)
        whole = by_name(forward(replace(problem, input=x, lengths=None), rounding), problem)
        cut = where(running[:, :, None, None], whole["output"], _zero(whole["output"]))
        yield "with every row as long as the longest", {**whole, "output": cut}
        yield "with every row as long as the longest, and their output", whole
        if problem.architecture.bidirectional:
            yield "with last states as if every row were as long", {**whole, "output": right["output"]}


KINDS: tuple[Callable[[Problem, Rounding, Balls], Varied], ...] = (
    directions_exchanged,
    last_states_from_elsewhere,
    output_moved_in_time,
    rows_moved,
    output_of_another_layer,
    rows_and_steps_exchanged,
    rows_run_on,
)
