"""Some steps of training: how far small differences grow."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.inputs import data_of, inputs
from conformance.harness.execution.module_call import guarded_call, masks_repeatable, named_results
from conformance.harness.execution.observation import Trained
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest


@dataclass(frozen=True, eq=False)
class Train(ProblemRequest[Trained]):
    """Train a module to return zeros: `steps` steps of gradient descent on the mean of its squared results."""

    steps: int = field(default=20, kw_only=True)
    rate: float = field(default=0.5, kw_only=True)
    result = Trained

    def observed(self, modules: Modules, blank: Trained) -> Trained:
        module, arguments = modules.loaded(self.problem), inputs(self.problem).arguments()
        optimiser = torch.optim.SGD(module.parameters(), self.rate)
        losses = []
        try:
            for _ in range(self.steps):
                losses.append(guarded_call(self.problem.case, blank.route, lambda: self._step(module, arguments)))
                optimiser.step()
        except Exception as error:  # the subject's own, whatever it is
            return replace(blank, failure=Failure.raised(error, during="in a step of training"))
        weights = {name: tensors.array(parameter.detach()) for name, parameter in module.named_parameters()}
        return replace(blank, losses=tuple(losses), weights=weights)

    def _step(self, module: torch.nn.Module, arguments: tuple[Any, ...]) -> float:
        """The loss, its gradients left in the parameters."""
        module.zero_grad(set_to_none=True)
        with masks_repeatable(self.problem):
            returned = named_results(module(*arguments), self.problem.architecture)
        loss = data_of(next(iter(returned.values()))).double().square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())
