"""Seeded faults of life cycles: conversions, copies and files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from conformance.selftest.faults.fault import ALL, EVERY, Faults
from conformance.selftest.implementations.plain import Plain

FAULTS = Faults()
fault = FAULTS.seed

Weights = tuple[Any, Any, Any, Any]


# Conversions


def _converting(doc: str, converted: Callable[[Plain, Any], Any]) -> None:
    """A fault of `.to` and all that is like it."""

    def _apply(self: Plain, fn: Any, recurse: bool = True) -> Any:
        return converted(self, fn)

    fault("I", on=EVERY)(type("_Converts", (Plain,), {"_apply": _apply, "__doc__": doc}))


def _through(dtype: torch.dtype, where: torch.dtype) -> Callable[[Plain, Any], Any]:
    """Rounds to a dtype on the way to another."""

    def converted(module: Plain, fn: Any) -> Any:
        return torch.nn.Module._apply(module, lambda t: _rounded(fn(t), dtype, where))

    return converted


def _rounded(tensor: torch.Tensor, dtype: torch.dtype, where: torch.dtype) -> torch.Tensor:
    return tensor.to(dtype).to(where) if tensor.dtype is where else tensor


_converting("Converts to float16 by bfloat16.", _through(torch.bfloat16, torch.float16))
_converting("Converts to float32 by float16.", _through(torch.float16, torch.float32))
_converting("Converts to float64 by float32.", _through(torch.float32, torch.float64))
_converting("Converts to bfloat16 by fewer bits.", lambda m, fn: torch.nn.Module._apply(m, lambda t: _coarse(fn(t))))


def _coarse(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.view(torch.int16) & -256).view(torch.bfloat16) if tensor.dtype is torch.bfloat16 else tensor


def _with_new_parameters(module: Plain, fn: Any) -> Any:
    torch.nn.Module._apply(module, fn)
    for name in module.own_weights:
        if name in module._parameters:
            was = module._parameters[name]
            module._parameters[name] = torch.nn.Parameter(was.detach().clone(), was.requires_grad)  # type: ignore[union-attr]
    return module


def _wanting_gradients(module: Plain, fn: Any) -> Any:
    return torch.nn.Module._apply(module, fn).requires_grad_()


def _without_the_last(module: Plain, fn: Any) -> Any:
    name = module.own_weights[-1]
    last = module._parameters.get(name)
    torch.nn.Module._apply(module, fn)
    if last is not None and fn(torch.zeros(1)).dtype is torch.bfloat16:
        module._parameters[name] = torch.nn.Parameter(torch.zeros_like(module._parameters[name]))  # type: ignore[arg-type]
    return module


def _losing_after_a_failure(module: Plain, fn: Any) -> Any:
    kept = dict(module._parameters)
    module._parameters.clear()
    for name, parameter in kept.items():
        module._parameters[name] = parameter
        torch.nn.Module._apply(module, fn)
    return module


_converting("Unties its weights where they are converted.", _with_new_parameters)
_converting("Wants gradients of frozen weights once they are converted.", _wanting_gradients)
_converting("Loses its last weight in bfloat16.", _without_the_last)
_converting("Loses weights where a conversion fails.", _losing_after_a_failure)


# Copies and files


@fault("I", on=EVERY)
class _SharesADeepCopy(Plain):
    """Shares its weights with a deep copy."""

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.copy(self)


@fault("I", on=EVERY)
class _CopiesAShallowCopy(Plain):
    """Does not share its weights with a copy."""

    def __copy__(self) -> Any:
        return copy.deepcopy(self)


@fault("I", on=EVERY)
class _LosesItsModeInACopy(Plain):
    """Is in training mode once it is copied."""

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state | {"training": True})

    def __deepcopy__(self, memo: Any) -> Any:
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__dict__, memo))
        return made


@fault("I", on=EVERY)
class _DrawsADeepCopyAnew(Plain):
    """Draws the weights of a deep copy anew."""

    def __deepcopy__(self, memo: Any) -> Any:
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__dict__, memo))
        made.reset_parameters()
        return made


@fault("I", on=EVERY)
class _DrawsNumbersInACopy(Plain):
    """Draws random numbers in every copy."""

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        torch.rand(1)


class PicklesWithoutItsLastWeight(Plain):
    """Draws its last weight anew once it is unpickled."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _unpickled, (type(self), dict(self.__dict__))


def _unpickled(kind: Any, state: Any) -> Any:
    made = kind.__new__(kind)
    torch.nn.Module.__init__(made)
    made.__dict__.update(state)
    with torch.no_grad():
        name = made.own_weights[-1]
        if name in made._parameters:
            made._parameters[name] = torch.nn.Parameter(torch.zeros_like(made._parameters[name]))
    return made


fault("I", on=ALL)(PicklesWithoutItsLastWeight)


@fault("I", on=EVERY)
class _LoadsAllButTheLast(Plain):
    """Does not load its last weight."""

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        last = self.own_weights[-1]
        held = getattr(self, last).detach().clone()
        options = {"assign": True} if assign else {}
        found = super().load_state_dict(state_dict, strict, **options)
        with torch.no_grad():
            getattr(self, last).copy_(held)
        return found


@fault("I", on=EVERY)
class _AssignsNothing(Plain):
    """Takes no notice of a state_dict that is assigned."""

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        return super().load_state_dict(self.state_dict() if assign else state_dict, strict)


@fault("I", on=EVERY)
class _RenamesInItsStateDict(Plain):
    """Has weights under other names in its state_dict."""

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        found = super().state_dict(*arguments, **options)
        return type(found)((name.replace("weight", "w"), values) for name, values in found.items())

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        named = {name.replace("weight", "w").replace("w_", "weight_"): values for name, values in state_dict.items()}
        return super().load_state_dict(named, *arguments, **options)


@fault("I", on=EVERY)
class _SharesItsStateDict(Plain):
    """Takes the very tensors of a state_dict that it loads."""

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        found = super().load_state_dict(state_dict, *arguments, **options)
        for name in self.own_weights:
            if name in self._parameters and name in state_dict:
                self._parameters[name].data = state_dict[name].detach()  # type: ignore[union-attr]
        return found
