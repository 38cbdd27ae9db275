"""FlashRNN without its CUDA kernels: `--subject lstm=conformance.adapters.flashrnn:lstm`; also `gru`, and `rnn` (tanh).

The package takes the products of inputs and weights, and weights by gate. Its LSTM and RNN have one bias. Its GRU has a
gate for the recurrent part of the new gate, the first.
"""

from functools import partial

import torch
from flashrnn.flashrnn import flashrnn

conformance: dict[str, object] = dict.fromkeys(("bidirectional", "packed", "unbatched", "dropout", "proj_size"), False)
conformance |= {"layers": 1, "batch_first": True}


def called(name, x, hx, weights, hidden_size):
    first, second = weights[2:] or [torch.zeros_like(weights[0][:, 0])] * 2
    r, b, n = weights[1].unflatten(0, (-1, 1, hidden_size)), first + second, 2 * hidden_size
    if name == "gru":
        r, b = r.roll(1, 0), torch.cat((second[n:], b[:n], first[n:]))
    states = hx if hx is None else torch.stack(hx if isinstance(hx, tuple) else (hx,)).transpose(1, 2).unsqueeze(3)
    product = torch.einsum("bti,ghdi->btghd", x, weights[0].unflatten(0, (-1, 1, hidden_size)))
    every, last = flashrnn(product, r, b.unflatten(0, (-1, 1, hidden_size)), states, name, backend="vanilla")
    last = last[:, :, 0].transpose(1, 2)
    return every[0, :, :, 0], tuple(last) if name == "lstm" else last[0]


lstm, gru, rnn = (partial(called, name) for name in ("lstm", "gru", "elman"))
