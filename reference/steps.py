"""One time step of each cell, forward and backward.

Balls are (D, N, features). A forward step keeps the values that its backward step needs. In names, d stands for the
gradient of the loss with respect to the quantity that follows: dz for a pre-activation, dh for the state before the
step, dh' for the state after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from reference import cells
from reference.ball import (
    Ball,
    Summand,
    affine,
    alone,
    blend,
    blend_backward,
    concatenate,
    linear,
    product,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_slope,
    stack,
    summed,
    tanh,
    tanh_slope,
)
from reference.cells import Weights, split
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH


@dataclass(frozen=True)
class Slopes:
    """The derivatives of the functions, from their values."""

    tanh: Callable[[Ball], Ball] = tanh_slope
    sigmoid: Callable[[Ball], Ball] = sigmoid_slope


class StepGradients(NamedTuple):
    """The gradients of one step.

    ih, hh      with respect to W_ih x + b_ih and W_hh h + b_hh, (D, N, G*H)
    h           with respect to the state before the step, except through W_hh; empty for most cells
    c           with respect to an LSTM's cell state before the step
    projection  of an LSTM with a projection: the gradient with respect to W_hr m (D, N, P), and m (D, N, H)
    """

    ih: Ball
    hh: Ball
    h: tuple[Summand, ...] = ()
    c: Ball | None = None
    projection: tuple[Ball, Ball] | None = None


class Step(Protocol):
    """A forward step that has run: the new states h (D, N, R) and c (D, N, H); c is None unless the cell is LSTM."""

    @property
    def h(self) -> Ball: ...

    @property
    def c(self) -> Ball | None: ...

    def backward(self, dh: Ball, dc: Sequence[Summand], w: Weights) -> StepGradients:
        """The gradients of the step, from the gradient of h and the summands of the gradient of c."""
        ...

    def hidden(self, ih: Ball) -> Ball:
        """The gradient with respect to W_hh h + b_hh, from that with respect to W_ih x + b_ih: the same but for GRU."""
        ...

    def carried(self, dh: list[Summand], dc: list[Summand], w: Weights) -> tuple[list[Summand], list[Summand]]:
        """The summands of the gradients of h and c, with what each step gets from the one after it past the weights.

        Of a step that stands for all steps: balls are (D, N, T, features).
        """
        ...


@dataclass(frozen=True)
class TanhStep:
    """h' = tanh(z), z = W_ih x + b_ih + W_hh h + b_hh"""

    h: Ball
    c: None = None

    slopes: ClassVar[Slopes] = Slopes()

    @classmethod
    def forward(cls, x: Ball, h: Ball, c: Ball | None, w: Weights) -> TanhStep:
        return cls(cells.rnn_tanh(x, h, w))

    def backward(self, dh: Ball, dc: Sequence[Summand], w: Weights) -> StepGradients:
        """dz = dh' (1 - h'^2)"""
        dz = product(dh, self.slopes.tanh(self.h))
        return StepGradients(dz, dz)

    def hidden(self, ih: Ball) -> Ball:
        return ih

    def carried(self, dh: list[Summand], dc: list[Summand], w: Weights) -> tuple[list[Summand], list[Summand]]:
        return dh, dc


@dataclass(frozen=True)
class ReluStep:
    """h' = relu(z), z = W_ih x + b_ih + W_hh h + b_hh"""

    z: Ball
    h: Ball
    c: None = None

    @classmethod
    def forward(cls, x: Ball, h: Ball, c: Ball | None, w: Weights) -> ReluStep:
        z = affine(w.input_term(x), w.hidden_term(h))
        return cls(z, relu(z))

    def backward(self, dh: Ball, dc: Sequence[Summand], w: Weights) -> StepGradients:
        """dz = dh' where z > 0, else 0"""
        dz = relu_backward(self.z, dh)
        return StepGradients(dz, dz)

    def hidden(self, ih: Ball) -> Ball:
        return ih

    def carried(self, dh: list[Summand], dc: list[Summand], w: Weights) -> tuple[list[Summand], list[Summand]]:
        return dh, dc


@dataclass(frozen=True)
class LstmStep:
    """c' = f * c + i * g, m = o * tanh(c'), h' = m or with a projection W_hr m"""

    i: Ball
    f: Ball
    g: Ball
    o: Ball
    c_before: Ball
    c: Ball
    h: Ball

    slopes: ClassVar[Slopes] = Slopes()

    @classmethod
    def forward(cls, x: Ball, h: Ball, c: Ball | None, w: Weights) -> LstmStep:
        assert c is not None
        i, f, g, o = cells.lstm_gates(x, h, w)
        new_c = cells.lstm_cell_state(f, c, i * g)
        return cls(i, f, g, o, c, new_c, cells.lstm_hidden_state(o, new_c, w))

    def backward(self, dh: Ball, dc: Sequence[Summand], w: Weights) -> StepGradients:
        """dc' += dm o (1 - tanh(c')^2); di = dc' g i (1 - i), df = dc' c f (1 - f), dg = dc' i (1 - g^2),
        do = dm tanh(c') o (1 - o); dc = dc' f"""
        i, f, g, o, tanh_c = self.i, self.f, self.g, self.o, tanh(self.c)
        dm = self._before_projection(dh, w)
        dc_new = summed(*dc, alone(self._through_h(dm)))
        di = product(dc_new, g, self.slopes.sigmoid(i))
        df = product(dc_new, self.c_before, self.slopes.sigmoid(f))
        dg = product(dc_new, i, self.slopes.tanh(g))
        do = product(dm, tanh_c, self.slopes.sigmoid(o))
        dz = concatenate([di, df, dg, do], -1)
        projection = None if w.weight_hr is None else (dh, o * tanh_c)
        return StepGradients(dz, dz, c=product(dc_new, f), projection=projection)

    @staticmethod
    def _before_projection(dh: Ball, w: Weights) -> Ball:
        """dm = W_hr^T dh'"""
        return dh if w.weight_hr is None else linear(dh, w.weight_hr).ball

    def _through_h(self, dm: Ball) -> Ball:
        """dm o (1 - tanh(c')^2)"""
        return product(dm, self.o, self.slopes.tanh(tanh(self.c)))

    def hidden(self, ih: Ball) -> Ball:
        return ih

    def carried(self, dh: list[Summand], dc: list[Summand], w: Weights) -> tuple[list[Summand], list[Summand]]:
        """dc = dc' f"""
        through_h = alone(self._through_h(self._before_projection(summed(*dh), w)))
        return dh, [*dc, alone(_past_the_weights([*dc, through_h], self.f))]


@dataclass(frozen=True)
class GruStep:
    """h' = (1 - z) * n + z * h, n = tanh(W_in x + b_in + r * a), a = W_hn h + b_hn"""

    r: Ball
    z: Ball
    n: Ball
    a: Ball
    h_before: Ball
    h: Ball
    c: None = None

    slopes: ClassVar[Slopes] = Slopes()

    @classmethod
    def forward(cls, x: Ball, h: Ball, c: Ball | None, w: Weights) -> GruStep:
        both, new = w.rows(0, 2, of=3), w.rows(2, 3, of=3)
        r, z = split(sigmoid(affine(both.input_term(x), both.hidden_term(h))), 2)
        a = affine(new.hidden_term(h))
        n = tanh(affine(new.input_term(x)) + r * a)
        return cls(r, z, n, a, h, blend(z, n, h))

    def backward(self, dh: Ball, dc: Sequence[Summand], w: Weights) -> StepGradients:
        """dn = dh' (1 - z) (1 - n^2), dz = dh' (h - n) z (1 - z), dr = dn a r (1 - r), da = dn r; dh = dh' z"""
        z, n, h = blend_backward(self.z, self.n, self.h_before, dh)
        dn = product(n, self.slopes.tanh(self.n))
        dz = product(z, self.slopes.sigmoid(self.z))
        dr = product(dn, self.a, self.slopes.sigmoid(self.r))
        ih = concatenate([dr, dz, dn], -1)
        return StepGradients(ih, self.hidden(ih), h=(alone(h),))

    def hidden(self, ih: Ball) -> Ball:
        """da = dn r"""
        both, dn = ih[..., : -self.r.midpoint.shape[-1]], ih[..., -self.r.midpoint.shape[-1] :]
        return concatenate([both, product(dn, self.r)], -1)

    def carried(self, dh: list[Summand], dc: list[Summand], w: Weights) -> tuple[list[Summand], list[Summand]]:
        """dh = dh' z"""
        return [*dh, alone(_past_the_weights(dh, self.z))], dc


def _past_the_weights(parts: Sequence[Summand], factor: Ball) -> Ball:
    """What each step of (D, N, T, features) gets from the one after it: the sum of all parts there, times `factor`."""
    after, steps = Ball.exact(np.zeros(factor.midpoint[:, :, 0].shape), factor.rounding), []
    for t in reversed(range(factor.midpoint.shape[2])):
        steps.append(after)
        now = [part.rearranged(lambda values, t=t: values[:, :, t]) for part in parts]  # type: ignore[misc]
        after = product(summed(*now, alone(after)), factor[:, :, t])
    return stack(steps[::-1], 2)


Steps = Mapping[str, type[TanhStep] | type[ReluStep] | type[LstmStep] | type[GruStep]]

STEPS: Steps = {
    RNN_TANH: TanhStep,
    RNN_RELU: ReluStep,
    LSTM: LstmStep,
    GRU: GruStep,
}
