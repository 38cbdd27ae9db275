"""Calls of a module against the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from conformance.harness.execution.failure import Failure
from conformance.harness.execution.inputs import data_of
from conformance.harness.execution.module_call import guarded_call, masks_repeatable, named_results, recorded_warnings
from conformance.harness.execution.observation import Timed
from conformance.harness.execution.requests.module_request import Begun, ModuleCall
from conformance.harness.execution.routes import ROUTES


@dataclass(frozen=True, eq=False)
class CallTimed(ModuleCall[Timed]):
    """Call a module once untimed, then `calls` times against the clock; with gradients, a backward pass too."""

    calls: int = field(default=5, kw_only=True)
    result = Timed

    def called(self, begun: Begun[Timed]) -> Timed:
        blank = begun.blank
        with masks_repeatable(self.problem), recorded_warnings():
            try:
                one = self._one(begun)
                one()
                return replace(blank, seconds=tuple(_seconds(one) for _ in range(self.calls)))
            except Exception as error:  # the subject's own, whatever it is
                return replace(blank, failure=Failure.raised(error))

    def _one(self, begun: Begun[Timed]) -> Callable[[], None]:
        """One call, with its backward pass where the route has one."""
        arguments, route = begun.given.arguments(), ROUTES[begun.blank.route]

        def work() -> Any:
            result = begun.module(*arguments)
            if route.differentiable:
                of_call = named_results(result, self.problem.architecture)
                data_of(next(iter(of_call.values()))).sum().backward()
                begun.module.zero_grad(set_to_none=True)

        return lambda: guarded_call(self.problem.case, begun.blank.route, work)


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
