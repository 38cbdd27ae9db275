"""The contract of PyTorch's recurrent modules as tests, one module per chapter, and the harness that runs them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from conformance.judging.verdict import Verdict

# Libraries read these variables once, on first use. Values set by the user are kept.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
"""NumPy's products in one thread, as PyTorch's are: several processes with several each wait for one another."""

SMALLER_CACHES = {
    # The kernels of one shape are a few dozen and take megabytes, and hardly a shape is drawn twice. A kernel that was
    # let go is compiled anew, and is the same.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    # PyTorch's own layer over oneDNN has more caches, for products and convolutions.
    "LRU_CACHE_CAPACITY": "32",
}
"""How much caches keep instead of 1,024 kernels each."""

SET_HERE = "CONFORMANCE_SMALLER_CACHES"
"""The variable that names those of `SMALLER_CACHES` that were set here, and not by the user."""

if SET_HERE not in os.environ:
    _not_given = [name for name in SMALLER_CACHES if name not in os.environ]
    os.environ.update({name: SMALLER_CACHES[name] for name in _not_given} | {SET_HERE: " ".join(_not_given)})


def judge(module: torch.nn.Module, x: Any, hx: Any = None, result: Any = None) -> Verdict:
    """Whether a call's result is one that a correct implementation may return.

    module  an nn.RNN, LSTM, GRU or Cell, or anything with their parameters' names; without active dropout or
            parametrizations
    x, hx   what it was called with; x a tensor or PackedSequence
    result  what it returned; None: the module is called

    Raises `conformance.judging.errors.JudgeError`, a ValueError, if the call cannot be judged, and whatever
    the module raises if it is called.
    """
    from conformance.judging.live_call import judged  # torch takes seconds to import

    return judged(module, x, hx, result)
