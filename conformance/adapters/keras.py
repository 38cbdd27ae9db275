"""LSTM, GRU and SimpleRNN of Keras on torch: `--subject lstm=conformance.adapters.keras:lstm`, and `gru`, `rnn` alike.

Keras has one bias, or two in its GRU, whose gates have another order than PyTorch's.
"""

import os
from functools import partial

import torch

os.environ.setdefault("KERAS_BACKEND", "torch")  # which Keras reads at its import
from keras import layers

conformance: dict[str, object] = dict.fromkeys(("bidirectional", "packed", "unbatched", "dropout", "proj_size"), False)
conformance |= {"layers": 1, "batch_first": True}


def called(kind, order, x, hx, weights, bias, nonlinearity="tanh"):
    w, r, *b = (one.unflatten(0, (len(order), -1))[order].flatten(0, 1) for one in weights)
    options = {"use_bias": bias, "activation": nonlinearity, "dtype": str(x.dtype).removeprefix("torch.")}
    layer = kind(r.shape[1], return_sequences=True, return_state=True, **options)
    layer.build(x.shape)
    given = [w.T, r.T, *([torch.stack(b) if kind is layers.GRU else sum(b)] if bias else [])]
    states = hx if hx is None else [state[0] for state in (hx if isinstance(hx, tuple) else (hx,))]
    (output, *last), _ = layer.stateless_call(given, layer.non_trainable_variables, x, initial_state=states)
    return output, tuple(state[None] for state in last) if len(last) == 2 else last[0][None]


lstm = partial(called, layers.LSTM, [0, 1, 2, 3])
gru = partial(called, layers.GRU, [1, 0, 2])
rnn = partial(called, layers.SimpleRNN, [0])
