"""Which kernels a call reached: the telling operators that arrived below autograd, observed while the call runs once.

What an operator does inside (MKL or oneDNN for a product, oneDNN's instruction set) cannot be seen from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from conformance.harness.execution import machine, tensors
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH

KERNEL_LABELS = {
    "mkldnn_rnn_layer": "oneDNN's LSTM: products, gates and states of a whole layer in one kernel",
    "quantized_lstm": "FBGEMM's or QNNPACK's LSTM with int8 weights",
    "quantized_gru": "FBGEMM's or QNNPACK's GRU with int8 weights",
    "_cudnn_rnn": "cuDNN: all layers in one call",
    "miopen_rnn": "MIOpen: all layers in one call",
    "_lstm_mps": "Metal's LSTM: all layers in one call",
    "_thnn_fused_lstm_cell": "ATen's LSTM step on GPUs, gates and states fused",
    "_thnn_fused_gru_cell": "ATen's GRU step on GPUs, gates and states fused",
    "mkldnn_linear": "oneDNN's product, on weights that it laid out itself",
    "linear": "a product with its bias, not taken apart by ATen",
    "addmm": "a product whose sum may begin with the bias",
    "addmv": "a product with one vector whose sum may begin with the bias",
    "mm": "a product alone: without bias, before a projection, or stored before the bias is added",
    "bmm": "products of a batch of matrices",
    "mv": "a product with one vector",
    "sigmoid": "gates computed one operation after the other",
    "tanh": "a tanh of its own, outside of any fused kernel",
    "relu": "a relu of its own, outside of any fused kernel",
    "sub": "GRU's blend as (h - n) * z + n",
    "rsub": "GRU's blend as (1 - z) * n + z * h",
    "packed": "the lengths of a packed sequence were read: step by step unless a fused kernel stands beside it",
    "cast": "operands were cast: autocast, or a subject that computes in another type",
}
"""Labels in the order in which they are reported, and what each means. A trailing underscore (in place) is left out."""

_LABELS = {"_local_scalar_dense": "packed", "_to_copy": "cast"}
"""Operators whose label differs from their name."""


class _KernelRecorder(TorchDispatchMode):
    """Notes the labels of the operators that pass below autograd, and lets each of them run as it would."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keeps PyTorch from importing its compiler for a mode that no compiled call meets, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.seen.add(_LABELS.get(name, name if name in KERNEL_LABELS else name.removesuffix("_")))
        return func(*args, **(kwargs or {}))


def kernels(call: Callable[[], object]) -> tuple[str, ...]:
    """Runs `call` once and returns the labels of `KERNEL_LABELS` that it reached, in the table's order.

    Exceptions of the call pass through. Costs about 12 microseconds for each operator, 100 to 200 in all for a fused
    LSTM and 150 for each step of a GRU; the profiler costs 1 ms and 2 ms for the same, and writes to stderr.
    """
    with _KernelRecorder() as recorder:
        call()
    return tuple(label for label in KERNEL_LABELS if label in recorder.seen)


STEP_BY_STEP: Mapping[str, tuple[str, ...]] = {
    RNN_TANH: ("addmm", "mm", "tanh"),
    RNN_RELU: ("addmm", "mm", "relu"),
    LSTM: ("addmm", "mm", "sigmoid", "tanh"),
    GRU: ("addmm", "mm", "sigmoid", "tanh", "sub"),
}
"""What torch.nn reaches on a CPU without a fused kernel; `mm` where there is no bias or the input is batch_first."""

ROUTES_WITHOUT_ONEDNN = ("no_mkldnn",)


def expected(cell: str, dtype: str, route: str) -> tuple[str, ...]:
    """The labels that torch.nn's padded calls without projection can reach on this machine's CPU, over all layouts."""
    if cell == LSTM and route not in ROUTES_WITHOUT_ONEDNN and onednn_takes(dtype):
        return ("mkldnn_rnn_layer",)
    return STEP_BY_STEP[cell]


def onednn_takes(dtype: str) -> bool:
    """Whether PyTorch hands an LSTM in `dtype` to oneDNN here: float32 always, 16-bit types where it has kernels.

    2.0 hands it bfloat16 unasked; where oneDNN then has no kernel the call is refused.
    """
    if not torch.backends.mkldnn.is_available() or dtype == "float64":
        return False
    if dtype == "float32":
        return True
    asked = {"bfloat16": "_is_mkldnn_bf16_supported", "float16": "_is_mkldnn_fp16_supported"}[dtype]
    answer = getattr(torch.ops.mkldnn, asked, None)
    return bool(answer()) if answer is not None else dtype == "bfloat16"


def describe() -> str:
    """Which kernels this machine has for LSTM, in a few words."""
    fused = [dtype for dtype in tensors.DTYPES if onednn_takes(dtype)]
    return f"CPU {machine.capability()}, LSTM through oneDNN in {', '.join(fused) or 'no dtype'}"
