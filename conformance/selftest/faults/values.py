"""Seeded faults of the computed values: equations, wiring of layers and directions, precision."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import permutations
from typing import Any

import torch

from conformance.harness.execution.subject import Subject
from conformance.selftest.faults.fault import ALL, EVERY, Fault, Faults
from conformance.selftest.implementations.plain import Plain, SingleStep, States, subject
from reference.problem import GATES, GRU, LSTM, RNN_TANH

FAULTS = Faults()
fault = FAULTS.seed


# Equations


class _Reordered(Plain):
    """Reads the gate blocks in a different order."""

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


FAULTS.extend(_gate_orders())


@fault("B1", "B2", on=(GRU,))
class _HiddenBiasOutsideReset(Plain):
    """GRU adds b_hn outside the product with the reset gate."""

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
    """GRU applies the reset gate to h before the recurrent product."""

    def gru(self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> torch.Tensor:
        i_r, i_z, i_n = self.linear(x, w_ih, b_ih).chunk(3, -1)
        h_r, h_z, _ = self.linear(h, w_hh, b_hh).chunk(3, -1)
        r, z = self.sigmoid(i_r + h_r), self.sigmoid(i_z + h_z)
        new = self.linear(r * h, w_hh, b_hh).chunk(3, -1)[2]
        return self.blend(z, torch.tanh(i_n + new), h)


# Wiring


@fault("B1", num_layers=2)
class _StateIgnoredAbove(Plain):
    """Ignores h_0 above layer 0."""

    def start(self, initial: States, layer: int, direction: int) -> States:
        h, *c = super().start(initial, layer, direction)
        return (torch.zeros_like(h) if layer else h, *c)


@fault("B1", "B2", on=(LSTM,))
class _CellStateIgnoredInReverse(Plain):
    """Ignores c_0 in the reverse direction."""

    def start(self, initial: States, layer: int, direction: int) -> States:
        h, c = super().start(initial, layer, direction)
        return (h, torch.zeros_like(c) if direction else c)


@fault("B1", "B2", "D2", "E2")
class _NotTurnedBack(Plain):
    """Returns the outputs of the reverse direction in reversed time."""

    def in_time(self, outputs: torch.Tensor, direction: int) -> torch.Tensor:
        return outputs


@fault("B1", "D2", num_layers=2)
class _DirectionMajor(Plain):
    """Stacks the final states by direction before layer."""

    def final_states(self, last: list[States]) -> States:
        order = [k * self.directions + d for d in range(self.directions) for k in range(self.num_layers)]
        return super().final_states([last[place] for place in order])


@fault("B1", "B2", on=(LSTM,))
class _EarlyCellState(Plain):
    """Returns the cell state before the last step as c_n."""

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


# Precision


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
    """Computes tanh with a relative error of 1e-4."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) * (1 - 1e-4)


class _TanhSlightlyOff(Plain):
    """Computes tanh with a relative error of 1e-6 in float32."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) * (1 - 1e-6) if z.dtype == torch.float32 else torch.tanh(z)


class _OneWeightOff(Plain):
    """Reads the first entry of each W_hh with a relative error of 1e-4 in float32."""

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


FAULTS.extend(_small_errors())


# Steps, packed rows, projection and single steps


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
    """Keeps updating rows of a packed sequence after their end."""

    def if_running(self, t: int, after: States, before: States) -> States:
        return after


@fault("B1", "B2", on=(LSTM,))
class _ProjectsTwice(Plain):
    """Adds an eighth of the unprojected state to the projected state."""

    def project(self, h: torch.Tensor, w_hr: torch.Tensor | None) -> torch.Tensor:
        projected = super().project(h, w_hr)
        return projected if w_hr is None else projected + h[..., : len(w_hr)] / 8


@fault("B1", "E2", on=EVERY)
class _SingleStepFromZero(Plain):
    """Ignores hx in a single step."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        return super().initial_states(sequence, None if isinstance(self, SingleStep) else hx)
