"""Seeded faults of refusals: checks left out, and repairs of what should be refused."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.execution.requests.invalid.harm import tensors_of
from conformance.selftest.faults.fault import ALL, EVERY, Faults
from conformance.selftest.implementations.plain import Plain
from conformance.selftest.implementations.refusals import CHECKS, Call
from reference.problem import CELL_SUFFIX, LSTM

FAULTS = Faults()
fault = FAULTS.seed

OF_LSTM = (LSTM, LSTM + CELL_SUFFIX)


def _cells(place: str) -> tuple[str, ...]:
    if place.startswith("c_0") or place == "hx.count":
        return (LSTM,) if place.endswith(".layers") else OF_LSTM
    return ALL if place.endswith((".layers", ".steps")) else EVERY


TENSORS_REFUSE = (
    "input.features",
    "input.steps",
    "input.dtype",
    "input.device",
    "h_0.features",
    "h_0.dtype",
    "h_0.device",
    "c_0.device",
    *(f"{weight}.{aspect}" for weight in ("weight_ih", "weight_hh") for aspect in ("columns", "dtype")),
    "batch_sizes.order",
    *(f"{bias}.{aspect}" for bias in ("bias_ih", "bias_hh") for aspect in ("dtype", "device")),
)
"""Places whose checks may be left out: the operations themselves refuse."""

for _place in [place for place in CHECKS if place not in TENSORS_REFUSE]:
    _kind = type("_Unchecked", (Plain,), {"unchecked": (_place,), "__doc__": f"Does not check {_place}."})
    fault("J1", "J2", on=_cells(_place))(_kind)


def cropped(tensor: torch.Tensor, features: int) -> torch.Tensor:
    return tensor[..., :features]


def _without_device(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.device.type == "meta" else tensor


class _RepairsInput(Plain):
    """Repairs the input."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(input, PackedSequence):
            return super().forward(input._replace(data=self.repaired(input.data)), hx)
        return super().forward(self.repaired(input) if isinstance(input, torch.Tensor) else input, hx)


@fault("J1", "J2")
class _CropsInput(_RepairsInput):
    """Crops an input of too many features."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        return cropped(data, self.input_size)


@fault("J1", "J2")
class _CastsInput(_RepairsInput):
    """Casts an input of another dtype."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        return data.to(next(self.parameters()).dtype)


@fault("J1", "J2")
class _MovesInput(_RepairsInput):
    """Takes zeros for an input without values."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        return _without_device(data)


@fault("J1")
class _TakesNoWholeNumbers(_RepairsInput):
    """Takes zeros for an input of whole or complex numbers."""

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        if data.is_floating_point():
            return data
        return torch.zeros(data.shape, dtype=next(self.parameters()).dtype)


@fault("J1")
class _SortsBatchSizes(_RepairsInput):
    """Sorts batch sizes that rise."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(input, PackedSequence):
            input = input._replace(batch_sizes=input.batch_sizes.sort(descending=True).values)
        return super().forward(input, hx)

    def repaired(self, data: torch.Tensor) -> torch.Tensor:
        return data


class _RepairsStates(Plain):
    """Repairs initial states."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(hx, tuple):
            return super().forward(input, tuple(self.repaired(state) for state in hx))
        return super().forward(input, self.repaired(hx) if isinstance(hx, torch.Tensor) else hx)


@fault("J1", "J2")
class _CropsStates(_RepairsStates):
    """Crops states of too many features."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        return cropped(state, self.hidden_size)


@fault("J1", "J2")
class _CastsStates(_RepairsStates):
    """Casts states of another dtype."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        return state.to(next(self.parameters()).dtype)


@fault("J1")
class _TakesNoFlags(_RepairsStates):
    """Takes zeros for states of bools."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        if state.dtype is not torch.bool:
            return state
        return torch.zeros(state.shape, dtype=next(self.parameters()).dtype)


@fault("J1", "J2")
class _MovesStates(_RepairsStates):
    """Takes zeros for states without values."""

    def repaired(self, state: torch.Tensor) -> torch.Tensor:
        return _without_device(state)


@fault("J1", "J2")
class _CropsInputWeights(Plain):
    """Crops input weights of too many columns."""

    unchecked = ("weight_ih.columns",)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, cropped(weight, x.shape[-1]), bias)


@fault("J1", "J2")
class _CropsHiddenWeights(_CropsInputWeights):
    """Crops hidden weights of too many columns."""

    unchecked = ("weight_hh.columns",)


@fault("J1", "J2")
class _CropsLaterBiases(Plain):
    """Crops input biases of too many rows but for the first layer's forward one."""

    unchecked = ("bias_ih.rows",)

    def check(self, input: Any, hx: Any) -> None:
        first = self._parameters.get("bias_ih_l0")
        if first is not None and len(first) != len(self.get_parameter("weight_ih_l0")):
            self.refuse("bias_ih.rows", input, hx)
        super().check(input, hx)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight, bias if bias is None else bias[: len(weight)])


@fault("J1", "J2", on=EVERY)
class _UncheckedInEvaluation(Plain):
    """Does not check the rows of states in evaluation mode."""

    @property
    def unchecked(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.training else ("h_0.rows", "c_0.rows")


@fault("J1")
class _CropsRowsInEvaluation(Plain):
    """Crops states of too many rows in evaluation mode."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.training or not isinstance(hx, torch.Tensor | tuple) or not isinstance(input, torch.Tensor):
            return super().forward(input, hx)
        rows = Call(self, input, hx).rows
        states = tuple(state[..., :rows, :] if rows else state for state in tensors_of(hx))
        return super().forward(input, states if isinstance(hx, tuple) else states[0])


@fault("J1", "J2", on=EVERY)
class _CastsInputWeights(Plain):
    """Casts input weights of another dtype."""

    unchecked = ("weight_ih.dtype",)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight.to(x.dtype), bias if bias is None else bias.to(x.dtype))


@fault("J1", "J2", on=EVERY)
class _CastsHiddenWeights(_CastsInputWeights):
    """Casts hidden weights of another dtype."""

    unchecked = ("weight_hh.dtype",)


@fault("J1", "J2", on=EVERY)
class _CastsInputBias(_CastsInputWeights):
    """Casts input biases of another dtype."""

    unchecked = ("bias_ih.dtype",)


@fault("J1", "J2", on=EVERY)
class _CastsHiddenBias(_CastsInputWeights):
    """Casts hidden biases of another dtype."""

    unchecked = ("bias_hh.dtype",)


@fault("J1", "J2", on=EVERY)
class _MovesInputBias(Plain):
    """Takes zeros for input biases without values."""

    unchecked = ("bias_ih.device",)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight, bias if bias is None else _without_device(bias))


@fault("J1", "J2", on=EVERY)
class _MovesHiddenBias(_MovesInputBias):
    """Takes zeros for hidden biases without values."""

    unchecked = ("bias_hh.device",)
