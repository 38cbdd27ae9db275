"""A module in its life, as operations find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from reference.life import FACTOR, Life


@dataclass
class Living:
    """A module in its life.

    life   its weights before the operation
    make   makes another module of its class, of the same dtype
    call   calls a module as the case says; it returns one tensor, of all results
    """

    module: torch.nn.Module
    life: Life
    make: Callable[[], torch.nn.Module]
    call: Callable[[torch.nn.Module], torch.Tensor]
    told: str = ""

    @property
    def first(self) -> str:
        return self.life.first

    def parameter(self, name: str) -> torch.nn.Parameter:
        """The parameter behind a weight."""
        return self.module.get_parameter(self.life.held[name].name)

    def twice(self) -> dict[str, torch.Tensor]:
        """The state_dict, every number doubled."""
        return {name: values.detach() * FACTOR for name, values in self.module.state_dict().items()}


Done = torch.nn.Module | None
"""The module that goes on, where it is another."""


def pull(result: torch.Tensor) -> None:
    """Differentiates the sum of all results, where something wants a gradient."""
    if result.requires_grad:
        torch.autograd.backward([result.sum()])
