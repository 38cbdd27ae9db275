"""Seeded faults of refusals: checks left out, refusals that change something, and odd exceptions."""

from __future__ import annotations

import ctypes
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.cells import SINGLE_STEPS
from conformance.harness.execution.requests.invalid.harm import tensors_of
from conformance.selftest.faults.fault import ALL, EVERY, Fault, Faults
from conformance.selftest.implementations.plain import Plain, name_by_docstring, subject
from conformance.selftest.implementations.refusals import CHECKS, Call, wrong_place
from conformance.selftest.implementations.refusing_packing import CHECKS as PACKING_CHECKS
from conformance.selftest.implementations.refusing_packing import RefusingPacking
from reference.problem import CELL_SUFFIX, GRU, LSTM, RNN_TANH

FAULTS = Faults()
fault = FAULTS.seed

OF_LSTM = (LSTM, LSTM + CELL_SUFFIX)


def _cells(place: str) -> tuple[str, ...]:
    if place.startswith("c_0") or place == "hx.count":
        return (LSTM,) if place.endswith(".layers") else OF_LSTM
    return ALL if place.endswith((".layers", ".steps")) else EVERY


TENSORS_REFUSE = (
    "input.features",
    "input.steps",
    "input.dtype",
    "input.device",
    "h_0.features",
    "h_0.dtype",
    "h_0.device",
    "c_0.device",
    *(f"{weight}.{aspect}" for weight in ("weight_ih", "weight_hh") for aspect in ("columns", "dtype")),
    "batch_sizes.order",
    *(f"{bias}.{aspect}" for bias in ("bias_ih", "bias_hh") for aspect in ("dtype", "device")),
)
"""Places whose checks may be left out: the operations themselves refuse."""

for _place in [place for place in CHECKS if place not in TENSORS_REFUSE]:
    _kind = type("_Unchecked", (Plain,), {"unchecked": (_place,), "__doc__": f"Does not check {_place}."})
    fault("J1", "J2", on=_cells(_place))(_kind)


# Repairs of what should be refused


def _cropped(tensor: torch.Tensor, features: int) -> torch.Tensor:
    return tensor[..., :features]


def _without_device(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.device.type == "meta" else tensor


class _RepairsInput(Plain):
    """Repairs the input."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(input, PackedSequence):
            return super().forward(input._replace(data=self.repaired(input.data)), hx)
        return super().forward(self.repaired(input) if isinstance(input, torch.Tensor) else input, hx)


@fault("J1", "J2")
class _CropsInput(_RepairsInput):
    """Crops an input of too many features."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        return _cropped(data, self.input_size)


@fault("J1", "J2")
class _CastsInput(_RepairsInput):
    """Casts an input of another dtype."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        return data.to(next(self.parameters()).dtype)


@fault("J1", "J2")
class _MovesInput(_RepairsInput):
    """Takes zeros for an input without values."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        return _without_device(data)


@fault("J1")
class _TakesNoWholeNumbers(_RepairsInput):
    """Takes zeros for an input of whole or complex numbers."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        if data.is_floating_point():
            return data
        return torch.zeros(data.shape, dtype=next(self.parameters()).dtype)


@fault("J1")
class _SortsBatchSizes(_RepairsInput):
    """Sorts batch sizes that rise."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(input, PackedSequence):
            input = input._replace(batch_sizes=input.batch_sizes.sort(descending=True).values)
        return super().forward(input, hx)

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        return data


class _RepairsStates(Plain):
    """Repairs initial states."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(hx, tuple):
            return super().forward(input, tuple(self.repaired(state) for state in hx))
        return super().forward(input, self.repaired(hx) if isinstance(hx, torch.Tensor) else hx)


@fault("J1", "J2")
class _CropsStates(_RepairsStates):
    """Crops states of too many features."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        return _cropped(state, self.hidden_size)


@fault("J1", "J2")
class _CastsStates(_RepairsStates):
    """Casts states of another dtype."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        return state.to(next(self.parameters()).dtype)


@fault("J1")
class _TakesNoFlags(_RepairsStates):
    """Takes zeros for states of bools."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        if state.dtype is not torch.bool:
            return state
        return torch.zeros(state.shape, dtype=next(self.parameters()).dtype)


@fault("J1", "J2")
class _MovesStates(_RepairsStates):
    """Takes zeros for states without values."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        return _without_device(state)


@fault("J1", "J2")
class _CropsInputWeights(Plain):
    """Crops input weights of too many columns."""

    unchecked = ("weight_ih.columns",)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, _cropped(weight, x.shape[-1]), bias)


@fault("J1", "J2")
class _CropsHiddenWeights(_CropsInputWeights):
    """Crops hidden weights of too many columns."""

    unchecked = ("weight_hh.columns",)


@fault("J1", "J2")
class _CropsLaterBiases(Plain):
    """Crops input biases of too many rows but for the first layer's forward one."""

    unchecked = ("bias_ih.rows",)

    def check(self, input: Any, hx: Any) -> None:
        first = self._parameters.get("bias_ih_l0")
        if first is not None and len(first) != len(self.get_parameter("weight_ih_l0")):
            self.refuse("bias_ih.rows", input, hx)
        super().check(input, hx)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight, bias if bias is None else bias[: len(weight)])


@fault("J1", "J2", on=EVERY)
class _UncheckedInEvaluation(Plain):
    """Does not check the rows of states in evaluation mode."""

    @property
    def unchecked(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.training else ("h_0.rows", "c_0.rows")


@fault("J1")
class _CropsRowsInEvaluation(Plain):
    """Crops states of too many rows in evaluation mode."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.training or not isinstance(hx, torch.Tensor | tuple) or not isinstance(input, torch.Tensor):
            return super().forward(input, hx)
        rows = Call(self, input, hx).rows
        states = tuple(state[..., :rows, :] if rows else state for state in tensors_of(hx))
        return super().forward(input, states if isinstance(hx, tuple) else states[0])


@fault("J1", "J2", on=EVERY)
class _CastsInputWeights(Plain):
    """Casts input weights of another dtype."""

    unchecked = ("weight_ih.dtype",)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight.to(x.dtype), bias if bias is None else bias.to(x.dtype))


@fault("J1", "J2", on=EVERY)
class _CastsHiddenWeights(_CastsInputWeights):
    """Casts hidden weights of another dtype."""

    unchecked = ("weight_hh.dtype",)


@fault("J1", "J2", on=EVERY)
class _CastsInputBias(_CastsInputWeights):
    """Casts input biases of another dtype."""

    unchecked = ("bias_ih.dtype",)


@fault("J1", "J2", on=EVERY)
class _CastsHiddenBias(_CastsInputWeights):
    """Casts hidden biases of another dtype."""

    unchecked = ("bias_hh.dtype",)


@fault("J1", "J2", on=EVERY)
class _MovesInputBias(Plain):
    """Takes zeros for input biases without values."""

    unchecked = ("bias_ih.device",)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight, bias if bias is None else _without_device(bias))


@fault("J1", "J2", on=EVERY)
class _MovesHiddenBias(_MovesInputBias):
    """Takes zeros for hidden biases without values."""

    unchecked = ("bias_hh.device",)


# Refusals that change something


@fault("J1", on=EVERY)
class _StateOverwritten(Plain):
    """Overwrites the first state before it refuses."""

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        state = hx[0] if isinstance(hx, tuple) and hx else hx
        if isinstance(state, torch.Tensor) and state.device.type != "meta":
            state.fill_(1)
        super().refuse(place, input, hx)


@fault("J1", on=EVERY)
class _InputOverwritten(Plain):
    """Overwrites the input before it refuses."""

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        if isinstance(input, torch.Tensor) and input.device.type != "meta":
            input.zero_()
        super().refuse(place, input, hx)


@fault("J1", on=EVERY)
class _BiasOverwritten(Plain):
    """Adds one to the last parameter before it refuses."""

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        with torch.no_grad():
            list(self.parameters())[-1].add_(1)
        super().refuse(place, input, hx)


class _After(Plain):
    """Remembers that it refused a call."""

    refused = False

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        self.refused = True
        super().refuse(place, input, hx)


@fault("J1", on=EVERY)
class _RaisesAfterARefusal(_After):
    """Raises in every call after a refusal."""

    def check(self, input: Any, hx: Any) -> None:
        if self.refused:
            raise RuntimeError("no call after a refusal")
        super().check(input, hx)


@fault("J1")
class _HalvesAfterARefusal(_After):
    """Halves what it returns after a refusal."""

    def output(self, sequence: torch.Tensor) -> Any:
        return super().output(sequence * 0.5 if self.refused else sequence)


@fault("J1", on=EVERY)
class _ForgetsBiasAfterARefusal(_After):
    """Adds no bias after a refusal."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight, None if self.refused else bias)


@fault("J1")
class _ForgetsStatesAfterARefusal(_After):
    """Takes no states after a refusal."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> Any:
        return super().initial_states(sequence, None if self.refused else hx)


@fault("J1", on=(LSTM, GRU))
class _OnlyStatesRefusalsHarm(_After):
    """Doubles its sigmoid after a refusal of a state."""

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        self.refused = place.startswith(("h_0", "c_0"))
        raise ValueError(place)

    def sigmoid(self, z: torch.Tensor) -> torch.Tensor:
        return super().sigmoid(z) * (2 if self.refused else 1)


@fault("J1", on=EVERY)
class _LeavesAnotherDefaultDtype(Plain):
    """Leaves another default dtype when it refuses."""

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        torch.set_default_dtype(torch.float64)
        super().refuse(place, input, hx)


@fault("J1", on=EVERY)
class _LeavesTrainingMode(Plain):
    """Leaves training mode when it refuses."""

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        self.train(not self.training)
        super().refuse(place, input, hx)


@fault("J1", on=EVERY)
class _LeavesFrozenParameters(Plain):
    """Leaves its last parameter frozen when it refuses."""

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        last = list(self.parameters())[-1]
        last.requires_grad_(not last.requires_grad)
        super().refuse(place, input, hx)


@fault("J1", on=EVERY)
class _SeedsWhenItRefuses(Plain):
    """Seeds the random numbers when it refuses."""

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        torch.manual_seed(0)
        super().refuse(place, input, hx)


@fault("J1", on=EVERY)
class _LeavesABuffer(Plain):
    """Leaves a buffer behind when it refuses."""

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        self.register_buffer("refused", torch.zeros(1))
        super().refuse(place, input, hx)


@fault("J1", on=EVERY)
class _TakesItTheSecondTime(Plain):
    """Takes an input of another dtype the second time."""

    known = ""

    def check(self, input: Any, hx: Any) -> None:
        place = wrong_place(self, input, hx, ())
        first, self.known = place != self.known, place
        if place and (first or place != "input.dtype"):
            self.refuse(place, input, hx)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x.to(weight.dtype), weight, bias)


@fault("J1")
class _CropsInGradMode(Plain):
    """Crops states of too many features where gradients are recorded."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if torch.is_grad_enabled() and hx is not None:
            several = hx if isinstance(hx, tuple) else (hx,)
            states = tuple(_cropped(state, self.output_size) for state in several)
            hx = states if isinstance(hx, tuple) else states[0]
        return super().forward(input, hx)


@fault("J1")
class _RemembersARefusedState(Plain):
    """Uses a state that it refused in the next call without states."""

    kept: Any = None

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        if place.startswith("h_0.rows"):
            state = hx[0] if isinstance(hx, tuple) else hx
            self.kept = float(state.detach().abs().sum()) + 1
        super().refuse(place, input, hx)

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> Any:
        states = super().initial_states(sequence, hx)
        if hx is None and self.kept is not None:
            return tuple(torch.full_like(state, self.kept) for state in states)
        return states


class _LeavesBehind(Plain):
    """Leaves something behind when it refuses."""

    refusals = 0

    def leave(self, input: Any, hx: Any) -> None:
        raise NotImplementedError

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        self.leave(input, hx)
        super().refuse(place, input, hx)


def _leaving(what: str, leave: Callable[[Any, Any, Any], object]) -> None:
    """A fault that leaves something behind when it refuses."""
    doc = f"Leaves {what} when it refuses."
    body = {"__doc__": doc, "leave": lambda self, input, hx: leave(self, input, hx)}
    fault("J1", on=EVERY)(type("_Leaving", (_LeavesBehind,), body))


def _in_evaluation(module: Plain, name: str, value: Any) -> None:
    if not module.training:
        setattr(module, name, value)


def _gradient_set(module: Plain, input: Any, hx: Any) -> None:
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)


def _asks_for_gradient(module: Plain, input: Any, hx: Any) -> None:
    if isinstance(input, torch.Tensor) and input.is_floating_point():
        input.requires_grad_()


def _flag_turned(module: Plain, input: Any, hx: Any) -> None:
    torch._C._set_mkldnn_enabled(not torch._C._get_mkldnn_enabled())


def _hooked(module: Plain) -> None:
    next(iter(module.parameters())).register_hook(lambda gradient: gradient)


def _saving_otherwise() -> Any:
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)


def _counted(kind: Any) -> None:
    kind.refusals += 1


def _warnings_silent(module: Plain, input: Any, hx: Any) -> None:
    warnings.filterwarnings("ignore", category=ResourceWarning, message="of a fault")


_leaving("no dropout in evaluation mode", lambda module, input, hx: _in_evaluation(module, "dropout", 0.0))
_leaving("gradients of parameters", _gradient_set)
_leaving("an input that requires a gradient", _asks_for_gradient)
_leaving("a hook of the module", lambda module, input, hx: module.register_forward_hook(lambda *given: None))
_leaving("a hook of a parameter", lambda module, input, hx: _hooked(module))
_leaving("oneDNN turned over", _flag_turned)
_leaving("no cache of autocast", lambda module, input, hx: torch.set_autocast_cache_enabled(False))
_leaving("another default device", lambda module, input, hx: torch.set_default_device("meta"))
_leaving("another precision of products", lambda module, input, hx: torch.set_float32_matmul_precision("medium"))
_leaving("anomaly mode", lambda module, input, hx: torch.set_anomaly_enabled(True))
_leaving("a flush of subnormals", lambda module, input, hx: torch.set_flush_denormal(True))
_leaving("autocast entered", lambda module, input, hx: torch.autocast("cpu", torch.bfloat16).__enter__())
_leaving("hooks of saved tensors entered", lambda module, input, hx: _saving_otherwise().__enter__())
_leaving("another filter of warnings", _warnings_silent)
_leaving("another attribute of its class", lambda module, input, hx: _counted(type(module)))


@fault("J1", "J2")
class _TakesNoStepsWithoutGradients(Plain):
    """Takes an input without steps under no_grad."""

    def check(self, input: Any, hx: Any) -> None:
        if torch.is_grad_enabled() or wrong_place(self, input, hx, self.unchecked) != "input.steps":
            super().check(input, hx)

    def run(self, below: torch.Tensor, start: Any, layer: int, direction: int) -> tuple[torch.Tensor, Any]:
        if len(below):
            return super().run(below, start, layer, direction)
        return below.new_zeros(0, below.shape[1], self.output_size), start


@fault("J1", on=EVERY)
class _KeepsWhatItRefused(Plain):
    """Keeps every input that it refuses."""

    def __init__(self, cell: str, *given: Any, **more: Any) -> None:
        super().__init__(cell, *given, **more)
        self._kept: list[Any] = []

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        self._kept.append(input)
        super().refuse(place, input, hx)


# Reads beyond what was given


def _memory_from(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """As many numbers as a tensor of this shape has, from where this one begins, whatever lies there."""
    length = math.prod(shape) * tensor.element_size()
    copied = bytearray(ctypes.string_at(tensor.data_ptr(), length))
    return torch.frombuffer(copied, dtype=tensor.dtype).view(shape)


def _reads_beyond(tensor: torch.Tensor, shape: tuple[int, ...]) -> bool:
    return tensor.device.type == "cpu" and tensor.is_contiguous() and 0 < tensor.numel() < math.prod(shape)


class _ReadsBeyondAWeight(Plain):
    """Reads beyond a weight of too few columns."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        shape = (weight.shape[0], x.shape[-1])
        if _reads_beyond(weight, shape):
            weight = _memory_from(weight, shape)
        return super().linear(x, weight, bias)


@fault("J1", on=EVERY)
class _ReadsBeyondInputWeights(_ReadsBeyondAWeight):
    """Reads beyond input weights of too few columns."""

    unchecked = ("weight_ih.columns",)


@fault("J1", on=EVERY)
class _ReadsBeyondHiddenWeights(_ReadsBeyondAWeight):
    """Reads beyond hidden weights of too few columns."""

    unchecked = ("weight_hh.columns",)


@fault("J1", on=EVERY)
class _ReadsBeyondABias(Plain):
    """Reads beyond a hidden bias of too few rows."""

    unchecked = ("bias_hh.rows",)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if bias is not None and _reads_beyond(bias, (weight.shape[0],)):
            bias = _memory_from(bias, (weight.shape[0],))
        return super().linear(x, weight, bias)


@fault("J1", on=EVERY)
class _ReadsBeyondStates(Plain):
    """Reads beyond initial states of too few features."""

    unchecked = ("h_0.features",)

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> Any:
        states = super().initial_states(sequence, hx)
        shape = (*states[0].shape[:-1], self.output_size)
        if hx is not None and _reads_beyond(states[0], shape):
            return (_memory_from(states[0], shape), *states[1:])
        return states


# Odd exceptions


def _raising(error: type[BaseException], places: str, on: tuple[str, ...] = EVERY) -> None:
    """A fault that refuses what is wrong in these places by an odd exception."""

    def refuse(self: Plain, place: str, input: Any, hx: Any) -> None:
        raise (error if place.startswith(places) else ValueError)(place)

    doc = f"Refuses {places} by {error.__name__}."
    fault("J1", "J2", on=on)(type("_Raising", (Plain,), {"refuse": refuse, "__doc__": doc}))


_raising(KeyError, "input.rank")
_raising(AssertionError, "input.features")
_raising(AttributeError, "h_0.rank")
_raising(ZeroDivisionError, "h_0.features")
_raising(OSError, "weight_hh.rows")
_raising(MemoryError, "bias_ih.rows")
_raising(StopIteration, "hx.type")
_raising(BufferError, "h_0.layers", ALL)
_raising(LookupError, "c_0.rows", OF_LSTM)
_raising(EOFError, "weight_ih.columns", SINGLE_STEPS)


# Constructors


_OF_CONSTRUCTORS = {
    "input_size": EVERY,
    "hidden_size": EVERY,
    "num_layers": ALL,
    "bias": EVERY,
    "batch_first": ALL,
    "bidirectional": ALL,
    "dropout": ALL,
    "proj_size": (LSTM,),
}

for _argument, _cells_of in _OF_CONSTRUCTORS.items():
    _kind = type(
        "_AnyArgument",
        (Plain,),
        {"unchecked": (f"constructor.{_argument}",), "__doc__": f"Does not check the argument {_argument}."},
    )
    fault("J1", "J2", on=_cells_of)(_kind)


@fault("J1", "J2", on=EVERY)
class _TakesMinusOneForOne(Plain):
    """Takes a negative size without its sign."""

    unchecked = ("constructor.hidden_size",)

    def __init__(self, cell: str, input_size: int, hidden_size: Any, **more: Any) -> None:
        super().__init__(cell, input_size, abs(hidden_size) if isinstance(hidden_size, int) else hidden_size, **more)


@fault("J1", on=EVERY)
class _ForgetsAfterAConstruction(Plain):
    """Adds no bias until a constructor accepts something."""

    broken = False

    def __init__(self, cell: str, *given: Any, **more: Any) -> None:
        type(self).broken = True
        super().__init__(cell, *given, **more)
        type(self).broken = False

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight, None if self.broken else bias)


# Utilities

OPERATIONS_REFUSE: tuple[str, ...] = ()
"""Places whose checks may be left out: what is done with the arguments refuses them."""


def packing_fault(kind: type[RefusingPacking], *clauses: str) -> type[RefusingPacking]:
    """Registers a class as a fault, named by its docstring."""
    name = name_by_docstring(kind)
    FAULTS.append(Fault(name, clauses, (RNN_TANH,), replace(subject(name), packing=kind())))
    return kind


for _utility, _places in PACKING_CHECKS.items():
    for _place in _places:
        if f"{_utility}.{_place}" not in OPERATIONS_REFUSE:
            _unchecked = {"unchecked": (f"{_utility}.{_place}",), "__doc__": f"Does not check {_utility} {_place}."}
            packing_fault(type("_UncheckedPacking", (RefusingPacking,), _unchecked), "J1", "J2")


class _WrongException(RefusingPacking):
    """Raises RuntimeError for a total_length that is too short."""

    def total(self, steps: int, total_length: int | None) -> int:
        if total_length is not None and total_length < steps:
            raise RuntimeError("total_length is too short")
        return super().total(steps, total_length)


class _TotalLengthIgnored(RefusingPacking):
    """Ignores a total_length that is too short."""

    def total(self, steps: int, total_length: int | None) -> int:
        return steps if total_length is None else max(steps, total_length)


class _RowsOverwritten(RefusingPacking):
    """Overwrites the rows before it refuses lengths."""

    def refuse(self, utility: str, given: Any) -> None:
        try:
            super().refuse(utility, given)
        except ValueError:
            first = next(iter(given.values()))
            if isinstance(first, torch.Tensor):
                first.fill_(7)
            raise


class _ForgetsOrderAfterwards(RefusingPacking):
    """Packs backwards in the call after one that it refused."""

    def __init__(self) -> None:
        self.refused = False

    def refuse(self, utility: str, given: Any) -> None:
        try:
            super().refuse(utility, given)
        except ValueError:
            self.refused = True
            raise

    def data(self, data: torch.Tensor) -> torch.Tensor:
        refused, self.refused = self.refused, False
        return super().data(data).flip(0) if refused else super().data(data)


class _RaisesKeyError(RefusingPacking):
    """Refuses lengths by KeyError."""

    def refuse(self, utility: str, given: Any) -> None:
        try:
            super().refuse(utility, given)
        except ValueError as error:
            raise (KeyError if "lengths" in str(error) else ValueError)(str(error)) from None


packing_fault(_WrongException, "J1")
packing_fault(_TotalLengthIgnored, "J1")
packing_fault(_RowsOverwritten, "J1")
packing_fault(_ForgetsOrderAfterwards, "J1")
packing_fault(_RaisesKeyError, "J1", "J2")
