"""The request that differentiates a call by backward passes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch

from conformance.harness.execution import memory_layouts, tensors
from conformance.harness.execution.failure import IN_BACKWARD, Failure
from conformance.harness.execution.inputs import Inputs, inputs
from conformance.harness.execution.module_call import call_module, guarded_call, masks_repeatable, padded_output
from conformance.harness.execution.observation import Differentiated
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest, preparing
from conformance.harness.execution.subject import Subject
from reference.problem import Loss, Problem

Pulled = list[tuple[torch.Tensor, torch.Tensor]]
"""Results that a pass goes back from, each with its cotangent."""


@dataclass(frozen=True, eq=False)
class Backward(ProblemRequest[Differentiated]):
    """Call a module, and pull losses of its results back, each in a backward pass of its own.

    later: the losses of the passes after the first
    """

    loss: Loss = field(kw_only=True)
    later: tuple[Loss, ...] = field(default=(), kw_only=True)
    result = Differentiated

    passes_share_a_graph: ClassVar[bool] = True

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
            passes = [pulled(self.problem, loss, returned) for loss in self.losses]
            return self.after_passes(seen, passes, parameters, lambda: gradients_of(given.by_name()))

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The loss of every pass."""
        return (self.loss, *self.later)

    def after_passes(
        self,
        seen: Differentiated,
        passes: Sequence[Pulled],
        parameters: Mapping[str, torch.Tensor],
        of_inputs: Callable[[], dict[str, np.ndarray]],
    ) -> Differentiated:
        """Makes the passes, one for each loss, and reads all gradients after each.

        of_inputs: reads those of inputs and states, by name
        """
        done: list[Differentiated] = []
        for loss, pairs in zip(self.losses, passes, strict=True):
            is_last = len(done) + 1 == len(passes)
            try:
                self.pull_back(seen.route, pairs, retain_graph=self.passes_share_a_graph and not is_last)
            except Exception as error:  # the subject's own, whatever it is
                return replace(seen, failure=Failure.raised(error, during=IN_BACKWARD))
            shared = sharing({name: parameter.grad for name, parameter in parameters.items()})
            got = of_inputs() | gradients_of(parameters)
            done.append(replace(seen, loss=loss, raw_gradients=got, shared=shared))
        return replace(done[0], later_passes=tuple(done[1:]))

    def pull_back(self, route: str, pairs: Pulled, retain_graph: bool = False) -> None:
        """One backward pass, if there is anything to go back from."""
        if pairs:
            results, cotangents = zip(*pairs, strict=True)
            guarded_call(
                self.problem.case,
                route,
                lambda: torch.autograd.backward(results, cotangents, retain_graph=retain_graph),
            )


def requiring(module: torch.nn.Module, wanted: Collection[str]) -> dict[str, torch.Tensor]:
    """A module's parameters by name, without gradients; those that are `wanted` require one."""
    parameters: dict[str, torch.Tensor] = dict(module.named_parameters())
    for name, parameter in parameters.items():
        with preparing("its parameters"):
            parameter.grad = None
            parameter.requires_grad_(name in wanted)
    return parameters


def gradients_of(leaves: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The gradients that are there now, by name."""
    return {name: tensors.array(leaf.grad) for name, leaf in leaves.items() if leaf.grad is not None}


def pulled(problem: Problem, loss: Loss, returned: dict[str, Any]) -> Pulled:
    """The results that the loss is made of, padded, and their cotangents; those that require no gradient left out."""
    pairs = []
    for name, values in loss.cotangents.items():
        result = padded_output(returned[name], problem) if name == "output" else returned[name]
        if result.requires_grad:
            cotangent = tensors.tensor(as_returned(problem, name, values), problem.dtype, problem.device)
            pairs.append((result, memory_layouts.laid_out(cotangent, loss.memory)))
    return pairs


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
