"""The largest values that states can reach, rounding included. These bounds hold for any weights."""

from __future__ import annotations

import numpy as np

from reference.network import given, layer_weights
from reference.problem import GRU, LSTM, RNN_TANH, Problem
from reference.roundings import Rounding


def hidden_state(problem: Problem, rounding: Rounding) -> np.ndarray:
    """The largest abs(h) of every state of a layer (L, D, N, R), float64; inf for RNN(relu), which has no limit.

    tanh RNN and LSTM: 1. GRU, whose state is a mean of n and h: max(1, abs(h_0)). Each step may add its rounding.
    """
    u = rounding.unit_roundoff
    h_0 = np.abs(problem.state("h_0"))
    if problem.architecture.cell == RNN_TANH:
        return np.full(h_0.shape, 1 + rounding.tanh * u + rounding.tanh_floor)
    if problem.architecture.cell == LSTM:
        return np.full(h_0.shape, (1 + _gated(rounding) * u) * (1 + _floors(rounding)))
    if problem.architecture.cell == GRU:
        per_step = (2 * _sigmoid(rounding) + rounding.tanh + 5) * u + 2 * _floors(rounding)
        return np.maximum(1.0, h_0) * (1 + per_step) ** problem.steps + problem.steps * 4 * rounding.floor
    return np.full(h_0.shape, np.inf)


def cell_state(problem: Problem, rounding: Rounding) -> np.ndarray:
    """The largest abs(c_n) of an LSTM (L, D, N, H), float64: abs(c_0) + T, rounding included."""
    grown = (1 + (_gated(rounding) + 3) * rounding.unit_roundoff + _floors(rounding)) ** problem.steps
    return (np.abs(problem.state("c_0")) + problem.steps) * grown + problem.steps * 4 * rounding.floor


def preactivation(problem: Problem, rounding: Rounding) -> float:
    """The largest abs(gate) of any layer and step before its function, of any partial sum too; inf for RNN(relu) and
    with a projection."""
    a = problem.architecture
    if a.proj_size:
        return float("inf")
    h = hidden_state(problem, rounding)
    read, largest = float(np.abs(given(problem)).max()), 0.0
    for layer in range(a.num_layers):
        w, top = layer_weights(problem, layer), float(h[layer].max())
        sums = read * np.abs(w.weight_ih).sum(-1) + top * np.abs(w.weight_hh).sum(-1)
        if w.bias_ih is not None and w.bias_hh is not None:
            sums = sums + np.abs(w.bias_ih) + np.abs(w.bias_hh)
        read, largest = top, max(largest, 2 * float(sums.max()))
    return largest


def gated_by(c_n: np.ndarray, rounding: Rounding) -> np.ndarray:
    """The largest abs(h_n) of an LSTM whose cell state is `c_n`, in its shape: abs(tanh(c_n)), rounding included."""
    room = _gated(rounding) + (1 if rounding.wider_states else 0)
    largest = np.abs(np.tanh(c_n)) * (1 + room * rounding.unit_roundoff) * rounding.slack
    return largest * (1 + rounding.sigmoid_floor) + 2 * rounding.tanh_floor + 3 * rounding.floor


def _sigmoid(rounding: Rounding) -> float:
    """The relative error of a sigmoid near 1, in u. `sigmoid_slope` matters in the tails alone, so it is left out."""
    return rounding.sigmoid


def _gated(rounding: Rounding) -> float:
    """The relative error of sigmoid * tanh, in u."""
    return _sigmoid(rounding) + rounding.tanh + 2


def _floors(rounding: Rounding) -> float:
    """The absolute errors of sigmoid and tanh near 1, with the product of both."""
    return 2 * (rounding.sigmoid_floor + rounding.tanh_floor)
