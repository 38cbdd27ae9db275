"""How tensors lie in memory. Every one lies in a buffer of PyTorch's own allocator, so that addresses modulo 64 bytes
are the same from call to call; NumPy's are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch


def summed(values: torch.Tensor) -> torch.Tensor:
    """A tensor of equal values as one number, expanded with stride 0 along every axis."""
    return values.flatten()[:1].clone().squeeze().expand(values.shape) if values.numel() else values


def laid_out(values: torch.Tensor, memory: str, batch_axis: int | None = None) -> torch.Tensor:
    """`values` in another tensor that lies as `memory`, one of `strategies.axes.MEMORY`, says.

    batch_axis is the axis along which they are equal where memory is expanded; None where there is none.
    """
    if memory == "summed":
        return summed(values)
    if memory == "expanded":
        return _expanded(values, batch_axis)
    with torch.no_grad():
        return _VIEWS[memory](values).copy_(values)


def _contiguous(values: torch.Tensor) -> torch.Tensor:
    return torch.empty(values.shape, dtype=values.dtype, device=values.device)


def _transposed(values: torch.Tensor) -> torch.Tensor:
    backwards = list(reversed(range(values.dim())))
    return values.new_empty([values.shape[axis] for axis in backwards]).permute(backwards)


def _sliced(values: torch.Tensor) -> torch.Tensor:
    return _poisoned(values, [2 * size + 1 for size in values.shape])[(slice(1, None, 2),) * values.dim()]


def _guarded(values: torch.Tensor) -> torch.Tensor:
    return _poisoned(values, [size + 2 for size in values.shape])[(slice(1, -1),) * values.dim()]


def _offset(values: torch.Tensor) -> torch.Tensor:
    return _poisoned(values, [values.numel() + 2])[1:-1].view(values.shape)


def _poisoned(values: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """A buffer of NaN, or of the largest integer, so that a read beyond the view shows."""
    if values.dtype == torch.bool:
        return values.new_full(shape, True)
    return values.new_full(shape, float("nan") if values.is_floating_point() else torch.iinfo(values.dtype).max)


_VIEWS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "contiguous": _contiguous,
    "transposed": _transposed,
    "sliced": _sliced,
    "guarded": _guarded,
    "offset": _offset,
}
"""For each memory a view of the shape, dtype and device of a tensor, to be written to."""


def _expanded(values: torch.Tensor, batch_axis: int | None) -> torch.Tensor:
    if batch_axis is None:
        return laid_out(values, "contiguous")
    return laid_out(values.narrow(batch_axis, 0, 1), "contiguous").expand(values.shape)
