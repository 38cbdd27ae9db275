"""Seeded faults of memory: something of every call is kept."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch

from conformance.selftest.faults.fault import Faults
from conformance.selftest.implementations.plain import Plain
from conformance.selftest.implementations.workspaces import Workspaces

FAULTS = Faults()
fault = FAULTS.seed


class _Keeping(Plain):
    """Keeps something of every output."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.kept: list[torch.Tensor] = []

    def kept_of(self, output: torch.Tensor) -> torch.Tensor:
        """What is kept of an output (T, N, D*R)."""
        raise NotImplementedError

    def output(self, sequence: torch.Tensor) -> Any:
        self.kept.append(self.kept_of(sequence))
        return super().output(sequence)


@fault("D5")
class _KeepsOutputs(_Keeping):
    """Keeps every output."""

    def kept_of(self, output: torch.Tensor) -> torch.Tensor:
        return output.detach()


@fault("D5")
class _KeepsGraphs(_Keeping):
    """Keeps the graph of every call."""

    def kept_of(self, output: torch.Tensor) -> torch.Tensor:
        return output.sum()


@fault("D5")
class _NeverHits(Workspaces):
    """Keeps a workspace for each length and finds none again."""

    def key(self, outputs: torch.Tensor) -> Hashable:
        return super().key(outputs), len(self.workspaces)
