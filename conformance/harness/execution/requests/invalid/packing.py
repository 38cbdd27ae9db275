"""The request that calls a utility of packing with one argument spoilt, between two valid calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.execution.adjacent_memory import FILLINGS, Filling, beside, filled
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.module_call import guarded_call
from conformance.harness.execution.observation import Refused, same_numbers
from conformance.harness.execution.requests import packing
from conformance.harness.execution.requests.invalid.call import nonsense, packed_with, spoilt_batch_sizes
from conformance.harness.execution.requests.invalid.harm import has_nan, silent_elements, tensors_of
from conformance.harness.execution.requests.packing import TORCH_PACKING, Batch
from conformance.harness.execution.requests.request import Request
from conformance.harness.execution.routes import PACKING
from conformance.harness.execution.subject import Subject
from conformance.harness.execution.tensors import dtype_name
from reference.invalid_calls import Spoil, read

NO_TENSOR = {"text": "a text", "nothing": None}

OPTIONS = ("total_length", "padding_value", "padding_side")

SAYS_WHAT_COUNTS = ("count", "order", "sum")
"""Aspects of a wrong argument that leaves no element of the rows out."""


@dataclass(frozen=True, eq=False)
class PackInvalidly(Request[Refused]):
    """Call a utility, call it with one thing spoilt, and call it as before; `spoil` as in `reference.invalid_calls`."""

    batch: Batch
    spoil: str

    def shared(self) -> tuple[object, ...]:
        return (self.batch.problem,)

    def blank(self, subject: Subject) -> Refused:
        """The observation of a call that was not made yet."""
        name = TORCH_PACKING if subject.packs_as_torch else subject.name
        return Refused(self.batch.problem, name, PACKING)

    def failed(self, subject: Subject, failure: Failure) -> Refused:
        return replace(self.blank(subject), failure=failure)

    def execute(self, subject: Subject) -> tuple[Refused, ...]:
        spoil, seen = read(self.spoil), self.blank(subject)
        valid, spoilt = UtilityCall(subject, self.batch, spoil), UtilityCall(subject, self.batch, spoil)
        try:
            before = _values(valid.observed())
        except Exception as error:  # the subject's own, whatever it is
            return (self.failed(subject, Failure.raised(error)),)
        try:
            spoilt.spoil()
        except Exception as error:  # PyTorch's PackedSequence refuses what no utility then gets
            return (replace(seen, subject=TORCH_PACKING, refusal=Failure.raised(error)),)
        try:
            returned = spoilt.observed()
        except Exception as error:  # the subject's own, whatever it is
            seen = replace(seen, refusal=Failure.raised(error))
        else:
            seen = replace(seen, returned=_values(returned), nonsense=spoilt.contradiction(returned))
            seen = replace(seen, ignored=spoilt.ignored(valid))
            seen = replace(seen, beside=tuple(spoilt.beside(filling) for filling in FILLINGS))
        harmed = tuple(name for name in spoilt.changed if name not in valid.changed)  # those are another clause's
        return (replace(seen, changed=harmed, works_after=_afterwards(valid, before)),)


class UtilityCall:
    """A call of a utility: its positional arguments by name, and its options."""

    def __init__(self, subject: Subject, batch: Batch, spoil: Spoil) -> None:
        self.utility, self.batch, self.what = getattr(subject.packing, spoil.called), batch, spoil
        self.given = dict(packing.arguments(spoil.called)(subject.packing, batch, "list"))
        self.options: dict[str, Any] = {}
        self.changed: tuple[str, ...] = ()
        if packing.takes_batch_first(spoil.called):
            self.options["batch_first"] = batch.batch_first
        if spoil.called in ("pack_padded_sequence", "pack_sequence"):
            self.options["enforce_sorted"] = batch.is_sorted and spoil.aspect != "order"

    @property
    def first(self) -> Any:
        """The first positional argument: a padded batch, a packed sequence, or a list of rows."""
        return next(iter(self.given.values()))

    @property
    def rows(self) -> torch.Tensor | None:
        """The numbers of the rows, where one tensor has them."""
        data = self.first.data if isinstance(self.first, PackedSequence) else self.first
        return data if isinstance(data, torch.Tensor) else None

    def spoil(self) -> None:
        """Spoils one argument, or one option."""
        what, name = self.what, self.what.argument
        if what.aspect == "order" and "enforce_sorted" in self.options:
            self.options["enforce_sorted"] = True
        if name in OPTIONS:
            self.options[name] = _option(what, self.batch.problem.steps)
        elif name == "lengths":
            self.given["lengths"] = _lengths(what, list(self.batch.lengths), self.given["lengths"])
        elif name == "batch_sizes":
            packed = self.first
            made = packed_with(packed, packed.data.clone(), spoilt_batch_sizes(packed.batch_sizes, what))
            self.given = {next(iter(self.given)): made}
        elif name == "sequences" and what.aspect != "type":
            self.given["sequences"] = _sequences(what, self.given["sequences"])
        else:
            self.given[name] = NO_TENSOR[what.value] if what.value in NO_TENSOR else _listed(self.given[name])

    def observed(self) -> Any:
        """What the call returns for copies of its arguments; `changed` then names those of them that it changed."""
        copies = {name: beside(value, FILLINGS[1]) for name, value in self.given.items()}
        held = _held(copies)
        try:
            return self._call(list(copies.values()))
        finally:
            now = _held(copies)
            self.changed = tuple(name for name, was in held.items() if not same_numbers(was, now[name]))

    def made(self, filling: Filling = FILLINGS[1]) -> Any:
        """What the call returns for copies of its arguments, which lie amid a filling."""
        return self._call([beside(value, filling) for value in self.given.values()])

    def _call(self, given: list[Any]) -> Any:
        return guarded_call(self.batch.problem.case, PACKING, lambda: self.utility(*given, **self.options))

    def beside(self, filling: Filling) -> tuple[np.ndarray, ...]:
        """What a call returns that was accepted, with this filling; nothing where it raises now."""
        with filled(torch.nn.Module(), filling):
            try:
                return _values(self.made(filling))
            except Exception:  # the subject's own: that its answer is another one says enough
                return ()

    def ignored(self, valid: UtilityCall) -> tuple[str, ...]:
        """Elements of the rows that have no influence on any result, though in the valid call they do."""
        if self.what.aspect not in SAYS_WHAT_COUNTS or self.rows is None or valid.rows is None:
            return ()
        if not has_nan(self.rows) or self.rows.shape != valid.rows.shape:
            return ()
        silent = silent_elements(self.rows, lambda: list(tensors_of(self.made())))
        before = silent_elements(valid.rows, lambda: list(tensors_of(valid.made()))) if silent else ()
        return tuple(index for index in silent if index not in before)

    def contradiction(self, returned: Any) -> str:
        """How a result contradicts itself, or what was given, in the count of elements; "" where it does not."""
        if isinstance(returned, PackedSequence):
            told, held = int(returned.batch_sizes.sum()), len(returned.data)
            return f"returns batch_sizes that sum to {told}, and data of {held} elements" if told != held else ""
        if why := nonsense(self.what):
            return why
        if self.what.called == "unpad_sequence" and self.what.argument == "lengths":
            lengths = torch.as_tensor(self.given["lengths"])
            if lengths.is_meta:  # it holds no numbers
                return ""
            told, held = int(lengths.sum()), _steps(returned)
            return f"returns rows of {held} steps in all, for lengths of {told}" if told != held else ""
        return ""


def _steps(returned: Any) -> int:
    """The steps of all rows."""
    return sum(len(row) for row in returned)


def _option(spoil: Spoil, steps: int) -> Any:
    if spoil.how == "=short":
        return steps - 1
    return {"-1": -1, "fractions": steps + 0.5, "text": "a text", "nothing": None, "up": "up"}[spoil.value]


def _lengths(spoil: Spoil, lengths: list[int], given: Any) -> Any:
    """Lengths that are wrong in one aspect, in the form that the utility was given them."""
    aspect = spoil.aspect
    if aspect == "type":
        return [one + 0.5 for one in lengths] if spoil.value == "fractions" else NO_TENSOR[spoil.value]
    if aspect == "dtype":
        return torch.tensor(lengths).to(getattr(torch, spoil.value))
    if aspect == "device":
        return torch.tensor(lengths).to(spoil.value)
    if aspect == "rank":
        return torch.tensor([lengths]) if spoil.by > 0 else torch.tensor(lengths[0])
    wrong = _wrong_lengths(spoil, lengths)
    return torch.tensor(wrong) if isinstance(given, torch.Tensor) else wrong


def _wrong_lengths(spoil: Spoil, lengths: list[int]) -> list[int]:
    if spoil.aspect == "count":
        return [*lengths, lengths[-1]] if spoil.by > 0 else lengths[:-1]
    if spoil.aspect == "order":
        return [1, *lengths[1:-1], max(lengths)]
    longest = spoil.aspect == "longest"
    at = lengths.index(max(lengths) if longest else min(lengths))
    return [*lengths[:at], lengths[at] + 1 if longest else int(spoil.value), *lengths[at + 1 :]]


def _sequences(spoil: Spoil, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Rows that do not go together."""
    last = rows[-1]
    if spoil.aspect == "count":
        return []
    if spoil.aspect == "order":
        return [rows[0][:1], *rows[1:-1], torch.cat([last, last])]
    if spoil.aspect == "dtype":
        return [*rows[:-1], last.to(getattr(torch, spoil.dtype_in(dtype_name(last.dtype))))]
    return [*rows[:-1], torch.cat([last, last[:, :1]], 1)]


def _listed(value: Any) -> Any:
    """A tensor, or the data of a packed sequence, as nested lists."""
    return (value.data if isinstance(value, PackedSequence) else value).tolist()


def _values(value: Any) -> tuple[np.ndarray, ...]:
    return tuple(packing.plain(one) if one.device.type != "meta" else np.zeros(0) for one in tensors_of(value))


def _held(given: dict[str, Any]) -> dict[str, tuple[np.ndarray, ...]]:
    """The values of every tensor in the arguments, and of lists of whole numbers."""
    lists = {name: (np.array(value),) for name, value in given.items() if _is_plain(value)}
    return {name: lists.get(name) or _values(value) for name, value in given.items()}


def _is_plain(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, int | float) for one in value)


def _afterwards(valid: UtilityCall, before: tuple[np.ndarray, ...]) -> str:
    """How the valid call differs from the one before; "" where it does not."""
    try:
        after = _values(valid.made())
    except Exception as error:  # the subject's own, whatever it is
        return f"the valid call raises afterwards: {Failure.raised(error).text}"
    return "" if same_numbers(before, after) else "the valid call returns something else afterwards"
