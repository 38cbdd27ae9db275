"""The contract of PyTorch's recurrent modules as tests, one module per chapter, and the harness that runs them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from conformance.judging.own_tests import Checked
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


def check(given: Any, cell: str = "", *, seconds: float = 20.0, seed: int = 0) -> Checked:
    """Asks the contract of an implementation for some seconds: for one's own tests, in which it needs no plugin.

    given    a class, a function of weights, or an instance; or a text as after --subject
    cell     lstm, gru, rnn, rnn_tanh, rnn_relu, or one of these with _cell, where its name does not tell
    seconds  as much of the contract is asked as fits, one property of each chapter in turn; the calls of a case, and
             the search for a smaller one that fails, may take longer
    seed     draws other cases

    Raises AssertionError with the text of the first finding, as a run of the suite shows it, and
    `conformance.judging.errors.CheckError`, a ValueError, if nothing can be compared.
    """
    from conformance.judging.own_tests import checked  # torch takes seconds to import

    return checked(given, cell, seconds, seed)
