"""Calls of one module over the same lengths again and again, and the memory that they take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from conformance.harness.execution.failure import Failure
from conformance.harness.execution.inputs import data_of, inputs
from conformance.harness.execution.memory_use import added_by_each
from conformance.harness.execution.module_call import guarded_call, named_results
from conformance.harness.execution.observation import InLaps
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest
from reference.problem import Problem

LAPS = 6


@dataclass(frozen=True, eq=False)
class CallInLaps(ProblemRequest[InLaps]):
    """Call a module on the first step of the input, on its first two and so on, and all that in `LAPS` laps.

    differentiated: calls of at most so many steps are differentiated, longer ones are made under no_grad.
    shortest: the steps of the first call
    """

    differentiated: int = field(kw_only=True)
    shortest: int = field(kw_only=True, default=1)
    result = InLaps

    @property
    def is_differentiated(self) -> bool:
        return bool(self.differentiated)

    def problems(self) -> tuple[Problem, ...]:
        return self.problem, self.problem.step(0)

    def observed(self, modules: Modules, blank: InLaps) -> InLaps:
        module = modules.loaded(self.problem)
        try:
            laps = added_by_each(LAPS, lambda: self._lap(module, blank.route))
        except Exception as error:  # the subject's own, whatever it is
            return replace(blank, failure=Failure.raised(error))
        return replace(blank, laps=laps, calls=self.problem.steps - self.shortest + 1)

    def _lap(self, module: torch.nn.Module, route: str) -> None:
        for steps, arguments in enumerate(self._arguments(), self.shortest):
            with torch.set_grad_enabled(steps <= self.differentiated):
                self._call(module, arguments, route)

    def _arguments(self) -> Iterator[tuple[Any, ...]]:
        """Those of each call: the first steps of an input (T, N, I), and initial states."""
        given = inputs(self.problem)
        whole = data_of(given.input)
        for steps in range(self.shortest, len(whole) + 1):
            yield replace(given, input=whole[:steps]).arguments()

    def _call(self, module: torch.nn.Module, arguments: tuple[Any, ...], route: str) -> None:
        """One call, with a backward pass from the output where gradients are on."""
        result = guarded_call(self.problem.case, route, lambda: module(*arguments))
        if torch.is_grad_enabled():
            output = named_results(result, self.problem.architecture)["output"]
            guarded_call(self.problem.case, route, lambda: output.backward(torch.ones_like(output)))
            module.zero_grad(set_to_none=True)
