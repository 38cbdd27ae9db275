"""Other ways to differentiate a call than one backward pass. Each gives the gradients that a backward pass gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from conformance.harness.call import asked, failure_of
from conformance.harness.function import Function, Tensors
from conformance.harness.gradients import sharing
from conformance.harness.observation import Observation
from conformance.harness.second import objection
from reference.problem import Loss

GRADGRADCHECK = "gradgradcheck"
"""The way that gives no gradients, but an objection to the second derivatives or none."""

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
    """A way that was gone to its end without an error, and did not give what it is for; the text says what."""


def differentiated_by(way: str, module: torch.nn.Module, loss: Loss, blank: Observation) -> Observation:
    """One call, differentiated in a way of `WAYS` or by `GRADGRADCHECK`.

    Where a way gives more than one set of gradients, or second derivatives beside the first, these are in `again`.
    """
    problem = blank.problem
    try:
        function = Function.of(module, problem, loss)
        with warnings.catch_warnings():  # of a missing batching rule, and of views
            warnings.simplefilter("ignore")
            if way == GRADGRADCHECK:
                return replace(blank, text=asked(problem.case, blank.route, lambda: objection(function)))
            found = asked(problem.case, blank.route, lambda: WAYS[way](function))
        first, *more = [replace(blank, raw_gradients=function.arrays(gradients)) for gradients in found]
        return replace(first, again=tuple(more))
    except Exception as error:  # the subject's own, whatever it is
        return replace(blank, failure=failure_of(error))


def _gradients(
    results: Sequence[torch.Tensor], leaves: Tensors, cotangents: Sequence[torch.Tensor | None], **how: Any
) -> MaybeTensors:
    """torch.autograd.grad of several results, by name."""
    found = torch.autograd.grad(results, list(leaves.values()), cotangents, allow_unused=True, **how)
    return dict(zip(leaves, found, strict=True))


def _double_backward(function: Function) -> list[MaybeTensors]:
    leaves = function.requiring()
    first = _gradients([function.loss(leaves)], leaves, [None], create_graph=True)
    total = torch.stack([gradient.sum() for gradient in first.values() if gradient is not None]).sum()
    return [first, _gradients([total], leaves, [None])]


def _forward_mode(function: Function) -> list[MaybeTensors]:
    """Along each number by itself, as there are few."""
    wide = {name: cotangent.double() for name, cotangent in function.cotangents.items()}
    gradients = {name: torch.zeros_like(leaf, dtype=torch.float64) for name, leaf in function.leaves.items()}
    for name, leaf in function.leaves.items():
        for place in range(leaf.numel()):
            direction = torch.zeros_like(leaf)
            direction.view(-1)[place] = 1
            with forward_ad.dual_level():
                dual = function.leaves | {name: forward_ad.make_dual(leaf, direction)}
                tangents = [forward_ad.unpack_dual(result).tangent for result in function.results(dual)]
            pairs = zip(tangents, wide.values(), strict=True)
            gradients[name].view(-1)[place] = sum((t.double() * c).sum() for t, c in pairs if t is not None)
    return [gradients]


def _func_in_reverse(function: Function) -> list[MaybeTensors]:
    """torch.func.grad, vjp and jacrev."""
    pull = torch.func.vjp(function.results, function.leaves)[1]
    return [
        torch.func.grad(function.loss)(function.leaves),
        pull(tuple(function.cotangents.values()))[0],
        _contracted(function, torch.func.jacrev(function.results)(function.leaves)),
    ]


def _contracted(function: Function, jacobians: Sequence[Tensors]) -> Tensors:
    """Cotangents times the derivatives of their results (result's axes, leaf's axes), summed in float64."""
    total: Tensors = {}
    for cotangent, jacobian in zip(function.cotangents.values(), jacobians, strict=True):
        for name, values in jacobian.items():
            part = torch.tensordot(cotangent.double(), values.double(), cotangent.dim())
            total[name] = total[name] + part if name in total else part
    return total


def _jacfwd(function: Function) -> list[MaybeTensors]:
    return [_contracted(function, torch.func.jacfwd(function.results)(function.leaves))]


def _called_through(function: Function, through: Callable[..., Any]) -> Tensors:
    """Gradients after a backward pass over a call of the module itself, which `through` makes."""
    leaves = function.with_own_parameters()
    results = function.chosen(through(function.module, *function.arguments(leaves)))
    torch.autograd.backward(results, list(function.cotangents.values()))
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def _hook(function: Function) -> list[MaybeTensors]:
    """The gradient of a padded input is the one that the hook is handed: a packed one is hidden from hooks."""
    handed: list[Any] = []
    handle = function.module.register_full_backward_hook(lambda module, given, returned: handed.append(given))
    try:
        gradients = _called_through(function, lambda module, *arguments: module(*arguments))
    finally:
        handle.remove()
    if not handed:
        raise Lacking("the hook was not called")
    if function.packed is None:
        if handed[0][0] is None:
            raise Lacking("the hook was handed no gradient of the input")
        gradients["input"] = handed[0][0]
    return [gradients]


def _checkpoint(function: Function) -> list[MaybeTensors]:
    def through(module: torch.nn.Module, *arguments: Any) -> Any:
        return checkpoint(module, *arguments, use_reentrant=False)

    return [_called_through(function, through)]


def _batched(function: Function) -> list[MaybeTensors]:
    leaves = function.requiring()
    both = [torch.stack([cotangent, -cotangent]) for cotangent in function.cotangents.values()]
    found = _gradients(function.results(leaves), leaves, both, is_grads_batched=True)
    there = {name: gradient for name, gradient in found.items() if gradient is not None}
    return [{name: sign * gradient[row] for name, gradient in there.items()} for row, sign in enumerate((1, -1))]


def _changed_in_place(function: Function, which: Callable[[int], bool]) -> list[MaybeTensors]:
    """Some results doubled in place, and their cotangents halved, so that gradients stay the same."""
    leaves = function.requiring()
    results = function.results(leaves)
    cotangents = list(function.cotangents.values())
    if len({result.untyped_storage().data_ptr() for result in results}) < len(results):
        raise Lacking("results share memory, so that none is changed alone")
    for place, result in enumerate(results):
        if which(place):
            result.mul_(2)
            cotangents[place] = cotangents[place] / 2
    return [_gradients(results, leaves, cotangents)]


def _output_in_place(function: Function) -> list[MaybeTensors]:
    return _changed_in_place(function, lambda place: place == 0)


def _states_in_place(function: Function) -> list[MaybeTensors]:
    return _changed_in_place(function, lambda place: place > 0)


def _own_memory(function: Function) -> list[MaybeTensors]:
    leaves = function.requiring()
    gradients = _gradients(function.results(leaves), leaves, list(function.cotangents.values()))
    if shared := sharing(gradients):
        raise Lacking(f"the gradients of {shared[0]} share memory")
    return [gradients]


WAYS: dict[str, Callable[[Function], list[MaybeTensors]]] = {
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
"""Every way by its name."""
