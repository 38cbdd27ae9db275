"""The call of a packing utility as lines of Python."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.harness.execution.requests.packing import INTEGERS, METHOD, Pack, takes_batch_first
from conformance.harness.reports.calls.call_text import LONGEST, literal
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.calls.settings import setting

RNN = "torch.nn.utils.rnn"

FEW_VALUES = 100
"""Rows of a script that shows no number hold whole numbers below this."""

BEYOND_FLOATS = {"int64": 53, "int32": 24}
"""The power of two from which on float64, or float32, lacks every second number."""

ARGUMENTS = {
    "input": "batch",
    "padded_sequences": "batch",
    "sequence": "packed",
    "packed_sequences": "packed",
    "sequences": "rows",
    "lengths": "lengths",
    "permutation": "permutation",
}
"""The names of the utilities' arguments, and those of the script's variables."""


GIVEN = {
    "pack_padded_sequence": ("input", "lengths"),
    "unpad_sequence": ("padded_sequences", "lengths"),
    "pad_packed_sequence": ("sequence",),
    "unpack_sequence": ("packed_sequences",),
    "invert_permutation": ("permutation",),
}
"""What each utility must be given; the others take sequences."""


def name_of(utility: str) -> str:
    """A utility, or a method of a packed sequence, as the documentation names it."""
    return utility if utility.startswith(METHOD) else f"{RNN}.{utility}"


def number(value: Any) -> str:
    """An option as Python writes it."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value) if isinstance(value, float | bool | str) else whole(value)


def whole(value: int) -> str:
    """A whole number, a long one beside the power of two that is nearest: `2**53 + 1`."""
    if len(str(value)) <= LONGEST or isinstance(value, bool):
        return str(value)
    size, sign = abs(value), -1 if value < 0 else 1
    exponent = min(size.bit_length() - 1, size.bit_length(), key=lambda one: abs(size - 2**one))
    apart = value - sign * 2**exponent
    power = f"{'-' if value < 0 else ''}2**{exponent}"
    return f"{power} {'-' if apart < 0 else '+'} {abs(apart)}" if apart else power


def numbers(values: np.ndarray) -> str:
    """An array as nested lists; integers keep all their digits."""
    return literal(values) if values.dtype.kind == "f" else _nested(values.tolist())


def _nested(values: Any) -> str:
    return f"[{', '.join(map(_nested, values))}]" if isinstance(values, list) else whole(values)


def shortened(values: np.ndarray, rows: list[np.ndarray]) -> np.ndarray:
    """An array in which the long whole numbers of these rows are others, which no float of their size has and which can
    be written shortly."""
    if values.dtype.name not in BEYOND_FLOATS:
        return values
    long = dict.fromkeys(one for row in rows for one in row.reshape(-1).tolist() if len(str(one)) > LONGEST)
    others = {one: 2 ** BEYOND_FLOATS[values.dtype.name] + 2 * at + 1 for at, one in enumerate(long)}
    named = [others.get(one, one) for one in values.reshape(-1).tolist()]
    return np.array(named, values.dtype).reshape(values.shape)


@dataclass(frozen=True)
class PackingCall:
    """The lines of a request. exact: with its own numbers, which what it returns depends on."""

    request: Pack
    exact: bool

    def lines(self) -> list[str]:
        """The arguments, and the call: `result` is what it returns."""
        return [*self.arguments(), *self.call()]

    def arguments(self) -> list[str]:
        """What is given, each by its name in `ARGUMENTS`."""
        utility, batch = self.request.utility, self.request.batch
        if batch.problem.memory != "contiguous":
            raise NoScript(f"no script lays rows out as {batch.problem.memory}")
        if utility == "invert_permutation":
            return [f"permutation = torch.tensor({batch.order_of_numbers.tolist()}{self._device()})"]
        lines = [f"ROWS = [{', '.join(map(numbers, self._rows()))}]"]
        if utility in ("pack_sequence", "pad_sequence"):
            return [*lines, f"rows = [torch.tensor(row{self._options()}) for row in ROWS]"]
        if utility in ("pack_padded_sequence", "unpad_sequence"):
            return [*lines, *self._padded(batch.batch_first), f"lengths = {self._lengths()}"]
        return [*lines, *self._padded(batch_first=True), self._packed()]

    def call(self) -> list[str]:
        """The call alone, in its surrounding."""
        return setting(self.request.surrounding, self.request.batch.problem.dtype).around(
            [f"result = {self._called()}"]
        )

    def _called(self) -> str:
        utility = self.request.utility
        options = {name: self._option(name, value) for name, value in self.request.options.items()}
        if utility.startswith(METHOD):
            name = utility.removeprefix(METHOD)
            written = ", ".join(f"{option}={value}" for option, value in options.items())
            return f"packed.{name}" if name == "is_cuda" else f"packed.{name}({written})"
        given = {name: ARGUMENTS[name] for name in GIVEN.get(utility, ("sequences",))}
        positional, named = self.request.spelled_out(given, options)
        shown = [*positional, *(f"{name}={value}" for name, value in named.items())]
        return f"{name_of(utility)}({', '.join(shown)})"

    @staticmethod
    def _option(name: str, value: Any) -> str:
        return f"torch.{value}" if name == "dtype" else number(value)

    def _rows(self) -> list[np.ndarray]:
        """The rows; where their numbers do not matter, whole numbers from 1 on."""
        rows = self.request.batch.rows
        if self.exact:
            return [shortened(row, rows) for row in rows]
        begins = np.cumsum([0, *(row.size for row in rows)])
        made = [
            np.arange(1 + begin, 1 + begin + row.size).reshape(row.shape) % FEW_VALUES
            for begin, row in zip(begins, rows, strict=False)
        ]
        return [row % 2 == 1 for row in made] if self.request.batch.dtype == "bool" else made

    def _padded(self, batch_first: bool) -> list[str]:
        """The batch that rows are packed from or taken of; what is no part of a row is NaN, or the largest number."""
        batch, rows = self.request.batch, self._rows()
        turned = "" if batch_first else ".transpose(0, 1).contiguous()"
        steps = batch.problem.steps + batch.surplus
        if all(len(row) == steps for row in rows):
            return [f"batch = torch.tensor(ROWS{self._options()}){turned}"]
        shape = (len(rows), steps, *rows[0].shape[1:])
        lines = [
            f"batch = torch.full({shape}, {self._filler()}{self._options()})",
            "for n, row in enumerate(ROWS):",
            f"    batch[n, : len(row)] = torch.tensor(row{self._options()})",
        ]
        return [*lines, f"batch = batch{turned}"] if turned else lines

    def _filler(self) -> str:
        dtype = self.request.batch.dtype
        if dtype not in INTEGERS:
            return 'float("nan")'
        return "True" if dtype == "bool" else f"torch.iinfo(torch.{dtype}).max"

    def _lengths(self) -> str:
        lengths, kind = list(self.request.batch.lengths), self.request.lengths
        if kind == "list" and self.request.utility == "unpad_sequence":
            kind = "int64"
        return str(lengths) if kind == "list" else f"torch.tensor({lengths}, dtype=torch.{kind})"

    def _packed(self) -> str:
        order = "" if self.request.batch.is_sorted else ", enforce_sorted=False"
        return f"packed = {RNN}.pack_padded_sequence(batch, {self._lengths()}, batch_first=True{order})"

    def _options(self) -> str:
        return f", dtype=torch.{self.request.batch.dtype}{self._device()}"

    def _device(self) -> str:
        device = self.request.batch.problem.device
        return "" if device == "cpu" else f', device="{device}"'


def defaults_left_out(request: Pack) -> Pack:
    """The request without options that say what is the default, unless it says itself how they are given."""
    if request.spelled:
        return request
    usual: dict[str, Any] = {"batch_first": False} if takes_batch_first(request.utility) else {}
    if request.utility.startswith("pack_"):
        usual |= {"enforce_sorted": True}
    given = {name: value for name, value in request.options.items() if usual.get(name) is not value}
    return replace(request, options=given)
