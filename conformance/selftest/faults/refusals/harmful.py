"""Seeded faults of refusals: those that change something, reads beyond what was given, and odd exceptions."""

from __future__ import annotations

import ctypes
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch

from conformance.harness.cells import SINGLE_STEPS
from conformance.selftest.faults.fault import ALL, EVERY, Faults
from conformance.selftest.faults.refusals.accepted import cropped
from conformance.selftest.implementations.plain import Plain
from conformance.selftest.implementations.refusals import wrong_place
from reference.problem import CELL_SUFFIX, GRU, LSTM

FAULTS = Faults()
fault = FAULTS.seed

OF_LSTM = (LSTM, LSTM + CELL_SUFFIX)


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
            states = tuple(cropped(state, self.output_size) for state in several)
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
