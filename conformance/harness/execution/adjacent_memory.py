"""What lies beside tensors in memory, and in free memory, chosen by the test: a result that hangs on it shows."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

MARGIN = 512
"""Elements of the buffer before and behind a tensor: as many keep its address modulo 64 bytes, for any dtype."""

_M_PERTURB = -6
"""The parameter of mallopt (malloc.h) that is the byte with which memory is filled when it is given back; with its
complement it is filled when it is handed out."""


@dataclass(frozen=True)
class Filling:
    """margin: the number beside each tensor, the dtype's largest where it has no NaN; byte: that of free memory."""

    margin: float
    byte: int


FILLINGS = (Filling(float("nan"), 0x80), Filling(0.0, 0xFF))
"""Beside NaN, memory that is handed out is full of 3.4e38 (float32); beside 0, of 0."""


def beside(value: Any, filling: Filling) -> Any:
    """A copy of a tensor, of a packed sequence or of those in tuples and lists, contiguous and amid this filling."""
    if isinstance(value, PackedSequence):
        return value._replace(data=beside(value.data, filling))
    if isinstance(value, tuple | list):
        return type(value)(beside(one, filling) for one in value)
    return _amid(value, filling.margin) if isinstance(value, torch.Tensor) and value.device.type != "meta" else value


def _amid(values: torch.Tensor, margin: float) -> torch.Tensor:
    buffer = torch.zeros(values.numel() + 2 * MARGIN, dtype=values.dtype, device=values.device)
    if margin:
        buffer.fill_(margin if values.is_floating_point() or values.is_complex() else _largest(values.dtype))
    return buffer[MARGIN:-MARGIN].view(values.shape).copy_(values)


def _largest(dtype: torch.dtype) -> int:
    return 1 if dtype is torch.bool else torch.iinfo(dtype).max


@contextmanager
def filled(module: torch.nn.Module, filling: Filling) -> Iterator[None]:
    """A block in which a module's parameters, and free memory where the C library is GNU's, have this filling."""
    before = {parameter: parameter.data for parameter in module.parameters()}
    for parameter, data in before.items():
        parameter.data = beside(data, filling)
    _fill_free_memory(filling.byte)
    try:
        yield
    finally:
        _fill_free_memory(0)
        for parameter, data in before.items():
            parameter.data = data


def _fill_free_memory(byte: int) -> None:
    if mallopt := _mallopt():
        mallopt(_M_PERTURB, byte)


@cache
def _mallopt() -> Any:
    """The GNU C library's function of this name; None where there is no such library."""
    try:
        return ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return None
