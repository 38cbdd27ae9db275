"""torch.ao.nn.quantizable.LSTM in floating point, judged with `--subject conformance.adapters.quantizable_lstm`.

An example for a class of your own. What is judged takes the constructor arguments and calls of torch.nn.LSTM, and its
parameters have the documented names (weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, and so on), order and shapes;
the suite finds them with named_parameters and writes their values in place. Where a class has them under other names,
give the same Parameter objects their documented names too, as below: named_parameters tells each object once, by the
name in the outermost module. A parameter that is stored otherwise (another order of gates, one matrix for all) wants a
forward that puts it together from the documented ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.ao.nn import quantizable


class LSTM(torch.nn.Module):
    """Takes what torch.nn.LSTM takes, but for proj_size, which the adapted class does not have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.inner = quantizable.LSTM(*args, **kwargs)
        for k, layer in enumerate(self.inner.layers):
            for end, name in (("", "layer_fw"), ("_reverse", "layer_bw")):
                if (direction := getattr(layer, name, None)) is not None:
                    self.name_parameters(f"_l{k}{end}", direction.cell)

    def name_parameters(self, end: str, cell: Any) -> None:
        """Gives the parameters of one direction of one layer their documented names."""
        for kind in ("weight", "bias"):
            self.register_parameter(f"{kind}_ih{end}", getattr(cell.igates, kind))
            self.register_parameter(f"{kind}_hh{end}", getattr(cell.hgates, kind))

    def forward(self, input: Any, hx: Any = None) -> Any:
        return self.inner(input, hx)
