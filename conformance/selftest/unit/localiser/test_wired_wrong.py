"""Implementations that are wired wrongly, and what the localiser says of them. They are not those of the catalogue."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from conformance.harness.execution.requests.backward import Backward
from conformance.harness.findings.rendering import finding_text
from conformance.harness.localiser.localise import localise
from conformance.selftest.implementations.plain import Plain, subject
from conformance.selftest.trial import findings
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH
from reference.testing.models import red_model
from strategies import Case, losses

PADDED = Case(2, 2, 1, 3, 3)
STACK = Case(2, 2, 2, 1, 2)
BOTH_WAYS = Case(2, 2, 1, 1, 2, bidirectional=True)
PACKED = Case(2, 2, 1, 2, 2, lengths=(2, 1))


class OneBias(Plain):
    def pre_activation(self, x, h, w_ih, w_hh, b_ih, b_hh):
        return self.linear(x, w_ih, b_ih) + self.linear(h, w_hh, None)


class ColdStart(Plain):
    def start(self, initial, layer, direction):
        hidden, *cell = super().start(initial, layer, direction)
        return (torch.zeros_like(hidden), *cell)


class Keras(Plain):
    def lstm(self, z, c):
        i, f, o, g = z.chunk(4, -1)
        return super().lstm(torch.cat([i, f, g, o], -1), c)


class EarlyReset(Plain):
    def gru(self, x, h, w_ih, w_hh, b_ih, b_hh):
        (i_r, i_z, i_n), (v_r, v_z, v_n) = self.linear(x, w_ih, b_ih).chunk(3, -1), w_hh.chunk(3)
        b_r, b_z, b_n = b_hh.chunk(3) if b_hh is not None else (None,) * 3
        r = self.sigmoid(i_r + self.linear(h, v_r, b_r))
        z = self.sigmoid(i_z + self.linear(h, v_z, b_z))
        return self.blend(z, self.tanh(i_n + self.linear(r * h, v_n, b_n)), h)


class OtherBlend(Plain):
    def blend(self, z, n, h):
        return z * n + (1 - z) * h


class NotTurnedBack(Plain):
    def in_time(self, outputs, direction):
        return outputs


class NotTurned(Plain):
    def input_at(self, sequence, t, direction):
        return sequence[t]


class HalvesExchanged(Plain):
    def output(self, sequence):
        return super().output(torch.cat(sequence.chunk(2, -1)[::-1], -1))


class FirstLayersWeights(Plain):
    def weights(self, layer, direction):
        return super().weights(0, direction)


class LastStatesExchanged(Plain):
    def final_states(self, last):
        return super().final_states(last)[::-1]


class LastRowRepeats(Plain):
    def run(self, sequence, states, layer, direction):
        output, after = super().run(sequence, states, layer, direction)
        rows = [*range(output.shape[1] - 1), output.shape[1] - 2]
        return output[:, rows], tuple(state[rows] for state in after)


class LateInput(Plain):
    def input_at(self, sequence, t, direction):
        return super().input_at(sequence, max(t - 1, 0), direction)


class Transposed(Plain):
    def weights(self, layer, direction):
        w_ih, w_hh, *biases = super().weights(layer, direction)
        return (w_ih, torch.cat([block.T for block in w_hh.chunk(len(GATES[self.cell]))]), *biases)


class Rectified(Plain):
    def tanh(self, z):
        return torch.relu(z)


class OpenOutput(Plain):
    def lstm(self, z, c):
        c = super().lstm(z, c)[1]
        return self.sigmoid(z.chunk(4, -1)[3]) * c, c


class Remembering(Plain):
    def lstm(self, z, c):
        i, f, g, o = z.chunk(4, -1)
        return super().lstm(torch.cat([i, f + 1, g, o], -1), c)


class Forgetful(Plain):
    def lstm(self, z, c):
        return super().lstm(z, torch.zeros_like(c))


class WithoutReset(Plain):
    def gru(self, x, h, w_ih, w_hh, b_ih, b_hh):
        _, i_z, i_n = self.linear(x, w_ih, b_ih).chunk(3, -1)
        _, h_z, h_n = self.linear(h, w_hh, b_hh).chunk(3, -1)
        return self.blend(self.sigmoid(i_z + h_z), self.tanh(i_n + h_n), h)


class BatchFirstIgnored(Plain):
    def forward(self, input, hx=None):
        self.batch_first = False
        return super().forward(input, hx)


class Unprojected(Plain):
    def project(self, h, w_hr):
        return h if w_hr is None else h[..., : len(w_hr)]


class RunOn(Plain):
    def if_running(self, t, after, before):
        return after


class HalfInside(Plain):
    def step(self, x, states, layer, direction):
        return tuple(state.half().to(state) for state in super().step(x, states, layer, direction))


class LostNumber(Plain):
    def output(self, sequence):
        sequence = sequence.clone()
        sequence[0, 0, 0] = float("nan")
        return super().output(sequence)


class StatesOfLayerZero(Plain):
    def start(self, initial, layer, direction):
        return super().start(initial, 0, direction)


RESULTS: dict[str, tuple[type[Plain], str, Case, str]] = {
    "one bias": (OneBias, LSTM, PADDED, "without bias_hh"),
    "cold start": (ColdStart, RNN_TANH, PADDED, "with h_0 of zeros"),
    "keras": (Keras, LSTM, PADDED, "with the gates g and o swapped"),
    "early reset": (EarlyReset, GRU, PADDED, "with the reset gate before the product, W_hn (r * h)"),
    "other blend": (OtherBlend, GRU, STACK, "with z and 1 - z exchanged"),
    "not turned back": (NotTurnedBack, GRU, BOTH_WAYS, "with the output of the reverse direction in its own order"),
    "not turned": (NotTurned, LSTM, BOTH_WAYS, "with the input of the reverse direction in forward order"),
    "halves exchanged": (HalvesExchanged, RNN_RELU, BOTH_WAYS, "with the directions exchanged of output"),
    "first layer's weights": (FirstLayersWeights, GRU, STACK, "with the parameters of layer 0 in layer 1"),
    "last states exchanged": (LastStatesExchanged, LSTM, PADDED, "with h_n and c_n exchanged"),
    "last row repeats": (LastRowRepeats, LSTM, PADDED, "row 2 equals row 1"),
    "late input": (LateInput, LSTM, PADDED, "with the input of the step before, its own at step 0"),
    "transposed": (Transposed, LSTM, PADDED, "with each gate's block of weight_hh transposed"),
    "rectified": (Rectified, RNN_TANH, STACK, "with relu in place of tanh"),
    "open output": (OpenOutput, LSTM, PADDED, "with h' = o * c', without tanh"),
    "remembering": (Remembering, LSTM, STACK, "with 1 added to what enters the gate f"),
    "forgetful": (Forgetful, LSTM, PADDED, "with c' = i * g, no cell state carried"),
    "without reset": (WithoutReset, GRU, PADDED, "with n without the reset gate"),
    "batch_first ignored": (
        BatchFirstIgnored,
        GRU,
        Case(2, 2, 1, 2, 2, layout=("bf",)),
        "with rows and steps exchanged, as for the other batch_first",
    ),
    "unprojected": (
        Unprojected,
        LSTM,
        Case(2, 3, 1, 1, 2, proj_size=2),
        "with the first units instead of their projection",
    ),
    "run on": (RunOn, RNN_TANH, PACKED, "with every row as long as the longest"),
    "half inside": (HalfInside, GRU, PADDED, "every number is one of float16, and within the bounds of float16"),
    "lost number": (LostNumber, LSTM, PADDED, "the number out of bounds is NaN"),
    "states of layer 0": (StatesOfLayerZero, LSTM, STACK, "with h_0 and c_0 of layer 0 in every layer"),
}


class Detached(Plain):
    def step(self, x, states, layer, direction):
        return super().step(x, tuple(state.detach() for state in states), layer, direction)


class CellStateDetached(Plain):
    def lstm(self, z, c):
        return super().lstm(z, c.detach())


class LastStatesDetached(Plain):
    def final_states(self, last):
        return tuple(state.detach() for state in super().final_states(last))


class Doubled(Plain):
    def linear(self, x, weight, bias):
        return super().linear(x, weight, bias if bias is None else Times.apply(bias, 2.0))


class Times(torch.autograd.Function):
    """The same number; its gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient * ctx.factor, None


class Opposed(Plain):
    def input_at(self, sequence, t, direction):
        return Times.apply(super().input_at(sequence, t, direction), -1.0)


class Mean(Plain):
    def weights(self, layer, direction):
        w_ih, *others = super().weights(layer, direction)
        return (Times.apply(w_ih, 1 / 3), *others)


class Linear(Plain):
    """tanh with a derivative of 1."""

    def tanh(self, z):
        return z + (torch.tanh(z) - z).detach()


class Slope(torch.autograd.Function):
    """sigmoid with the derivative 1 - y."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
        y = torch.sigmoid(z)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return gradient * (1 - y)


class OtherSlope(Plain):
    def sigmoid(self, z):
        return Slope.apply(z)


class Truncated(Plain):
    def step(self, x, states, layer, direction):
        self.at = getattr(self, "at", -1) + 1
        held = tuple(state.detach() for state in states) if self.at == 2 else states
        return super().step(x, held, layer, direction)


class FirstRowOnly(Plain):
    def linear(self, x, weight, bias):
        first = super().linear(x[:1], weight, bias)
        return torch.cat([first, super().linear(x[1:], weight.detach(), None if bias is None else bias.detach())])


GRADIENTS: dict[str, tuple[type[Plain], str, Case, str]] = {
    "detached": (Detached, GRU, STACK, "without what a step hands back, to the initial states too"),
    "cell state detached": (CellStateDetached, LSTM, PADDED, "without what the cell state hands to the step before"),
    "last states detached": (LastStatesDetached, RNN_TANH, PADDED, "without the cotangent of h_n"),
    "doubled": (Doubled, LSTM, PADDED, "the documented ones times 2"),
    "opposed": (Opposed, GRU, PADDED, "the gradient of input equals the documented one with the opposite sign"),
    "mean": (
        Mean,
        RNN_RELU,
        PADDED,
        "the gradient of weight_ih_l0 equals the documented one divided by the number of rows, 3",
    ),
    "linear": (Linear, RNN_TANH, STACK, "with 1 as the derivative of y = tanh"),
    "other slope": (OtherSlope, GRU, PADDED, "with 1 - y as the derivative of y = sigmoid"),
    "truncated": (Truncated, LSTM, PADDED, "with what step 2 hands back left out"),
    "first row only": (FirstRowOnly, RNN_TANH, PADDED, "of row 0 alone"),
}


ALIKE = {"last states detached": 1}
"""Where several variants are the same by their nature, how many more there are."""


def said_of(kind: type[Plain], cell: str, case: Case) -> list[str]:
    """What the localiser says of a call and its gradients."""
    problem = case.on(cell)
    (seen,) = Backward(problem, ("grad",), loss=losses.loss(case, problem)).execute(subject("wired wrongly", kind))
    return localise(seen, red_model(cell, problem.dtype))


@pytest.mark.parametrize("wired", [*RESULTS, *GRADIENTS])
def test_what_is_wired_wrongly_is_named_and_nothing_else_is(wired):
    kind, cell, case, words = (RESULTS | GRADIENTS)[wired]
    (said,) = said_of(kind, cell, case)
    assert words in said
    assert said.count(", or ") == ALIKE.get(wired, 0)


@pytest.mark.parametrize("case", [PADDED, STACK, BOTH_WAYS, PACKED], ids=["padded", "stack", "both ways", "packed"])
@pytest.mark.parametrize("cell", GATES)
def test_of_a_sound_implementation_nothing_is_said(cell, case):
    assert said_of(Plain, cell, case) == []


class Inexact(Plain):
    """tanh off by one part in ten thousand."""

    def tanh(self, z):
        return torch.tanh(z) * (1 + 1e-4)


class Leaky(Plain):
    """Half of the state before is kept."""

    def step(self, x, states, layer, direction):
        after = super().step(x, states, layer, direction)
        return tuple(0.5 * new + 0.5 * old for new, old in zip(after, states, strict=True))


class Residual(Plain):
    """A quarter of the output is added to it."""

    def output(self, sequence):
        return super().output(sequence * 1.25)


@pytest.mark.parametrize("case", [PADDED, Case(1, 1, 1, 1, 1, fill="dyadic"), Case(2, 2, 2, 2, 2, fill="integers")])
@pytest.mark.parametrize("kind", [Inexact, Leaky, Residual])
def test_no_variant_is_named_for_what_is_none(kind, case):
    assert said_of(kind, GRU, case) == []


def test_finding_of_a_run_says_it():
    kind, cell, _, words = GRADIENTS["truncated"]
    found = next(findings(subject("wired wrongly", kind), ("C1",), (cell,), seed=0, effort="few"))
    assert any(words in one for one in found.what)
    assert "\n  what     the gradients equal" in finding_text(found, width=200)
