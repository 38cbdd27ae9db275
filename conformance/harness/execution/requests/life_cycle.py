"""Calls of a module whose weights change between them, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from conformance.harness.execution.inputs import inputs
from conformance.harness.execution.module_call import call_module, masks_repeatable
from conformance.harness.execution.observation import Changed, Differentiated, Manner, Observation
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.module_request import Begun, ModuleCall
from conformance.harness.execution.requests.problem_request import Modules
from conformance.harness.execution.subject import Subject
from reference.life import FACTOR
from reference.problem import Problem


def _in_place(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        parameter.mul_(FACTOR)


def _by_optimiser(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        parameter.grad = -parameter.detach()
    torch.optim.SGD(module.parameters(), lr=FACTOR - 1).step()
    for parameter in module.parameters():
        parameter.grad = None


def _by_state_dict(module: torch.nn.Module) -> None:
    module.load_state_dict({name: values * FACTOR for name, values in module.state_dict().items()})


def _by_data(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        parameter.data = parameter.data * FACTOR


def _in_place_by_data(module: torch.nn.Module) -> None:
    """Neither the address nor the version of a parameter tells."""
    for parameter in module.parameters():
        parameter.data.mul_(FACTOR)


CHANGES: Mapping[str, Callable[[torch.nn.Module], None]] = {
    "in place": _in_place,
    "by an optimiser step": _by_optimiser,
    "by load_state_dict": _by_state_dict,
    "through .data": _by_data,
    "in place through .data": _in_place_by_data,
}
"""Ways to double every weight of a module."""


def doubled(problem: Problem, change: str) -> Problem:
    """The same call after one of the `CHANGES`."""
    parameters = {name: values * FACTOR for name, values in problem.parameters.items()}
    return replace(problem, parameters=parameters, relation=f"weights doubled {change}", granule=0.0)


@contextmanager
def _weights_doubled(module: torch.nn.Module, change: str) -> Iterator[None]:
    """Makes one of the `CHANGES`, and takes it back in the end: the module serves other routes too."""
    before = [parameter.detach().clone() for parameter in module.parameters()]
    with torch.no_grad():
        CHANGES[change](module)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, values in zip(module.parameters(), before, strict=True):
                parameter.copy_(values)


@dataclass(frozen=True, eq=False)
class ForwardAfterChange(ModuleCall[Changed]):
    """Call a module, double its weights in one of the `CHANGES`, and call it again.

    changed: the problem with the doubled weights
    """

    change: str = field(kw_only=True)
    changed: Problem = field(kw_only=True)
    result = Changed

    def called(self, begun: Begun[Changed]) -> Changed:
        seen: Changed = begun.call()[0]
        if seen.failure is not None:
            return seen
        blank = Observation(self.changed, seen.subject, seen.route, manner=Manner(change=self.change))
        with _weights_doubled(begun.module, self.change), masks_repeatable(self.changed):
            after, _ = call_module(begun.module, begun.given, blank)
        return replace(seen, after=(after,))


@dataclass(frozen=True, eq=False)
class BackwardAfterChange(Backward):
    """Call a module, double its weights in one of the `CHANGES`, call it again and differentiate that call.

    changed: the problem with the doubled weights, which is observed
    first_too: the call before is differentiated too
    """

    change: str = field(kw_only=True)
    changed: Problem = field(kw_only=True)
    first_too: bool = field(kw_only=True)

    @property
    def manner(self) -> Manner:
        return replace(super().manner, change=self.change, first_too=self.first_too)

    def blank(self, subject: Subject, route: str) -> Differentiated:
        return Differentiated(self.changed, subject.name, route, loss=self.loss)

    def observed(self, modules: Modules, blank: Differentiated) -> Differentiated:
        module = modules.loaded(self.problem)
        loss = self.loss if self.first_too else replace(self.loss, cotangents={})
        first = Backward(self.problem, (blank.route,), loss=loss)
        before = first.observed(modules, first.blank(modules.subject, blank.route))
        if before.failure is not None or before.misshapen:
            return before
        given = inputs(self.changed, requiring=self.loss.wanted, packing=modules.subject.packing)
        with _weights_doubled(module, self.change):
            return self.differentiated(module, given, blank)
