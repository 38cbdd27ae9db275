"""Between NumPy arrays and tensors, bit for bit, bfloat16, integers and booleans too. The only place that knows both.

Through DLPack, with 16-bit types as int16, so that it also works where PyTorch was built against another NumPy.
"""

from __future__ import annotations

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor

from reference.formats import FORMATS

DTYPES = {name: getattr(torch, name) for name in FORMATS}

OTHERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
"""Dtypes beside the floating-point ones whose values can be read."""

MOST_OF_A_VIEW = 2**31
"""The most elements that are read of a tensor which stores fewer: its copy would fill the memory."""


def tensor(values: np.ndarray, dtype: str, device: str = "cpu") -> torch.Tensor:
    """A contiguous tensor of `values`, which must be numbers that `dtype` can store."""
    if dtype == "bfloat16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16
        made = torch.from_dlpack(bits.astype(np.uint16).view(np.int16)).view(torch.bfloat16)
    elif dtype == "bool":
        made = torch.from_dlpack(np.array(values, np.uint8, order="C")).view(torch.bool)
    else:
        made = torch.from_dlpack(np.array(values, dtype, order="C"))
    return made if device == "cpu" else made.to(device)


def array(values: torch.Tensor) -> np.ndarray:
    """The values of a floating-point tensor as float64, in its own shape. Raises TypeError where it has none."""
    if why := _unreadable(values):
        raise TypeError(why)
    values = values.detach().cpu().resolve_neg().contiguous()  # DLPack hands on no sign that is still to be changed
    if values.dtype == torch.bfloat16:
        bits = np.from_dlpack(values.view(torch.int16)).view(np.uint16)
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if values.dtype is torch.bool:  # DLPack has had it since 2.1
        values = values.view(torch.uint8)
    return np.from_dlpack(values).astype(np.float64)


def _unreadable(values: torch.Tensor) -> str:
    """Why a tensor has no values that can be read, or too many; "" where it has."""
    if isinstance(values, FakeTensor):
        return "a tensor without values, such as torch.export computes with"
    if values.is_meta:
        return "a tensor on the device meta, which has no values"
    if values.is_nested or values.layout is not torch.strided:
        return "a nested tensor" if values.is_nested else f"a tensor of the layout {values.layout}"
    if values.is_quantized or values.dtype not in (*DTYPES.values(), *OTHERS):
        return f"a tensor of {values.dtype}"
    stored = values.untyped_storage().nbytes() // values.element_size()
    if values.numel() > MOST_OF_A_VIEW and values.numel() > stored:
        return f"a view of {values.numel():,} elements, of which {stored:,} are stored"
    return ""


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for torch.float32."""
    return str(dtype).removeprefix("torch.")
