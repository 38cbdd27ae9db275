"""Calls whose arguments are given in the documented ways: by position, by name, and left out where they can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.callables import PLACE
from conformance.harness.execution.inputs import inputs
from conformance.harness.execution.module_call import call_module
from conformance.harness.execution.observation import Manner, Observation
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest, built
from conformance.harness.execution.subject import Subject, arguments, loaded
from reference.problem import CELL_SUFFIX, GRU, LSTM, RNN_RELU, RNN_TANH, Problem

BY_POSITION, BUT_FOR_DEVICE, BY_NAME = "by position", "by position but for the device", "by name"
LEFT_OUT, BY_NAMES = "by name, defaults left out", "by the names "
"""How the arguments of a constructor and of a call are given; but for the device: and for the dtype;
after by the names: those that a docstring gives to input and states."""

CALLED = ("input", "hx")
"""The names of a call's arguments."""

_SIZES: Mapping[str, Any] = {"input_size": ..., "hidden_size": ...}
_OF_LAYERS: Mapping[str, Any] = {"bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
_OF_RNN = {**_SIZES, "num_layers": 1, "nonlinearity": "tanh", **_OF_LAYERS}
_OF_GRU = {**_SIZES, "num_layers": 1, **_OF_LAYERS}
_OF_CELL = {**_SIZES, "bias": True}
ORDER: Mapping[str, Mapping[str, Any]] = {
    RNN_TANH: _OF_RNN,
    RNN_RELU: _OF_RNN,
    LSTM: {**_OF_GRU, "proj_size": 0},
    GRU: _OF_GRU,
    RNN_TANH + CELL_SUFFIX: {**_OF_CELL, "nonlinearity": "tanh"},
    RNN_RELU + CELL_SUFFIX: {**_OF_CELL, "nonlinearity": "tanh"},
    LSTM + CELL_SUFFIX: _OF_CELL,
    GRU + CELL_SUFFIX: _OF_CELL,
}
"""The arguments of each constructor as documented, before device and dtype, with their defaults; ... for none.

Source: https://docs.pytorch.org/docs/2.13/generated/torch.nn.RNN.html and the pages of the other classes.
"""


def documented(problem: Problem) -> dict[str, Any]:
    """The arguments of a problem's constructor before device and dtype, in the documented order."""
    defaults = ORDER[problem.architecture.name]
    given = arguments(problem.architecture)
    return {name: given.get(name, default) for name, default in defaults.items()}


def spelled_out(
    spelled: str, given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a function as `spelled` says: those by position, and those by name. An argument that has no
    default in `defaults` is always given."""
    positional = {BY_POSITION: list(given), BUT_FOR_DEVICE: [name for name in given if name not in PLACE]}
    first = positional.get(spelled, [])
    named = {name: value for name, value in given.items() if name not in first}
    if spelled == LEFT_OUT:
        named = {
            name: value for name, value in named.items() if defaults.get(name, ...) is ... or value != defaults[name]
        }
    return tuple(given[name] for name in first), named


@dataclass(frozen=True, eq=False)
class Spelled(Observation):
    """A call whose arguments were spelled in one way.

    differing  what the module's attributes hold that are named like an argument, where it is something else
    """

    differing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CallSpelled(ProblemRequest[Spelled]):
    """Build a module and call it, the arguments given `by position`, and so on."""

    spelled: str = field(kw_only=True)
    result = Spelled

    @property
    def manner(self) -> Manner:
        return replace(super().manner, spelled=self.spelled)

    def observed(self, modules: Modules, blank: Spelled) -> Spelled:
        problem = self.problem
        given = {**documented(problem), "device": problem.device, "dtype": tensors.DTYPES[problem.dtype]}
        module = built(problem, lambda: loaded(self._made(modules.subject, given), problem))
        called = ByName(module) if self.spelled in (BY_NAME, LEFT_OUT) else module
        return call_module(called, inputs(problem), replace(blank, differing=_differing(module, given)))[0]

    def _made(self, subject: Subject, given: Mapping[str, Any]) -> torch.nn.Module:
        name = self.problem.architecture.name
        positional, named = spelled_out(self.spelled, given, ORDER[name])
        return subject.classes[name](*positional, **named).train(self.problem.training)


def _differing(module: torch.nn.Module, given: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of a module, of those named like an argument, which hold another value."""
    held = {name: value for name, value in vars(module).items() if name in given}
    return {name: f"{value!r}, given {given[name]!r}" for name, value in held.items() if value != given[name]}


class ByName(torch.nn.Module):
    """Calls a module by these names of its arguments."""

    def __init__(self, module: torch.nn.Module, names: tuple[str, ...] = CALLED) -> None:
        super().__init__()
        self.called, self.names = [module], names

    def forward(self, *given: Any) -> Any:
        return self.called[0](**dict(zip(self.names, given, strict=False)))


@dataclass(frozen=True, eq=False)
class CallByNames(ProblemRequest[Observation]):
    """Call a module by the names that a docstring gives to its two inputs."""

    names: tuple[str, ...] = field(kw_only=True)

    @property
    def manner(self) -> Manner:
        return replace(super().manner, spelled=BY_NAMES + ", ".join(self.names))

    def observed(self, modules: Modules, blank: Observation) -> Observation:
        module = ByName(modules.loaded(self.problem), self.names)
        return call_module(module, inputs(self.problem), blank)[0]
