"""Seeded faults: `Plain` broken in one place, and the clauses that each breaks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Any

import torch

from conformance.harness.property import SINGLE_STEPS
from conformance.harness.subject import Subject, torch_nn
from conformance.selftest.plain import Plain, SingleStep, States, name_by_docstring, subject
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH

ALL = (RNN_TANH, RNN_RELU, LSTM, GRU)
EVERY = ALL + SINGLE_STEPS


@dataclass(frozen=True)
class Fault:
    """A broken subject: which clauses it breaks, on which cells, and the largest size that its smallest case needs.

    needs maps fields of a case to the size up to which the fault may need it; every other size must shrink to 3.
    effort is that of a run in which it must be caught.
    """

    name: str
    clauses: tuple[str, ...]
    cells: tuple[str, ...]
    subject: Subject
    needs: tuple[tuple[str, int], ...] = ()
    effort: str = "smoke"


_FAULTS: list[Fault] = []


def faults() -> tuple[Fault, ...]:
    """Every seeded fault."""
    from conformance.selftest import faults_gradients, faults_of_calls, faults_second_derivatives  # noqa: F401
    from conformance.selftest.faults_packing import packing_faults

    return (*_FAULTS, *packing_faults())


def register(one: Fault) -> None:
    """Adds a fault."""
    _FAULTS.append(one)


def fault(
    *clauses: str, on: tuple[str, ...] = ALL, effort: str = "smoke", **needs: int
) -> Callable[[type[Plain]], type[Plain]]:
    """Registers a class as the fault that its docstring describes."""

    def registered(kind: type[Plain]) -> type[Plain]:
        name = name_by_docstring(kind)
        register(Fault(name, clauses, on, subject(name, kind), tuple(needs.items()), effort))
        return kind

    return registered


class _Reordered(Plain):
    """Reads its gate blocks in another order."""

    def __init__(self, *args: Any, order: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order = order

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        blocks = super().linear(x, weight, bias).chunk(len(self.order), -1)
        return torch.cat([blocks[place] for place in self.order], -1)


def _gate_orders() -> Iterator[Fault]:
    for cell in (LSTM, GRU):
        gates = GATES[cell]
        for order in list(permutations(range(len(gates))))[1:]:
            name = f"{cell}-gates-read-as-{''.join(gates[place] for place in order)}"
            made = partial(_Reordered, cell, order=order)
            yield Fault(name, ("B1", "B2"), (cell,), Subject(name, {cell: made}))


_FAULTS.extend(_gate_orders())


@fault("B1", "B2", on=(GRU,))
class _HiddenBiasOutsideReset(Plain):
    """GRU adds b_hn outside of the reset."""

    def gru(self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> torch.Tensor:
        if b_hh is None:
            return super().gru(x, h, w_ih, w_hh, b_ih, b_hh)
        size = self.hidden_size
        inner = torch.cat([b_hh[: 2 * size], torch.zeros_like(b_hh[2 * size :])])
        outer = torch.cat([b_ih[: 2 * size], b_ih[2 * size :] + b_hh[2 * size :]])
        return super().gru(x, h, w_ih, w_hh, outer, inner)


@fault("B1", "B2", on=(GRU,))
class _SwappedBlend(Plain):
    """GRU swaps z and 1-z."""

    def blend(self, z: torch.Tensor, n: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return z * n + (1 - z) * h


@fault("B1", "B2", on=(GRU,))
class _ResetBeforeProduct(Plain):
    """GRU resets h before the product."""

    def gru(self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> torch.Tensor:
        i_r, i_z, i_n = self.linear(x, w_ih, b_ih).chunk(3, -1)
        h_r, h_z, _ = self.linear(h, w_hh, b_hh).chunk(3, -1)
        r, z = self.sigmoid(i_r + h_r), self.sigmoid(i_z + h_z)
        new = self.linear(r * h, w_hh, b_hh).chunk(3, -1)[2]
        return self.blend(z, torch.tanh(i_n + new), h)


@fault("B1", num_layers=2)
class _StateIgnoredAbove(Plain):
    """Ignores h_0 above layer 0."""

    def start(self, initial: States, layer: int, direction: int) -> States:
        h, *c = super().start(initial, layer, direction)
        return (torch.zeros_like(h) if layer else h, *c)


@fault("B1", "B2", on=(LSTM,))
class _CellStateIgnoredInReverse(Plain):
    """Ignores c_0 in reverse."""

    def start(self, initial: States, layer: int, direction: int) -> States:
        h, c = super().start(initial, layer, direction)
        return (h, torch.zeros_like(c) if direction else c)


@fault("B1", "B2", "D2", "E2")
class _NotTurnedBack(Plain):
    """Leaves the reversed output in reversed time."""

    def in_time(self, outputs: torch.Tensor, direction: int) -> torch.Tensor:
        return outputs


@fault("B1", "D2", num_layers=2)
class _DirectionMajor(Plain):
    """Stacks h_n direction by direction."""

    def final_states(self, last: list[States]) -> States:
        order = [k * self.directions + d for d in range(self.directions) for k in range(self.num_layers)]
        return super().final_states([last[place] for place in order])


@fault("B1", "B2", on=(LSTM,))
class _LateCellState(Plain):
    """Returns c_n one step late."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        before = (
            states
            if len(sequence) == 1
            else super().run(self._shorter(sequence, direction), states, layer, direction)[1]
        )
        outputs, last = super().run(sequence, states, layer, direction)
        return outputs, (last[0], before[1])

    def _shorter(self, sequence: torch.Tensor, direction: int) -> torch.Tensor:
        return sequence[1:] if direction else sequence[:-1]


@fault("B1", "B2")
class _DoubleAsSingle(Plain):
    """Computes float64 in float32."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        if x.dtype != torch.float64:
            return super().step(x, states, layer, direction)
        single = super().step(x.float(), tuple(state.float() for state in states), layer, direction)
        return tuple(state.double() for state in single)

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        found = super().weights(layer, direction)
        w_ih, w_hh, b_ih, b_hh = (w.float() if w is not None and w.dtype == torch.float64 else w for w in found)
        return w_ih, w_hh, b_ih, b_hh


@fault("B1", "B2")
class _ProductsInBfloat16(Plain):
    """Computes float32 products in bfloat16."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if x.dtype != torch.float32:
            return super().linear(x, weight, bias)
        product = torch.nn.functional.linear(x.bfloat16(), weight.bfloat16()).float()
        return product if bias is None else product + bias


@fault("B1", "B2", on=(RNN_TANH, LSTM, GRU))
class _TanhOff(Plain):
    """Computes a tanh that is off by 1e-4."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) * (1 - 1e-4)


class _TanhSlightlyOff(Plain):
    """Computes a tanh that is off by 1e-6 of itself, in float32."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) * (1 - 1e-6) if z.dtype == torch.float32 else torch.tanh(z)


class _OneWeightOff(Plain):
    """Reads the first entry of W_hh off by 1e-4 of itself, in float32."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        if w_hh.dtype == torch.float32:
            off = torch.zeros_like(w_hh)
            off[0, 0] = 1e-4
            w_hh = w_hh + w_hh * off
        return w_ih, w_hh, b_ih, b_hh


def _small_errors() -> Iterator[Fault]:
    for name, kind, cells in (
        ("tanh-off-by-1e-6", _TanhSlightlyOff, (RNN_TANH, LSTM, GRU)),
        ("one-weight-off-by-1e-4", _OneWeightOff, ALL),
    ):
        for cell in cells:
            yield Fault(f"{cell}-{name}", ("B1", "B2"), (cell,), subject(name, kind, (cell,)), effort="default")


_FAULTS.extend(_small_errors())


@fault("B2", steps=10)
class _StaleInput(Plain):
    """Step 9 sees the input of step 8."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        return super().input_at(sequence, 8 if t == 9 else t, direction)


@fault("B1", "B2", "E2")
class _ReverseFromPadding(Plain):
    """Starts the reverse direction of a packed sequence in its padding."""

    def backwards(self, sequence: torch.Tensor) -> torch.Tensor:
        return sequence.flip(0)


@fault("B1", "B2", "D1", "D2")
class _EndedRowsGoOn(Plain):
    """Goes on with rows of a packed sequence that have ended."""

    def if_running(self, t: int, after: States, before: States) -> States:
        return after


@fault("B1", "B2", on=(LSTM,))
class _ProjectsTwice(Plain):
    """Adds the state before projection to its first features after it."""

    def project(self, h: torch.Tensor, w_hr: torch.Tensor | None) -> torch.Tensor:
        projected = super().project(h, w_hr)
        return projected if w_hr is None else projected + h[..., : len(w_hr)] / 8


@fault("B1", "E2", on=EVERY)
class _SingleStepFromZero(Plain):
    """Starts a single step from zero whatever hx."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        return super().initial_states(sequence, None if isinstance(self, SingleStep) else hx)


@fault("A1")
class _OutputTimeMajor(Plain):
    """Returns a time-major output whatever batch_first."""

    def forward(self, input: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
        output, states = super().forward(input, hx)
        return output.transpose(0, 1) if self.batch_first else output, states


@fault("A2")
class _StatesBatchFirst(Plain):
    """Transposes the states where batch_first."""

    def final_states(self, last: list[States]) -> States:
        states = super().final_states(last)
        return tuple(state.transpose(0, 1) for state in states) if self.batch_first else states


@fault("A3", on=EVERY)
class _BiasesFirst(Plain):
    """Orders biases before weights."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, parameter in sorted(self._parameters.items()):
            del self._parameters[name]
            self.register_parameter(name, parameter)


@fault("A4", on=EVERY)
class _WidenedOutput(Plain):
    """Returns 16-bit results as float32."""

    def in_time(self, outputs: torch.Tensor, direction: int) -> torch.Tensor:
        return super().in_time(outputs.float() if outputs.element_size() == 2 else outputs, direction)

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, states, layer, direction)
        narrow = x.element_size() == 2 and isinstance(self, SingleStep)
        return tuple(state.float() for state in after) if narrow else after


@fault("A4-fake", on=EVERY, num_layers=2)
class _OtherStridesWithoutData(Plain):
    """Lays its results out otherwise on meta tensors."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, states, layer, direction)
        turned = x.device.type == "meta" and isinstance(self, SingleStep)
        return tuple(state.mT.contiguous().mT for state in after) if turned else after

    def output(self, sequence: torch.Tensor) -> Any:
        output = super().output(sequence)
        return output.mT.contiguous().mT if output.data.device.type == "meta" else output


@fault("A4-repr", on=EVERY)
class _SilentRepr(Plain):
    """Leaves bias out of its repr."""

    def extra_repr(self) -> str:
        return super().extra_repr().replace(", bias=False", "")


@fault("A5", on=EVERY)
class _Warns(Plain):
    """Warns at every call."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        warnings.warn("this module is slow", stacklevel=2)
        return super().initial_states(sequence, hx)


@fault("B3", on=(RNN_TANH,))
class _WorkedExampleWithoutBias(Plain):
    """Leaves b_hh out."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, _ = super().weights(layer, direction)
        return w_ih, w_hh, b_ih, None


def _drawn_late(cell: str, *args: Any, **kwargs: Any) -> torch.nn.Module:
    """torch.nn's module, whose weights begin one random number later."""
    torch.rand(1)
    return torch_nn().classes[cell](*args, **kwargs)


_LATE = {cell: partial(_drawn_late, cell) for cell in (RNN_TANH, LSTM)}
register(Fault("draws-its-weights-from-a-later-stream", ("B3-stream",), (RNN_TANH, LSTM), Subject("late", _LATE)))


@fault("B4", on=(RNN_TANH, LSTM, GRU))
class _LongSequenceCut(Plain):
    """Halves the products from step 2 on."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        return super().input_at(sequence, t, direction) * (0.5 if t >= 2 else 1)


@fault("J2", on=(LSTM,))
class _RefusesBfloat16(Plain):
    """Refuses bfloat16 in one cell."""

    def forward(self, input: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
        if self.cell == LSTM and input.dtype == torch.bfloat16:
            raise NotImplementedError("no bfloat16 here")
        return super().forward(input, hx)


@fault("B5", on=(RNN_TANH, LSTM, GRU))
class _TanhOffInOneBinade(Plain):
    """Computes a tanh that is off by 1/32 between 2^-7 and 2^-6, in 16-bit types."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        off = (z.abs() >= 2**-7) & (z.abs() < 2**-6) if z.element_size() == 2 else torch.zeros_like(z, dtype=torch.bool)
        return torch.tanh(z) * torch.where(off, 1 - 2**-5, 1.0).to(z.dtype)


@fault("B5", on=(LSTM, GRU))
class _SigmoidOffInOneBinade(Plain):
    """Computes a sigmoid that is off by 1/32 between 1 and 2, in 16-bit types."""

    def sigmoid(self, z: torch.Tensor) -> torch.Tensor:
        off = (z >= 1) & (z < 2) if z.element_size() == 2 else torch.zeros_like(z, dtype=torch.bool)
        return torch.sigmoid(z) * torch.where(off, 1 - 2**-5, 1.0).to(z.dtype)


@fault("D1", "D2")
class _LastStateBeforeLast(Plain):
    """Returns h_n one step early."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, last = super().run(sequence, states, layer, direction)
        early = outputs[-2 if not direction else 1] if len(sequence) > 1 else states[0]
        return outputs, (early, *last[1:])


@fault("D2")
class _BackwardStateOfLastOutput(Plain):
    """Takes the backward state from the last output."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, last = super().run(sequence, states, layer, direction)
        return outputs, (outputs[-1], *last[1:])


@fault("D3", on=(RNN_TANH, LSTM, GRU, *SINGLE_STEPS))
class _TanhAboveOne(Plain):
    """Computes a tanh that exceeds 1."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) * 1.25


@fault("D3", on=(RNN_RELU,))
class _LeakyRelu(Plain):
    """Leaks negative values through relu."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        w_ih, w_hh, b_ih, b_hh = self.weights(layer, direction)
        z = self.linear(x, w_ih, b_ih) + self.linear(states[0], w_hh, b_hh)
        return (torch.nn.functional.leaky_relu(z),)


@fault("D3", on=(LSTM,))
class _ForgetAboveOne(Plain):
    """Adds to the cell state more than a gate allows."""

    def lstm(self, z: torch.Tensor, c: torch.Tensor) -> States:
        h, c = super().lstm(z, c)
        return h, c * 4


@fault("D3", on=(LSTM,))
class _OpposedSign(Plain):
    """Returns a hidden state of the wrong sign."""

    def lstm(self, z: torch.Tensor, c: torch.Tensor) -> States:
        h, c = super().lstm(z, c)
        return -h, c


@fault("D4")
class _Remembers(Plain):
    """Starts from where the last call ended."""

    kept: States | None = None

    def start(self, initial: States, layer: int, direction: int) -> States:
        return self.kept if self.kept is not None else super().start(initial, layer, direction)

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, last = super().run(sequence, states, layer, direction)
        self.kept = tuple(state.detach() for state in last)
        return outputs, last


@fault("D4")
class _SharesOutput(Plain):
    """Hands out the memory that it will answer from."""

    kept: tuple[torch.Tensor, Any] | None = None

    def forward(self, input: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
        if self.kept is None:
            self.kept = super().forward(input, hx)
        return self.kept


@fault("D4", on=EVERY)
class _ChangesState(Plain):
    """Updates the given states in place."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        states = super().initial_states(sequence, hx)
        with torch.no_grad():
            states[0].mul_(0.5)
        return states


@fault("D4", on=EVERY)
class _DrawsRandomNumbers(Plain):
    """Draws random numbers without dropout."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        torch.rand(1)
        return super().initial_states(sequence, hx)


@fault("E1", num_layers=2)
class _LouderAbove(Plain):
    """Scales the output of layers above the first."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, last = super().run(sequence, states, layer, direction)
        return outputs * (1 + 2**-6) if layer else outputs, last
