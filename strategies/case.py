"""A case: the few choices that determine one problem."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from reference.problem import CELL_SUFFIX, GATES, LSTM, Architecture, Problem
from strategies import values
from strategies.weights import Weights

VERSION = "v1"
CELLS = (*GATES, *(name + CELL_SUFFIX for name in GATES))
SHORT_STEPS = {"bfloat16": 2}
"""The number of steps after which error bounds become vacuous, by dtype; 5 for the other dtypes."""


C = TypeVar("C", bound="Case")


@dataclass(frozen=True)
class Case:
    """One point of the axes. Sizes are at least 1.

    layout     words of `axes.LAYOUT_WORDS`: bf (batch_first=True), nobias (bias=False), nohx (no initial states
               passed), unb (one row without a batch axis), drop (dropout=0.5 if the class has it, in evaluation mode)
    fill       the kind of numbers, one of `values.EVERY_FILL`
    seed       of the numbers
    pick       fixes every other choice of a property, such as where to split a sequence or which loss to use
    proj_size  0, or less than hidden_size
    lengths    the batch_size row lengths of a packed sequence, the longest `steps`; () for a padded batch
    memory     one of `axes.MEMORY`
    weights    the parameters, if they are those of a module that exists; the others are drawn
    spoil      what is wrong with the call, as in `invalid_calls`; "" if it is valid
    history    what is done to the module before it is called, as in `histories`
    """

    input_size: int = 1
    hidden_size: int = 1
    num_layers: int = 1
    batch_size: int = 1
    steps: int = 1
    bidirectional: bool = False
    layout: tuple[str, ...] = ()
    dtype: str = "float32"
    device: str = "cpu"
    fill: str = "uniform"
    seed: int = 0
    pick: int = 0
    proj_size: int = 0
    lengths: tuple[int, ...] = ()
    memory: str = "contiguous"
    weights: Weights | None = None
    spoil: str = ""
    history: tuple[str, ...] = ()

    @classmethod
    def drawn(cls, narrowing: int = 0, ends: int = 0, short: bool = False, **fields: Any) -> Case:
        """A case from drawn fields, made consistent.

        narrowing  chooses a proj_size; 0 for none
        ends       chooses the lengths of a packed sequence; 0 for a padded batch
        short      reduces steps to at most `most_steps`

        The layout word unb is dropped if the batch has several rows or is packed.
        """
        case = cls(**fields)
        if short:
            case = replace(case, steps=1 + (case.steps - 1) % case.most_steps)
        if narrowing and case.hidden_size > 1:
            case = replace(case, proj_size=1 + (narrowing - 1) % (case.hidden_size - 1))
        if ends:
            case = replace(case, lengths=_lengths(ends, case.batch_size, case.steps))
        if ends or case.batch_size > 1:
            case = replace(case, layout=tuple(word for word in case.layout if word != "unb"))
        return case

    @property
    def packed(self) -> bool:
        return bool(self.lengths)

    @property
    def unsorted(self) -> bool:
        """Whether it is packed and some row is longer than the one before it."""
        return list(self.lengths) != sorted(self.lengths, reverse=True)

    @property
    def states(self) -> bool:
        """Whether initial states are passed."""
        return "nohx" not in self.layout

    @property
    def bias(self) -> bool:
        return "nobias" not in self.layout

    @property
    def batch_first(self) -> bool:
        return "bf" in self.layout

    @property
    def unbatched(self) -> bool:
        return "unb" in self.layout

    @property
    def projection(self) -> bool:
        return bool(self.proj_size)

    @property
    def row(self) -> int:
        """The row that `pick` chooses; 0 chooses the last one, so that cases shrink to the first row that fails."""
        return self.batch_size - 1 - self.pick % self.batch_size

    @property
    def most_steps(self) -> int:
        """The largest number of steps of a short case in this dtype."""
        return SHORT_STEPS.get(self.dtype, 5)

    @property
    def short(self) -> bool:
        """Whether error bounds carried through all steps are not yet vacuous."""
        return self.steps <= self.most_steps

    def line(self, cell: str = "") -> str:
        """The case as text; `parse` reads it back."""
        words = [VERSION, cell, f"i{self.input_size}", f"h{self.hidden_size}"]
        words += [f"p{self.proj_size}"] if self.proj_size and cell in ("", LSTM) else []
        words += ["t" + listed(self.lengths) if self.lengths else f"t{self.steps}"]
        counts = {"l": self.num_layers, "n": 1 if self.lengths else self.batch_size}
        words += [f"{letter}{count}" for letter, count in counts.items() if count != 1]
        words += ["bi"] if self.bidirectional else []
        words += [*self.layout, self.dtype, self.device if self.device != "cpu" else ""]
        words += [f"mem={self.memory}"] if self.memory != "contiguous" else []
        words += [f"weights={self.weights.name}"] if self.weights is not None else []
        words += [f"bad={self.spoil}"] if self.spoil else []
        words += ["do=" + ",".join(self.history)] if self.history else []
        words += [f"fill={self.fill}"] + [f"{n}={getattr(self, n)}" for n in ("seed", "pick") if getattr(self, n)]
        return " ".join(word for word in words if word)

    def numbers(self) -> int:
        """An upper limit on the count of numbers in the case: inputs, outputs of all layers, and parameters."""
        layers, directions, width = self.num_layers, 1 + self.bidirectional, self.hidden_size
        sequence = self.batch_size * self.steps * (self.input_size + layers * directions * width)
        read = self.input_size + (layers - 1) * directions * width + layers * width
        return sequence + 4 * width * directions * read

    def within(self, most: int, field: str) -> Case:
        """The case with a size reduced until it has at most so many numbers, or the size is 1."""
        return self.reduced(field, lambda case: case.numbers() <= most)

    def reduced(self: C, field: str, fits: Callable[[C], bool]) -> C:
        """The case with a size reduced until it fits, or the size is 1. Where a size fits, smaller ones do too."""
        if fits(self):
            return self
        smaller = range(1, getattr(self, field))
        fitting = bisect_left(smaller, True, key=lambda size: not fits(self.of_size(field, size)))
        return self.of_size(field, max(1, fitting))

    def of_size(self: C, field: str, size: int) -> C:
        """The case with a size reduced, and what hangs on it."""
        changed: dict[str, Any] = {field: size}
        case = replace(self, **changed)
        lengths = tuple(min(length, case.steps) for length in self.lengths[: case.batch_size])
        steps = max(lengths, default=case.steps)
        return replace(case, lengths=lengths, steps=steps, proj_size=min(self.proj_size, case.hidden_size - 1))

    def architecture(self, cell: str) -> Architecture:
        """The module of the case for `cell`, one of `CELLS`."""
        kind, single_step = cell.removesuffix(CELL_SUFFIX), cell.endswith(CELL_SUFFIX)
        return Architecture(
            kind,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            bias="nobias" not in self.layout,
            batch_first="bf" in self.layout,
            bidirectional=self.bidirectional,
            proj_size=self.proj_size if cell == LSTM else 0,
            single_step=single_step,
            dropout=0.5 if "drop" in self.layout and not single_step else 0.0,
        )

    def on(self, cell: str) -> Problem:
        """The problem of the case for `cell`, one of `CELLS`: its architecture and all numbers."""
        architecture = self.architecture(cell)
        return Problem(
            architecture,
            self.dtype,
            self.device,
            parameters={name: self._parameter(architecture, name) for name in architecture.parameter_shapes()},
            input=self._rows(values.INPUT, "input", (self.batch_size, self.steps, self.input_size), 0),
            h_0=self._state(architecture, "h_0", architecture.output_size),
            c_0=self._state(architecture, "c_0", architecture.hidden_size) if architecture.cell == LSTM else None,
            lengths=self.lengths or None,
            unbatched="unb" in self.layout,
            training="drop" not in self.layout,
            memory=self.memory,
            case=self.line(cell),
            granule=values.GRANULES.get(self.fill, 0.0) if self.weights is None else 0.0,
        )

    def _parameter(self, architecture: Architecture, name: str) -> np.ndarray:
        shape = architecture.parameter_shapes()[name]
        if self.weights is not None:
            return self.weights.of(name, shape)
        if name.startswith("weight_hr"):
            return self.values_of(values.WEIGHT, name, shape)
        role = next((role for role in (values.INPUT_BIAS, values.HIDDEN_BIAS) if name.startswith(role)), values.WEIGHT)
        read = shape[1:]
        if name.startswith("weight_ih_l") and "_l0" not in name:  # one axis for each direction, so a crop keeps both
            read = (architecture.directions, architecture.output_size)
        apart = (len(GATES[architecture.cell]), architecture.hidden_size, *read)
        return self.values_of(role, name, apart).reshape(shape)

    def _state(self, architecture: Architecture, name: str, features: int) -> np.ndarray | None:
        if "nohx" in self.layout:
            return None
        shape = (architecture.num_layers, architecture.directions, self.batch_size, features)
        return self._rows(values.STATE, name, shape, 2)

    def _rows(self, role: str, name: str, shape: tuple[int, ...], batch_axis: int) -> np.ndarray:
        """Numbers with a batch axis; if memory is expanded, every row equals the first."""
        if self.memory != "expanded":
            return self.values_of(role, name, shape)
        one = tuple(1 if axis == batch_axis else size for axis, size in enumerate(shape))
        return np.repeat(self.values_of(role, name, one), shape[batch_axis], batch_axis)

    def values_of(self, role: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The numbers of a tensor, an axis for each way in which it can be cropped. All numbers come from here."""
        return values.fill(self.fill, role, name, self.seed, shape, self.dtype)


def _lengths(ends: int, batch_size: int, steps: int) -> tuple[int, ...]:
    """The lengths of a packed sequence, the longest `steps`; `ends` chooses any order, sorted, or all equal."""
    kind, choice = ends % 4, ends // 4
    if kind == 0:
        return (steps,) * batch_size
    lengths = [1 + choice * (2 * row + 1) % steps for row in range(batch_size)]
    lengths[-1 - choice % batch_size] = steps
    return tuple(sorted(lengths, reverse=True) if kind == 2 else lengths)


def listed(lengths: tuple[int, ...]) -> str:
    """Lengths in the form of a case line: `3,1`, and `3,` for a packed sequence of one row."""
    return ",".join(map(str, lengths)) + ("," if len(lengths) == 1 else "")
