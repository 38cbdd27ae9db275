"""Calls of a module whose weights change between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from conformance.harness.execution.module_call import call_module, masks_repeatable
from conformance.harness.execution.observation import Changed, Observation
from conformance.harness.execution.requests.module_request import Begun, ModuleCall

FACTOR = 2.0
"""What every weight is multiplied by: exact, also where it is subnormal."""


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


CHANGES: Mapping[str, Callable[[torch.nn.Module], None]] = {
    "in place": _in_place,
    "by an optimiser step": _by_optimiser,
    "by load_state_dict": _by_state_dict,
    "through .data": _by_data,
}
"""Ways to double every weight of a module."""


@dataclass(frozen=True, eq=False)
class ForwardAfterChange(ModuleCall[Changed]):
    """Call a module, double its weights in one of the `CHANGES`, and call it again."""

    change: str = field(default="in place", kw_only=True)
    result = Changed

    def called(self, begun: Begun[Changed]) -> Changed:
        seen: Changed = begun.call()[0]
        if seen.failure is not None:
            return seen
        before = [parameter.detach().clone() for parameter in begun.module.parameters()]
        with torch.no_grad():
            CHANGES[self.change](begun.module)
        doubled = {name: values * FACTOR for name, values in self.problem.parameters.items()}
        changed = replace(self.problem, parameters=doubled, relation=f"weights doubled {self.change}", granule=0.0)
        with masks_repeatable(changed):
            blank = Observation(changed, seen.subject, seen.route)
            after, _ = call_module(begun.module, begun.given, blank)
        with torch.no_grad():  # the module serves other routes too
            for parameter, values in zip(begun.module.parameters(), before, strict=True):
                parameter.copy_(values)
        return replace(seen, after=(after,))
