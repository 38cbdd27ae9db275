"""What is wrong with an invalid call, in words: `c_0 has shape (2, 1, 1), valid is (1, 1, 1)`."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.execution.inputs import Inputs, inputs
from conformance.harness.execution.requests.invalid.call import (
    PARAMETER_AXES,
    SIZE_AXES,
    input_axis,
    spoilt_batch_sizes,
)
from conformance.harness.execution.requests.invalid.construction import keywords, valid_keywords
from conformance.harness.execution.requests.invalid.packing import UtilityCall
from conformance.harness.execution.requests.packing import Batch
from conformance.harness.execution.subject import torch_nn
from reference.invalid_calls import CONSTRUCTOR, EMPTY, Spoil
from reference.problem import LSTM, Problem

Shape = tuple[int, ...]

NO_TENSOR = {"list": "a list", "array": "a NumPy array", "text": "'a text'", "nothing": "None"}
"""What stands in place of a tensor."""

ARGUMENTS = {
    "dropout": "a number from 0 to 1",
    "proj_size": "from 0 to hidden_size - 1",
    "nonlinearity": "'tanh' or 'relu'",
}
"""What is valid in the constructor, where the call at hand does not say it."""

USUAL = {"total_length": "None, or no less than the longest length", "padding_value": "0.0", "padding_side": "'right'"}
"""What is valid of the options of utilities, which are given where they are wrong."""


def wrong_in(problem: Problem, spoil: Spoil, parameter: str = "") -> str:
    """What is wrong with a call of this problem, beside what is valid there; parameter: the one that is spoilt."""
    if spoil.called == CONSTRUCTOR:
        name = spoil.argument
        given, valid = keywords(problem, spoil)[name], valid_keywords(problem).get(name)
        return _told(name, repr(given), ARGUMENTS.get(name, repr(valid)))
    if spoil.called:
        return _of_utility(UtilityCall(torch_nn(), Batch(problem, problem.input), spoil), spoil)
    return _of_call(problem, inputs(problem), spoil, parameter)


def shapes(problem: Problem, given: Inputs, spoil: Spoil, parameter: str) -> tuple[Shape, Shape]:
    """The shape of a tensor that is wrong in its size or rank, and the valid one."""
    if parameter:
        valid, axes = tuple(problem.parameters[parameter].shape), PARAMETER_AXES
    else:
        valid, axes = tuple(given.by_name()[spoil.argument].shape), SIZE_AXES
    if spoil.aspect == "rank":
        return ((1, *valid) if spoil.by > 0 else valid[1:]), valid
    wrong, empty = list(valid), spoil.how == EMPTY
    axis = input_axis(problem, spoil.aspect) if empty else axes[spoil.aspect]
    wrong[axis] = 0 if empty else wrong[axis] + spoil.by
    return tuple(wrong), valid


def _told(name: str, given: object, valid: object) -> str:
    return f"{name} is {given}, valid is {valid}"


def _of_call(problem: Problem, given: Inputs, spoil: Spoil, parameter: str) -> str:
    name = parameter or spoil.argument
    if spoil.argument == "hx":
        return _of_states(problem, spoil)
    if spoil.argument == "batch_sizes":
        packed = given.input
        assert isinstance(packed, PackedSequence)
        return _told(name, spoilt_batch_sizes(packed.batch_sizes, spoil).tolist(), packed.batch_sizes.tolist())
    if spoil.aspect == "type":
        return _told(name, NO_TENSOR[spoil.value], "a tensor")
    if spoil.aspect == "dtype":
        return _told(name, spoil.dtype_in(problem.dtype), problem.dtype)
    if spoil.aspect == "device":
        return f"{name} is on the device {spoil.value!r}, valid is {problem.device!r}"
    wrong, valid = shapes(problem, given, spoil, parameter)
    beside = "h_0" if name == "input" else "input"
    if spoil.aspect == "rank" and beside in (others := given.by_name()):
        return f"{name} has shape {wrong} beside {beside} of {tuple(others[beside].shape)}, valid is {valid}"
    return f"{name} has shape {wrong}, valid is {valid}"


def _of_states(problem: Problem, spoil: Spoil) -> str:
    is_lstm = problem.architecture.cell == LSTM
    valid = "a tuple (h_0, c_0)" if is_lstm else "a tensor"
    if spoil.aspect == "count":
        return _told("hx", "a tuple (h_0, c_0, h_0)" if spoil.by > 0 else "a tuple (h_0,)", valid)
    stacked = "both states in one tensor" if is_lstm else "a tensor with an axis more"
    return _told("hx", {**NO_TENSOR, "tensor": stacked}[spoil.value], valid)


def _of_utility(call: UtilityCall, spoil: Spoil) -> str:
    """What a spoilt argument of a utility is, beside what it was."""
    name, before = spoil.argument, _value(call, spoil.argument)
    if spoil.aspect == "type" and spoil.value == "list":
        return _told(name, "a list", before)
    if name == "sequences" and spoil.aspect in OF_SEQUENCES:
        return f"sequences {OF_SEQUENCES[spoil.aspect]}"
    call.spoil()
    if spoil.aspect != "order" or "enforce_sorted" not in call.options:
        return _told(name, _value(call, name), before)
    rising = _value(call, name) if name == "lengths" else f"rows of lengths {[len(row) for row in call.given[name]]}"
    return _told(name, f"{rising} with enforce_sorted=True", "one that falls")


OF_SEQUENCES = {
    "count": "is an empty list, valid is a list of rows",
    "features": "has a last row of one feature more, valid are rows of the same features",
    "dtype": "has a last row of another dtype, valid are rows of one dtype",
}


def _value(call: UtilityCall, name: str) -> str:
    """An argument or option of a utility, as a reader sees it."""
    if name == "batch_sizes":
        return _shown(call.first.batch_sizes)
    if name in call.given:
        return _shown(call.given[name])
    return repr(call.options[name]) if name in call.options else USUAL[name]


def _shown(value: Any) -> str:
    if isinstance(value, PackedSequence):
        return "a PackedSequence"
    if not isinstance(value, torch.Tensor):
        return "a list of rows" if isinstance(value, list) and _has_tensors(value) else repr(value)
    if value.is_floating_point() and value.dim() > 1:
        return "a tensor"
    of = "" if value.dtype is torch.int64 else f" of {str(value.dtype).removeprefix('torch.')}"
    return "on the device 'meta'" if value.is_meta else f"{value.tolist()}{of}"


def _has_tensors(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(one, torch.Tensor) for one in value)
