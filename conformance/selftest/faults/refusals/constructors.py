"""Seeded faults of refusals: arguments of constructors."""

from __future__ import annotations

from typing import Any

import torch

from conformance.selftest.faults.fault import ALL, EVERY, Faults
from conformance.selftest.implementations.plain import Plain
from reference.problem import CELL_SUFFIX, LSTM

FAULTS = Faults()
fault = FAULTS.seed

OF_LSTM = (LSTM, LSTM + CELL_SUFFIX)


_OF_CONSTRUCTORS = {
    "input_size": EVERY,
    "hidden_size": EVERY,
    "num_layers": ALL,
    "bias": EVERY,
    "batch_first": ALL,
    "bidirectional": ALL,
    "dropout": ALL,
    "proj_size": (LSTM,),
}

for _argument, _cells_of in _OF_CONSTRUCTORS.items():
    _kind = type(
        "_AnyArgument",
        (Plain,),
        {"unchecked": (f"constructor.{_argument}",), "__doc__": f"Does not check the argument {_argument}."},
    )
    fault("J1", "J2", on=_cells_of)(_kind)


@fault("J1", "J2", on=EVERY)
class _TakesMinusOneForOne(Plain):
    """Takes a negative size without its sign."""

    unchecked = ("constructor.hidden_size",)

    def __init__(self, cell: str, input_size: int, hidden_size: Any, **more: Any) -> None:
        super().__init__(cell, input_size, abs(hidden_size) if isinstance(hidden_size, int) else hidden_size, **more)


@fault("J1", on=EVERY)
class _ForgetsAfterAConstruction(Plain):
    """Adds no bias until a constructor accepts something."""

    broken = False

    def __init__(self, cell: str, *given: Any, **more: Any) -> None:
        type(self).broken = True
        super().__init__(cell, *given, **more)
        type(self).broken = False

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight, None if self.broken else bias)
