"""Seeded faults of where parameters and gradients lie in memory, and of weights that are kept from call to call."""

from __future__ import annotations

from typing import Any

import torch

from conformance.selftest.faults.fault import EVERY, Faults
from conformance.selftest.implementations.plain import Plain
from reference.problem import GRU, LSTM

FAULTS = Faults()
fault = FAULTS.seed


class _Misread(torch.autograd.Function):
    """The argument; of its gradient half, if that does not arrive contiguous."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient if gradient.is_contiguous() else gradient / 2


@fault("C1", on=(LSTM, GRU))
class _MisreadsGradients(Plain):
    """Halves output gradients that are not contiguous."""

    def output(self, sequence: torch.Tensor) -> Any:
        output = super().output(sequence)
        return _Misread.apply(output.contiguous()) if isinstance(output, torch.Tensor) else output


@fault("C1", on=(LSTM, GRU), num_layers=1)
class _MisreadsStateGradients(Plain):
    """Halves gradients of h_n that are not contiguous."""

    def final_states(self, last: Any) -> Any:
        h, *c = super().final_states(last)
        return (_Misread.apply(h), *c)


@fault("B1", "C1")
class _ReadsWeightsFromTheirBeginning(Plain):
    """Reads weights that are not contiguous as if their storage were."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        return tuple(_as_if_contiguous(weight) for weight in super().weights(layer, direction))  # type: ignore[return-value]


def _as_if_contiguous(weight: torch.Tensor | None) -> torch.Tensor | None:
    if weight is None or weight.is_contiguous() or weight.untyped_storage().nbytes() < weight.nbytes:
        return weight
    return weight.as_strided(weight.shape, torch.empty(weight.shape).stride(), weight.storage_offset())


@fault("I", on=EVERY)
class _PacksOnce(Plain):
    """Packs its weights at the first call and never again."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        packed = self.__dict__.setdefault("packed_weights", {})
        if (layer, direction) not in packed:
            weights = super().weights(layer, direction)
            packed[layer, direction] = tuple(None if w is None else w.detach().clone() for w in weights)
        return packed[layer, direction]  # type: ignore[no-any-return]


@fault("I", on=EVERY)
class _PacksAgainForNewTensors(Plain):
    """Packs its weights again only if they are other tensors."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        weights = super().weights(layer, direction)
        key = tuple(0 if w is None else w.data_ptr() for w in weights)
        packed = self.__dict__.setdefault("packed_weights", {})
        if packed.get((layer, direction), (None, None))[0] != key:
            packed[layer, direction] = (key, tuple(None if w is None else w.detach().clone() for w in weights))
        return packed[layer, direction][1]  # type: ignore[no-any-return]
