"""The request that differentiates a stack, and its layers one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.failure import IN_BACKWARD, Failure
from conformance.harness.execution.inputs import Inputs, PaddedOrPacked, inputs
from conformance.harness.execution.module_call import call_module
from conformance.harness.execution.observation import Differentiated, DifferentiatedByLayers
from conformance.harness.execution.requests.backward import Backward, gradients_of, pulled, requiring
from conformance.harness.execution.requests.problem_request import Modules, with_its_layers
from conformance.harness.execution.subject import Subject
from reference.problem import Loss, Problem, differentiable


@dataclass(frozen=True, eq=False)
class BackwardByLayers(Backward):
    """Differentiate a call on a padded batch, and once more as a composition of one-layer modules.

    Every layer is handed the tensor that the one below returned; one backward pass goes through all of them.
    """

    result = DifferentiatedByLayers

    def problems(self) -> tuple[Problem, ...]:
        return with_its_layers(self.problem)

    def blank(self, subject: Subject, route: str) -> DifferentiatedByLayers:
        return DifferentiatedByLayers(self.problem, subject.name, route, loss=self.loss)

    def observed(self, modules: Modules, blank: Differentiated) -> Differentiated:
        seen = super().observed(modules, blank)
        if seen.failure is not None or seen.misshapen or not isinstance(seen, DifferentiatedByLayers):
            return seen
        return replace(seen, layers=self._layers(modules, blank))

    def _layers(self, modules: Modules, blank: Differentiated) -> tuple[Differentiated, ...]:
        """Each layer, from the gradient at its output. If one fails, it is the last."""
        calls = self._called(modules, blank)
        if calls[-1].seen.failure is not None or calls[-1].seen.misshapen:
            return tuple(call.seen for call in calls)
        own = [call.own_loss(self.loss, is_top=call is calls[-1]) for call in calls]
        parts = [pulled(call.seen.problem, loss, call.returned) for call, loss in zip(calls, own, strict=True)]
        try:
            self.pull_back(blank.route, [pair for part in parts for pair in part])
        except Exception as error:  # the subject's own, whatever it is
            return (replace(calls[0].seen, failure=Failure.raised(error, during=IN_BACKWARD)),)
        return tuple(call.differentiated(loss) for call, loss in zip(calls, own, strict=True))

    def _called(self, modules: Modules, blank: Differentiated) -> list[_LayerCall]:
        calls = list[_LayerCall]()
        given, values = inputs(self.problem, requiring=("input",)), self.problem.input
        below = given.input
        for layer in range(self.problem.architecture.num_layers):
            part = self.problem.layer(layer, values)
            own = Differentiated(part, blank.subject, blank.route, layer=layer)
            calls.append(_LayerCall.made(modules.loaded(part, layer), own, below, given.states))
            seen = calls[-1].seen
            if seen.failure is not None or seen.misshapen:
                break
            below = calls[-1].returned["output"]
            below.retain_grad()
            values = seen.output.values.reshape(*self.problem.input.shape[:2], -1)
        return calls


@dataclass(frozen=True, eq=False)
class _LayerCall:
    """One layer's call: its tensors, and what it returned."""

    seen: Differentiated
    returned: dict[str, Any]
    given: Inputs
    parameters: Mapping[str, torch.Tensor]

    @classmethod
    def made(
        cls, module: torch.nn.Module, blank: Differentiated, below: PaddedOrPacked, states: tuple[torch.Tensor, ...]
    ) -> _LayerCall:
        """Calls a layer with the tensor from below and its part of the states of the whole call."""
        part = blank.problem
        at = slice(blank.layer * part.architecture.directions, (blank.layer + 1) * part.architecture.directions)
        given = Inputs(below, tuple(state[at].detach().requires_grad_() for state in states))
        parameters = requiring(module, part.parameters)
        seen, returned = call_module(module, given, blank)
        return cls(seen, returned, given, parameters)

    def own_loss(self, whole: Loss, is_top: bool) -> Loss:
        """The part of a stack's loss that is made of this layer's results: its last states, and the top's output."""
        at = slice(self.seen.layer, self.seen.layer + 1)
        cotangents = {name: values[at] for name, values in whole.cotangents.items() if name != "output"}
        if is_top and "output" in whole.cotangents:
            cotangents["output"] = whole.cotangents["output"]
        return replace(whole, cotangents=cotangents, wanted=differentiable(self.seen.problem))

    def differentiated(self, own: Loss) -> Differentiated:
        """The call after the backward pass. The gradient that arrived at its output is part of its loss."""
        arrived, cotangents = self.returned["output"].grad, dict(own.cotangents)
        if arrived is not None:
            at_output = replace(self.seen, raw=self.seen.raw | {"output": tensors.array(arrived)})
            cotangents["output"] = at_output.output.values
        gradients = gradients_of({**self.given.by_name(), **self.parameters})
        return replace(self.seen, loss=replace(own, cotangents=cotangents), raw_gradients=gradients)
