"""Seeded faults of results and side effects: shapes, names, types, worked examples, 16-bit values, states."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from conformance.harness.execution.subject import Subject, torch_nn
from conformance.selftest.faults.fault import ALL, EVERY, WITH_TANH, Fault, Faults
from conformance.selftest.implementations.plain import Plain, SingleStep, States, subject
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH
from strategies.stated import read

FAULTS = Faults()
fault = FAULTS.seed


# Shapes, names and types


@fault("A1")
class _OutputTimeMajor(Plain):
    """Transposes the output if batch_first."""

    def forward(self, input: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
        output, states = super().forward(input, hx)
        return output.transpose(0, 1) if self.batch_first else output, states


@fault("A2")
class _StatesBatchFirst(Plain):
    """Transposes the final states if batch_first."""

    def final_states(self, last: list[States]) -> States:
        states = super().final_states(last)
        return tuple(state.transpose(0, 1) for state in states) if self.batch_first else states


@fault("A3-order", on=EVERY)
class _BiasesFirst(Plain):
    """Registers the parameters in alphabetical order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, parameter in sorted(self._parameters.items()):
            del self._parameters[name]
            self.register_parameter(name, parameter)


@fault("A3", on=EVERY)
class _ShortNames(Plain):
    """Names its input weights w_ih."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, parameter in list(self._parameters.items()):
            del self._parameters[name]
            self.register_parameter(name.replace("weight_ih", "w_ih"), parameter)


@fault("A3", on=EVERY)
class _RowTooMany(Plain):
    """Registers its recurrent weights with one more row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, parameter in self._parameters.items():
            if name.startswith("weight_hh") and parameter is not None:
                self._parameters[name] = torch.nn.Parameter(torch.cat([parameter.detach(), parameter.detach()[:1]]))


@fault("A1", on=(LSTM,))
class _FlatResult(Plain):
    """Returns the output and both states in one flat tuple."""

    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:
        output, states = super().forward(input, hx)
        return output, *states


@fault("A1", on=(RNN_TANH, RNN_RELU, GRU))
class _OutputAlone(Plain):
    """Returns the output alone."""

    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:
        return super().forward(input, hx)[0]


@fault("A4", on=EVERY)
class _WidenedOutput(Plain):
    """Returns 16-bit outputs and single-step states as float32."""

    def in_time(self, outputs: torch.Tensor, direction: int) -> torch.Tensor:
        return super().in_time(outputs.float() if outputs.element_size() == 2 else outputs, direction)

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, states, layer, direction)
        narrow = x.element_size() == 2 and isinstance(self, SingleStep)
        return tuple(state.float() for state in after) if narrow else after


@fault("A4-fake", on=EVERY, num_layers=2)
class _OtherStridesWithoutData(Plain):
    """Returns outputs with other strides on meta tensors."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, states, layer, direction)
        turned = x.device.type == "meta" and isinstance(self, SingleStep)
        return tuple(state.mT.contiguous().mT for state in after) if turned else after

    def output(self, sequence: torch.Tensor) -> Any:
        output = super().output(sequence)
        return output.mT.contiguous().mT if output.data.device.type == "meta" else output


@fault("A4-fake")
class _OtherStatesWithoutData(Plain):
    """Returns final states with other strides on fake tensors."""

    def final_states(self, last: list[States]) -> States:
        states = super().final_states(last)
        return tuple(state.mT.contiguous().mT if isinstance(state, FakeTensor) else state for state in states)


@fault("A4-repr", on=EVERY)
class _SilentRepr(Plain):
    """Omits bias from its repr."""

    def extra_repr(self) -> str:
        return super().extra_repr().replace(", bias=False", "")


@fault("A4-repr", on=EVERY)
class _ReprWithoutInputSize(Plain):
    """Omits input_size from its repr."""

    def extra_repr(self) -> str:
        return super().extra_repr().partition(", ")[2]


@fault("A5", on=EVERY)
class _Warns(Plain):
    """Warns on every call."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        warnings.warn("this module is slow", stacklevel=2)
        return super().initial_states(sequence, hx)


@fault("A5")
class _WarnsOfOrder(Plain):
    """Warns of packed rows that are not sorted."""

    def output(self, sequence: torch.Tensor) -> Any:
        if self.packed is not None and self.packed.sorted_indices is not None:
            warnings.warn("sorted rows are faster", FutureWarning, stacklevel=2)
        return super().output(sequence)


# Worked examples


@fault("B3", on=(RNN_TANH,))
class _WorkedExampleWithoutBias(Plain):
    """Omits b_hh."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, _ = super().weights(layer, direction)
        return w_ih, w_hh, b_ih, None


def _drawn_late(cell: str, *args: Any, **kwargs: Any) -> torch.nn.Module:
    """Builds the module of torch.nn after drawing one random number."""
    torch.rand(1)
    return torch_nn().classes[cell](*args, **kwargs)


_LATE = {cell: partial(_drawn_late, cell) for cell in (RNN_TANH, LSTM)}
FAULTS.append(
    Fault("draws-its-weights-after-one-extra-random-number", ("B3-stream",), (RNN_TANH,), Subject("late", _LATE))
)


@fault("B4", on=(RNN_TANH, LSTM, GRU))
class _InputHalvedLater(Plain):
    """Halves the input of every layer from step 2 on."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        return super().input_at(sequence, t, direction) * (0.5 if t >= 2 else 1)


# 16-bit types


@fault("J2", on=(LSTM,))
class _RefusesBfloat16(Plain):
    """Rejects bfloat16 in the LSTM alone."""

    def forward(self, input: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
        if self.cell == LSTM and input.dtype == torch.bfloat16:
            raise NotImplementedError("no bfloat16 here")
        return super().forward(input, hx)


@fault("B5", on=(RNN_TANH, LSTM, GRU))
class _TanhOffInOneBinade(Plain):
    """Computes tanh between 2^-7 and 2^-6 with a relative error of 1/32 in 16-bit types."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        off = (z.abs() >= 2**-7) & (z.abs() < 2**-6) if z.element_size() == 2 else torch.zeros_like(z, dtype=torch.bool)
        return torch.tanh(z) * torch.where(off, 1 - 2**-5, 1.0).to(z.dtype)


@fault("B5", on=(LSTM, GRU))
class _SigmoidOffInOneBinade(Plain):
    """Computes the sigmoid between 1 and 2 with a relative error of 1/32 in 16-bit types."""

    def sigmoid(self, z: torch.Tensor) -> torch.Tensor:
        off = (z >= 1) & (z < 2) if z.element_size() == 2 else torch.zeros_like(z, dtype=torch.bool)
        return torch.sigmoid(z) * torch.where(off, 1 - 2**-5, 1.0).to(z.dtype)


# States


@fault("D1", "D2")
class _LastStateBeforeLast(Plain):
    """Returns the hidden state before the last step as h_n."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, last = super().run(sequence, states, layer, direction)
        early = outputs[-2 if not direction else 1] if len(sequence) > 1 else states[0]
        return outputs, (early, *last[1:])


@fault("D2")
class _BackwardStateOfLastOutput(Plain):
    """Takes h_n of the reverse direction from its output at the last time step."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, last = super().run(sequence, states, layer, direction)
        return outputs, (outputs[-1], *last[1:])


@fault("D3", on=WITH_TANH)
class _TanhAboveOne(Plain):
    """Scales tanh by 1.25."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) * 1.25


@fault("D3", on=(RNN_RELU,))
class _LeakyRelu(Plain):
    """Uses leaky relu instead of relu."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        w_ih, w_hh, b_ih, b_hh = self.weights(layer, direction)
        z = self.linear(x, w_ih, b_ih) + self.linear(states[0], w_hh, b_hh)
        return (torch.nn.functional.leaky_relu(z),)


@fault("D3", on=(LSTM,))
class _CellStateQuadrupled(Plain):
    """Multiplies the new cell state by 4."""

    def lstm(self, z: torch.Tensor, c: torch.Tensor) -> States:
        h, c = super().lstm(z, c)
        return h, c * 4


@fault("D3", on=(LSTM,))
class _OpposedSign(Plain):
    """Flips the sign of the hidden state."""

    def lstm(self, z: torch.Tensor, c: torch.Tensor) -> States:
        h, c = super().lstm(z, c)
        return -h, c


# Purity


@fault("D4")
class _Remembers(Plain):
    """Starts each direction of each layer from the final states of the previous run."""

    kept: States | None = None

    def start(self, initial: States, layer: int, direction: int) -> States:
        return self.kept if self.kept is not None else super().start(initial, layer, direction)

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, last = super().run(sequence, states, layer, direction)
        self.kept = tuple(state.detach() for state in last)
        return outputs, last


@fault("D4")
class _SharesOutput(Plain):
    """Returns the result of the first call on every call, in the same memory."""

    kept: tuple[torch.Tensor, Any] | None = None

    def forward(self, input: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
        if self.kept is None:
            self.kept = super().forward(input, hx)
        return self.kept


@fault("D4", on=EVERY)
class _ChangesState(Plain):
    """Halves the given hidden state in place."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        states = super().initial_states(sequence, hx)
        with torch.no_grad():
            states[0].mul_(0.5)
        return states


@fault("D4", on=EVERY)
class _DrawsRandomNumbers(Plain):
    """Draws a random number on every call."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        torch.rand(1)
        return super().initial_states(sequence, hx)


# Stacks


@fault("E1", num_layers=2)
class _LouderAbove(Plain):
    """Scales the output of layers above the first by 1 + 1/64."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, last = super().run(sequence, states, layer, direction)
        return outputs * (1 + 2**-6) if layer else outputs, last


_RESERVED = "states less than it can do"
_STATED = dict.fromkeys(ALL, read({"packed": False, "hidden_size": {"multiple_of": 2}}))
FAULTS.append(Fault(_RESERVED.replace(" ", "-"), ("A7",), ALL, replace(subject("reserved"), stated=_STATED)))
