"""What a refused call may not leave changed beside the values it was given: PyTorch's settings, and the module's state.

What a valid call changes too is not counted, nor are names that begin with _, apart from hooks: a module's caches.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from conformance.harness.execution.requests.invalid.harm import contents

State = Mapping[str, Any]

_PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, type(None))


def _default_device() -> str:
    return str(torch.empty(0).device)


def _set_default_device(device: str) -> None:
    torch.set_default_device(None if device == "cpu" else device)


def _dtype_of_a_product() -> torch.dtype:
    """The dtype of a product of float32 matrices: another one under autocast."""
    one = torch.ones(1, 1, device="cpu", dtype=torch.float32)
    return torch.mm(one, one).dtype


def _end_autocast(_: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # releases from 2.4 on have another name for it
        torch.set_autocast_cpu_enabled(False)


def _flushes_subnormals() -> bool:
    return torch.tensor(1e-310, dtype=torch.float64, device="cpu").mul(1).item() == 0


@torch.enable_grad()
def _is_saved_as_it_is() -> bool:
    """Whether autograd keeps a tensor that it saves: not where a pair of hooks is entered."""
    one = torch.ones(1, device="cpu", requires_grad=True)
    try:
        return bool((one * one).grad_fn._saved_self is one)  # type: ignore[union-attr]
    except Exception:  # of the hooks that are there
        return False


def _leave_hooks(_: object) -> None:
    while not _is_saved_as_it_is():
        torch._C._autograd._pop_saved_tensors_default_hooks()  # type: ignore[attr-defined]


def _filter_warnings(filters: Any) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    warnings._filters_mutated() if hasattr(warnings, "_filters_mutated") else None  # type: ignore[attr-defined]


FILTERS = "warnings.filters"

SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch.get_default_dtype()": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.is_grad_enabled()": (torch.is_grad_enabled, torch._C._set_grad_enabled),
    "torch.get_num_threads()": (torch.get_num_threads, torch.set_num_threads),
    "torch.are_deterministic_algorithms_enabled()": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch.get_float32_matmul_precision()": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "torch.is_anomaly_enabled()": (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "torch.is_autocast_cache_enabled()": (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    "torch.backends.mkldnn.enabled": (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    "the default device": (_default_device, _set_default_device),
    "the dtype of a product": (_dtype_of_a_product, _end_autocast),
    "the flush of subnormals": (_flushes_subnormals, torch.set_flush_denormal),
    "the hooks of saved tensors": (_is_saved_as_it_is, _leave_hooks),
    FILTERS: (lambda: list(warnings.filters), _filter_warnings),
}
"""By the expression that tells a setting, or by its name, what reads it and what sets it."""

RANDOM = "torch.get_rng_state()"

IMPORTED = "sys.modules"
"""What grows where an operation imports what it needs when it is first called, as those on meta tensors do."""

OF_CLASS = "type(module)."
"""How the names of attributes of the module's class begin."""

HOOKS = "_hooks"
"""How the names of a module's tables of hooks end."""

OF_MODULE: Mapping[str, Callable[[torch.nn.Module], Any]] = {
    "module.training": lambda module: [one.training for one in module.modules()],
    "module.state_dict()": lambda module: sorted(module.state_dict()),
}
"""By name, what tells a part of a module's state: of all its parts, and which names it has."""

OF_TENSORS: Mapping[str, Callable[[torch.Tensor], Any]] = {
    "requires_grad": lambda tensor: tensor.requires_grad,
    "grad": lambda tensor: None if tensor.grad is None else contents({"": tensor.grad}),
    "_backward_hooks": lambda tensor: list(tensor._backward_hooks or ()),
}
"""By name, what tells a part of a tensor's state that is none of its values."""


def _settings() -> dict[str, Any]:
    return {name: read() for name, (read, _) in SETTINGS.items()}


@contextmanager
def settings_restored() -> Iterator[None]:
    """A block after which the settings are as they were before it."""
    before = _settings()
    try:
        yield
    finally:
        restore(before, changes(before, _settings()))


def state(module: torch.nn.Module, given: Mapping[str, torch.Tensor] | None = None) -> State:
    """The settings now, and the state of the module, of its parameters and of the tensors that it is given."""
    settings = _settings() | {RANDOM: bytes(torch.get_rng_state().numpy()), IMPORTED: len(sys.modules)}
    parameters = {f"module.{name}": one for name, one in module.named_parameters()}
    tensors = {
        f"{name}.{part}": tell(tensor)
        for name, tensor in (parameters | dict(given or {})).items()
        if tensor.is_leaf
        for part, tell in OF_TENSORS.items()
    }
    return settings | {name: tell(module) for name, tell in OF_MODULE.items()} | tensors | _attributes(module)


def _attributes(module: torch.nn.Module) -> dict[str, Any]:
    """The attributes of a module and of its parts, their tables of hooks, and the attributes of its class."""
    found = {}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name.endswith(HOOKS) and isinstance(value, dict):
                found[".".join(filter(None, ("module", path, name)))] = list(value)
            elif not name.startswith("_") and name != "training":
                found[".".join(filter(None, ("module", path, name)))] = _told(value)
    kinds = [kind for kind in reversed(type(module).__mro__) if kind not in torch.nn.Module.__mro__]
    return found | {
        OF_CLASS + name: _told(value)
        for kind in kinds
        for name, value in vars(kind).items()
        if not name.startswith("_")
    }


def _told(value: Any) -> Any:
    """A value for a comparison: plain data by its text, a tensor by its contents, anything else by what it is."""
    if isinstance(value, torch.Tensor):
        return contents({"": value})
    return repr(value) if _is_plain(value) else (type(value), id(value))


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, list, set):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN) or (type(value) is dict and all(map(_is_plain, (*value, *value.values()))))


def changes(before: State, after: State) -> tuple[str, ...]:
    """The names of what is another, or gone; an import is none of a call's, nor are the filters that it sets."""
    found = tuple(name for name, was in before.items() if name not in after or after[name] != was)
    return tuple(name for name in found if name not in (IMPORTED, FILTERS)) if IMPORTED in found else found


def restore(before: State, changed: tuple[str, ...]) -> None:
    """Puts the settings back that were changed, so that no other call has them."""
    for name in changed:
        if name in SETTINGS:
            SETTINGS[name][1](before[name])
