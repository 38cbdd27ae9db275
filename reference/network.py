"""Layers, directions and time: the enclosure of everything that a call returns.

Two modes. `forward` runs the whole stack from its inputs; its bounds grow with the steps. `forward_forced` judges one
layer, each step from the subject's own state before it, so that its bounds stay as flat as those of one step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference import cells
from reference.ball import Ball, concatenate, stack
from reference.cells import Weights
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH, Problem, suffix
from reference.roundings import Rounding

STEP = {RNN_TANH: cells.rnn_tanh, RNN_RELU: cells.rnn_relu, GRU: cells.gru}


@dataclass(frozen=True)
class Enclosure:
    """What a correct implementation may return: output (N, T, D, R), h_n (L, D, N, R), c_n (L, D, N, H) for LSTM."""

    output: Ball
    h_n: Ball
    c_n: Ball | None = None

    @classmethod
    def of(cls, output: Ball, h_n: Ball, c_n: Ball | None = None) -> Enclosure:
        """The enclosure of first-order bounds: `Rounding.slack` covers the products of two errors."""
        return cls(*(None if ball is None else ball.slackened() for ball in (output, h_n, c_n)))  # type: ignore[arg-type]


@np.errstate(all="ignore")  # a ball that says nothing carries inf and nan through the arithmetic
def forward(problem: Problem, rounding: Rounding) -> Enclosure:
    """Everything that a call on `problem` returns, from its inputs alone."""
    a = problem.architecture
    below = Ball.exact(problem.input, rounding, problem.granule)
    h_0, c_0 = (Ball.exact(problem.state(name), rounding, problem.granule) for name in ("h_0", "c_0"))
    last: list[tuple[Ball, Ball | None]] = []
    for layer in range(a.num_layers):
        h, h_n, c_n = _run(a.cell, _turned(below, a.directions), h_0[layer], c_0[layer], layer_weights(problem, layer))
        output = _output(h)
        below = concatenate([output[:, :, direction] for direction in range(a.directions)], -1)
        last.append((h_n, c_n))
    c = [c_n for _, c_n in last if c_n is not None]
    return Enclosure.of(output, stack([h_n for h_n, _ in last], 0), stack(c, 0) if c else None)


@np.errstate(all="ignore")
def forward_forced(problem: Problem, rounding: Rounding, output: np.ndarray) -> Enclosure:
    """What a call on `problem`, of one layer, returns if it truly passed through `output` (N, T, D, R).

    Step t starts from output[:, t-1], mirrored for the reverse direction; an LSTM's c is carried from c_0.
    """
    weights = layer_weights(problem, 0)
    x = _turned(Ball.exact(problem.input, rounding, problem.granule), problem.architecture.directions)
    h = _states_before(problem, rounding, output)
    if problem.architecture.cell == LSTM:
        i, f, g, o = cells.lstm_gates(x, h, weights)
        c = Ball.exact(problem.state("c_0")[0], rounding)
        states = []
        for t in range(problem.steps):
            c = cells.lstm_cell_state(i[:, :, t], f[:, :, t], g[:, :, t], c)
            states.append(c)
        after = cells.lstm_hidden_state(o, stack(states, 2))
        return Enclosure.of(_output(after), after[None, :, :, -1], c[None])
    after = STEP[problem.architecture.cell](x, h, weights)
    return Enclosure.of(_output(after), after[None, :, :, -1])


def layer_weights(problem: Problem, layer: int) -> Weights:
    """The parameters of `layer`, its directions stacked."""
    ends = [suffix(layer, direction) for direction in range(problem.architecture.directions)]

    def stacked(name: str) -> np.ndarray:
        return np.stack([problem.parameters[name + end] for end in ends])

    biases = [stacked("bias_ih"), stacked("bias_hh")] if problem.architecture.bias else [None, None]
    return Weights(stacked("weight_ih"), stacked("weight_hh"), *biases)


def _run(cell: str, x: Ball, h: Ball, c: Ball, weights: Weights) -> tuple[Ball, Ball, Ball | None]:
    """One layer over x (D, N, T, features): every h (D, N, T, R) in the direction's own time, and the last h and c."""
    states = []
    for t in range(x.midpoint.shape[2]):
        if cell == LSTM:
            i, f, g, o = cells.lstm_gates(x[:, :, t], h, weights)
            c = cells.lstm_cell_state(i, f, g, c)
            h = cells.lstm_hidden_state(o, c)
        else:
            h = STEP[cell](x[:, :, t], h, weights)
        states.append(h)
    return stack(states, 2), h, c if cell == LSTM else None


def _turned(x: Ball, directions: int) -> Ball:
    """x (N, T, features) for each direction (D, N, T, features); the reverse direction reads it backwards."""
    return x[None] if directions == 1 else stack([x, x[:, ::-1]], 0)


def _output(h: Ball) -> Ball:
    """States (D, N, T, R) in each direction's own time, as an output (N, T, D, R)."""
    in_time = [h[0], h[1][:, ::-1]] if h.midpoint.shape[0] == 2 else [h[0]]
    return stack(in_time, 2)


def _states_before(problem: Problem, rounding: Rounding, output: np.ndarray) -> Ball:
    """The state before each step (D, N, T, R), in each direction's own time: h_0, then the output so far."""
    h_0, output = problem.state("h_0")[0], np.asarray(output, np.float64)
    directions = [output[:, :, 0], output[:, ::-1, 1]] if output.shape[2] == 2 else [output[:, :, 0]]
    before = np.stack([np.concatenate([h[:, None], own[:, :-1]], 1) for h, own in zip(h_0, directions, strict=True)])
    if problem.steps == 1:
        return Ball.exact(before, rounding, problem.granule)
    ball = Ball.exact(before, rounding)
    if not rounding.wider_states:
        return ball
    returned = rounding.unit_roundoff * np.abs(before)
    returned[:, :, 0] = 0
    return ball.widened(np.nan_to_num(returned, posinf=np.inf))
