"""FlashRNN without its CUDA kernels: `--subject lstm=conformance.adapters.flashrnn:lstm`; `gru`, and `rnn_tanh=...:rnn`.

The package takes the products of inputs and weights, and weights by gate. Its LSTM and RNN have one bias. In its GRU the
recurrent part of the new gate is a gate of its own, the first.
"""

from functools import partial

import torch
from flashrnn.flashrnn import flashrnn

conformance = dict.fromkeys(("bidirectional", "packed", "unbatched", "dropout", "proj_size"), False)
conformance |= {"layers": 1, "batch_first": True}


def called(name, x, hx, weights):
    w, r, *b = (one.unflatten(0, (-1, 1, weights[1].shape[1])) for one in weights)
    b = b or [torch.zeros_like(w[..., 0])] * 2
    if name == "gru":
        r, b = r.roll(1, 0), [torch.cat((b[1][2:], b[0][:2] + b[1][:2], b[0][2:]))]
    states = hx if hx is None else torch.stack(hx if isinstance(hx, tuple) else (hx,)).transpose(1, 2).unsqueeze(3)
    product = torch.einsum("bti,ghdi->btghd", x, w)
    every, last = flashrnn(product, r, sum(b), states, name, backend="vanilla")
    last = last[:, :, 0].transpose(1, 2)
    return every[0, :, :, 0], tuple(last) if name == "lstm" else last[0]


lstm, gru, rnn = (partial(called, name) for name in ("lstm", "gru", "elman"))
