"""Layers, directions and time: the enclosure of everything that a call returns.

Two modes. `forward` runs the whole stack from its inputs; its bounds grow with the steps. `forward_forced` runs one
layer and starts each step from the state that the subject returned for the step before, so its bounds do not grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reference import cells
from reference.ball import Ball, concatenate, stack, where
from reference.cells import Weights
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH, Problem
from reference.roundings import Rounding

ELEMENTS_AT_ONCE = 2**20
"""The number of pre-activations of a padded batch that are computed together: more do not fit into a CPU cache."""

NEXT_STATE = {RNN_TANH: cells.rnn_tanh, RNN_RELU: cells.rnn_relu, GRU: cells.gru}


@dataclass(frozen=True)
class Enclosure:
    """The results that a correct implementation may return.

    output  (N, T, D, R), zero past the end of a row of a packed sequence
    h_n     (L, D, N, R)
    c_n     (L, D, N, H) for LSTM, else None
    """

    output: Ball
    h_n: Ball
    c_n: Ball | None = None

    @classmethod
    def of(cls, output: Ball, h_n: Ball, c_n: Ball | None = None) -> Enclosure:
        """The enclosure whose radii are first-order bounds times `Rounding.slack`."""
        return cls(*(None if ball is None else ball.slackened() for ball in (output, h_n, c_n)))  # type: ignore[arg-type]


@np.errstate(all="ignore")  # a vacuous ball carries inf and nan through the arithmetic
def forward(problem: Problem, rounding: Rounding) -> Enclosure:
    """The results of a call on `problem`, computed from its inputs alone. Dropout is not applied."""
    below = Ball.exact(given(problem), rounding, problem.granule)
    h_0, c_0 = (Ball.exact(problem.state(name), rounding, problem.granule) for name in ("h_0", "c_0"))
    last: list[tuple[Ball, Ball | None]] = []
    for layer in range(problem.architecture.num_layers):
        h, h_n, c_n = _run(problem, in_own_time(problem, below), h_0[layer], c_0[layer], layer_weights(problem, layer))
        output = _output(problem, h)
        below = concatenate([output[:, :, direction] for direction in range(problem.architecture.directions)], -1)
        last.append((h_n, c_n))
    c = [c_n for _, c_n in last if c_n is not None]
    return Enclosure.of(output, stack([h_n for h_n, _ in last], 0), stack(c, 0) if c else None)


@np.errstate(all="ignore")
def forward_forced(problem: Problem, rounding: Rounding, output: np.ndarray) -> Enclosure:
    """The results of a one-layer call on `problem`, given the `output` (N, T, D, R) that the subject returned.

    Step t starts from output[:, t-1], in the reverse direction from output[:, t+1]; an LSTM's c is carried from c_0.
    """
    at_once = _rows_at_once(problem)
    if at_once >= problem.batch_size or problem.lengths is not None:
        return _forced(problem, rounding, output)
    blocks = [range(problem.batch_size)[start : start + at_once] for start in range(0, problem.batch_size, at_once)]
    parts = [_forced(problem.rows(block), rounding, output[list(block)]) for block in blocks]
    c = [part.c_n for part in parts if part.c_n is not None]
    h_n = concatenate([part.h_n for part in parts], 2)
    return Enclosure(concatenate([part.output for part in parts], 0), h_n, concatenate(c, 2) if c else None)


def _rows_at_once(problem: Problem) -> int:
    """The number of rows of the batch that are computed together, at least one."""
    a = problem.architecture
    return max(1, ELEMENTS_AT_ONCE // (problem.steps * a.directions * len(GATES[a.cell]) * a.hidden_size))


def _forced(problem: Problem, rounding: Rounding, output: np.ndarray) -> Enclosure:
    """`forward_forced` of one block of rows."""
    weights = layer_weights(problem, 0)
    x = in_own_time(problem, Ball.exact(given(problem), rounding, problem.granule))
    h = states_before(problem, rounding, output)
    if problem.architecture.cell == LSTM:
        i, f, g, o = cells.lstm_gates(x, h, weights)
        states = cell_states(problem, rounding, i, f, g)
        after = cells.lstm_hidden_state(o, stack(states, 2), weights)
        return Enclosure.of(_output(problem, after), _last(problem, after)[None], states[-1][None])
    after = NEXT_STATE[problem.architecture.cell](x, h, weights)
    return Enclosure.of(_output(problem, after), _last(problem, after)[None])


def cell_states(problem: Problem, rounding: Rounding, i: Ball, f: Ball, g: Ball) -> list[Ball]:
    """An LSTM's c (D, N, H) after each step, carried from c_0, from its gates (D, N, T, H) in own time."""
    c, written, states = Ball.exact(problem.state("c_0")[0], rounding), i * g, []
    for t in range(problem.steps):
        c = _if_running(problem, t, cells.lstm_cell_state(f[:, :, t], c, written[:, :, t]), c)
        states.append(c)
    return states


def layer_weights(problem: Problem, layer: int) -> Weights:
    """The parameters of `layer`, directions stacked."""
    ends = [problem.architecture.end(layer, direction) for direction in range(problem.architecture.directions)]

    def stacked(name: str) -> np.ndarray:
        return _stacked([problem.parameters[name + end] for end in ends])

    a = problem.architecture
    b_ih, b_hh = (stacked("bias_ih"), stacked("bias_hh")) if a.bias else (None, None)
    w_hr = stacked("weight_hr") if a.proj_size else None
    return Weights(stacked("weight_ih"), stacked("weight_hh"), b_ih, b_hh, w_hr)


def _stacked(directions: Sequence[np.ndarray]) -> np.ndarray:
    """The arrays of each direction, stacked along a new first axis; a single one is not copied."""
    return np.stack(directions) if len(directions) > 1 else directions[0][None]


def _run(problem: Problem, x: Ball, h: Ball, c: Ball, weights: Weights) -> tuple[Ball, Ball, Ball | None]:
    """One layer over x (D, N, T, features): every h (D, N, T, R), the last h (D, N, R) and the last c (D, N, H).

    Time runs in each direction's own order; c is None unless the cell is LSTM.
    """
    cell, states = problem.architecture.cell, []
    for t in range(problem.steps):
        if cell == LSTM:
            i, f, g, o = cells.lstm_gates(x[:, :, t], h, weights)
            new_c = cells.lstm_cell_state(f, c, i * g)
            new_h = cells.lstm_hidden_state(o, new_c, weights)
            c = _if_running(problem, t, new_c, c)
        else:
            new_h = NEXT_STATE[cell](x[:, :, t], h, weights)
        h = _if_running(problem, t, new_h, h)
        states.append(h)
    return stack(states, 2), h, c if cell == LSTM else None


def given(problem: Problem) -> np.ndarray:
    """The input (N, T, I), with zeros past the end of each row of a packed sequence."""
    return problem.input if problem.lengths is None else np.where(running_rows(problem)[..., None], problem.input, 0)


def running_rows(problem: Problem) -> np.ndarray:
    """A mask (N, T) of the steps that each row of a packed sequence has, in the row's own time."""
    return np.arange(problem.steps) < np.array(problem.lengths)[:, None]


def _if_running(problem: Problem, t: int, new: Ball, old: Ball) -> Ball:
    """The state (D, N, features) after step t: the new one for rows that still run, the old one for the others."""
    return new if problem.lengths is None else where(running_rows(problem)[:, t, None], new, old)


def _last(problem: Problem, h: Ball) -> Ball:
    """The state after each row's last step, from states (D, N, T, features)."""
    if problem.lengths is None:
        return h[:, :, -1]
    return h[:, np.arange(problem.batch_size), np.array(problem.lengths) - 1]


def reversed_in_time(problem: Problem, values: np.ndarray) -> np.ndarray:
    """values (N, T, ...) with each row reversed in time, from its own last step; its own inverse."""
    if problem.lengths is None:
        return values[:, ::-1]
    t, lengths = np.arange(problem.steps), np.array(problem.lengths)[:, None]
    order = np.where(t < lengths, lengths - 1 - t, t)
    return values[np.arange(problem.batch_size)[:, None], order]


def in_own_time(problem: Problem, x: Ball) -> Ball:
    """x (N, T, features) in each direction's own time (D, N, T, features)."""
    if problem.architecture.directions == 1:
        return x[None]
    return stack([x, x.rearranged(lambda values: reversed_in_time(problem, values))], 0)


def _output(problem: Problem, h: Ball) -> Ball:
    """The output (N, T, D, R) from states (D, N, T, R) in each direction's own time; zero past the end of a row."""
    forward_half = [h[0]]
    reverse_half = [h[1].rearranged(lambda values: reversed_in_time(problem, values))] if len(h.midpoint) == 2 else []
    output = stack(forward_half + reverse_half, 2)
    if problem.lengths is None:
        return output
    nothing = Ball.exact(np.zeros(output.midpoint.shape), output.rounding)
    return where(running_rows(problem)[:, :, None, None], output, nothing)


def states_before(problem: Problem, rounding: Rounding, output: np.ndarray) -> Ball:
    """The state before each step (D, N, T, R), in each direction's own time: h_0, then the output up to there."""
    h_0, output = problem.state("h_0")[0], np.asarray(output, np.float64)
    own = [output[:, :, 0]] + ([reversed_in_time(problem, output[:, :, 1])] if output.shape[2] == 2 else [])
    before = _stacked([np.concatenate([h[:, None], seen[:, :-1]], 1) for h, seen in zip(h_0, own, strict=True)])
    if problem.steps == 1:
        return Ball.exact(before, rounding, problem.granule)
    ball = Ball.exact(before, rounding)
    if not rounding.wider_states:
        return ball
    returned = rounding.unit_roundoff * np.abs(before)
    returned[:, :, 0] = 0
    return ball.widened(np.nan_to_num(returned, posinf=np.inf))
