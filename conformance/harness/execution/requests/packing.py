"""The request that calls a packing utility with plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.execution import memory_layouts, tensors
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.module_call import fact, guarded_call, repacked
from conformance.harness.execution.observation import PackingObservation
from conformance.harness.execution.requests.documentation.spelled import BY_POSITION, LEFT_OUT
from conformance.harness.execution.requests.request import Request
from conformance.harness.execution.requests.surroundings import SURROUNDINGS, Surrounding
from conformance.harness.execution.routes import PACKING
from conformance.harness.execution.subject import Subject
from reference.problem import Problem

LENGTHS = ("list", "int64", "int32")
"""The forms of lengths: a list, or a tensor of one of these dtypes."""

INTEGERS = ("int64", "int32", "uint8", "bool")
"""Dtypes of rows that hold no floating-point numbers."""


def padded_by_hand(rows: Sequence[np.ndarray], steps: int, value: float = 0.0, side: str = "right") -> np.ndarray:
    """Rows (length, *) as a batch (N, steps, *), with `value` in the steps that they lack on this side."""
    batch = np.full((len(rows), steps, *rows[0].shape[1:]), value, rows[0].dtype)
    for n, row in enumerate(rows):
        first = steps - len(row) if side == "left" else 0
        batch[n, first : first + len(row)] = row
    return batch


@dataclass(frozen=True, eq=False)
class Batch:
    """The rows of a packed problem as a utility is given them.

    sequence (N, T, *), where * is no axis, (I,), (I, 2) or (I, 2, 3); of one of `INTEGERS` where the rows have that
    dtype, and float64 where they have the problem's. surplus: steps that a padded batch has beyond its longest row.
    What is no part of a row is NaN, or the largest integer, so that a leak shows, unless all rows share memory.
    """

    problem: Problem
    sequence: np.ndarray
    surplus: int = 0

    @property
    def dtype(self) -> str:
        """The dtype of the rows."""
        return self.problem.dtype if self.sequence.dtype.kind == "f" else self.sequence.dtype.name

    @property
    def lengths(self) -> tuple[int, ...]:
        return self.problem.lengths or ()

    @property
    def rows(self) -> list[np.ndarray]:
        """Every row (length, *)."""
        return [row[:length] for row, length in zip(self.sequence, self.lengths, strict=True)]

    @property
    def order_of_numbers(self) -> np.ndarray:
        """A permutation: the places of the sequence's numbers, the smallest first."""
        return np.argsort(self.sequence, axis=None, kind="stable")

    @property
    def is_sorted(self) -> bool:
        """Whether no row is longer than the one before it."""
        return list(self.lengths) == sorted(self.lengths, reverse=True)

    @property
    def batch_first(self) -> bool:
        return self.problem.architecture.batch_first

    def as_called(self, padded: np.ndarray) -> np.ndarray:
        """A padded batch (N, T, *) with its axes in the order that batch_first asks for."""
        return padded if self.batch_first else padded.swapaxes(0, 1)

    def tensor(self) -> torch.Tensor:
        """The padded batch as a tensor, in the problem's device and memory layout."""
        rows = list(self.sequence) if self.problem.memory == "expanded" else self.rows
        padded = padded_by_hand(rows, self.problem.steps + self.surplus, _unlike_a_row(self.dtype))
        return self._laid_out(self.as_called(padded), 0 if self.batch_first else 1)

    def tensors(self) -> list[torch.Tensor]:
        """The rows as tensors."""
        return [self._laid_out(row, None) for row in self.rows]

    def _laid_out(self, values: np.ndarray, batch_axis: int | None) -> torch.Tensor:
        made = tensors.tensor(values, self.dtype, self.problem.device)
        return memory_layouts.laid_out(made, self.problem.memory, batch_axis)


def _unlike_a_row(dtype: str) -> float:
    """What a batch of this dtype has where it has no row."""
    if dtype not in INTEGERS:
        return np.nan
    return True if dtype == "bool" else int(np.iinfo(dtype).max)


def batches(problem: Problem, surplus: int = 0) -> list[Batch]:
    """The rows of a packed problem with no, one, two and three trailing axes; then rows of each of `INTEGERS`."""
    x = problem.input
    pairs = np.stack([x, -x], -1)
    sequences = (x[..., 0], x, pairs, np.stack([pairs, np.abs(pairs), np.zeros_like(pairs)], -1))
    turned = (sequences[(problem.steps + n) % len(sequences)] for n in range(len(INTEGERS)))
    integers = [scattered(sequence, dtype) for sequence, dtype in zip(turned, INTEGERS, strict=True)]
    return [Batch(problem, sequence, surplus) for sequence in (*sequences, *integers)]


_ODD = np.uint64(0x9E3779B97F4A7C15)
"""Multiplied by it, the few bits that small numbers differ in reach every bit of the product."""


def scattered(values: np.ndarray, dtype: str) -> np.ndarray:
    """Integers that look drawn from the whole range of a dtype, equal where the values are."""
    bits = np.ascontiguousarray(values, np.float64).view(np.uint64) * _ODD
    mixed = (bits ^ bits >> np.uint64(29)) * _ODD
    drawn = mixed ^ mixed >> np.uint64(32)
    return drawn % np.uint64(2) == 1 if dtype == "bool" else drawn.astype(dtype)


TORCH_PACKING = "torch.nn.utils.rnn"
"""Who is judged where a subject packs with PyTorch's own utilities."""


@dataclass(frozen=True, eq=False)
class Pack(Request[PackingObservation]):
    """Call the subject's function of torch.nn.utils.rnn with this name; what is unpacked was packed by the subject.

    lengths: one of `LENGTHS`. options: keyword arguments. surrounding: one of the `SURROUNDINGS` of the call itself.
    spelled: how all arguments are given, BY_POSITION, BY_NAME or LEFT_OUT; "" for options alone by name.
    """

    batch: Batch
    utility: str
    lengths: str
    options: Mapping[str, Any]
    surrounding: str = ""
    spelled: str = ""

    def __str__(self) -> str:
        """`pad_sequence(batch_first=True), rows (3, 2) (1, 2), lengths list`"""
        batch = self.batch
        given = ", ".join(f"{name}={value}" for name, value in self.options.items())
        surplus = f" and {batch.surplus} more steps" if batch.surplus else ""
        rows = " ".join(str(row.shape) for row in batch.rows)
        of_dtype = f" of {batch.dtype}" if batch.dtype in INTEGERS else ""
        around = f", with {self.surrounding.replace('_', ' ')}" if self.surrounding else ""
        spelled = f", arguments {self.spelled}" if self.spelled else ""
        return f"{self.utility}({given}), rows {rows}{of_dtype}{surplus}, lengths {self.lengths}{around}{spelled}"

    def spelled_out(
        self, given: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What is given by position, and what by name: of arguments, and of options or what stands for them."""
        if not self.spelled:
            return tuple(given.values()), dict(options)
        defaults = OPTIONS[self.utility]
        kept = [name for name in defaults if name in options]
        if self.spelled == LEFT_OUT:
            kept = [name for name in kept if self.options[name] != defaults[name]]
        every = {**given, **{name: options[name] for name in kept}}
        return (tuple(every.values()), {}) if self.spelled == BY_POSITION else ((), every)

    def shared(self) -> tuple[object, ...]:
        return (self.batch.problem,)

    def blank(self, subject: Subject) -> PackingObservation:
        """The observation of a call that was not made yet."""
        name = TORCH_PACKING if subject.packs_as_torch else subject.name
        return PackingObservation(self.batch.problem, name, PACKING, utility=self.utility, call=str(self))

    def failed(self, subject: Subject, failure: Failure) -> PackingObservation:
        return replace(self.blank(subject), failure=failure)

    def execute(self, subject: Subject) -> tuple[PackingObservation, ...]:
        case = self.batch.problem.case
        try:
            made = arguments(self.utility)
            given = guarded_call(case, PACKING, lambda: made(subject.packing, self.batch, self.lengths))
            before = _contents(given)
            utility = _method_or_utility(subject.packing, self.utility)
            options = {name: _option(name, value) for name, value in self.options.items()}
            positional, named = self.spelled_out(given, options)
            surrounding = SURROUNDINGS.get(self.surrounding, Surrounding())
            result = surrounding.around(
                self.batch.problem, lambda: guarded_call(case, PACKING, lambda: utility(*positional, **named))
            )
        except Exception as error:  # the subject's own, whatever it is
            return (self.failed(subject, Failure.raised(error)),)
        returned = _parts(result, "inverse" if self.utility == "invert_permutation" else "padded")
        first = next(iter(given.values()))
        seen = replace(
            self.blank(subject),
            raw={name: plain(part) for name, part in returned.items()},
            facts={name: fact(part) for name, part in returned.items()},
            repacked=repacked(first, result),
            is_argument=result is first,
            changed=_changes(before, _contents(given)),
        )
        return (seen,)


Arguments = Mapping[str, Any]
"""Positional arguments by name."""


def _pack_padded_sequence(packing: Any, batch: Batch, lengths: str) -> Arguments:
    return {"input": batch.tensor(), "lengths": _lengths(batch, lengths)}


def _pad_packed_sequence(packing: Any, batch: Batch, lengths: str) -> Arguments:
    given = _pack_padded_sequence(packing, batch, lengths)
    options = {"batch_first": batch.batch_first, "enforce_sorted": batch.is_sorted}
    return {"sequence": packing.pack_padded_sequence(*given.values(), **options)}


def _unpad_sequence(packing: Any, batch: Batch, lengths: str) -> Arguments:
    return {"padded_sequences": batch.tensor(), "lengths": torch.as_tensor(_lengths(batch, lengths))}


def _unpack_sequence(packing: Any, batch: Batch, lengths: str) -> Arguments:
    return {"packed_sequences": _pad_packed_sequence(packing, batch, lengths)["sequence"]}


def _sequences(packing: Any, batch: Batch, lengths: str) -> Arguments:
    return {"sequences": batch.tensors()}


_ARGUMENTS: Mapping[str, Callable[[Any, Batch, str], Arguments]] = {
    "pack_padded_sequence": _pack_padded_sequence,
    "pad_packed_sequence": _pad_packed_sequence,
    "pack_sequence": _sequences,
    "pad_sequence": _sequences,
    "unpad_sequence": _unpad_sequence,
    "unpack_sequence": _unpack_sequence,
}

UTILITIES = tuple(_ARGUMENTS)
"""Names of the functions that pad and pack."""

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "pack_padded_sequence": {"batch_first": False, "enforce_sorted": True},
    "pad_packed_sequence": {"batch_first": False, "padding_value": 0.0, "total_length": None},
    "pack_sequence": {"enforce_sorted": True},
    "pad_sequence": {"batch_first": False, "padding_value": 0.0, "padding_side": "right"},
    "unpad_sequence": {"batch_first": False},
    "unpack_sequence": {},
}
"""The documented options of each, in their order, with their defaults. padding_side is there since 2.5.

Source: https://docs.pytorch.org/docs/2.13/generated/torch.nn.utils.rnn.pack_padded_sequence.html and the pages of the
other functions.
"""

METHOD = "PackedSequence."
"""Before its name, a method of the packed sequence that the subject made of a batch."""


def takes_batch_first(utility: str) -> bool:
    """Whether a utility has this option."""
    return utility in UTILITIES and utility not in ("pack_sequence", "unpack_sequence")


def _method_or_utility(packing: Any, name: str) -> Callable[..., Any]:
    """The function of this name, or one that calls a method of its first argument, or reads a property of it."""
    if not name.startswith(METHOD):
        return getattr(packing, name)  # type: ignore[no-any-return]

    def method(packed: Any, **options: Any) -> Any:
        found = getattr(packed, name.removeprefix(METHOD))
        return found(**options) if callable(found) else found

    return method


def _permutation(packing: Any, batch: Batch, lengths: str) -> Arguments:
    return {"permutation": torch.tensor(batch.order_of_numbers, device=batch.problem.device)}


def arguments(utility: str) -> Callable[[Any, Batch, str], Arguments]:
    """What makes the arguments of a utility, or of a method."""
    if utility.startswith(METHOD):
        return _unpack_sequence
    return _permutation if utility == "invert_permutation" else _ARGUMENTS[utility]


def _option(name: str, value: Any) -> Any:
    """An option as the utility takes it."""
    return getattr(torch, value) if name == "dtype" else value


def _lengths(batch: Batch, kind: str) -> list[int] | torch.Tensor:
    """The lengths as one of `LENGTHS`; a tensor is on the CPU, where they are documented to be."""
    return list(batch.lengths) if kind == "list" else torch.tensor(batch.lengths, dtype=getattr(torch, kind))


def _parts(value: Any, alone: str = "padded") -> dict[str, torch.Tensor]:
    """The tensors of a result by name; that of a tensor is `alone`."""
    if isinstance(value, bool):
        return {"answer": torch.tensor(value)}
    if isinstance(value, PackedSequence):
        return {name: part for name, part in value._asdict().items() if part is not None}
    if isinstance(value, tuple):
        return dict(zip(("padded", "lengths"), value, strict=False))
    return {alone: value} if isinstance(value, torch.Tensor) else {f"row {n}": row for n, row in enumerate(value)}


Contents = Mapping[str, Mapping[str, np.ndarray]]
"""The values of arguments, each by the names of its parts."""


def _contents(given: Arguments) -> Contents:
    """The current values of the arguments."""
    return {name: _held(value) for name, value in given.items()}


def _held(value: Any) -> dict[str, np.ndarray]:
    if isinstance(value, list) and not isinstance(value[0], torch.Tensor):
        return {"": np.array(value)}
    parts = _parts(value, "")
    return {name: plain(part) for name, part in parts.items()}


def _changes(before: Contents, after: Contents) -> dict[str, str]:
    """For the name of each argument that is another now, its first change."""
    told = {name: _first_change(parts, after[name]) for name, parts in before.items()}
    return {name: text for name, text in told.items() if text}


def _first_change(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> str:
    """`index [0, 1] was 2, is 0`, or `shape was (2, 1), is (1, 2)`; "" where nothing is another."""
    for part, was in before.items():
        now, of_part = after[part], f"{part} " if part else ""
        if was.shape != now.shape:
            return f"{of_part}shape was {was.shape}, is {now.shape}"
        places = np.argwhere((was != now) & ~(np.isnan(was) & np.isnan(now))).tolist()
        if places:
            at = tuple(places[0])
            return f"{of_part}index {places[0]} was {was[at]:.9g}, is {now[at]:.9g}"
    return ""


def plain(t: torch.Tensor) -> np.ndarray:
    """The values of a tensor: float64, or int64 where they are integers."""
    return tensors.array(t) if t.is_floating_point() else np.array(t.tolist(), np.int64)
