"""The operators LSTM and GRU of ONNX Runtime, in a session for each kind of call.

`--subject lstm=conformance.adapters.onnxruntime:lstm --subject gru=conformance.adapters.onnxruntime:gru`. The gates of
an operator have another order than PyTorch's. The accuracy was measured with release 1.32 on AVX-512: a sigmoid of its
GRU is off by up to 3.0e-7, however small it is, and a tanh by up to 10.1 units of roundoff; those of its LSTM by half.
"""

from functools import cache, partial

import onnx.parser
import onnxruntime as ort
import torch

conformance: dict[str, object] = dict.fromkeys(("packed", "unbatched", "dropout", "proj_size", "gradients"), False)
conformance |= {"layers": 1, "dtypes": "float32", "accuracy": {"sigmoid": {"absolute": 3.5e-7}, "tanh": 11}}

session = cache(lambda text: ort.InferenceSession(onnx.parser.parse_model(text).SerializeToString()))


def called(node, made, order, x, hx, weights, bidirectional):
    n, states = len(weights) // (1 + bidirectional), () if hx is None else hx if isinstance(hx, tuple) else (hx,)
    w, r, *b = (torch.stack(weights[k::n]).unflatten(1, (len(order), -1))[:, order].flatten(1, 2) for k in range(n))
    feeds = {"X": x, "W": w, "R": r} | ({"B": torch.cat(b, 1)} if b else {}) | dict(zip("hc", states, strict=False))
    told = f'hidden_size = {r.shape[2]}, direction = "{"bidirectional" if bidirectional else "forward"}"'
    node = node.format(told, *(name if name in feeds else "" for name in "Bhc"))
    left, right = (", ".join(f"float[] {name}" for name in names) for names in (feeds, made))
    model = f'<ir_version: 8, opset_import: ["": 14]> g ({left}) => ({right}) {{ {", ".join(made)} = {node} }}'
    y, *last = map(torch.from_numpy, session(model).run(None, {name: one.numpy() for name, one in feeds.items()}))
    return y.transpose(1, 2).flatten(2), tuple(last) if len(last) == 2 else last[0]


lstm = partial(called, "LSTM <{}> (X, W, R, {}, , {}, {})", "YHC", [0, 3, 1, 2])
gru = partial(called, "GRU <linear_before_reset = 1, {}> (X, W, R, {}, , {})", "YH", [1, 0, 2])
