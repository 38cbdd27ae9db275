"""Autograd APIs other than one backward pass. Each gives the same gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from conformance.harness.execution.failure import Failure
from conformance.harness.execution.module_call import guarded_call
from conformance.harness.execution.observation import Differentiated, DifferentiatedByApi, GradgradChecked, Manner
from conformance.harness.execution.requests.backward import sharing
from conformance.harness.execution.requests.differentiable_call import DifferentiableCall, Tensors
from conformance.harness.execution.requests.gradgradcheck import gradgradcheck_failure
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest
from conformance.harness.execution.subject import Subject
from reference.problem import Loss, Problem

T = TypeVar("T")

DOUBLE_BACKWARD = "double backward"
FORWARD_MODE = "forward mode"
FUNC_IN_REVERSE = "torch.func.grad, vjp and jacrev"
JACFWD = "torch.func.jacfwd"
HOOK = "full backward hook"
CHECKPOINT = "checkpoint"
BATCHED = "is_grads_batched"
OUTPUT_IN_PLACE = "output changed in place"
STATES_IN_PLACE = "states changed in place"
OWN_MEMORY = "gradients in memory of their own"
"""As reports call them. A result that is changed in place is changed between the call and its backward pass."""

MaybeTensors = Mapping[str, torch.Tensor | None]


class Lacking(Exception):
    """An API that raised no error but did not do what it is for; the message says what is missing."""


@dataclass(frozen=True, eq=False)
class DifferentiateByApi(ProblemRequest[DifferentiatedByApi]):
    """Differentiate one call by an API of `AUTOGRAD_APIS`."""

    loss: Loss = field(kw_only=True)
    api: str = field(kw_only=True)
    result = DifferentiatedByApi

    @property
    def manner(self) -> Manner:
        return replace(super().manner, api=self.api)

    def blank(self, subject: Subject, route: str) -> DifferentiatedByApi:
        return DifferentiatedByApi(self.problem, subject.name, route, loss=self.loss)

    def observed(self, modules: Modules, blank: DifferentiatedByApi) -> DifferentiatedByApi:
        module = modules.loaded(self.problem)
        try:
            call = DifferentiableCall.of(module, self.problem, self.loss)
            found = _without_warnings(self.problem, blank.route, lambda: AUTOGRAD_APIS[self.api](call))
            sets = [call.arrays(gradients) for gradients in found]
        except Exception as error:  # the subject's own, whatever it is
            return replace(blank, failure=Failure.raised(error))
        first, *more = [replace(self._plain(blank), raw_gradients=one) for one in sets]
        seen = replace(blank, raw_gradients=first.raw_gradients)
        return replace(seen, second=more[0]) if self.api == DOUBLE_BACKWARD else replace(seen, others=tuple(more))

    def _plain(self, blank: DifferentiatedByApi) -> Differentiated:
        return Differentiated(self.problem, blank.subject, blank.route, manner=blank.manner, loss=self.loss)


@dataclass(frozen=True, eq=False)
class CheckSecondDerivatives(ProblemRequest[GradgradChecked]):
    """Run gradgradcheck on the loss of one call."""

    loss: Loss = field(kw_only=True)
    result = GradgradChecked

    def observed(self, modules: Modules, blank: GradgradChecked) -> GradgradChecked:
        module = modules.loaded(self.problem)
        try:
            call = DifferentiableCall.of(module, self.problem, self.loss)
            failure = _without_warnings(self.problem, blank.route, lambda: gradgradcheck_failure(call))
        except Exception as error:  # the subject's own, whatever it is
            return replace(blank, failure=Failure.raised(error))
        return replace(blank, gradgradcheck_failure=failure)


def _without_warnings(problem: Problem, route: str, work: Callable[[], T]) -> T:
    """What `work` returns; warnings of a missing batching rule, and of views, are not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return guarded_call(problem.case, route, work)


def _gradients(
    results: Sequence[torch.Tensor], leaves: Tensors, cotangents: Sequence[torch.Tensor | None], **how: Any
) -> MaybeTensors:
    """torch.autograd.grad of several results, by name."""
    found = torch.autograd.grad(results, list(leaves.values()), cotangents, allow_unused=True, **how)
    return dict(zip(leaves, found, strict=True))


def _double_backward(call: DifferentiableCall) -> list[MaybeTensors]:
    leaves = call.requiring()
    first = _gradients([call.loss(leaves)], leaves, [None], create_graph=True)
    total = torch.stack([gradient.sum() for gradient in first.values() if gradient is not None]).sum()
    return [first, _gradients([total], leaves, [None])]


def _forward_mode(call: DifferentiableCall) -> list[MaybeTensors]:
    """Differentiates along each number separately, as there are few."""
    wide = {name: cotangent.double() for name, cotangent in call.cotangents.items()}
    gradients = {name: torch.zeros_like(leaf, dtype=torch.float64) for name, leaf in call.leaves.items()}
    for name, leaf in call.leaves.items():
        for place in range(leaf.numel()):
            direction = torch.zeros_like(leaf)
            direction.view(-1)[place] = 1
            with forward_ad.dual_level():
                dual = call.leaves | {name: forward_ad.make_dual(leaf, direction)}
                tangents = [forward_ad.unpack_dual(result).tangent for result in call.results(dual)]
            pairs = zip(tangents, wide.values(), strict=True)
            gradients[name].view(-1)[place] = sum((t.double() * c).sum() for t, c in pairs if t is not None)
    return [gradients]


def _func_in_reverse(call: DifferentiableCall) -> list[MaybeTensors]:
    """torch.func.grad, vjp and jacrev."""
    pull = torch.func.vjp(call.results, call.leaves)[1]
    return [
        torch.func.grad(call.loss)(call.leaves),
        pull(tuple(call.cotangents.values()))[0],
        _contracted(call, torch.func.jacrev(call.results)(call.leaves)),
    ]


def _contracted(call: DifferentiableCall, jacobians: Sequence[Tensors]) -> Tensors:
    """Cotangents times the derivatives of their results (result's axes, leaf's axes), summed in float64."""
    total: Tensors = {}
    for cotangent, jacobian in zip(call.cotangents.values(), jacobians, strict=True):
        for name, values in jacobian.items():
            part = torch.tensordot(cotangent.double(), values.double(), cotangent.dim())
            total[name] = total[name] + part if name in total else part
    return total


def _jacfwd(call: DifferentiableCall) -> list[MaybeTensors]:
    return [_contracted(call, torch.func.jacfwd(call.results)(call.leaves))]


def _called_through(call: DifferentiableCall, through: Callable[..., Any]) -> Tensors:
    """Gradients after a backward pass over a call of the module itself, which `through` makes."""
    leaves = call.with_own_parameters()
    results = call.chosen(through(call.module, *call.arguments(leaves)))
    torch.autograd.backward(results, list(call.cotangents.values()))
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def _hook(call: DifferentiableCall) -> list[MaybeTensors]:
    """The gradient of a padded input is the one that the hook is handed: a packed one is hidden from hooks."""
    handed: list[Any] = []
    handle = call.module.register_full_backward_hook(lambda module, given, returned: handed.append(given))
    try:
        gradients = _called_through(call, lambda module, *arguments: module(*arguments))
    finally:
        handle.remove()
    if not handed:
        raise Lacking("the hook was not called")
    if call.packed is None:
        if handed[0][0] is None:
            raise Lacking("the hook was handed no gradient of the input")
        gradients["input"] = handed[0][0]
    return [gradients]


def _checkpoint(call: DifferentiableCall) -> list[MaybeTensors]:
    def through(module: torch.nn.Module, *arguments: Any) -> Any:
        return checkpoint(module, *arguments, use_reentrant=False)

    return [_called_through(call, through)]


def _batched(call: DifferentiableCall) -> list[MaybeTensors]:
    leaves = call.requiring()
    both = [torch.stack([cotangent, -cotangent]) for cotangent in call.cotangents.values()]
    found = _gradients(call.results(leaves), leaves, both, is_grads_batched=True)
    there = {name: gradient for name, gradient in found.items() if gradient is not None}
    return [{name: sign * gradient[row] for name, gradient in there.items()} for row, sign in enumerate((1, -1))]


def _changed_in_place(call: DifferentiableCall, which: Callable[[int], bool]) -> list[MaybeTensors]:
    """Some results doubled in place, and their cotangents halved, so that gradients stay the same."""
    leaves = call.requiring()
    results = call.results(leaves)
    cotangents = list(call.cotangents.values())
    if len({result.untyped_storage().data_ptr() for result in results}) < len(results):
        raise Lacking("results share memory, so that none is changed alone")
    for place, result in enumerate(results):
        if which(place):
            result.mul_(2)
            cotangents[place] = cotangents[place] / 2
    return [_gradients(results, leaves, cotangents)]


def _output_in_place(call: DifferentiableCall) -> list[MaybeTensors]:
    return _changed_in_place(call, lambda place: place == 0)


def _states_in_place(call: DifferentiableCall) -> list[MaybeTensors]:
    return _changed_in_place(call, lambda place: place > 0)


def _own_memory(call: DifferentiableCall) -> list[MaybeTensors]:
    leaves = call.requiring()
    gradients = _gradients(call.results(leaves), leaves, list(call.cotangents.values()))
    if shared := sharing(gradients):
        raise Lacking(f"the gradients of {shared[0]} share memory")
    return [gradients]


AUTOGRAD_APIS: dict[str, Callable[[DifferentiableCall], list[MaybeTensors]]] = {
    DOUBLE_BACKWARD: _double_backward,
    FORWARD_MODE: _forward_mode,
    FUNC_IN_REVERSE: _func_in_reverse,
    JACFWD: _jacfwd,
    HOOK: _hook,
    CHECKPOINT: _checkpoint,
    BATCHED: _batched,
    OUTPUT_IN_PLACE: _output_in_place,
    STATES_IN_PLACE: _states_in_place,
    OWN_MEMORY: _own_memory,
}
"""Every API by its name."""

API_IDS = {
    "double_backward": DOUBLE_BACKWARD,
    "forward_mode": FORWARD_MODE,
    "torch_func_in_reverse": FUNC_IN_REVERSE,
    "jacfwd": JACFWD,
    "backward_hook": HOOK,
    "checkpoint": CHECKPOINT,
    "batched_cotangents": BATCHED,
    "output_in_place": OUTPUT_IN_PLACE,
    "states_in_place": STATES_IN_PLACE,
    "own_memory": OWN_MEMORY,
}
"""The names of APIs as the ids of tests."""
