"""One time step of each cell, as the documentation of torch.nn.RNN, torch.nn.LSTM and torch.nn.GRU writes it.

Balls are (D, N, features) for one step, or (D, N, T, features) for all steps at once, from known states before each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.ball import Ball, Term, affine, blend, sigmoid, tanh
from reference.ball import relu as rectified


@dataclass(frozen=True)
class Weights:
    """The parameters of one layer, directions stacked.

    weight_ih  (D, G*H, features of the input)
    weight_hh  (D, G*H, R)
    biases     (D, G*H), or None with bias=False
    weight_hr  (D, P, H), or None without a projection
    """

    weight_ih: np.ndarray
    weight_hh: np.ndarray
    bias_ih: np.ndarray | None
    bias_hh: np.ndarray | None
    weight_hr: np.ndarray | None = None

    def rows(self, first: int, last: int, of: int) -> Weights:
        """The parameters of gates `first` to `last - 1`; `of` is the number of gates of the cell."""
        hidden_size = self.weight_hh.shape[1] // of
        block = slice(first * hidden_size, last * hidden_size)
        biases = (None if b is None else b[:, block] for b in (self.bias_ih, self.bias_hh))
        return Weights(self.weight_ih[:, block], self.weight_hh[:, block], *biases)

    def input_term(self, x: Ball) -> Term:
        """W_ih x + b_ih"""
        return Term(x, self.weight_ih, self.bias_ih)

    def hidden_term(self, h: Ball) -> Term:
        """W_hh h + b_hh"""
        return Term(h, self.weight_hh, self.bias_hh)


def rnn_tanh(x: Ball, h: Ball, w: Weights) -> Ball:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)"""
    return tanh(affine(w.input_term(x), w.hidden_term(h)))


def rnn_relu(x: Ball, h: Ball, w: Weights) -> Ball:
    """h' = relu(W_ih x + b_ih + W_hh h + b_hh)"""
    return rectified(affine(w.input_term(x), w.hidden_term(h)))


def gru(x: Ball, h: Ball, w: Weights) -> Ball:
    """h' = (1 - z) * n + z * h; the reset gate r multiplies W_hn h + b_hn; gates stacked r, z, n."""
    both = w.rows(0, 2, of=3)
    r, z = split(sigmoid(affine(both.input_term(x), both.hidden_term(h))), 2)
    new = w.rows(2, 3, of=3)
    n = tanh(affine(new.input_term(x)) + r * affine(new.hidden_term(h)))
    return blend(z, n, h)


def lstm_gates(x: Ball, h: Ball, w: Weights) -> tuple[Ball, Ball, Ball, Ball]:
    """i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x + b_ih + W_hh h + b_hh; stacked in this order."""
    both, last_two = split(affine(w.input_term(x), w.hidden_term(h)), 2)
    i, f = split(sigmoid(both), 2)
    g, o = split(last_two, 2)
    return i, f, tanh(g), sigmoid(o)


def lstm_cell_state(f: Ball, c: Ball, written: Ball) -> Ball:
    """c' = f * c + i * g; `written` is i * g."""
    return f * c + written


def lstm_hidden_state(o: Ball, c: Ball, w: Weights) -> Ball:
    """h' = o * tanh(c'), and with a projection h' = W_hr (o * tanh(c'))"""
    h = o * tanh(c)
    return h if w.weight_hr is None else affine(Term(h, w.weight_hr, None))


def split(z: Ball, gates: int) -> list[Ball]:
    """The gate blocks of a pre-activation, in the order in which the parameters stack them."""
    width = z.midpoint.shape[-1] // gates
    return [z[..., gate * width : (gate + 1) * width] for gate in range(gates)]
