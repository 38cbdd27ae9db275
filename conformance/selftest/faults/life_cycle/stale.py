"""Seeded faults of life cycles: stale weights, and calls that leave something behind."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.selftest.faults.fault import ALL, EVERY, Faults
from conformance.selftest.implementations.plain import Plain

FAULTS = Faults()
fault = FAULTS.seed

Weights = tuple[Any, Any, Any, Any]


class _Kept(Plain):
    """Keeps weights from call to call until something forgets them."""

    def is_kept(self) -> bool:
        return True

    def forget(self) -> None:
        self.__dict__.pop("kept", None)

    def as_kept(self, weight: torch.Tensor) -> torch.Tensor:
        return weight

    def weights(self, layer: int, direction: int) -> Weights:
        if not self.is_kept():
            return super().weights(layer, direction)
        kept = self.__dict__.setdefault("kept", {})
        if (layer, direction) not in kept:
            found = super().weights(layer, direction)
            kept[layer, direction] = tuple(None if one is None else self.as_kept(one) for one in found)
        return kept[layer, direction]  # type: ignore[no-any-return]


# Stale weights


@fault("I", on=EVERY)
class _KeepsTensors(_Kept):
    """Keeps the tensors of its first call."""


@fault("I", on=EVERY)
class _KeepsTensorsUntilSet(_Kept):
    """Keeps tensors until an attribute is set."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, torch.nn.Parameter):
            self.forget()
        super().__setattr__(name, value)


@fault("I", on=EVERY)
class _KeepsTensorsUntilTheFirstIsAnother(_Kept):
    """Keeps tensors until its first weight is another one."""

    def weights(self, layer: int, direction: int) -> Weights:
        first = Plain.weights(self, 0, 0)[0]
        if self.__dict__.get("looked_at") is not first:
            self.forget()
            self.__dict__["looked_at"] = first
        return super().weights(layer, direction)


@fault("I", on=EVERY)
class _KeepsValuesUntilLoaded(_Kept):
    """Keeps values until a state_dict is loaded."""

    def as_kept(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * 1

    def is_kept(self) -> bool:
        return not torch.is_grad_enabled() or not any(one.requires_grad for one in self.parameters())

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        self.forget()
        return super().load_state_dict(*arguments, **options)


@fault("I", on=EVERY)
class _KeepsValuesInEvaluation(_KeepsValuesUntilLoaded):
    """Keeps values in evaluation mode."""

    def is_kept(self) -> bool:
        return not self.training

    def as_kept(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.detach().clone().requires_grad_(weight.requires_grad)


@fault("I", on=EVERY)
class _KeepsValuesOfFrozenWeights(_KeepsValuesUntilLoaded):
    """Keeps values while all weights are frozen."""

    def is_kept(self) -> bool:
        return not any(one.requires_grad for one in self.parameters())


@fault("I", on=EVERY)
class _ReadsWhatItRegistered(Plain):
    """Reads the parameters that were registered first, whatever stands there now."""

    def register_parameter(self, name: str, param: Any) -> None:
        self.__dict__.setdefault("registered", {}).setdefault(name, param)
        super().register_parameter(name, param)

    def weights(self, layer: int, direction: int) -> Weights:
        end = self.end(layer, direction)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return tuple(self.__dict__["registered"].get(name + end) for name in names)  # type: ignore[return-value]


def _reading(doc: str, *forms: str) -> None:
    """A fault that reads what stands behind a weight instead of the weight."""

    def weights(self: Plain, layer: int, direction: int) -> Weights:
        first, *others = Plain.weights(self, layer, direction)
        held = dict(self.named_parameters())
        name = "weight_ih" + self.end(layer, direction)
        return (next((held[form.format(name)] for form in forms if form.format(name) in held), first), *others)  # type: ignore[return-value]

    fault("I", on=EVERY)(type("_Reads", (Plain,), {"weights": weights, "__doc__": doc}))


_reading("Reads what was parametrized, without the parametrization.", "parametrizations.{}.original")
_reading("Reads the direction of a normalised weight.", "parametrizations.{}.original1")
_reading("Reads the direction of a weight that is normalised in the old way.", "{}_v")
_reading("Reads what was pruned, without the mask.", "{}_orig")
_reading("Reads what is dropped before each call.", "{}_raw")


# Calls that leave something


class Leaves(Plain):
    """Computes with doubled biases, or weights without, once something was left."""

    def leave(self) -> None:
        self.__dict__["left"] = True

    def weights(self, layer: int, direction: int) -> Weights:
        found = super().weights(layer, direction)
        if not self.__dict__.get("left"):
            return found
        return tuple(None if one is None else 2 * one for one in found)  # type: ignore[return-value]


@fault("I", on=EVERY)
class _LeavesACall(Leaves):
    """Computes otherwise after a call without gradients."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        result = super().forward(input, hx)
        if not torch.is_grad_enabled():
            self.leave()
        return result


@fault("I", on=EVERY)
class _LeavesABackwardPass(Leaves):
    """Computes otherwise after a backward pass."""

    def weights(self, layer: int, direction: int) -> Weights:
        found = super().weights(layer, direction)
        if found[0].requires_grad:
            watched = found[0] * 1
            watched.register_hook(lambda _: self.leave())
            return (watched, *found[1:])
        return found


@fault("I", on=EVERY)
class _LeavesARefusal(Leaves):
    """Computes otherwise after a refused call."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, torch.Tensor | PackedSequence):
            self.leave()
        return super().forward(input, hx)


@fault("I", on=ALL)
class _CallsItself(Plain):
    """Calls itself, hooks and all."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.__dict__.get("inside"):
            return super().forward(input, hx)
        self.__dict__["inside"] = True
        try:
            return self(input, hx)
        finally:
            self.__dict__["inside"] = False


@fault("I", on=ALL)
class _LeavesAnExport(_Kept):
    """Keeps the tensors of its export."""

    def is_kept(self) -> bool:
        return torch.compiler.is_compiling() or "kept" in self.__dict__
