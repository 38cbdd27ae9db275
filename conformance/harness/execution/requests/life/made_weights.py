"""Operations after which a weight is made of others: parametrizations, norms, masks, and what takes them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils import parametrize, prune

from conformance.harness.execution.requests.life.living import Done, Living
from reference.histories import DROPPED, mask_of
from reference.life import FACTOR


class Twice(torch.nn.Module):
    """A parametrization."""

    def forward(self, original: torch.Tensor) -> torch.Tensor:
        return original * FACTOR


@dataclass
class Drop:
    """A forward hook that makes a weight of a parameter; it can be pickled."""

    name: str

    def __call__(self, module: torch.nn.Module, arguments: Any) -> None:
        setattr(module, self.name, getattr(module, DROPPED.format(self.name)) * FACTOR)


def _parametrize(one: Living) -> Done:
    parametrize.register_parametrization(one.module, one.first, Twice())
    return None


def _remove_parametrization(one: Living) -> Done:
    parametrize.remove_parametrizations(one.module, one.first, leave_parametrized=True)
    return None


def _weight_norm(one: Living) -> Done:
    torch.nn.utils.parametrizations.weight_norm(one.module, one.first)
    return None


def _old_weight_norm(one: Living) -> Done:
    torch.nn.utils.weight_norm(one.module, one.first)
    return None


def _remove_weight_norm(one: Living) -> Done:
    torch.nn.utils.remove_weight_norm(one.module, one.first)
    return None


ITERATIONS = 15
"""Of the estimate of a norm: as many as it is begun with."""


def _spectral_norm(one: Living) -> Done:
    torch.nn.utils.parametrizations.spectral_norm(one.module, one.first, n_power_iterations=ITERATIONS)
    return one.module.eval()


def _old_spectral_norm(one: Living) -> Done:
    torch.nn.utils.spectral_norm(one.module, one.first, n_power_iterations=ITERATIONS)
    return one.module.eval()


def _remove_spectral_norm(one: Living) -> Done:
    torch.nn.utils.remove_spectral_norm(one.module, one.first)
    return None


def _orthogonal(one: Living) -> Done:
    torch.nn.utils.parametrizations.orthogonal(one.module, one.first)
    return None


def _prune(one: Living) -> Done:
    weight = getattr(one.module, one.first)
    mask = torch.tensor(mask_of(tuple(weight.shape)), dtype=weight.dtype, device=weight.device)
    prune.custom_from_mask(one.module, one.first, mask)
    return None


def _remove_pruning(one: Living) -> Done:
    prune.remove(one.module, one.first)
    return None


def _weight_drop(one: Living) -> Done:
    module, name = one.module, one.first
    raw = getattr(module, name)
    delattr(module, name)
    module.register_parameter(DROPPED.format(name), torch.nn.Parameter(raw.detach(), raw.requires_grad))
    drop = Drop(name)
    drop(module, ())
    module.register_forward_pre_hook(drop)
    return None


MADE: Mapping[str, Callable[[Living], Done]] = {
    "parametrize": _parametrize,
    "remove_parametrization": _remove_parametrization,
    "weight_norm": _weight_norm,
    "old_weight_norm": _old_weight_norm,
    "remove_weight_norm": _remove_weight_norm,
    "spectral_norm": _spectral_norm,
    "old_spectral_norm": _old_spectral_norm,
    "remove_spectral_norm": _remove_spectral_norm,
    "orthogonal": _orthogonal,
    "prune": _prune,
    "remove_pruning": _remove_pruning,
    "weight_drop": _weight_drop,
}
"""What is done, by name."""
