"""Seeded faults of refusals: packing utilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.selftest.faults.fault import Fault, Faults
from conformance.selftest.implementations.plain import name_by_docstring, subject
from conformance.selftest.implementations.refusing_packing import CHECKS as PACKING_CHECKS
from conformance.selftest.implementations.refusing_packing import RefusingPacking, rows_and_steps
from reference.problem import CELL_SUFFIX, LSTM, RNN_TANH

FAULTS = Faults()
fault = FAULTS.seed

OF_LSTM = (LSTM, LSTM + CELL_SUFFIX)


Given = dict[str, Any]
Taken = Callable[[Given], Given]


def _on(argument: str, mend: Callable[[Any], Any]) -> Taken:
    """Takes whatever an argument is, as `mend` makes it."""
    return lambda given: {**given, argument: mend(given[argument])}


def _cut(rows: list[torch.Tensor]) -> list[torch.Tensor]:
    features = min(row.shape[1] for row in rows)
    return [row[:, :features] for row in rows]


def _or_an_empty_one(rows: list[torch.Tensor]) -> list[torch.Tensor]:
    return rows or [torch.zeros(1, 1)]


def _as_the_first(rows: list[torch.Tensor]) -> list[torch.Tensor]:
    return [row.to(rows[0].dtype) for row in rows]


def _or_zero(value: Any) -> Any:
    return value if isinstance(value, int | float) else 0.0


def _or_ones(lengths: Any) -> Any:
    is_there = not (isinstance(lengths, torch.Tensor) and lengths.is_meta)
    return lengths if is_there else torch.ones(lengths.shape, dtype=torch.int64)


def _whole(lengths: Any) -> Any:
    return [int(length) for length in lengths]


def _falling(packed: PackedSequence) -> PackedSequence:
    return packed._replace(batch_sizes=packed.batch_sizes.sort(descending=True).values)


def _of_integers(packed: PackedSequence) -> PackedSequence:
    return packed._replace(batch_sizes=packed.batch_sizes.to(torch.int64))


def _summed(packed: PackedSequence) -> PackedSequence:
    rows = int(packed.batch_sizes.sum())
    data = torch.cat([packed.data, packed.data.new_zeros(max(0, rows - len(packed.data)), *packed.data.shape[1:])])
    return packed._replace(data=data[:rows])


def _one_for_each_row(given: Given) -> Given:
    flat, (rows, _) = torch.as_tensor(given["lengths"]).flatten(), rows_and_steps(given)
    return {**given, "lengths": torch.cat([flat, flat.new_ones(rows)])[:rows]}


def _clipped(given: Given) -> Given:
    return {**given, "lengths": [min(int(one), rows_and_steps(given)[1]) for one in given["lengths"]]}


def _in_any_order(given: Given) -> Given:
    return {**given, "enforce_sorted": False}


def _to_whole(steps: Any) -> Any:
    return int(steps) if isinstance(steps, float) else steps


MENDED: dict[str, Taken] = {
    "pack_padded_sequence.lengths.type": _on("lengths", _whole),
    "pack_padded_sequence.lengths.device": _on("lengths", _or_ones),
    "pack_padded_sequence.lengths.longest": _clipped,
    "pack_padded_sequence.lengths.order": _in_any_order,
    "pack_padded_sequence.lengths.rank": _one_for_each_row,
    "pack_sequence.sequences.count": _on("sequences", _or_an_empty_one),
    "pack_sequence.sequences.dtype": _on("sequences", _as_the_first),
    "pack_sequence.sequences.features": _on("sequences", _cut),
    "pack_sequence.sequences.order": _in_any_order,
    "pad_sequence.sequences.count": _on("sequences", _or_an_empty_one),
    "pad_sequence.sequences.features": _on("sequences", _cut),
    "pad_sequence.padding_value.type": _on("padding_value", _or_zero),
    "pad_packed_sequence.batch_sizes.sum": _on("sequence", _summed),
    "pad_packed_sequence.total_length.type": _on("total_length", _to_whole),
    "pad_packed_sequence.padding_value.type": _on("padding_value", _or_zero),
    "unpad_sequence.lengths.count": _one_for_each_row,
    "unpad_sequence.lengths.device": _on("lengths", _or_ones),
    "unpack_sequence.batch_sizes.dtype": _on("packed_sequences", _of_integers),
    "unpack_sequence.batch_sizes.order": _on("packed_sequences", _falling),
    "unpack_sequence.batch_sizes.sum": _on("packed_sequences", _summed),
}
"""Places that are checked by what is done with the arguments too, and what takes them all the same."""

NEVER_SPOILT = tuple(f"unpad_sequence.lengths.{aspect}" for aspect in ("type", "rank"))
"""Checks of what no call has."""


class _Taking(RefusingPacking):
    """Takes what is wrong in one place."""

    place = ""

    def taken(self, utility: str, given: Given) -> Given:
        is_here = self.place.partition(".")[0] == utility
        return super().taken(utility, MENDED[self.place](given) if is_here else given)


def packing_fault(kind: type[RefusingPacking], *clauses: str) -> type[RefusingPacking]:
    """Registers a class as a fault, named by its docstring."""
    name = name_by_docstring(kind)
    FAULTS.append(Fault(name, clauses, (RNN_TANH,), replace(subject(name), packing=kind())))
    return kind


for _utility, _places in PACKING_CHECKS.items():
    for _place in _places:
        _where = f"{_utility}.{_place}"
        if _where in MENDED:
            _parts: dict[str, Any] = {"place": _where, "__doc__": f"Takes any {_utility} {_place}."}
            packing_fault(type("_TakingPacking", (_Taking,), _parts), "J1", "J2")
        elif _where not in NEVER_SPOILT:
            _parts = {"unchecked": (_where,), "__doc__": f"Does not check {_utility} {_place}."}
            packing_fault(type("_UncheckedPacking", (RefusingPacking,), _parts), "J1", "J2")


class _WrongException(RefusingPacking):
    """Raises RuntimeError for a total_length that is too short."""

    def total(self, steps: int, total_length: int | None) -> int:
        if total_length is not None and total_length < steps:
            raise RuntimeError("total_length is too short")
        return super().total(steps, total_length)


class _TotalLengthIgnored(RefusingPacking):
    """Ignores a total_length that is too short."""

    def total(self, steps: int, total_length: int | None) -> int:
        return steps if total_length is None else max(steps, total_length)


class _RowsOverwritten(RefusingPacking):
    """Overwrites the rows before it refuses lengths."""

    def refuse(self, utility: str, given: Any) -> None:
        try:
            super().refuse(utility, given)
        except ValueError:
            first = next(iter(given.values()))
            if isinstance(first, torch.Tensor):
                first.fill_(7)
            raise


class _ForgetsOrderAfterwards(RefusingPacking):
    """Packs backwards in the call after one that it refused."""

    def __init__(self) -> None:
        self.refused = False

    def refuse(self, utility: str, given: Any) -> None:
        try:
            super().refuse(utility, given)
        except ValueError:
            self.refused = True
            raise

    def data(self, data: torch.Tensor) -> torch.Tensor:
        refused, self.refused = self.refused, False
        return super().data(data).flip(0) if refused else super().data(data)


class _RaisesKeyError(RefusingPacking):
    """Refuses lengths by KeyError."""

    def refuse(self, utility: str, given: Any) -> None:
        try:
            super().refuse(utility, given)
        except ValueError as error:
            raise (KeyError if "lengths" in str(error) else ValueError)(str(error)) from None


packing_fault(_WrongException, "J1")
packing_fault(_TotalLengthIgnored, "J1")
packing_fault(_RowsOverwritten, "J1")
packing_fault(_ForgetsOrderAfterwards, "J1")
packing_fault(_RaisesKeyError, "J1", "J2")
