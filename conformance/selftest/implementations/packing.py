"""The utilities that pad and pack in a few plain tensor operations: sound, and easy to break in one place at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.execution.subject import Subject, torch_nn


class Packed(PackedSequence):
    """A packed sequence that takes every option of Tensor.to."""

    def to(self, *args: Any, **options: Any) -> Any:
        data = self.data.to(*args, **options)
        if data is self.data:
            return self
        indices = (None if order is None else order.to(data.device) for order in self[2:])
        return type(self)(data, self.batch_sizes, *indices)


class Packing:
    """Has the functions of torch.nn.utils.rnn. Each other method is a place for a fault, and so is `kind`."""

    kind = Packed

    def pack_padded_sequence(
        self, input: torch.Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
    ) -> PackedSequence:
        longest_first = self.read(lengths)
        rows = input if batch_first else input.transpose(0, 1)
        order = None
        if not enforce_sorted:
            order = self.order(longest_first)
            longest_first, rows = longest_first[order], rows[order]
            order = order.to(input.device)
        elif longest_first.tolist() != sorted(longest_first.tolist(), reverse=True):
            raise RuntimeError("lengths must be sorted in decreasing order")
        return self.packed(rows, longest_first, order)

    def read(self, lengths: Any) -> torch.Tensor:
        """Lengths as an int64 tensor."""
        return torch.as_tensor(lengths, device="cpu").long()

    def order(self, lengths: torch.Tensor) -> torch.Tensor:
        """Which row stands in each place of the packed sequence."""
        return lengths.argsort(descending=True)

    def packed(self, rows: torch.Tensor, lengths: torch.Tensor, order: torch.Tensor | None) -> PackedSequence:
        """Rows (N, T, *), the longest first."""
        sizes = [int((lengths > step).sum()) for step in range(self.last_step(rows, lengths))]
        data = torch.cat([rows[:size, step] for step, size in enumerate(sizes)])
        return self.kind(self.data(data), self.sizes(torch.tensor(sizes, device="cpu")), order, self.undone(order))

    def last_step(self, rows: torch.Tensor, lengths: torch.Tensor) -> int:
        return int(lengths.max())

    def data(self, data: torch.Tensor) -> torch.Tensor:
        return data

    def sizes(self, sizes: torch.Tensor) -> torch.Tensor:
        return sizes

    def undone(self, order: torch.Tensor | None) -> torch.Tensor | None:
        """The inverse of an order."""
        return None if order is None else order.argsort()

    def invert_permutation(self, permutation: torch.Tensor) -> torch.Tensor:
        return permutation.argsort()

    def pad_packed_sequence(
        self,
        sequence: PackedSequence,
        batch_first: bool = False,
        padding_value: float = 0.0,
        total_length: int | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        data, sizes = sequence.data, sequence.batch_sizes
        shape = (int(sizes[0]), self.total(len(sizes), total_length), *data.shape[1:])
        batch = data.new_full(shape, self.behind_packed_rows(padding_value))
        for step, part in enumerate(data.split(sizes.tolist())):
            batch[: len(part), step] = part
        lengths = (sizes > torch.arange(len(batch), device="cpu")[:, None]).sum(1)
        if sequence.unsorted_indices is not None:
            batch, lengths = batch[sequence.unsorted_indices], lengths[sequence.unsorted_indices.cpu()]
        return (batch if batch_first else batch.transpose(0, 1)), lengths

    def total(self, steps: int, total_length: int | None) -> int:
        """The steps of a padded batch. Raises ValueError where total_length is too short."""
        if total_length is not None and total_length < steps:
            raise ValueError(f"total_length {total_length} is less than the longest row, {steps}")
        return steps if total_length is None else total_length

    def behind_packed_rows(self, padding_value: float) -> float:
        """What a packed sequence is padded with."""
        return padding_value

    def pack_sequence(self, sequences: Sequence[torch.Tensor], enforce_sorted: bool = True) -> PackedSequence:
        return self.pack_padded_sequence(self.pad_sequence(sequences), list(map(len, sequences)), False, enforce_sorted)

    def pad_sequence(
        self,
        sequences: Sequence[torch.Tensor],
        batch_first: bool = False,
        padding_value: float = 0.0,
        padding_side: str = "right",
    ) -> torch.Tensor:
        steps = max(map(len, sequences))
        shape = (len(sequences), steps, *sequences[0].shape[1:])
        batch = sequences[0].new_full(shape, self.beside_rows(padding_value))
        for row, values in zip(batch, sequences, strict=True):
            first = self.first_step(steps - len(values), padding_side)
            row[first : first + len(values)] = values
        return batch if batch_first else batch.transpose(0, 1)

    def beside_rows(self, padding_value: float) -> float:
        """What rows are padded with."""
        return padding_value

    def first_step(self, padding: int, padding_side: str) -> int:
        """Where a row with so many steps of padding begins."""
        return padding if padding_side == "left" else 0

    def unpad_sequence(
        self, padded_sequences: torch.Tensor, lengths: torch.Tensor, batch_first: bool = False
    ) -> list[torch.Tensor]:
        rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
        return [self.unpadded(row, int(length)) for row, length in zip(rows, lengths, strict=True)]

    def unpack_sequence(self, packed_sequences: PackedSequence) -> list[torch.Tensor]:
        batch, lengths = self.pad_packed_sequence(self.unpacked(packed_sequences), batch_first=True)
        return self.unpad_sequence(batch, lengths, batch_first=True)

    def unpacked(self, packed: PackedSequence) -> PackedSequence:
        """What unpack_sequence takes for the packed sequence that it was given."""
        return packed

    def unpadded(self, row: torch.Tensor, length: int) -> torch.Tensor:
        return row[:length]


def packing_subject(name: str, packing: Packing) -> Subject:
    """The modules of torch.nn beside another implementation of the utilities."""
    return replace(torch_nn(), name=name, packing=packing)
