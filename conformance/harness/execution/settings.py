"""Settings from outside that change what a call or the reference means: each is undone, and named.

A program's start-up file, a plugin, a fixture or the import of a subject may leave them behind. What cannot be undone,
a mode of PyTorch's that takes every call, is named as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

SHALLOWEST = 1000
"""Python's own recursion limit; harnesses need some of it."""

FULL_PRECISION = ("none", "ieee")
"""Values of fp32_precision with which float32 is computed as float32."""

NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
"""What NumPy does of itself where numbers overflow and the like."""

_kept: list[object] = []
"""Guards that hold while the process lives."""


def put_right() -> tuple[str, ...]:
    """Undoes what was set otherwise, and returns it in words."""
    return tuple(found for setting in _SETTINGS if (found := setting()))


@contextmanager
def restored() -> Iterator[None]:
    """Gives back in the end what `put_right` may undo in the block, as it was before."""
    device, precision = torch.empty(0).device, torch.get_float32_matmul_precision()
    grad, dtype, anomaly = torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_anomaly_enabled()
    exact, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    autocast, onednn = _is_autocast(), torch._C._get_mkldnn_enabled()
    errors, depth, flushes = np.geterr(), sys.getrecursionlimit(), not sys.float_info.min / 2
    try:
        with torch.inference_mode(False):  # so that no guard is entered that is never left
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(exact, warn_only=warns)
        torch.autograd.set_detect_anomaly(anomaly)
        _set_autocast(autocast)
        torch._C._set_mkldnn_enabled(onednn)
        torch.set_flush_denormal(flushes)
        np.seterr(**errors)
        sys.setrecursionlimit(depth)
        torch.set_grad_enabled(grad)


def modes() -> tuple[str, ...]:
    """Modes that take the calls of PyTorch's functions, and that only who entered them can leave."""
    stacks = (("function", "_len_torch_function_stack"), ("dispatch", "_len_torch_dispatch_stack"))
    lengths = ((kind, getattr(torch._C, name, lambda: 0)()) for kind, name in stacks)
    return tuple(f"{length} torch {kind} mode{'s' if length > 1 else ''}" for kind, length in lengths if length)


def _grad_mode() -> str:
    if torch.is_grad_enabled():
        return ""
    torch.set_grad_enabled(True)
    return "grad mode off"


def _inference_mode() -> str:
    if not torch.is_inference_mode_enabled():
        return ""
    guard = torch.inference_mode(False)
    guard.__enter__()
    _kept.append(guard)
    return "inference mode"


def _default_dtype() -> str:
    if (dtype := torch.get_default_dtype()) == torch.float32:
        return ""
    torch.set_default_dtype(torch.float32)
    return f"default dtype {dtype}".replace("torch.", "")


def _default_device() -> str:
    if (device := torch.empty(0).device).type == "cpu":
        return ""
    torch.set_default_device(None)
    return f"default device {device}"


def _deterministic_algorithms() -> str:
    if not torch.are_deterministic_algorithms_enabled():
        return ""
    torch.use_deterministic_algorithms(False)
    return "deterministic algorithms"


def _anomaly_mode() -> str:
    if not torch.is_anomaly_enabled():
        return ""
    torch.autograd.set_detect_anomaly(False)
    return "anomaly mode"


def _autocast() -> str:
    if not _is_autocast():
        return ""
    _set_autocast(False)
    return "autocast"


def _is_autocast() -> bool:
    return torch.is_autocast_cpu_enabled() if _HAS_OLD_AUTOCAST else torch.is_autocast_enabled("cpu")


def _set_autocast(enabled: bool) -> None:
    if _HAS_OLD_AUTOCAST:
        torch.set_autocast_cpu_enabled(enabled)
    else:
        torch.set_autocast_enabled("cpu", enabled)


def _matmul_precision() -> str:
    if (precision := torch.get_float32_matmul_precision()) == "highest":
        return ""
    torch.set_float32_matmul_precision("highest")
    return f"float32 matmul precision {precision}"


def _onednn_precision() -> str:
    found = ""
    for name in ("rnn", "matmul"):
        part = getattr(torch.backends.mkldnn, name, None)
        precision = getattr(part, "fp32_precision", "none")
        if precision not in FULL_PRECISION:
            part.fp32_precision = "ieee"  # type: ignore[union-attr]
            found = f"oneDNN's precision {precision} for float32"
    return found


def _onednn() -> str:
    if not torch.backends.mkldnn.is_available() or torch._C._get_mkldnn_enabled():
        return ""
    torch._C._set_mkldnn_enabled(True)
    return "oneDNN off"


def _denormals() -> str:
    smallest = sys.float_info.min
    if smallest / 2:
        return ""
    torch.set_flush_denormal(False)
    return "flushing of denormals"


def _numpy_errors() -> str:
    if (found := np.geterr()) == NUMPY_ERRORS:
        return ""
    np.seterr(**NUMPY_ERRORS)  # type: ignore[arg-type]
    differing = [f"{name}={found[name]}" for name in NUMPY_ERRORS if found[name] != NUMPY_ERRORS[name]]  # type: ignore[literal-required]
    return f"numpy.seterr({', '.join(differing)})"


def _recursion_limit() -> str:
    if (found := sys.getrecursionlimit()) >= SHALLOWEST:
        return ""
    sys.setrecursionlimit(SHALLOWEST)
    return f"recursion limit {found}"


def _has_old_autocast() -> bool:
    """Whether autocast has a function for each device, as before 2.4."""
    try:
        torch.is_autocast_enabled("cpu")
    except TypeError:
        return True
    return False


_HAS_OLD_AUTOCAST = _has_old_autocast()

_SETTINGS: tuple[Callable[[], str], ...] = (
    _inference_mode,
    _grad_mode,
    _default_dtype,
    _default_device,
    _deterministic_algorithms,
    _anomaly_mode,
    _autocast,
    _matmul_precision,
    _onednn_precision,
    _onednn,
    _denormals,
    _numpy_errors,
    _recursion_limit,
)
