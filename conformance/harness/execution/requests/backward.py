"""The request that differentiates a call by backward passes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch

from conformance.harness.execution import memory_layouts, tensors
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.inputs import Inputs, inputs
from conformance.harness.execution.module_call import call_module, guarded_call, masks_repeatable, padded_output
from conformance.harness.execution.observation import Differentiated
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest
from conformance.harness.execution.subject import Subject
from reference.problem import Loss, Problem

Seen = TypeVar("Seen", bound=Differentiated)


@dataclass(frozen=True, eq=False)
class Backward(ProblemRequest[Differentiated]):
    """Call a module, and make as many backward passes over its graph as the loss says."""

    loss: Loss = field(kw_only=True)
    result = Differentiated

    def blank(self, subject: Subject, route: str) -> Differentiated:
        return Differentiated(self.problem, subject.name, route, loss=self.loss)

    def observed(self, modules: Modules, blank: Differentiated) -> Differentiated:
        given = inputs(self.problem, requiring=self.loss.wanted, packing=modules.subject.packing)
        return self.differentiated(modules.loaded(self.problem), given, blank)

    def differentiated(self, module: torch.nn.Module, given: Inputs, blank: Differentiated) -> Differentiated:
        """Calls a module with these tensors and differentiates the call."""
        parameters = requiring(module, self.loss.wanted)
        with masks_repeatable(self.problem):
            seen, returned = call_module(module, given, blank)
            if seen.failure is not None or seen.misshapen:
                return seen
            results, cotangents = pulled(self.problem, self.loss, returned)
            passes: list[Differentiated] = []
            for _ in range(self.loss.passes if results else 1):
                try:
                    self.pull_back(blank.route, results, cotangents)
                except Exception as error:  # the subject's own, whatever it is
                    return replace(seen, failure=Failure.raised(error, during="in the backward pass"))
                passes.append(with_gradients(seen, given.by_name(), parameters))
        return replace(passes[0], later_passes=tuple(passes[1:]))

    def pull_back(self, route: str, results: list[torch.Tensor], cotangents: list[torch.Tensor]) -> None:
        """One backward pass from these results, if there are any."""
        retained = self.loss.passes > 1
        if results:
            guarded_call(
                self.problem.case,
                route,
                lambda: torch.autograd.backward(results, cotangents, retain_graph=retained),
            )


def requiring(module: torch.nn.Module, wanted: Collection[str]) -> dict[str, torch.Tensor]:
    """A module's parameters by name, without gradients; those that are `wanted` require one."""
    parameters: dict[str, torch.Tensor] = dict(module.named_parameters())
    for name, parameter in parameters.items():
        parameter.grad = None
        parameter.requires_grad_(name in wanted)
    return parameters


def with_gradients(seen: Seen, leaves: Mapping[str, torch.Tensor], parameters: Mapping[str, torch.Tensor]) -> Seen:
    """The call with the gradients that are there now."""
    gradients = {name: leaf.grad for name, leaf in {**leaves, **parameters}.items()}
    got = {name: tensors.array(gradient) for name, gradient in gradients.items() if gradient is not None}
    return replace(seen, raw_gradients=got, shared=sharing({name: gradients[name] for name in parameters}))


def pulled(problem: Problem, loss: Loss, returned: dict[str, Any]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The results that the loss is made of, padded, and their cotangents; those that require no gradient left out."""
    results, cotangents = [], []
    for name, values in loss.cotangents.items():
        result = padded_output(returned[name], problem) if name == "output" else returned[name]
        if result.requires_grad:
            results.append(result)
            cotangent = tensors.tensor(as_returned(problem, name, values), problem.dtype, problem.device)
            cotangents.append(memory_layouts.laid_out(cotangent, loss.memory))
    return results, cotangents


def as_returned(problem: Problem, name: str, values: np.ndarray) -> np.ndarray:
    """A canonical cotangent in the shape in which the call returns its result."""
    a = problem.architecture
    if name == "output":
        batch = values.reshape(*values.shape[:2], -1)
        return batch[0] if problem.unbatched else batch if a.batch_first else batch.swapaxes(0, 1)
    stacked = values[0, 0] if a.single_step else values.reshape(-1, *values.shape[2:])
    return stacked[..., 0, :] if problem.unbatched else stacked


def sharing(gradients: Mapping[str, torch.Tensor | None]) -> tuple[str, ...]:
    """Pairs of gradients that have an element of memory in common: `bias_ih_l0 and bias_hh_l0`."""
    there = [(name, gradient) for name, gradient in gradients.items() if gradient is not None and gradient.numel()]
    in_order = sorted(there, key=lambda pair: pair[1].data_ptr())
    found = []
    for place, (name, gradient) in enumerate(in_order):
        for other, later in in_order[place + 1 :]:
            if later.data_ptr() > _last_address(gradient):
                break
            if np.intersect1d(_addresses(gradient), _addresses(later)).size:
                found.append(f"{name} and {other}")
    return tuple(found)


def _last_address(t: torch.Tensor) -> int:
    last = sum((size - 1) * stride for size, stride in zip(t.shape, t.stride(), strict=True))
    return t.data_ptr() + last * t.element_size()


def _addresses(t: torch.Tensor) -> np.ndarray:
    """The address of every element."""
    places = [np.arange(size) * stride for size, stride in zip(t.shape, t.stride(), strict=True)]
    return t.data_ptr() + t.element_size() * np.add.reduce(np.ix_(*places)).ravel()
