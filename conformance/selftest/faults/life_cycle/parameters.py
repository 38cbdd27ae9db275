"""Seeded faults of life cycles: weights that are set or tied, modes that stick, and memory."""

from __future__ import annotations

from typing import Any

import torch

from conformance.selftest.faults.fault import ALL, EVERY, Faults
from conformance.selftest.faults.life_cycle.stale import Leaves
from conformance.selftest.implementations.plain import Plain

FAULTS = Faults()
fault = FAULTS.seed

Weights = tuple[Any, Any, Any, Any]


# Weights that are set


@fault("I", on=EVERY)
class _CopiesWhatIsSet(Plain):
    """Copies the values of a parameter that is set."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, torch.nn.Parameter) and self.__dict__.get("_parameters", {}).get(name) is not None:
            self._parameters[name].data = value.detach().clone()  # type: ignore[union-attr]
        else:
            super().__setattr__(name, value)


@fault("I", on=EVERY)
class _RegistersNothingAgain(Plain):
    """Takes no parameter of a name that it had."""

    def __delattr__(self, name: str) -> None:
        self.__dict__.setdefault("gone", {})[name] = self._parameters.get(name)
        super().__delattr__(name)

    def register_parameter(self, name: str, param: Any) -> None:
        super().register_parameter(name, self.__dict__.get("gone", {}).get(name, param))


@fault("I", on=EVERY)
class _CreditsOneOfTiedWeights(Plain):
    """Credits a weight that is two once."""

    def weights(self, layer: int, direction: int) -> Weights:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        if w_hh is w_ih:
            w_hh = w_hh.detach()
        return w_ih, w_hh, b_ih, b_hh.detach() if b_hh is not None and b_hh is b_ih else b_hh


@fault("I", on=EVERY)
class _TiesOnce(Leaves):
    """Stays tied."""

    def weights(self, layer: int, direction: int) -> Weights:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        if b_hh is not None and b_hh is b_ih:
            self.__dict__["are_tied"] = True
        return w_ih, w_hh, b_ih, b_ih if self.__dict__.get("are_tied") else b_hh


@fault("I", on=EVERY)
class _ResetsAndFreezes(Plain):
    """Freezes weights that are reset."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.requires_grad_(False)


@fault("I", on=EVERY)
class _EmptiesItself(Plain):
    """Wants no gradients once it was emptied."""

    def to_empty(self, **options: Any) -> Any:
        return super().to_empty(**options).requires_grad_(False)


# Modes


@fault("I", on=EVERY)
class _StaysInTraining(Plain):
    """Stays in training mode."""

    def train(self, mode: bool = True) -> Any:
        return super().train(mode or self.training)


@fault("I", on=EVERY)
class _StaysInEvaluation(Plain):
    """Stays in evaluation mode."""

    def train(self, mode: bool = True) -> Any:
        return super().train(mode and self.training)


@fault("I", on=EVERY)
class _UnfreezesForTraining(Plain):
    """Wants gradients in training mode."""

    def train(self, mode: bool = True) -> Any:
        return super().train(mode).requires_grad_(True) if mode else super().train(mode)


@fault("I", on=EVERY)
class _FreezesAllButTheLast(Plain):
    """Leaves its last weight out where it is frozen."""

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        super().requires_grad_(requires_grad)
        getattr(self, self.own_weights[-1]).requires_grad_(True)
        return self


@fault("I", on=EVERY)
class _StaysFrozen(Plain):
    """Stays frozen."""

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        return super().requires_grad_(requires_grad and all(one.requires_grad for one in self.parameters()))


@fault("I", on=EVERY)
class _IsFrozenWithOneWeight(Plain):
    """Hands on no gradient to any weight if one is frozen."""

    def weights(self, layer: int, direction: int) -> Weights:
        found = super().weights(layer, direction)
        held = [one.requires_grad for one in self.parameters()]
        if all(held) or not any(held):
            return found
        return tuple(None if one is None else one.detach() for one in found)  # type: ignore[return-value]


# Memory


@fault("I", on=ALL)
class _FlattensCopies(Plain):
    """Computes with copies once it was flattened."""

    def flatten_parameters(self) -> None:
        self.__dict__["flat"] = {name: getattr(self, name).detach().clone() for name in self.own_weights}

    def weights(self, layer: int, direction: int) -> Weights:
        flat, end = self.__dict__.get("flat"), self.end(layer, direction)
        if flat is None:
            return super().weights(layer, direction)
        return tuple(flat.get(name + end) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))  # type: ignore[return-value]


@fault("I", on=EVERY)
class _SharesMemoryByCopies(Plain):
    """Shares the memory of copies."""

    def share_memory(self) -> Any:
        for name in self.own_weights:
            if name in self._parameters:
                self._parameters[name] = torch.nn.Parameter(getattr(self, name).detach().clone())
        return super().share_memory()


@fault("I", on=EVERY)
class _HandsOutCopies(Plain):
    """Hands copies of its weights to optimisers."""

    def parameters(self, recurse: bool = True) -> Any:
        return (torch.nn.Parameter(one.detach().clone(), one.requires_grad) for one in super().parameters(recurse))


@fault("I", on=EVERY)
class _LosesBuffers(Plain):
    """Has no buffers in its state_dict."""

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        found, buffers = super().state_dict(*arguments, **options), dict(self.named_buffers())
        for name in list(found):
            if name in buffers:
                del found[name]
        return found


@fault("I", on=EVERY)
class _TiesWithCopies(Plain):
    """Ties weights with copies."""

    def __setattr__(self, name: str, value: Any) -> None:
        if any(value is one for other, one in self.__dict__.get("_parameters", {}).items() if other != name):
            value = torch.nn.Parameter(value.detach().clone(), value.requires_grad)
        super().__setattr__(name, value)


# Of one parameter, or one way back


@fault("I", on=EVERY)
class _KeepsWideWeights(Plain):
    """Comes back from 16 bits with the numbers from before."""

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        was = {name: one.detach().clone() for name, one in self._parameters.items() if one is not None}
        wide = self.__dict__.setdefault("wide", {})
        super()._apply(fn, recurse)
        for name, one in self._parameters.items():
            if one is not None and one.itemsize == 2 and was[name].itemsize > 2:
                wide[name] = was[name]
            elif one is not None and name in wide and one.dtype == wide[name].dtype:
                with torch.no_grad():
                    one.copy_(wide.pop(name))
        return self


@fault("I", on=EVERY)
class _LoadsIntoOtherParameters(Plain):
    """Loads its last weight into another parameter."""

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        told, last = super().load_state_dict(state_dict, *arguments, **options), self.own_weights[-1]
        if last in self._parameters:
            setattr(self, last, torch.nn.Parameter(getattr(self, last).detach(), getattr(self, last).requires_grad))
        return told


def _freezing(doc: str, place: int) -> None:
    """A fault that freezes two weights where one of them is frozen."""

    def weights(self: Plain, layer: int, direction: int) -> Any:
        found = Plain.weights(self, layer, direction)
        held = [one for one in found if one is not None]
        if held[place].requires_grad:
            return found
        return tuple(None if one is None else one.detach() if one is held[place - 1] else one for one in found)

    fault("I", on=EVERY)(type("_Freezes", (Plain,), {"weights": weights, "__doc__": doc}))


_freezing("Freezes the first weight with the second.", 1)
_freezing("Freezes the last weight but one with the last.", -1)


@fault("I", on=EVERY)
class _UnfreezesCopies(Plain):
    """Wants gradients of all weights once it was pickled."""

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.requires_grad_(True)


@fault("I", on=ALL)
class _LosesItsLayout(Plain):
    """Has another layout after a call that it refuses."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        batch_first, self.batch_first = self.batch_first, False
        self.check(
            input if not batch_first or not torch.is_tensor(input) or input.dim() < 3 else input.transpose(0, 1), hx
        )
        self.batch_first = batch_first
        return super().forward(input, hx)
