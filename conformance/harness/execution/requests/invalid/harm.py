"""What a call harms, and what shows that its answer is none: shared by the requests that make invalid calls."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.failure import Failure

MOST_ELEMENTS = 96
"""Elements of a spoilt argument whose influence is looked at one by one; of a larger one nothing is said."""


def has_nan(tensor: torch.Tensor) -> bool:
    """Whether elements of a tensor can be set to NaN and looked at one by one."""
    return tensor.is_floating_point() and tensor.device.type != "meta" and 0 < tensor.numel() <= MOST_ELEMENTS


def silent_elements(tensor: torch.Tensor, call: Callable[[], list[torch.Tensor]]) -> tuple[str, ...]:
    """The indices of a tensor's elements which, set to NaN, make no result NaN."""
    silent = []
    for index in itertools.product(*map(range, tensor.shape)):
        value = tensor.detach()[index].clone()
        tensor.data[index] = float("nan")
        if not any(torch.isnan(one).any() for one in call() if one.is_floating_point()):
            silent.append(str(list(index)))
        tensor.data[index] = value
    return tuple(silent)


def altered(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Other numbers in place of a tensor's, twice; of a bool tensor the other ones."""
    if tensor.dtype is torch.bool:
        yield ~tensor
    else:
        yield tensor + 3
        yield -2 * tensor - 1


def is_silent(
    tensor: torch.Tensor, call: Callable[[], list[torch.Tensor]], numbers: torch.Tensor | None = None
) -> bool:
    """Whether no result is another one where other numbers stand in a tensor than `numbers`, or than its own."""
    original = tensor.detach().clone()
    first = original if numbers is None else numbers.detach().clone()
    try:
        tensor.data.copy_(_as(first, original))
        before = values_of(call())
        for other in altered(first):
            tensor.data.copy_(_as(other, original))
            if not all(np.array_equal(*pair, equal_nan=True) for pair in zip(before, values_of(call()), strict=True)):
                return False
        return True
    finally:
        tensor.data.copy_(original)


def _as(numbers: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Numbers that a tensor can take: of complex ones, if it is real, the real parts."""
    return numbers.real if numbers.is_complex() and not like.is_complex() else numbers


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """The tensors of a result, in order; those of a packed sequence too."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from tensors_of(one)


def values_of(returned: list[torch.Tensor]) -> tuple[np.ndarray, ...]:
    """The values of each tensor, real and imaginary parts of a complex one; none of whole numbers, or on meta."""
    return tuple(_numbers(one) for one in returned)


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    if tensor.device.type == "meta" or not (tensor.is_floating_point() or tensor.is_complex()):
        return np.zeros(0)
    return tensors.array(torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor)


def contents(held: dict[str, torch.Tensor]) -> dict[str, tuple[Any, ...]]:
    """What each tensor is now, for a comparison."""
    return {name: (t.shape, t.dtype, t.device, _bytes(t)) for name, t in held.items()}


def _bytes(tensor: torch.Tensor) -> bytes:
    if tensor.device.type == "meta":
        return b""
    values = tensor.detach().cpu().contiguous()
    return bytes((values.view(torch.int16) if values.dtype is torch.bfloat16 else values).numpy().tobytes())


def first_difference(before: tuple[np.ndarray, ...], after: tuple[np.ndarray, ...]) -> str:
    """The first number that is another, as the end of a sentence."""
    if len(before) != len(after):
        return ": it raised before" if after else ": it raises"
    for was, now in zip(before, after, strict=True):
        if was.shape != now.shape:
            return f": got the shape {now.shape}, expected {was.shape}"
        apart = ~((was == now) | (np.isnan(was) & np.isnan(now)))
        if apart.any():
            return f": got {now[apart][0]:.9g}, expected {was[apart][0]:.9g}"
    return ""


def difference(before: dict[str, np.ndarray], after: dict[str, np.ndarray], failure: Failure | None) -> str:
    """How a valid call differs from the one before; "" where it does not."""
    if failure is not None:
        return f"the valid call raises afterwards: {failure.text}"
    for name, values in before.items():
        if not np.array_equal(values, after[name], equal_nan=True):
            return f"{name} of the valid call is another afterwards" + first_difference((values,), (after[name],))
    return ""
