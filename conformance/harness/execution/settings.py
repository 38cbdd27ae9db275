"""Settings from outside that change what a call or the reference means: each is undone, and named.

A program's start-up file, a plugin, a fixture or the import of a subject may leave them behind. What cannot be undone,
a mode of PyTorch's that takes every call, is named as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class _Setting:
    """A setting of PyTorch, NumPy or Python, of which the contract wants one value.

    said      what was set, in words
    suffices  whether another value does as well
    """

    read: Callable[[], Any]
    write: Callable[[Any], object]
    wanted: Any
    said: Callable[[Any], str]
    suffices: Callable[[Any], bool] = lambda value: False

    def put_right(self) -> str:
        """Undoes what was set otherwise; returns it in words, "" where nothing was."""
        value = self.read()
        if value == self.wanted or self.suffices(value):
            return ""
        self.write(self.wanted)
        return self.said(value)


def put_right() -> tuple[str, ...]:
    """Undoes what was set otherwise, and returns it in words."""
    found = [_leave_inference_mode(), *(setting.put_right() for setting in _SETTINGS)]
    return tuple(dict.fromkeys(filter(None, found)))


@contextmanager
def restored() -> Iterator[None]:
    """Gives back in the end what `put_right` may undo in the block, as it was before."""
    before = [setting.read() for setting in _SETTINGS]
    try:
        with torch.inference_mode(False):  # so that no guard is entered that is never left
            yield
    finally:
        for setting, value in zip(_SETTINGS, before, strict=True):
            if setting.read() != value:
                setting.write(value)


def modes() -> tuple[str, ...]:
    """Modes that take the calls of PyTorch's functions, and that only who entered them can leave."""
    stacks = (("function", "_len_torch_function_stack"), ("dispatch", "_len_torch_dispatch_stack"))
    lengths = ((kind, getattr(torch._C, name, lambda: 0)()) for kind, name in stacks)
    return tuple(f"{length} torch {kind} mode{'s' if length > 1 else ''}" for kind, length in lengths if length)


def _leave_inference_mode() -> str:
    if not torch.is_inference_mode_enabled():
        return ""
    guard = torch.inference_mode(False)
    guard.__enter__()
    _kept.append(guard)
    return "inference mode"


def _default_device() -> str:
    device = torch.empty(0).device
    return "cpu" if device.type == "cpu" else str(device)


def _set_default_device(device: str) -> None:
    torch.set_default_device(None if device == "cpu" else device)


def _has_old_autocast() -> bool:
    """Whether autocast has a function for each device, as before 2.4."""
    try:
        torch.is_autocast_enabled("cpu")
    except TypeError:
        return True
    return False


_HAS_OLD_AUTOCAST = _has_old_autocast()


def _is_autocast() -> bool:
    return torch.is_autocast_cpu_enabled() if _HAS_OLD_AUTOCAST else torch.is_autocast_enabled("cpu")


def _set_autocast(enabled: bool) -> None:
    if _HAS_OLD_AUTOCAST:
        torch.set_autocast_cpu_enabled(enabled)
    else:
        torch.set_autocast_enabled("cpu", enabled)


def _onednn_precision(name: str) -> _Setting:
    """The precision of float32 in one part of oneDNN, where the release has such a setting."""
    part = getattr(torch.backends.mkldnn, name, None)
    return _Setting(
        lambda: getattr(part, "fp32_precision", "none"),
        lambda precision: setattr(part, "fp32_precision", precision),
        "ieee",
        lambda precision: f"oneDNN's precision {precision} for float32",
        suffices=lambda precision: precision in FULL_PRECISION,
    )


def _numpy_errors(found: dict[str, str]) -> str:
    differing = [f"{name}={found[name]}" for name in NUMPY_ERRORS if found[name] != NUMPY_ERRORS[name]]
    return f"numpy.seterr({', '.join(differing)})"


_SETTINGS = (
    _Setting(torch.is_grad_enabled, torch.set_grad_enabled, True, lambda _: "grad mode off"),
    _Setting(
        torch.get_default_dtype,
        torch.set_default_dtype,
        torch.float32,
        lambda dtype: f"default dtype {dtype}".replace("torch.", ""),
    ),
    _Setting(_default_device, _set_default_device, "cpu", lambda device: f"default device {device}"),
    _Setting(
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
        0,
        lambda _: "deterministic algorithms",
    ),
    _Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False, lambda _: "anomaly mode"),
    _Setting(_is_autocast, _set_autocast, False, lambda _: "autocast"),
    _Setting(
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
        "highest",
        lambda precision: f"float32 matmul precision {precision}",
    ),
    _onednn_precision("rnn"),
    _onednn_precision("matmul"),
    _Setting(
        torch._C._get_mkldnn_enabled,
        torch._C._set_mkldnn_enabled,
        True,
        lambda _: "oneDNN off",
        suffices=lambda _: not torch.backends.mkldnn.is_available(),
    ),
    _Setting(lambda: not sys.float_info.min / 2, torch.set_flush_denormal, False, lambda _: "flushing of denormals"),
    _Setting(np.geterr, lambda errors: np.seterr(**errors), NUMPY_ERRORS, _numpy_errors),
    _Setting(
        sys.getrecursionlimit,
        sys.setrecursionlimit,
        SHALLOWEST,
        lambda depth: f"recursion limit {depth}",
        suffices=lambda depth: depth >= SHALLOWEST,
    ),
)
