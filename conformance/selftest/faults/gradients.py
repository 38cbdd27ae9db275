"""Seeded faults of the backward pass: the results are sound, the gradients are not."""

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


def hooked(t: torch.Tensor, change: Change) -> torch.Tensor:
    """A view of `t` that applies `change` to its gradient; `t` itself if it requires none."""
    if not t.requires_grad:
        return t
    same = t.view_as(t)
    same.register_hook(change)
    return same


# Gradients that are wrong


@fault("C1", on=EVERY)
class _StatesDetached(Plain):
    """Detaches the initial states."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        return tuple(state.detach() for state in super().initial_states(sequence, hx))


@fault("C1")
class _InputDetachedInReverse(Plain):
    """Detaches the input of the reverse direction."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return x.detach() if direction else x


@fault("C1", "C5", on=EVERY)
class _InputGradientHalved(Plain):
    """Halves the gradient of the input of each step."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        return super().step(hooked(x, lambda g: g / 2), states, layer, direction)


@fault("C1")
class _RecurrentWeightsScaled(Plain):
    """Scales the gradient of recurrent weights by 1 + 1/16."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, hooked(w_hh, lambda g: g * (1 + 2**-4)), b_ih, b_hh


@fault("C1", "C5", batch_size=2)
class _AveragedOverTheBatch(Plain):
    """Averages the gradient of input weights over the batch."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        self.rows = len(x)
        return super().step(x, states, layer, direction)

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return hooked(w_ih, lambda g: g / self.rows), w_hh, b_ih, b_hh


class Counting(Plain):
    """Counts in `done` the steps that one direction of one layer has taken."""

    done = 0

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        self.done = 0
        return super().run(sequence, states, layer, direction)

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, self.before(states), layer, direction)
        self.done += 1
        return after

    def before(self, states: States) -> States:
        """The states that a step reads, which a fault may change."""
        return states


@fault("C1", "C5", steps=4)
class _TruncatedInTime(Counting):
    """Detaches the states before each step from step 2 on."""

    def before(self, states: States) -> States:
        return tuple(state.detach() for state in states) if self.done >= 2 else states


@fault("C1", num_layers=2)
class _CreditsAnotherLayer(Plain):
    """Credits the gradient of every layer's recurrent weights to the first layer."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        if layer:
            w_hh = Elsewhere.apply(w_hh, super().weights(0, direction)[1])
        return w_ih, w_hh, b_ih, b_hh


@fault("C1", steps=2)
class _WithoutTheFirstStep(Plain):
    """Leaves the first step out of the gradient of input weights."""

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
    """Detaches h_n."""

    def final_states(self, last: list[States]) -> States:
        h_n, *c_n = super().final_states(last)
        return (h_n.detach(), *c_n)


@fault("C1", on=(LSTM,))
class _CellStateIgnored(Plain):
    """Detaches c_n."""

    def final_states(self, last: list[States]) -> States:
        h_n, c_n = super().final_states(last)
        return h_n, c_n.detach()


@fault("C1", on=(RNN_TANH, RNN_RELU), hidden_size=2)
class _Transposed(Plain):
    """Transposes the gradient of recurrent weights."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, hooked(w_hh, lambda g: g.t()), b_ih, b_hh


class _SlopeOf(torch.autograd.Function):
    """Computes `function(z)`, and takes `slope(z, function(z))` for its derivative."""

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
    """Uses 1 - z^2 of the argument z as the derivative of tanh."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return _SlopeOf.apply(z, torch.tanh, lambda z, y: 1 - z * z)


@fault("C1", on=(LSTM, GRU))
class _SigmoidSlopeWithoutProduct(Plain):
    """Uses 1 - y as the derivative of a sigmoid y."""

    def sigmoid(self, z: torch.Tensor) -> torch.Tensor:
        return _SlopeOf.apply(z, torch.sigmoid, lambda z, y: 1 - y)


class _OpenRelu(Plain):
    """Passes gradients through a relu that is zero."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        w_ih, w_hh, b_ih, b_hh = self.weights(layer, direction)
        z = self.pre_activation(x, states[0], w_ih, w_hh, b_ih, b_hh)
        return (_SlopeOf.apply(z, torch.relu, lambda z, y: torch.ones_like(z)),)


FAULTS.append(
    Fault("passes-gradients-through-a-relu-that-is-zero", ("C1",), (RNN_RELU,), subject("open-relu", _OpenRelu))
)


@fault("C1", "C5", on=(GRU,))
class _HiddenBiasDoubled(Plain):
    """Doubles the gradient of b_hh in a GRU."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, w_hh, b_ih, b_hh if b_hh is None else hooked(b_hh, lambda g: 2 * g)


@fault("C1", "C5", on=(RNN_TANH, RNN_RELU, LSTM))
class _HiddenBiasHalved(Plain):
    """Halves the gradient of b_hh."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, w_hh, b_ih, b_hh if b_hh is None else hooked(b_hh, lambda g: g / 2)


# Which tensors get a gradient


@fault("C2", on=EVERY)
class _FrozenParametersThawed(Plain):
    """Sets requires_grad on frozen parameters."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
            self.requires_grad_(True)
        return super().step(x, states, layer, direction)


@fault("C2")
class _OverwritesGradients(Plain):
    """Overwrites the gradient of input weights instead of adding to it."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)

        def forgetting(g: torch.Tensor) -> torch.Tensor:
            w_ih.grad = None
            return g

        return hooked(w_ih, forgetting), w_hh, b_ih, b_hh


@fault("C2")
class _SecondPassHalved(Plain):
    """Halves the gradient of recurrent weights in the second backward pass of a graph."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        passes: list[int] = []

        def halving(g: torch.Tensor) -> torch.Tensor:
            passes.append(1)
            return g / len(passes)

        return w_ih, hooked(w_hh, halving), b_ih, b_hh


# Beyond the loss


class _LeakingPacking(Packing):
    """Replaces zero gradients of a padded batch by ones."""

    def pack_padded_sequence(
        self, input: torch.Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
    ) -> PackedSequence:
        def leaking(g: torch.Tensor) -> torch.Tensor:
            return torch.where(g == 0, torch.ones_like(g), g)

        return super().pack_padded_sequence(hooked(input, leaking), lengths, batch_first, enforce_sorted)


FAULTS.append(
    Fault(
        "replaces-zero-gradients-of-a-padded-batch-by-ones",
        ("C4", "C1"),
        ALL,
        replace(subject("leaking-packing"), packing=_LeakingPacking()),
    )
)


@fault("C4", "C1", steps=2)
class _NoiseInGradients(Plain):
    """Adds 1/8 to the gradient of the input."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        return super().run(hooked(sequence, lambda g: g + 2**-3), states, layer, direction)


@fault("C4", "C1", batch_size=2)
class _RowsMixedInGradients(Plain):
    """Averages the gradient of the input over rows."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        mixed = hooked(sequence, lambda g: g.mean(1, keepdim=True).expand_as(g))
        return super().run(mixed, states, layer, direction)


@fault("C4", "C1")
class _ClippedGradients(Plain):
    """Clips the gradient of a step's input to 1/8."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        return super().step(hooked(x, lambda g: g.clamp(-(2**-3), 2**-3)), states, layer, direction)


# Balances


@fault("C5", "C1", on=(RNN_RELU,))
class _StatesPullTwice(Plain):
    """Doubles the gradient of the states that each step reads."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        return super().step(x, tuple(hooked(state, lambda g: 2 * g) for state in states), layer, direction)


class _Together(torch.autograd.Function):
    """The sum of two biases. Their gradients share memory."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient, gradient.view_as(gradient)


@fault("C5", on=(RNN_TANH, RNN_RELU, LSTM))
class BiasesShareAGradient(Plain):
    """Returns the gradients of both biases in the same memory."""

    def pre_activation(
        self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
    ) -> torch.Tensor:
        if b_ih is None:
            return super().pre_activation(x, h, w_ih, w_hh, b_ih, b_hh)
        return self.linear(x, w_ih, _Together.apply(b_ih, b_hh)) + self.linear(h, w_hh, None)


# Dropout


class _AnotherMask(torch.autograd.Function):
    """Dropout that draws a new mask for its gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, p: float) -> torch.Tensor:
        ctx.p = p
        return torch.dropout(x, p, True)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return torch.dropout(gradient, ctx.p, True), None


@fault("G", num_layers=2)
class _MaskRedrawn(Plain):
    """Redraws the dropout mask in the backward pass."""

    def between(self, output: torch.Tensor, layer: int) -> torch.Tensor:
        if layer < self.num_layers - 1 and self.training and self.dropout:
            return _AnotherMask.apply(output, self.dropout)
        return super().between(output, layer)


@fault("G", num_layers=2)
class _MaskForgotten(Plain):
    """Ignores dropout in the backward pass."""

    def between(self, output: torch.Tensor, layer: int) -> torch.Tensor:
        dropped = super().between(output, layer)
        return output + (dropped - output).detach() if dropped is not output else output
