"""A call of a module: what every kind of it prepares, and what may be asked for beside the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.inputs import Inputs, data_of, inputs
from conformance.harness.execution.kernels import kernels
from conformance.harness.execution.module_call import (
    call_module,
    guarded_call,
    masks_repeatable,
    recorded_warnings,
)
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests.problem_request import (
    Modules,
    ProblemRequest,
    Unbuilt,
    built,
    preparing,
)
from conformance.harness.execution.routes import ROUTES, Route
from reference.problem import Problem

Seen = TypeVar("Seen", bound=Observation)

FAKE_ATTEMPTS = 12
"""So often a module without values is built before it counts as failed; each failed in 3 to 20 of 200 attempts."""


@dataclass
class Begun(Generic[Seen]):
    """A module and the tensors of a call, ready to be made."""

    modules: Modules
    module: torch.nn.Module
    given: Inputs
    blank: Seen

    def call(self) -> tuple[Any, dict[str, Any]]:
        """What the call returns, as an observation and as tensors."""
        with masks_repeatable(self.blank.problem):
            return call_module(self.module, self.given, self.blank)


@dataclass(frozen=True, eq=False)
class ModuleCall(ProblemRequest[Seen]):
    """A call of a module, and what is asked for beside it.

    record_kernels: also call it once more and note which kernels are reached.
    """

    record_kernels: bool = field(default=False, kw_only=True)

    def observed(self, modules: Modules, blank: Seen) -> Seen:
        route = ROUTES[blank.route]
        if not route.has_values:
            return self._without_values(modules, blank, route)
        begun = Begun(modules, modules.loaded(self.problem), inputs(self.problem), blank)
        _require_gradients(begun.module, begun.given, route)
        seen = self.called(begun)
        if self.record_kernels and seen.failure is None:
            seen = replace(seen, kernels=_kernels(begun))
        return seen

    def called(self, begun: Begun[Seen]) -> Seen:
        """Makes the call, and those that the request wants after it."""
        seen: Seen = begun.call()[0]
        return seen

    def _without_values(self, modules: Modules, blank: Seen, route: Route) -> Seen:
        """A call with tensors that have no values: facts alone."""
        device = route.device or self.problem.device
        module = _built_without_values(self.problem, lambda: modules.subject.module(self.problem, device))

        def empty(values: np.ndarray) -> torch.Tensor:
            return torch.empty(values.shape, dtype=tensors.DTYPES[self.problem.dtype], device=device)

        return call_module(module, inputs(self.problem, empty), blank)[0]


def _built_without_values(problem: Problem, build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """What `build` returns. Raises Unbuilt where it never succeeds.

    Under FakeTensorMode, `.to(dtype)` now and then cannot swap parameters, whatever the module is.
    """
    for _ in range(FAKE_ATTEMPTS - 1):
        try:
            return built(problem, build)
        except Unbuilt:
            pass
    return built(problem, build)


def _kernels(begun: Begun[Any]) -> tuple[str, ...]:
    arguments, problem = begun.given.arguments(), begun.blank.problem
    with recorded_warnings():
        try:
            return kernels(lambda: guarded_call(problem.case, begun.blank.route, lambda: begun.module(*arguments)))
        except Exception:  # the subject's own: a call that it took before
            return ()


def _require_gradients(module: torch.nn.Module, given: Inputs, route: Route) -> None:
    for parameter in module.parameters():
        if parameter.requires_grad is route.frozen:
            with preparing("its parameters"):
                parameter.requires_grad_(not route.frozen)
    if route.input_gradient:
        for tensor in (data_of(given.input), *given.states):
            tensor.requires_grad_()


def plain(seen: Observation) -> Observation:
    """A blank observation of another call on the same problem and route."""
    return Observation(seen.problem, seen.subject, seen.route)


def prepare() -> None:
    """Has PyTorch import what the routes and the kernel recording need on their first use, which takes a second."""
    with ROUTES["fake"].settings():
        pass
    on_meta = torch.ones(1, 1, device="meta")
    torch.addmm(on_meta, on_meta, on_meta)
    kernels(lambda: None)
