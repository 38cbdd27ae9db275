"""The GRU of gru-qat, without quantization: `--subject gru=conformance.adapters.gru_qat:gru`.

It has the parameters of each gate by themselves, in PyTorch's order. Its module is called with those that are given.
"""

import torch
from gru_qat.gru_layer import GRULayer
from gru_qat.quantizers import PRESETS

conformance: dict[str, object] = dict.fromkeys(("bidirectional", "packed", "unbatched", "dropout", "proj_size"), False)
conformance |= {"layers": 1, "bias": True}


def gru(x, hx, weights, input_size, hidden_size, batch_first):
    with torch.device("meta"):
        layer = GRULayer(input_size, hidden_size, PRESETS["fp32"], batch_first=batch_first)
    gates = [gate for one in weights for gate in one.chunk(3)]
    named = dict(zip((name for name, _ in layer.named_parameters()), gates, strict=True))
    output, last = torch.func.functional_call(layer, named, (x, hx if hx is None else hx[0]))
    return output, last[None]
