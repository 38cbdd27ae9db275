"""Seeded faults of the padding and packing utilities: `Packing` broken in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.selftest.faults.fault import Fault, Faults
from conformance.selftest.implementations.packing import Packed, Packing, packing_subject
from conformance.selftest.implementations.plain import name_by_docstring
from reference.problem import RNN_TANH

FAULTS = Faults()


def packing_fault(kind: type[Packing]) -> type[Packing]:
    """Registers a class as a fault of E4, named by its docstring."""
    name = name_by_docstring(kind)
    FAULTS.append(Fault(name, ("E4",), (RNN_TANH,), packing_subject(name, kind())))
    return kind


@packing_fault
class _SizesBackwards(Packing):
    """Lists batch_sizes in reverse."""

    def sizes(self, sizes: torch.Tensor) -> torch.Tensor:
        return sizes.flip(0)


@packing_fault
class _SizesOfInt32(Packing):
    """Returns batch_sizes as int32."""

    def sizes(self, sizes: torch.Tensor) -> torch.Tensor:
        return sizes.int()


@packing_fault
class _LengthsOffByOne(Packing):
    """Reads lengths above 1 as one less."""

    def read(self, lengths: Any) -> torch.Tensor:
        return (super().read(lengths) - 1).clamp(min=1)


@packing_fault
class _LengthsReturnedOffByOne(Packing):
    """Returns lengths that are one too large."""

    def pad_packed_sequence(self, *args: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        batch, lengths = super().pad_packed_sequence(*args, **options)
        return batch, lengths + 1


@packing_fault
class _IndicesNotInverse(Packing):
    """Returns unsorted_indices that do not invert sorted_indices."""

    def undone(self, order: torch.Tensor | None) -> torch.Tensor | None:
        return None if order is None else order.argsort().roll(1)


@packing_fault
class _SameIndicesTwice(Packing):
    """Returns sorted_indices as unsorted_indices."""

    def undone(self, order: torch.Tensor | None) -> torch.Tensor | None:
        return order


@packing_fault
class _ShortestFirst(Packing):
    """Sorts the shortest row first."""

    def order(self, lengths: torch.Tensor) -> torch.Tensor:
        return lengths.argsort()


@packing_fault
class _Untruncated(Packing):
    """Packs the longest row with its padding."""

    def packed(self, rows: torch.Tensor, lengths: torch.Tensor, order: torch.Tensor | None) -> PackedSequence:
        return super().packed(rows, torch.where(lengths == lengths.max(), rows.shape[1], lengths), order)


@packing_fault
class _ValueIgnored(Packing):
    """Ignores padding_value in pad_packed_sequence."""

    def behind_packed_rows(self, padding_value: float) -> float:
        return 0.0


@packing_fault
class _TotalLengthIgnored(Packing):
    """Ignores a total_length beyond the longest row."""

    def total(self, steps: int, total_length: int | None) -> int:
        super().total(steps, total_length)
        return steps


@packing_fault
class _ShortTotalLengthAccepted(Packing):
    """Accepts a total_length that is too short."""

    def total(self, steps: int, total_length: int | None) -> int:
        return max(steps, total_length or 0)


@packing_fault
class _ShortTotalLengthRefusedOtherwise(Packing):
    """Raises IndexError for a short total_length."""

    def total(self, steps: int, total_length: int | None) -> int:
        if total_length is not None and total_length < steps:
            raise IndexError("total_length is too short")
        return super().total(steps, total_length)


@packing_fault
class _PaddingLeaks(Packing):
    """Replaces the last step of each row by the padding behind it."""

    def packed(self, rows: torch.Tensor, lengths: torch.Tensor, order: torch.Tensor | None) -> PackedSequence:
        rows = rows.clone()
        for row, length in zip(rows, lengths.tolist(), strict=True):
            row[length - 1] = row[min(length, len(row) - 1)]
        return super().packed(rows, lengths, order)


@packing_fault
class _EnforceSortedIgnored(Packing):
    """Ignores enforce_sorted=False in pack_sequence."""

    def pack_sequence(self, sequences: Sequence[torch.Tensor], enforce_sorted: bool = True) -> PackedSequence:
        return super().pack_sequence(sequences, enforce_sorted=True)


@packing_fault
class _SortedRowsSortedAgain(Packing):
    """Reverses the order of rows under enforce_sorted."""

    def packed(self, rows: torch.Tensor, lengths: torch.Tensor, order: torch.Tensor | None) -> PackedSequence:
        if order is not None:
            return super().packed(rows, lengths, order)
        return super().packed(rows.flip(0), lengths.flip(0), None)


@packing_fault
class _RowsLeftSorted(Packing):
    """Leaves rows in sorted order in pad_packed_sequence."""

    def pad_packed_sequence(self, sequence: PackedSequence, *args: Any, **options: Any) -> tuple[Any, Any]:
        return super().pad_packed_sequence(PackedSequence(sequence.data, sequence.batch_sizes), *args, **options)


@packing_fault
class _OtherSide(Packing):
    """Pads rows on the opposite side."""

    def first_step(self, padding: int, padding_side: str) -> int:
        return super().first_step(padding, "right" if padding_side == "left" else "left")


@packing_fault
class _SideIgnored(Packing):
    """Ignores padding_side and pads on the right."""

    def first_step(self, padding: int, padding_side: str) -> int:
        return super().first_step(padding, "right")


@packing_fault
class _ValueOfRowsIgnored(Packing):
    """Ignores padding_value in pad_sequence."""

    def beside_rows(self, padding_value: float) -> float:
        return 0.0


@packing_fault
class _TimeFirst(Packing):
    """Ignores batch_first in pad_packed_sequence."""

    def pad_packed_sequence(
        self, sequence: PackedSequence, batch_first: bool = False, *args: Any, **options: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return super().pad_packed_sequence(sequence, False, *args, **options)


@packing_fault
class _TrailingDimensionsFlattened(Packing):
    """Flattens trailing dimensions."""

    def data(self, data: torch.Tensor) -> torch.Tensor:
        return data.flatten(1) if data.dim() > 2 else data


@packing_fault
class _TrailingDimensionAdded(Packing):
    """Adds a dimension to rows of scalars."""

    def data(self, data: torch.Tensor) -> torch.Tensor:
        return data[:, None] if data.dim() == 1 else data


@packing_fault
class _PackedInFloat32(Packing):
    """Packs in float32."""

    def data(self, data: torch.Tensor) -> torch.Tensor:
        return data.float()


@packing_fault
class _Int32Misread(Packing):
    """Reverses the order of int32 lengths."""

    def read(self, lengths: Any) -> torch.Tensor:
        found = super().read(lengths)
        return found.flip(0) if isinstance(lengths, torch.Tensor) and lengths.dtype == torch.int32 else found


@packing_fault
class _ListRefused(Packing):
    """Rejects a list of lengths."""

    def read(self, lengths: Any) -> torch.Tensor:
        if isinstance(lengths, list):
            raise TypeError("lengths must be a tensor")
        return super().read(lengths)


@packing_fault
class _EndsGivenBack(Packing):
    """Returns the last steps of each padded row in unpad_sequence."""

    def unpadded(self, row: torch.Tensor, length: int) -> torch.Tensor:
        return row[-length:]


@packing_fault
class _LastRowLost(Packing):
    """Drops the last of several rows in unpad_sequence."""

    def unpad_sequence(self, *args: Any, **options: Any) -> list[torch.Tensor]:
        rows = super().unpad_sequence(*args, **options)
        return rows[:-1] or rows


@packing_fault
class _TransposesInPlace(Packing):
    """Transposes the argument of unpad_sequence in place."""

    def unpad_sequence(
        self, padded_sequences: torch.Tensor, lengths: torch.Tensor, batch_first: bool = False
    ) -> list[torch.Tensor]:
        rows = padded_sequences if batch_first else padded_sequences.transpose_(0, 1)
        return super().unpad_sequence(rows, lengths, batch_first=True)


@packing_fault
class _ClearsPadding(Packing):
    """Replaces NaN by zero in the argument of pack_padded_sequence."""

    def pack_padded_sequence(self, input: torch.Tensor, *args: Any, **options: Any) -> PackedSequence:
        packed = super().pack_padded_sequence(input, *args, **options)
        if 0 not in input.stride():  # rows that are the same numbers in memory cannot be written to
            input.nan_to_num_()
        return packed


@packing_fault
class _UnpackedLeftSorted(Packing):
    """Leaves rows in sorted order in unpack_sequence."""

    def unpacked(self, packed: PackedSequence) -> PackedSequence:
        return PackedSequence(packed.data, packed.batch_sizes)


@packing_fault
class _IntegersThroughFloat64(Packing):
    """Packs integers through float64."""

    def data(self, data: torch.Tensor) -> torch.Tensor:
        return data if data.is_floating_point() else data.double().to(data.dtype)


@packing_fault
class _BytesAreSigned(Packing):
    """Packs uint8 as int8."""

    def data(self, data: torch.Tensor) -> torch.Tensor:
        return data.view(torch.int8).int() if data.dtype == torch.uint8 else data


@packing_fault
class _BooleansUnpackedAsBytes(Packing):
    """Unpads booleans as uint8."""

    def unpadded(self, row: torch.Tensor, length: int) -> torch.Tensor:
        return super().unpadded(row.byte() if row.dtype == torch.bool else row, length)


@packing_fault
class _ValueOfRowsLimited(Packing):
    """Pads rows with 127 in place of larger values in pad_sequence."""

    def beside_rows(self, padding_value: float) -> float:
        return min(padding_value, 127)


@packing_fault
class _ValueWraps(Packing):
    """Wraps an integral padding_value to 32 bits in pad_packed_sequence."""

    def behind_packed_rows(self, padding_value: float) -> float:
        return (padding_value + 2**31) % 2**32 - 2**31 if isinstance(padding_value, int) else padding_value


@packing_fault
class _ThirdTrailingDimensionMerged(Packing):
    """Merges the last two of three trailing dimensions."""

    def data(self, data: torch.Tensor) -> torch.Tensor:
        return data.flatten(2) if data.dim() == 4 else data


@packing_fault
class _TrailingDimensionsSwapped(Packing):
    """Lists the numbers of three trailing dimensions in another order in unpad_sequence."""

    def unpadded(self, row: torch.Tensor, length: int) -> torch.Tensor:
        rows = super().unpadded(row, length)
        return rows.transpose(-1, -2).reshape(rows.shape) if rows.dim() == 4 else rows


class _Rounds(Packed):
    def to(self, *args: Any, **options: Any) -> Any:
        if not self.data.is_floating_point() or getattr(options.get("dtype"), "is_floating_point", True):
            return super().to(*args, **options)
        return type(self)(self.data.round().to(*args, **options), *self[1:])


@packing_fault
class _ConversionRounds(Packing):
    """Rounds to the nearest integer in a conversion of a packed sequence to integers."""

    kind = _Rounds


class _GoesThroughBFloat16(Packed):
    def to(self, *args: Any, **options: Any) -> Any:
        if options.get("dtype") != torch.float32 or self.data.dtype != torch.float64:
            return super().to(*args, **options)
        return type(self)(self.data.bfloat16().float(), *self[1:])


@packing_fault
class _ConversionLosesBits(Packing):
    """Converts a packed sequence from float64 to float32 through bfloat16."""

    kind = _GoesThroughBFloat16


class _ConvertsSizes(Packed):
    def to(self, *args: Any, **options: Any) -> Any:
        made = super().to(*args, **options)
        return made if made is self else made._replace(batch_sizes=self.batch_sizes.to(made.data.dtype))


@packing_fault
class _ConversionConvertsSizes(Packing):
    """Converts batch_sizes together with data."""

    kind = _ConvertsSizes


class _LosesIndices(Packed):
    def half(self) -> Any:
        return type(self)(self.data.half(), self.batch_sizes)


@packing_fault
class _ConversionLosesIndices(Packing):
    """Drops the indices of a packed sequence in half()."""

    kind = _LosesIndices


class _ByteIsSigned(Packed):
    def byte(self) -> Any:
        return self.char()


@packing_fault
class _ByteGivesInt8(Packing):
    """Converts a packed sequence to int8 in byte()."""

    kind = _ByteIsSigned


class _AlwaysCopies(Packed):
    def to(self, *args: Any, **options: Any) -> Any:
        made = super().to(*args, **options)
        return type(self)(*made)


@packing_fault
class _ConversionAlwaysCopies(Packing):
    """Returns another object where a conversion has nothing to convert."""

    kind = _AlwaysCopies


class _NeverCopies(Packed):
    def to(self, *args: Any, **options: Any) -> Any:
        return super().to(*args, **{name: value for name, value in options.items() if name != "copy"})


@packing_fault
class _CopyIgnored(Packing):
    """Ignores copy=True in a conversion of a packed sequence."""

    kind = _NeverCopies


class _SaysPinned(Packed):
    def is_pinned(self) -> bool:
        return True


@packing_fault
class _AlwaysPinned(Packing):
    """Says of every packed sequence that it is in pinned memory."""

    kind = _SaysPinned


@packing_fault
class _PermutationReturned(Packing):
    """Returns a permutation as its own inverse."""

    def invert_permutation(self, permutation: torch.Tensor) -> torch.Tensor:
        return permutation


class _ValueClamped(Packing):
    """Pads rows with the nearest number of their dtype where it lacks the padding_value of pad_sequence."""

    def pad_sequence(self, sequences: Sequence[torch.Tensor], *args: Any, **options: Any) -> torch.Tensor:
        dtype = sequences[0].dtype
        if dtype in (torch.uint8, torch.int32) and "padding_value" in options:
            options["padding_value"] = min(options["padding_value"], torch.iinfo(dtype).max)
        return super().pad_sequence(sequences, *args, **options)


class _ValueInFloat64(Packing):
    """Rounds the padding_value of pad_packed_sequence to float64."""

    def behind_packed_rows(self, padding_value: float) -> float:
        return int(float(padding_value)) if isinstance(padding_value, int) else padding_value


for _kind in (_ValueClamped, _ValueInFloat64):
    _name = name_by_docstring(_kind)
    FAULTS.append(Fault(_name, ("E4-value",), (RNN_TANH,), packing_subject(_name, _kind())))
