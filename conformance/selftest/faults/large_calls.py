"""Seeded faults of layouts, weights that are kept, surroundings, graphs and memory that show only beyond a size."""

from __future__ import annotations

import threading
from typing import Any

import torch

from conformance.harness.cells import SINGLE_STEPS
from conformance.selftest.faults.fault import EVERY, Faults
from conformance.selftest.faults.gradients import hooked
from conformance.selftest.implementations.plain import Plain, States
from reference.problem import LSTM

FAULTS = Faults()
fault = FAULTS.seed


def _halved(x: torch.Tensor) -> torch.Tensor:
    """The argument, of whose gradient half arrives."""
    return hooked(x, lambda g: g / 2)


@fault("C1", on=SINGLE_STEPS, hidden_size=257)
class _LateUnitsOfTheInitialStatesHalved(Plain):
    """Halves the gradient of the initial states from unit 256 on."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        states = super().initial_states(sequence, hx)
        return tuple(torch.cat([s[..., :256], _halved(s[..., 256:])], -1) for s in states)


@fault("C1", on=(LSTM,), hidden_size=257)
class _WideProjectionsHalveTheirWeights(Plain):
    """Halves the gradient of projections from unit 256 on."""

    def projection(self, layer: int, direction: int) -> torch.Tensor | None:
        w_hr = super().projection(layer, direction)
        return w_hr if w_hr is None else torch.cat([w_hr[:, :256], _halved(w_hr[:, 256:])], 1)


@fault("C1", batch_size=257, hidden_size=257)
class _LateUnitsOfLateRowsHalved(Plain):
    """Halves the gradient of units from 256 on in rows from 256 on."""

    def start(self, initial: States, layer: int, direction: int) -> States:
        return tuple(map(self.corner_halved, super().start(initial, layer, direction)))

    def corner_halved(self, state: torch.Tensor) -> torch.Tensor:
        """The state (N, H) with a part of which half of the gradient arrives."""
        late = torch.cat([state[256:, :256], _halved(state[256:, 256:])], 1)
        return torch.cat([state[:256], late])


class _Misread(torch.autograd.Function):
    """The argument; of its gradient half, if that is long and does not arrive contiguous."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient if gradient.is_contiguous() or gradient.numel() <= 2**15 else gradient / 2


@fault("C1", batch_size=257, hidden_size=257)
class _MisreadsLongGradients(Plain):
    """Halves output gradients past 32768 elements that are not contiguous."""

    def output(self, sequence: torch.Tensor) -> Any:
        output = super().output(sequence)
        return _Misread.apply(output.contiguous()) if isinstance(output, torch.Tensor) else output


@fault("I", on=EVERY)
class _PacksAgainForNewVersions(Plain):
    """Packs its weights again only if they are other tensors or other versions."""

    def is_packed(self, weight: torch.Tensor) -> bool:
        """Whether the weight is one of those that are packed."""
        return True

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        weights = super().weights(layer, direction)
        if any(w is not None and w.is_inference() for w in weights):
            return weights
        return tuple(None if w is None else self.packed_copy(w) for w in weights)  # type: ignore[return-value]

    def packed_copy(self, weight: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() or not self.is_packed(weight):
            return weight
        packed = self.__dict__.setdefault("packed_weights", {})
        version = weight._version
        if packed.get(weight.data_ptr(), (None, None))[0] != version:
            packed[weight.data_ptr()] = (version, weight.detach().clone())
        return packed[weight.data_ptr()][1]  # type: ignore[no-any-return]


@fault("I", hidden_size=257)
class _PacksLargeWeightsAgainForNewVersions(_PacksAgainForNewVersions):
    """Packs weights past 65535 elements again only if they are other tensors or other versions."""

    def is_packed(self, weight: torch.Tensor) -> bool:
        return weight.numel() > 2**16 - 1


@fault("E5", hidden_size=257)
class _WideCallsWorkInTheMainThread(Plain):
    """Computes something else from unit 256 on outside of the main thread."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        z = super().linear(x, weight, bias)
        is_wrong = self.hidden_size > 256 and threading.current_thread() is not threading.main_thread()
        return z * 2 if is_wrong else z


@fault("C1", steps=101)
class _LateStepsForgottenInSecondPass(Plain):
    """Halves the gradient of step 100 in a second backward pass of one graph."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        passes: list[int] = []

        def halving(g: torch.Tensor) -> torch.Tensor:
            passes.append(1)
            return g / len(passes)

        return hooked(x, halving) if t == 100 else x


@fault("D5")
class _KeepsGradientsOfLongSequences(Plain):
    """Keeps the gradient of step 200 of every backward pass."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.kept: list[torch.Tensor] = []

    def if_running(self, t: int, after: States, before: States) -> States:
        states = super().if_running(t, after, before)
        return tuple(hooked(s, self.keep) for s in states) if t == 200 else states

    def keep(self, gradient: torch.Tensor) -> torch.Tensor:
        self.kept.append(gradient.clone())
        return gradient
