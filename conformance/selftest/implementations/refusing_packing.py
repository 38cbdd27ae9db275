"""Utilities of packing that refuse what is invalid: `Packing` with a check for each place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.selftest.implementations.packing import Packing

Given = Mapping[str, Any]
Valid = Callable[[Given], bool]


def _tensor(name: str) -> Valid:
    return lambda given: isinstance(given[name], torch.Tensor)


def _packed(name: str) -> Valid:
    return lambda given: isinstance(given[name], PackedSequence)


def _listed(given: Given) -> list[Any]:
    lengths = given["lengths"]
    return lengths.tolist() if isinstance(lengths, torch.Tensor) else list(lengths)


def rows_and_steps(given: Given) -> tuple[int, int]:
    """Rows and steps of a padded batch."""
    shape = next(iter(given.values())).shape
    return (shape[0], shape[1]) if given["batch_first"] else (shape[1], shape[0])


def _is_of_type(given: Given) -> bool:
    lengths = given["lengths"]
    return isinstance(lengths, torch.Tensor | list) and (isinstance(lengths, torch.Tensor) or _are_whole(lengths))


def _are_whole(lengths: list[Any]) -> bool:
    return all(type(one) is int for one in lengths)


def _as_tensor(test: Callable[[torch.Tensor], bool]) -> Valid:
    return lambda given: not isinstance(given["lengths"], torch.Tensor) or test(given["lengths"])


LENGTHS: Mapping[str, Valid] = {
    "lengths.type": _is_of_type,
    "lengths.device": _as_tensor(lambda lengths: lengths.device.type == "cpu"),
    "lengths.rank": _as_tensor(lambda lengths: lengths.dim() == 1),
    "lengths.dtype": _as_tensor(lambda lengths: lengths.dtype in (torch.int64, torch.int32)),
    "lengths.count": lambda given: len(_listed(given)) == rows_and_steps(given)[0],
    "lengths.longest": lambda given: max(_listed(given)) <= rows_and_steps(given)[1],
    "lengths.shortest": lambda given: min(_listed(given)) > 0,
}


def _batch_sizes(name: str) -> Mapping[str, Valid]:
    return {
        "batch_sizes.dtype": lambda given: given[name].batch_sizes.dtype is torch.int64,
        "batch_sizes.order": lambda given: _falls(given[name].batch_sizes.tolist()),
        "batch_sizes.sum": lambda given: int(given[name].batch_sizes.sum()) == len(given[name].data),
    }


def _falls(sizes: list[int]) -> bool:
    return sizes == sorted(sizes, reverse=True)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float, bool)


ROWS: Mapping[str, Valid] = {
    "sequences.type": lambda given: isinstance(given["sequences"], list | tuple),
    "sequences.count": lambda given: len(given["sequences"]) > 0,
    "sequences.dtype": lambda given: len({row.dtype for row in given["sequences"]}) == 1,
    "sequences.features": lambda given: len({row.shape[1:] for row in given["sequences"]}) == 1,
}

CHECKS: Mapping[str, Mapping[str, Valid]] = {
    "pack_padded_sequence": {
        "input.type": _tensor("input"),
        **LENGTHS,
        "lengths.order": lambda given: not given["enforce_sorted"] or _falls(_listed(given)),
    },
    "pad_packed_sequence": {
        "sequence.type": _packed("sequence"),
        **_batch_sizes("sequence"),
        "total_length.type": lambda given: given["total_length"] is None or type(given["total_length"]) is int,
        "padding_value.type": lambda given: _is_number(given["padding_value"]),
    },
    "pack_sequence": {
        **ROWS,
        "sequences.order": lambda given: (
            not given["enforce_sorted"] or _falls([len(row) for row in given["sequences"]])
        ),
    },
    "pad_sequence": {
        **ROWS,
        "padding_value.type": lambda given: _is_number(given["padding_value"]),
        "padding_side.value": lambda given: given["padding_side"] in ("left", "right"),
    },
    "unpad_sequence": {"padded_sequences.type": _tensor("padded_sequences"), **LENGTHS},
    "unpack_sequence": {"packed_sequences.type": _packed("packed_sequences"), **_batch_sizes("packed_sequences")},
}
"""By utility and place, whether a call is valid there; in the order in which they are asked."""


class RefusingPacking(Packing):
    """Refuses invalid calls, but for places that are not checked."""

    unchecked: tuple[str, ...] = ()

    def refuse(self, utility: str, given: Given) -> None:
        """Raises ValueError for the first place that is wrong."""
        for place, is_valid in CHECKS[utility].items():
            if f"{utility}.{place}" not in self.unchecked and not is_valid(given):
                raise ValueError(f"{place} is not what {utility} takes")

    def taken(self, utility: str, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments that a call goes on with."""
        self.refuse(utility, given)
        return given

    def pack_padded_sequence(
        self, input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
    ) -> PackedSequence:
        given = {"input": input, "lengths": lengths, "batch_first": batch_first, "enforce_sorted": enforce_sorted}
        return super().pack_padded_sequence(**self.taken("pack_padded_sequence", given))

    def pad_packed_sequence(
        self, sequence: Any, batch_first: bool = False, padding_value: Any = 0.0, total_length: Any = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        given = {"sequence": sequence, "padding_value": padding_value, "total_length": total_length}
        return super().pad_packed_sequence(batch_first=batch_first, **self.taken("pad_packed_sequence", given))

    def pack_sequence(self, sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
        given = {"sequences": sequences, "enforce_sorted": enforce_sorted}
        return super().pack_sequence(**self.taken("pack_sequence", given))

    def pad_sequence(
        self, sequences: Any, batch_first: bool = False, padding_value: Any = 0.0, padding_side: str = "right"
    ) -> torch.Tensor:
        given = {"sequences": sequences, "padding_value": padding_value, "padding_side": padding_side}
        return super().pad_sequence(batch_first=batch_first, **self.taken("pad_sequence", given))

    def unpad_sequence(self, padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[torch.Tensor]:
        given = {"padded_sequences": padded_sequences, "lengths": lengths, "batch_first": batch_first}
        return super().unpad_sequence(**self.taken("unpad_sequence", given))

    def unpack_sequence(self, packed_sequences: Any) -> list[torch.Tensor]:
        return super().unpack_sequence(**self.taken("unpack_sequence", {"packed_sequences": packed_sequences}))
