"""Between NumPy arrays and tensors, bit for bit, bfloat16, integers and booleans too. The only place that knows both.

Through DLPack, with 16-bit types as int16, so that it also works where PyTorch was built against another NumPy.
"""

from __future__ import annotations

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor

from reference.formats import FORMATS

DTYPES = {name: getattr(torch, name) for name in FORMATS}


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
    if isinstance(values, FakeTensor):
        raise TypeError("a tensor without values, such as torch.export computes with")
    values = values.detach().cpu().resolve_neg().contiguous()  # DLPack hands on no sign that is still to be changed
    if values.dtype == torch.bfloat16:
        bits = np.from_dlpack(values.view(torch.int16)).view(np.uint16)
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return np.from_dlpack(values).astype(np.float64)


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for torch.float32."""
    return str(dtype).removeprefix("torch.")
