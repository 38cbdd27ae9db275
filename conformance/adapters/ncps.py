"""The LSTMCell of ncps: `--subject lstm_cell=conformance.adapters.ncps:lstm_cell`.

Its gates have another order than PyTorch's, and it has one bias.
"""

import torch
from ncps.torch.lstm import LSTMCell

conformance = {"bias": True, "states": "required", "unbatched": False}


def lstm_cell(x, hx, weights):
    w, r, *b = (one.unflatten(0, (4, -1))[[2, 0, 1, 3]].flatten(0, 1) for one in weights)
    with torch.device("meta"):
        cell = LSTMCell(w.shape[1], r.shape[1])
    named = {"input_map.weight": w, "input_map.bias": sum(b), "recurrent_map.weight": r}
    return torch.func.functional_call(cell, named, (x, hx))
