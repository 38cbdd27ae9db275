"""Seeded faults of the backward pass that show only beyond a size."""

from __future__ import annotations

from typing import Any

import torch

from conformance.selftest.faults.fault import Faults
from conformance.selftest.faults.gradients import hooked
from conformance.selftest.faults.gradients_in_part import NARROW
from conformance.selftest.implementations.plain import Plain, States

FAULTS = Faults()
fault = FAULTS.seed


def _halved(x: torch.Tensor) -> torch.Tensor:
    """The argument, of whose gradient half arrives."""
    return hooked(x, lambda g: g / 2)


def _late_rows_halved(x: torch.Tensor, axis: int = 0) -> torch.Tensor:
    """Rows of which half of the gradient arrives from row 64 on."""
    if x.shape[axis] <= 64:
        return x
    return torch.cat([x.narrow(axis, 0, 64), _halved(x.narrow(axis, 64, x.shape[axis] - 64))], axis)


@fault("C1", steps=103, input_size=32)
class _LateStepsHalvedInBfloat16(Plain):
    """Halves the gradient of the states after step 99 in bfloat16."""

    def if_running(self, t: int, after: States, before: States) -> States:
        states = super().if_running(t, after, before)
        is_wrong = t == 99 and states[0].dtype == torch.bfloat16
        return tuple(map(_halved, states)) if is_wrong else states


@fault("C1", batch_size=82, input_size=32)
class _LateRowsHalvedInFloat16(Plain):
    """Halves the gradient of rows of the input from row 64 on in float16."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return _late_rows_halved(x) if x.dtype == torch.float16 else x


@fault("E1", num_layers=7)
class _LateLayersHalvedIn16Bits(Plain):
    """Halves the gradient of what layer 6 and those above read in 16 bits."""

    def between(self, output: torch.Tensor, layer: int) -> torch.Tensor:
        below = super().between(output, layer)
        is_wrong = 5 <= layer < self.num_layers - 1 and below.dtype in NARROW
        return _halved(below) if is_wrong else below


@fault("C1", batch_size=65)
class _LatePackedRowsHalved(Plain):
    """Halves the gradient of rows of a packed input from row 64 on."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return _late_rows_halved(x) if self.lengths is not None else x


@fault("E1", num_layers=7)
class _DeepStackHalvesAGradient(Plain):
    """Halves the gradient of what layer 0 hands on in a stack of more than 6."""

    def between(self, output: torch.Tensor, layer: int) -> torch.Tensor:
        below = super().between(output, layer)
        return _halved(below) if layer == 0 and self.num_layers > 6 else below


@fault("E1", num_layers=2)
class _StackHalvesAGradient(Plain):
    """Halves the gradient of the initial states of layer 1."""

    def start(self, initial: States, layer: int, direction: int) -> States:
        states = super().start(initial, layer, direction)
        return tuple(map(_halved, states)) if layer == 1 else states


@fault("C2", batch_size=65)
class _LateRowsForgottenInSecondPass(Plain):
    """Halves the gradient of rows from 64 on in a second backward pass."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        if len(x) <= 64:
            return x
        passes: list[int] = []

        def halving(g: torch.Tensor) -> torch.Tensor:
            passes.append(1)
            return g / len(passes)

        return torch.cat([x[:64], hooked(x[64:], halving)])


@fault("C4", "C1", batch_size=65)
class _LargeBatchesCreditAnotherRow(Plain):
    """Adds the gradient of every row to row 64 of the input."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return x if len(x) <= 64 else x + (x[64:65] - x[64:65].detach())


@fault("C4", "C1", steps=101)
class _LongSequencesCreditALaterStep(Plain):
    """Adds the gradient of step 0 to step 100 of the input."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        late = sequence[100] if t == 0 and len(sequence) > 100 else None
        return x if late is None else x + (late - late.detach())


@fault("C4", "C1", batch_size=65)
class _LateRowsClipped(Plain):
    """Clips the gradient of rows from 64 on to a hundredth."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return x if len(x) <= 64 else torch.cat([x[:64], hooked(x[64:], lambda g: g.clamp(-0.01, 0.01))])


@fault("C5", "C1", input_size=257, hidden_size=257)
class _LateFeaturesHalveTheirWeights(Plain):
    """Halves the gradient of input weights from feature 256 on."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, *others = super().weights(layer, direction)
        halves = layer == 0 and w_ih.shape[1] > 256
        return (torch.cat([w_ih[:, :256], _halved(w_ih[:, 256:])], 1) if halves else w_ih, *others)


@fault("C5", "C1", steps=101)
class _TruncatedAfter100Steps(Plain):
    """Detaches the states after step 99."""

    def if_running(self, t: int, after: States, before: States) -> States:
        states = super().if_running(t, after, before)
        return tuple(state.detach() for state in states) if t == 99 else states
