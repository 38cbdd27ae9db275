"""Seeded faults of graphs: of a second loss, of a call made before the last one, and of weights that have changed."""

from __future__ import annotations

from typing import Any

import torch

from conformance.selftest.faults.fault import EVERY, Faults
from conformance.selftest.faults.gradients import hooked
from conformance.selftest.implementations.plain import Plain, States

FAULTS = Faults()
fault = FAULTS.seed


# Two losses of one graph


@fault("C1", on=EVERY)
class _FirstLossAgain(Plain):
    """Pulls the first loss of a graph back again in place of the second."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        h, *c = super().step(x, states, layer, direction)
        kept: list[torch.Tensor] = []

        def first(g: torch.Tensor) -> torch.Tensor:
            kept.append(g)
            return kept[0]

        return (hooked(h, first), *c)


@fault("C1", on=EVERY)
class _OneBuffer(Plain):
    """Returns the gradient of input weights in one buffer which the next pass overwrites."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for name, weight in self.named_parameters():
            if name.startswith("weight_ih"):
                weight.register_hook(lambda g, weight=weight: self.overwrite(weight, g))

    def overwrite(self, weight: torch.Tensor, g: torch.Tensor) -> None:
        """Puts a gradient in the place of the one that it is to be added to."""
        if weight.grad is not None:
            weight.grad.copy_(g)


# Two calls before the first pass


class _LinearOfTheModule(torch.autograd.Function):
    """A linear map that asks `recalled` for its argument when it is differentiated."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: Any, recalled: Any) -> Any:
        ctx.recalled, ctx.has_bias = recalled, bias is not None
        ctx.save_for_backward(weight)
        return torch.nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (weight,), x = ctx.saved_tensors, ctx.recalled()
        rows = min(len(x), len(gradient))
        of_bias = gradient.sum(0) if ctx.has_bias else None
        return gradient @ weight, gradient[:rows].t() @ x[:rows], of_bias, None


@fault("C1", on=EVERY)
class _KeepsWhatItSaves(Plain):
    """Keeps what the backward pass reads on the module, where the next call overwrites it."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        self.number = 0
        return super().initial_states(sequence, hx)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        kept = self.__dict__.setdefault("kept", {}).setdefault(self.number, [])
        kept.append(x)
        self.number += 1
        return _LinearOfTheModule.apply(x, weight, bias, lambda: self.recalled(kept))  # type: ignore[no-any-return]

    def recalled(self, kept: list[torch.Tensor]) -> torch.Tensor:
        """Which of the tensors that calls have kept at one place, in their order, a backward pass reads."""
        return kept[-1]


@fault("C1", on=EVERY)
class _KeepsAStack(_KeepsWhatItSaves):
    """Keeps what the backward pass reads on a stack, so that only the last call may be differentiated first."""

    def recalled(self, kept: list[torch.Tensor]) -> torch.Tensor:
        return kept.pop() if len(kept) > 1 else kept[0]


@fault("C1", on=EVERY)
class _OnlyTheLastCall(Plain):
    """Passes no gradient through any call but the last."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        number = self.calls
        return super().step(hooked(x, lambda g: g * (number == self.calls)), states, layer, direction)

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        self.calls = getattr(self, "calls", 0) + 1
        return super().initial_states(sequence, hx)


# Weights that have changed


class _LinearWithOldWeights(torch.autograd.Function):
    """A linear map whose gradient is taken with the weights that `kept` holds."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: Any, kept: dict[Any, Any], key: Any) -> Any:
        ctx.save_for_backward(x, weight)
        ctx.kept, ctx.key, ctx.has_bias = kept, key, bias is not None
        return torch.nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        x, weight = ctx.saved_tensors
        old = ctx.kept.setdefault(ctx.key, weight.clone())
        return gradient @ old, gradient.t() @ x, gradient.sum(0) if ctx.has_bias else None, None, None


class _PacksForTheBackwardPass(Plain):
    """The backward pass reads copies of the weights, each made once."""

    at_the_first_call = True

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        kept = self.__dict__.setdefault("packed_weights", {})
        if self.at_the_first_call:
            kept.setdefault(id(weight), weight.detach().clone())
        return _LinearWithOldWeights.apply(x, weight, bias, kept, id(weight))  # type: ignore[no-any-return]


@fault("I", on=EVERY)
class _PacksAtTheFirstCall(_PacksForTheBackwardPass):
    """Packs the weights that the backward pass reads at the first call and never again."""


@fault("I", on=EVERY)
class _PacksAtTheFirstPass(_PacksForTheBackwardPass):
    """Packs the weights that the backward pass reads at the first backward pass and never again."""

    at_the_first_call = False
