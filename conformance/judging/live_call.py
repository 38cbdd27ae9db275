"""A call of a module at hand: its arguments read from the module, its numbers from the tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from conformance.harness.execution import tensors
from conformance.harness.execution.inputs import PaddedOrPacked, data_of
from conformance.harness.execution.module_call import named_results, padded_output
from conformance.harness.execution.observation import documented_shapes
from conformance.harness.execution.subject import TORCH_NN, Subject
from conformance.harness.foreign_text import one_line
from conformance.harness.session import Session
from conformance.judging.errors import JudgeError
from conformance.judging.module_arguments import Arguments
from conformance.judging.recorded_call import STATES, RecordedCall, observation, problem_of
from conformance.judging.report import report
from conformance.judging.verdict import Verdict
from reference.formats import FORMATS
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem


def judged(module: torch.nn.Module, x: PaddedOrPacked, hx: Any, result: Any) -> Verdict:
    """The verdict on `result`, or on what the module returns for (x, hx) if that is None. Raises JudgeError."""
    if not isinstance(module, torch.nn.Module):
        raise JudgeError(f"the module is a {type(module).__name__}; give an instance of an RNN, LSTM, GRU or Cell")
    a = architecture(module)
    if getattr(module, "dropout", 0) and module.training:
        raise JudgeError("dropout is active, whose mask is not known; call module.eval() first")
    problem = _problem(module, a, x, hx)
    if result is None:
        result = module(x) if hx is None else module(x, hx)
    try:
        named = named_results(result, a)
        padded = {"output": padded_output(named["output"], problem)} if "output" in named else {}
    except TypeError as error:
        raise JudgeError(f"no result of such a call: {one_line(str(error))}") from None
    raw = {name: _array(value, name, problem.dtype) for name, value in (named | padded).items()}
    for name, shape in documented_shapes(problem).items():
        if raw[name].shape != shape:
            raise JudgeError(f"{name} has shape {raw[name].shape}; documented is {shape}")
    subject = Subject(TORCH_NN, {a.name: type(module)})
    call = RecordedCall(problem, {"": observation(problem, "", raw)}, Session(subject).judgement(problem).red)
    said = report(call)
    (verdict,) = said.verdicts.values()
    return replace(verdict, text=said.text)


def architecture(module: torch.nn.Module) -> Architecture:
    """The architecture of a module, from its parameters. Raises JudgeError if they are not those documented."""
    shapes = _shapes(module)
    single_step = "weight_ih" in shapes
    first = "" if single_step else "_l0"
    rows, input_size = shapes["weight_ih" + first]
    projected = shapes.get("weight_hr" + first)
    hidden_size = projected[1] if projected else shapes["weight_hh" + first][1]
    found = Architecture(
        _cell(module, rows, hidden_size),
        input_size,
        hidden_size,
        num_layers=max(1, sum(f"weight_ih_l{layer}" in shapes for layer in range(len(shapes)))),
        bias="bias_ih" + first in shapes,
        batch_first=bool(getattr(module, "batch_first", False)),
        bidirectional="weight_ih_l0_reverse" in shapes,
        proj_size=projected[0] if projected else 0,
        single_step=single_step,
    )
    if found.parameter_shapes() != shapes:
        raise JudgeError(f"{type(module).__name__} has other parameters than {found.name}; see docs/judge.md")
    return found


def _shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of parameters, among which weights of a first layer are. Raises JudgeError if there are none."""
    name, parameters = type(module).__name__, _parameters(module)
    if any(map(is_lazy, parameters.values())):
        raise JudgeError(f"{name} has parameters without a shape; call it once before it is judged")
    shapes = {one: tuple(parameter.shape) for one, parameter in parameters.items()}
    computed = {one.rpartition("_")[0] for one in shapes} - {*shapes, "weight", "bias"}  # as weight_hh from weight_hh_g
    if is_parametrized(module) or any(hasattr(module, one) for one in computed):
        raise JudgeError(f"{name} is parametrized, which is not judged; give one whose weights are its own parameters")
    if not {"weight_ih", "weight_hh"} <= shapes.keys() and not {"weight_ih_l0", "weight_hh_l0"} <= shapes.keys():
        raise JudgeError(f"{name} has no weight_ih_l0 and weight_hh_l0; give an RNN, LSTM, GRU or Cell")
    if any(len(shape) != 2 or 0 in shape for one, shape in shapes.items() if one.startswith("weight_")):
        raise JudgeError(f"{name} has weights that are no matrices; see docs/judge.md")
    return shapes


def _parameters(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Parameters by name, those that are shared by several names under each."""
    return dict(module.named_parameters(remove_duplicate=False))


def _cell(module: torch.nn.Module, rows: int, hidden_size: int) -> str:
    """The cell whose parameters stack so many rows for so many hidden units."""
    relu = getattr(module, "nonlinearity", "tanh") == "relu"
    cells = {len(GATES[cell]): cell for cell in (GRU, LSTM, RNN_RELU if relu else RNN_TANH)}
    if rows % hidden_size or rows // hidden_size not in cells:
        raise JudgeError(f"{type(module).__name__} has {rows} rows for {hidden_size} units: neither RNN, LSTM nor GRU")
    return cells[rows // hidden_size]


def _problem(module: torch.nn.Module, a: Architecture, x: PaddedOrPacked, hx: Any) -> Problem:
    """The call as a problem. Raises JudgeError."""
    if not isinstance(data := data_of(x), torch.Tensor):
        raise JudgeError(f"the input is a {type(data).__name__}; give a tensor or PackedSequence")
    dtype = tensors.dtype_name(data.dtype)
    if dtype not in FORMATS:
        raise JudgeError(f"the input is of type {dtype}; judged are {', '.join(FORMATS)}")
    given = {name: _array(value, name, dtype) for name, value in _parameters(module).items()}
    if isinstance(x, PackedSequence):
        padded, lengths = _padded(x, a.batch_first)
        given |= {"input": _array(padded, "input", dtype), "lengths": np.array(lengths.tolist())}
    else:
        given["input"] = _array(x, "input", dtype)
    given |= {name: _array(state, name, dtype) for name, state in zip(STATES, _states(a, hx), strict=False)}
    return problem_of(Arguments(a, dtype, str(data.device)), given)


def _padded(x: PackedSequence, batch_first: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """A packed input as a padded batch, and the lengths of its rows. Raises JudgeError."""
    try:
        return pad_packed_sequence(x, batch_first)
    except Exception as error:  # whatever a malformed packed sequence leads to
        raise JudgeError(f"the packed input cannot be padded ({_reason(error)}); pack it again") from None


def _states(a: Architecture, hx: Any) -> tuple[Any, ...]:
    """The initial states of a call: none, h_0, or h_0 and c_0. Raises JudgeError for another build."""
    if hx is None:
        return ()
    states = hx if a.cell == LSTM else (hx,)
    if not isinstance(states, tuple | list) or len(states) > len(STATES):
        raise JudgeError("hx of an LSTM is a tuple (h_0, c_0); give both")
    return tuple(states)


def _array(value: Any, name: str, dtype: str) -> np.ndarray:
    """A tensor's values. Raises JudgeError if it is none, has no values, or has another dtype than the input."""
    if not isinstance(value, torch.Tensor):
        raise JudgeError(f"{name} is a {type(value).__name__}; give a tensor")
    if tensors.dtype_name(value.dtype) != dtype:
        raise JudgeError(f"{name} is of type {tensors.dtype_name(value.dtype)}, the input of {dtype}; give one dtype")
    try:
        is_stored = value.untyped_storage().device.type != "meta"  # that of a fake tensor on a CPU is there, too
        read = tensors.array(value) if is_stored else None
    except Exception as error:  # whatever a sparse or nested tensor leads to
        raise JudgeError(f"{name} has no values that can be read ({_reason(error)}); give a dense tensor") from None
    if read is None:
        raise JudgeError(f"{name} is a tensor without values, on meta or a fake one; give one that holds them")
    return read


def _reason(error: Exception) -> str:
    return one_line(str(error), 80)
