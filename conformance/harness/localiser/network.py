"""The documented forward pass with a place for each variant. Without one, it is `reference.forward`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from reference import cells
from reference.ball import Ball, concatenate, stack, where
from reference.cells import Weights
from reference.network import NEXT_STATE, Enclosure, given, layer_weights, reversed_in_time, running_rows
from reference.problem import LSTM, REVERSE, Problem
from reference.roundings import Rounding

State = tuple[Ball, Ball]
"""h and c (1, N, features) of one direction; c stays as it is unless the cell is LSTM."""

NextState = Callable[[Ball, Ball, Ball, Weights], State]
"""From the input, h and c before a step to h and c after it."""

Turn = Callable[[Problem, np.ndarray], np.ndarray]
"""How values (N, T, ...) are turned in time."""


def documented(cell: str) -> NextState:
    """The step of a cell as it is documented."""
    if cell != LSTM:
        return lambda x, h, c, w: (NEXT_STATE[cell](x, h, w), c)

    def step(x: Ball, h: Ball, c: Ball, w: Weights) -> State:
        i, f, g, o = cells.lstm_gates(x, h, w)
        after = cells.lstm_cell_state(f, c, i * g)
        return cells.lstm_hidden_state(o, after, w), after

    return step


def latest(states: list[State]) -> State:
    """The state that a step starts from."""
    return states[-1]


@dataclass(frozen=True)
class Wiring:
    """What a variant does otherwise.

    step       the step of the cell; None for the documented one
    start      the state that a step starts from, of those before it, the initial one first
    turned     how the reverse direction reads its input
    back       how its output is turned back
    below      the layer whose output a layer reads, -1 for the input of the call
    reads      the step whose input a step reads, of so many steps
    at         the steps, in own time, at which `step`, `start` and `reads` hold; None for all
    """

    step: NextState | None = None
    start: Callable[[list[State]], State] = latest
    turned: Turn = reversed_in_time
    back: Turn = reversed_in_time
    below: Callable[[int], int] = lambda layer: layer - 1
    reads: Callable[[int, int], int] = lambda t, steps: t
    at: range | None = None


@np.errstate(all="ignore")
def compute(problem: Problem, rounding: Rounding, wiring: Wiring) -> Enclosure:
    """The results of a call on `problem`, wired in this way."""
    read = {-1: Ball.exact(given(problem), rounding, problem.granule)}
    ends: list[list[State]] = []
    for layer in range(problem.architecture.num_layers):
        x, halves, last = read[wiring.below(layer)], [], []
        for direction in range(problem.architecture.directions):
            own = _turned(problem, x, wiring.turned) if direction == REVERSE else x
            states = _run(problem, own, layer, direction, wiring)
            h = stack([h[0] for h, _ in states[1:]], 1)
            halves.append(_turned(problem, h, wiring.back) if direction == REVERSE else h)
            last.append(states[-1])
        output = _cut(problem, stack(halves, 2))
        read[layer] = concatenate([output[:, :, half] for half in range(len(halves))], -1)
        ends.append(last)
    h_n, c_n = (stack([concatenate([state[k] for state in last], 0) for last in ends], 0) for k in (0, 1))
    return Enclosure.of(output, h_n, c_n if problem.architecture.cell == LSTM else None)


def _turned(problem: Problem, x: Ball, turn: Turn) -> Ball:
    return x.rearranged(lambda values: turn(problem, values))


def _cut(problem: Problem, output: Ball) -> Ball:
    """The output, zero past the end of a row."""
    if problem.lengths is None:
        return output
    nothing = Ball.exact(np.zeros(output.midpoint.shape), output.rounding)
    return where(running_rows(problem)[:, :, None, None], output, nothing)


def _run(problem: Problem, x: Ball, layer: int, direction: int, wiring: Wiring) -> list[State]:
    """The initial state of one direction, and that after each step of x (N, T, features) in its own time."""
    right = documented(problem.architecture.cell)
    weights = _of_direction(layer_weights(problem, layer), direction)
    first = [Ball.exact(problem.state(n)[layer, direction][None], x.rounding, problem.granule) for n in ("h_0", "c_0")]
    states = [(first[0], first[1])]
    for t in range(problem.steps):
        varied = wiring.at is None or t in wiring.at
        step = wiring.step if varied and wiring.step is not None else right
        before = wiring.start(states) if varied else states[-1]
        now = wiring.reads(t, problem.steps) if varied else t
        after = step(x[:, now][None], *before, weights)
        if problem.lengths is not None:
            running = running_rows(problem)[:, t, None]
            after = (where(running, after[0], states[-1][0]), where(running, after[1], states[-1][1]))
        states.append(after)
    return states


def _of_direction(weights: Weights, direction: int) -> Weights:
    """The parameters of one direction, its axis kept."""
    one = slice(direction, direction + 1)
    found = {name: values[one] for name, values in vars(weights).items() if values is not None}
    return replace(weights, **found)
