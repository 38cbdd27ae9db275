"""Seeded faults of the backward pass that show only in some dtypes, steps, layers, directions or passes."""

from __future__ import annotations

from typing import Any

import torch

from conformance.harness.cells import SINGLE_STEPS
from conformance.selftest.faults.fault import Faults
from conformance.selftest.faults.gradients import Counting, hooked
from conformance.selftest.implementations.plain import Elsewhere, Plain, States
from reference.problem import LSTM

FAULTS = Faults()
fault = FAULTS.seed

NARROW = (torch.float16, torch.bfloat16)


@fault("C1", steps=2)
class _DetachedInBfloat16(Counting):
    """Detaches the states before each step from step 1 on in bfloat16."""

    def before(self, states: States) -> States:
        cut = self.done > 0 and states[0].dtype == torch.bfloat16
        return tuple(state.detach() for state in states) if cut else states


@fault("C1", steps=3)
class _TruncatedInFloat16(Counting):
    """Detaches the states before each step from step 2 on in float16."""

    def before(self, states: States) -> States:
        cut = self.done > 1 and states[0].dtype == torch.float16
        return tuple(state.detach() for state in states) if cut else states


@fault("C1", steps=7)
class _HalvedInFloat32(Counting):
    """Halves the gradient of the states that step 6 reads in bidirectional float32 modules."""

    def before(self, states: States) -> States:
        halved = self.done == 6 and self.directions == 2 and states[0].dtype == torch.float32
        return tuple(hooked(state, lambda g: g / 2) for state in states) if halved else states


@fault("C1", num_layers=2)
class _UpperLayersHalvedIn16Bits(Plain):
    """Halves the gradient of input weights above the first layer in 16 bits."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, *others = super().weights(layer, direction)
        halved = layer > 0 and w_ih.dtype in NARROW
        return (hooked(w_ih, lambda g: g / 2) if halved else w_ih, *others)


@fault("C1", num_layers=3)
class _ThirdLayerHalvedInFloat32(Plain):
    """Halves the gradient of recurrent weights from the third layer on in float32."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        halved = layer > 1 and w_hh.dtype == torch.float32
        return w_ih, hooked(w_hh, lambda g: g / 2) if halved else w_hh, b_ih, b_hh


@fault("C1", on=(LSTM,))
class _ProjectionTurnedIn16Bits(Plain):
    """Negates the gradient of the projection weight in 16 bits."""

    def projection(self, layer: int, direction: int) -> torch.Tensor | None:
        w_hr = super().projection(layer, direction)
        return hooked(w_hr, torch.neg) if w_hr is not None and w_hr.dtype in NARROW else w_hr


@fault("C2", on=SINGLE_STEPS)
class _SecondPassOfAStepHalved(Plain):
    """Halves the gradient of input weights in the second backward pass of a single step."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, *others = super().weights(layer, direction)
        passes: list[int] = []

        def halving(g: torch.Tensor) -> torch.Tensor:
            passes.append(1)
            return g / len(passes)

        return (hooked(w_ih, halving), *others)


@fault("C4", "C1", steps=2)
class _LeaksAgainstTime(Plain):
    """Credits the input gradient of the reverse direction to the previous time step."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        leaks = direction and t + 1 < len(sequence)
        return Elsewhere.apply(x, super().input_at(sequence, t + 1, direction)) if leaks else x
