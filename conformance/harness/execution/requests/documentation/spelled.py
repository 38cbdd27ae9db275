"""Calls whose arguments are given in the other documented ways: all by position, and all by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.inputs import inputs
from conformance.harness.execution.module_call import call_module
from conformance.harness.execution.observation import Manner, Observation
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest, built
from conformance.harness.execution.subject import Subject, arguments, loaded
from reference.problem import CELL_SUFFIX, GRU, LSTM, RNN_RELU, RNN_TANH, Problem

BY_POSITION, BUT_FOR_DEVICE, BY_NAME = "by position", "by position but for the device", "by name"
"""How the arguments of a constructor and of a call are given; but for the device: and for the dtype."""

_OF_RNN = ("input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "dropout", "bidirectional")
_OF_GRU = tuple(name for name in _OF_RNN if name != "nonlinearity")
_OF_CELL = ("input_size", "hidden_size", "bias")

ORDER: Mapping[str, tuple[str, ...]] = {
    RNN_TANH: _OF_RNN,
    RNN_RELU: _OF_RNN,
    LSTM: (*_OF_GRU, "proj_size"),
    GRU: _OF_GRU,
    RNN_TANH + CELL_SUFFIX: (*_OF_CELL, "nonlinearity"),
    RNN_RELU + CELL_SUFFIX: (*_OF_CELL, "nonlinearity"),
    LSTM + CELL_SUFFIX: _OF_CELL,
    GRU + CELL_SUFFIX: _OF_CELL,
}
"""The arguments of each constructor as documented, before device and dtype.

Source: https://docs.pytorch.org/docs/2.13/generated/torch.nn.RNN.html and the pages of the other classes.
"""


def in_order(problem: Problem) -> list[Any]:
    """The arguments of a problem's constructor, in the documented order."""
    given = arguments(problem.architecture)
    defaults = {"dropout": 0.0, "proj_size": 0}
    return [given.get(name, defaults.get(name)) for name in ORDER[problem.architecture.name]]


@dataclass(frozen=True, eq=False)
class CallSpelled(ProblemRequest[Observation]):
    """Build a module and call it, the arguments given `by position`, and so on."""

    spelled: str = field(kw_only=True)

    @property
    def manner(self) -> Manner:
        return replace(super().manner, spelled=self.spelled)

    def observed(self, modules: Modules, blank: Observation) -> Observation:
        problem = self.problem
        module = built(problem, lambda: loaded(self._made(modules.subject), problem))
        given = inputs(problem)
        return call_module(_ByName(module) if self.spelled == BY_NAME else module, given, blank)[0]

    def _made(self, subject: Subject) -> torch.nn.Module:
        problem = self.problem
        if self.spelled == BY_NAME:
            return subject.module(problem, problem.device)
        last = [problem.device, tensors.DTYPES[problem.dtype]]
        positional = in_order(problem) + (last if self.spelled == BY_POSITION else [])
        named = {} if self.spelled == BY_POSITION else dict(zip(("device", "dtype"), last, strict=True))
        return subject.classes[problem.architecture.name](*positional, **named).train(problem.training)


class _ByName(torch.nn.Module):
    """Calls a module by the documented names of its arguments."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.called = [module]

    def forward(self, *given: Any) -> Any:
        return self.called[0](**dict(zip(("input", "hx"), given, strict=False)))
