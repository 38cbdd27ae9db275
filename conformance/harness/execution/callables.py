"""What a subject may be beside a class like PyTorch's: a constructor of fewer arguments, a function, an instance."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch

from reference.problem import CELL_SUFFIX, GATES, Architecture

DEFAULTS: Mapping[str, Any] = {
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "bidirectional": False,
    "nonlinearity": "tanh",
}
"""What an argument of a constructor means that is left out."""

PLACE = ("device", "dtype")
"""The last arguments of each constructor."""

WEIGHTS = "weights"
"""The parameter of a function that takes all weights: a list of them, or one after the other as `*weights`."""

_WEIGHT = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+(_reverse)?)?")
_NO_PLACE = re.compile(r"unexpected keyword argument '(device|dtype)'")


@lru_cache(maxsize=256)
def argument_names(kind: Callable[..., Any]) -> frozenset[str] | None:
    """The names of the arguments that a callable takes; None where it takes others too, or does not tell."""
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return frozenset(one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))


def made(
    kind: Callable[..., torch.nn.Module], given: Mapping[str, Any], alone: Mapping[str, Any], device: str, dtype: Any
) -> torch.nn.Module:
    """A module, on a device and of a dtype. An argument that its constructor does not take is left out where that
    changes nothing: its value is the default, or the only one that the subject states (`alone`).

    A constructor that takes no device or dtype makes a module that is moved there.
    """
    place = {"device": device, "dtype": dtype}
    names = argument_names(kind)
    if names is not None:
        own = {name: value for name, value in given.items() if name in names or not _is_idle(name, value, alone)}
        return kind(**own, **{name: value for name, value in place.items() if name in names}).to(**place)
    try:
        return kind(**given, **place)
    except TypeError as error:
        if not _NO_PLACE.search(str(error)):
            raise
    return kind(**given).to(**place)


def _is_idle(name: str, value: Any, alone: Mapping[str, Any]) -> bool:
    return any(name in values and values[name] == value for values in (DEFAULTS, alone))


def takes_weights(given: object) -> bool:
    """Whether something is a function of an input, states and weights, and no constructor."""
    if isinstance(given, type | torch.nn.Module) or not callable(given):
        return False
    try:
        names = inspect.signature(given).parameters
    except (TypeError, ValueError):
        return False
    return any(name == WEIGHTS or _WEIGHT.fullmatch(name) for name in names)


class OfFunction:
    """Constructs modules of one cell that call a function f(input, hx, weights).

    A function that is batch first alone needs no parameter `batch_first`.
    """

    def __init__(self, function: Callable[..., Any], cell: str, is_batch_first: bool = False) -> None:
        self.function, self.cell, self.is_batch_first = function, cell, is_batch_first

    def __call__(self, *, device: Any = None, dtype: Any = None, **given: Any) -> torch.nn.Module:
        names = argument_names(self.function)
        asked = given.get("batch_first", self.is_batch_first)  # a Cell has none
        if asked is not self.is_batch_first and names is not None and "batch_first" not in names:
            raise TypeError("the function takes no batch_first")
        return Applied(self.function, self.cell, given, device, dtype)


class Applied(torch.nn.Module):
    """A module with the documented parameters that hands its input, states and weights to a function.

    The function is given input and hx by position, hx None where there are no states. The weights come in the
    documented order, as a list named `weights`, one after the other as `*weights`, or each by its documented name,
    with or without `_l0`; a bias that is not there is None. Arguments of the constructor, and `training`, are given by
    name where the function has a parameter of that name.
    """

    def __init__(
        self, function: Callable[..., Any], cell: str, given: Mapping[str, Any], device: Any, dtype: Any
    ) -> None:
        super().__init__()
        self.function, self.given = function, {**DEFAULTS, "dropout": 0.0, "proj_size": 0, **given}
        sizes = {name: value for name, value in given.items() if name != "nonlinearity"}
        single = cell.endswith(CELL_SUFFIX)
        architecture = Architecture(cell.removesuffix(CELL_SUFFIX), single_step=single, **sizes)
        self.names = tuple(architecture.parameter_shapes())
        for name, shape in architecture.parameter_shapes().items():
            drawn = torch.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, torch.nn.Parameter(drawn))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws every parameter as PyTorch does."""
        limit = self.given["hidden_size"] ** -0.5
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -limit, limit)

    def forward(self, input: Any, hx: Any = None) -> Any:
        weights = {name: getattr(self, name) for name in self.names}  # whatever a parametrization makes of them
        named = {**self.given, "training": self.training, WEIGHTS: list(weights.values())}
        named |= {name.removesuffix("_l0"): value for name, value in weights.items()} | weights
        options, several = dict[str, Any](), tuple[torch.Tensor, ...]()
        for name, parameter in list(inspect.signature(self.function).parameters.items())[2:]:
            if parameter.kind is parameter.VAR_POSITIONAL:
                several = tuple(weights.values())
            elif name in named or _WEIGHT.fullmatch(name):
                options[name] = named.get(name)
        return self.function(input, hx, *several, **options)


class Copies:
    """Stands for the class of a module that exists: each module is a copy of it."""

    def __init__(self, instance: torch.nn.Module) -> None:
        self.instance = instance
        self.__module__, self.forward = type(instance).__module__, type(instance).forward

    def __call__(self, *, device: Any = None, dtype: Any = None, **given: Any) -> torch.nn.Module:
        return copy.deepcopy(self.instance).to(device=device, dtype=dtype)

    def statement(self, cell: str) -> dict[str, Any]:
        """What its parameters and flags state: its sizes, and that it has no other."""
        shapes = {name: tuple(one.shape) for name, one in self.instance.named_parameters()}
        end = "" if cell.endswith(CELL_SUFFIX) else "_l0"
        if len(shapes.get("weight_ih" + end, ())) != 2:
            return {}
        rows, input_size = shapes["weight_ih" + end]
        gates = len(GATES[cell.removesuffix(CELL_SUFFIX)])
        found: dict[str, Any] = {"input_size": input_size, "hidden_size": max(1, rows // gates)}
        found["bias"] = "bias_ih" + end in shapes
        if end:
            found["layers"] = sum(bool(re.fullmatch(r"weight_ih_l\d+", name)) for name in shapes)
            found |= {"bidirectional": "weight_ih_l0_reverse" in shapes, "proj_size": False}
            found |= {"batch_first": bool(getattr(self.instance, "batch_first", False)), "dropout": False}
        return found
