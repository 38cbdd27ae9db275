"""Seeded faults of the backward pass: every one of these returns what it should, and pulls back something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.selftest.faults.fault import ALL, EVERY, WITH_TANH, Fault, Faults
from conformance.selftest.implementations.packing import Packing
from conformance.selftest.implementations.plain import Elsewhere, Plain, States, subject
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH

FAULTS = Faults()
fault = FAULTS.seed

Change = Callable[[torch.Tensor], torch.Tensor]


def pulling(t: torch.Tensor, change: Change) -> torch.Tensor:
    """`t`, whose gradient is changed on its way back."""
    if not t.requires_grad:
        return t
    same = t.view_as(t)
    same.register_hook(change)
    return same


# Gradients that are wrong


@fault("C1", on=EVERY)
class _StatesDetached(Plain):
    """Detaches the states that it is given."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        return tuple(state.detach() for state in super().initial_states(sequence, hx))


@fault("C1")
class _InputDetachedInReverse(Plain):
    """Detaches what the reverse direction reads."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return x.detach() if direction else x


@fault("C1", "C5", on=EVERY)
class _InputGradientHalved(Plain):
    """Halves the gradient of what a step reads."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        return super().step(pulling(x, lambda g: g / 2), states, layer, direction)


@fault("C1")
class _RecurrentWeightsScaled(Plain):
    """Scales the gradient of recurrent weights by 1 + 1/16."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, pulling(w_hh, lambda g: g * (1 + 2**-4)), b_ih, b_hh


@fault("C1", "C5", batch_size=2)
class _AveragedOverTheBatch(Plain):
    """Averages the gradients of weights over the batch."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        self.rows = len(x)
        return super().step(x, states, layer, direction)

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return pulling(w_ih, lambda g: g / self.rows), w_hh, b_ih, b_hh


class Counting(Plain):
    """Knows how many steps one direction of one layer has made."""

    done = 0

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        self.done = 0
        return super().run(sequence, states, layer, direction)

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, self.before(states), layer, direction)
        self.done += 1
        return after

    def before(self, states: States) -> States:
        """The states as a step reads them."""
        return states


@fault("C1", "C5", steps=4)
class _TruncatedInTime(Counting):
    """Truncates back-propagation to two steps."""

    def before(self, states: States) -> States:
        return tuple(state.detach() for state in states) if self.done >= 2 else states


@fault("C1", num_layers=2)
class _CreditsAnotherLayer(Plain):
    """Credits the first layer with the gradient of every layer's recurrent weights."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        if layer:
            w_hh = Elsewhere.apply(w_hh, super().weights(0, direction)[1])
        return w_ih, w_hh, b_ih, b_hh


@fault("C1", steps=2)
class _WithoutTheFirstStep(Plain):
    """Leaves the first step out of the gradient of weights."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        self.is_first = len(sequence) > 1
        return super().run(sequence, states, layer, direction)

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return (w_ih.detach() if getattr(self, "is_first", False) else w_ih), w_hh, b_ih, b_hh

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, states, layer, direction)
        self.is_first = False
        return after


@fault("C1")
class _LastStatesIgnored(Plain):
    """Ignores what the loss says of h_n."""

    def final_states(self, last: list[States]) -> States:
        h_n, *c_n = super().final_states(last)
        return (h_n.detach(), *c_n)


@fault("C1", on=(LSTM,))
class _CellStateIgnored(Plain):
    """Ignores what the loss says of c_n."""

    def final_states(self, last: list[States]) -> States:
        h_n, c_n = super().final_states(last)
        return h_n, c_n.detach()


@fault("C1", on=(RNN_TANH, RNN_RELU), hidden_size=2)
class _Transposed(Plain):
    """Transposes the gradient of recurrent weights."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, pulling(w_hh, lambda g: g.t()), b_ih, b_hh


class _SlopeOf(torch.autograd.Function):
    """A function's value, and a gradient that `slope` makes of its argument and its value."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, function: Change, slope: Any) -> torch.Tensor:
        y = function(z)
        ctx.save_for_backward(z, y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient * ctx.slope(*ctx.saved_tensors), None, None


@fault("C1", on=WITH_TANH)
class _TanhSlopeOfArgument(Plain):
    """Takes the slope of tanh at its argument."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return _SlopeOf.apply(z, torch.tanh, lambda z, y: 1 - z * z)


@fault("C1", on=(LSTM, GRU))
class _SigmoidSlopeWithoutProduct(Plain):
    """Takes 1 - y for the slope of a sigmoid."""

    def sigmoid(self, z: torch.Tensor) -> torch.Tensor:
        return _SlopeOf.apply(z, torch.sigmoid, lambda z, y: 1 - y)


class _OpenRelu(Plain):
    """Lets gradients through where relu is shut."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        w_ih, w_hh, b_ih, b_hh = self.weights(layer, direction)
        z = self.pre_activation(x, states[0], w_ih, w_hh, b_ih, b_hh)
        return (_SlopeOf.apply(z, torch.relu, lambda z, y: torch.ones_like(z)),)


FAULTS.append(Fault("lets-gradients-through-where-relu-is-shut", ("C1",), (RNN_RELU,), subject("open-relu", _OpenRelu)))


@fault("C1", "C5", on=(GRU,))
class _HiddenBiasDoubled(Plain):
    """Doubles the gradient of a GRU's hidden bias."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, w_hh, b_ih, b_hh if b_hh is None else pulling(b_hh, lambda g: 2 * g)


@fault("C1", "C5", on=(RNN_TANH, RNN_RELU, LSTM))
class _HiddenBiasHalved(Plain):
    """Halves the gradient of the hidden bias."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, w_hh, b_ih, b_hh if b_hh is None else pulling(b_hh, lambda g: g / 2)


# Who gets a gradient


@fault("C2", on=EVERY)
class _FrozenParametersThawed(Plain):
    """Gives frozen parameters a gradient."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
            self.requires_grad_(True)
        return super().step(x, states, layer, direction)


@fault("C2")
class _OverwritesGradients(Plain):
    """Overwrites gradients instead of adding to them."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)

        def forgetting(g: torch.Tensor) -> torch.Tensor:
            w_ih.grad = None
            return g

        return pulling(w_ih, forgetting), w_hh, b_ih, b_hh


@fault("C2")
class _SecondPassHalved(Plain):
    """Halves what a graph gives when it is differentiated again."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        passes: list[int] = []

        def halving(g: torch.Tensor) -> torch.Tensor:
            passes.append(1)
            return g / len(passes)

        return w_ih, pulling(w_hh, halving), b_ih, b_hh


# Beyond the loss


class _LeakingPacking(Packing):
    """Pulls at the padding too."""

    def pack_padded_sequence(
        self, input: torch.Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
    ) -> PackedSequence:
        def leaking(g: torch.Tensor) -> torch.Tensor:
            return torch.where(g == 0, torch.ones_like(g), g)

        return super().pack_padded_sequence(pulling(input, leaking), lengths, batch_first, enforce_sorted)


FAULTS.append(
    Fault("pulls-at-the-padding", ("C4", "C1"), ALL, replace(subject("leaking-packing"), packing=_LeakingPacking()))
)


@fault("C4", "C1", steps=2)
class _NoiseInGradients(Plain):
    """Adds 1/8 to the gradient of the input."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        return super().run(pulling(sequence, lambda g: g + 2**-3), states, layer, direction)


@fault("C4", "C1", batch_size=2)
class _RowsMixedInGradients(Plain):
    """Averages the gradient of the input over rows."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        mixed = pulling(sequence, lambda g: g.mean(1, keepdim=True).expand_as(g))
        return super().run(mixed, states, layer, direction)


@fault("C4", "C1")
class _ClippedGradients(Plain):
    """Clips the gradient of a step's input to 1/8."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        return super().step(pulling(x, lambda g: g.clamp(-(2**-3), 2**-3)), states, layer, direction)


# Balances


@fault("C5", "C1", on=(RNN_RELU,))
class _StatesPullTwice(Plain):
    """Doubles the gradient of the states that a step starts from."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        return super().step(x, tuple(pulling(state, lambda g: 2 * g) for state in states), layer, direction)


class _Together(torch.autograd.Function):
    """The sum of two biases, whose gradients are one and the same piece of memory."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient, gradient.view_as(gradient)


@fault("C5", on=(RNN_TANH, RNN_RELU, LSTM))
class BiasesShareAGradient(Plain):
    """Gives both biases one gradient in one piece of memory."""

    def pre_activation(
        self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
    ) -> torch.Tensor:
        if b_ih is None:
            return super().pre_activation(x, h, w_ih, w_hh, b_ih, b_hh)
        return self.linear(x, w_ih, _Together.apply(b_ih, b_hh)) + self.linear(h, w_hh, None)


# Dropout


class _AnotherMask(torch.autograd.Function):
    """Dropout whose gradient is dropped out by a mask of its own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, p: float) -> torch.Tensor:
        ctx.p = p
        return torch.dropout(x, p, True)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return torch.dropout(gradient, ctx.p, True), None


@fault("G", num_layers=2)
class _MaskRedrawn(Plain):
    """Redraws the mask in the backward pass."""

    def between(self, output: torch.Tensor, layer: int) -> torch.Tensor:
        if layer < self.num_layers - 1 and self.training and self.dropout:
            return _AnotherMask.apply(output, self.dropout)
        return super().between(output, layer)


@fault("G", num_layers=2)
class _MaskForgotten(Plain):
    """Pulls at what dropout left out."""

    def between(self, output: torch.Tensor, layer: int) -> torch.Tensor:
        dropped = super().between(output, layer)
        return output + (dropped - output).detach() if dropped is not output else output
