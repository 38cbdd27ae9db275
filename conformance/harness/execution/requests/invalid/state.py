"""What a refused call may not leave changed beside what it was given: PyTorch's settings, and the module's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

State = Mapping[str, Any]

SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch.get_default_dtype()": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.is_grad_enabled()": (torch.is_grad_enabled, torch._C._set_grad_enabled),
    "torch.get_num_threads()": (torch.get_num_threads, torch.set_num_threads),
    "torch.are_deterministic_algorithms_enabled()": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
}
"""By the expression that tells a setting, what reads it and what sets it."""

RANDOM = "torch.get_rng_state()"

OF_MODULE: Mapping[str, Callable[[torch.nn.Module], Any]] = {
    "module.training": lambda module: [one.training for one in module.modules()],
    "module.requires_grad": lambda module: [one.requires_grad for one in module.parameters()],
    "module.state_dict()": lambda module: sorted(module.state_dict()),
}
"""By name, what tells a part of a module's state: of all its parts, of its parameters, and which names it has."""


def state(module: torch.nn.Module) -> State:
    """The settings and the module's state now."""
    settings = {name: read() for name, (read, _) in SETTINGS.items()}
    return (
        settings | {RANDOM: bytes(torch.get_rng_state().numpy())} | {n: read(module) for n, read in OF_MODULE.items()}
    )


def changes(before: State, after: State) -> tuple[str, ...]:
    """The names of what is another."""
    return tuple(name for name, was in before.items() if after[name] != was)


def restore(before: State, changed: tuple[str, ...]) -> None:
    """Puts the settings back that were changed, so that no other call has them."""
    for name in changed:
        if name in SETTINGS:
            SETTINGS[name][1](before[name])
