"""Seeded faults of life cycles: stale, shared, lost, not restored, untied, renamed, and modes that stick."""

from __future__ import annotations

import copy
from collections.abc import Callable
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


class _Leaves(Plain):
    """Computes with doubled biases, or weights without, once something was left."""

    def leave(self) -> None:
        self.__dict__["left"] = True

    def weights(self, layer: int, direction: int) -> Weights:
        found = super().weights(layer, direction)
        if not self.__dict__.get("left"):
            return found
        return tuple(None if one is None else 2 * one for one in found)  # type: ignore[return-value]


@fault("I", on=EVERY)
class _LeavesACall(_Leaves):
    """Computes otherwise after a call without gradients."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        result = super().forward(input, hx)
        if not torch.is_grad_enabled():
            self.leave()
        return result


@fault("I", on=EVERY)
class _LeavesABackwardPass(_Leaves):
    """Computes otherwise after a backward pass."""

    def weights(self, layer: int, direction: int) -> Weights:
        found = super().weights(layer, direction)
        if found[0].requires_grad:
            watched = found[0] * 1
            watched.register_hook(lambda _: self.leave())
            return (watched, *found[1:])
        return found


@fault("I", on=EVERY)
class _LeavesARefusal(_Leaves):
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
class _TiesOnce(_Leaves):
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
