"""A case: the few choices that determine one problem, and the line of text that stands for it.

    v1 lstm i3 h4 p2 l2 n2 t3 bi bf nobias float16 cpu fill=dyadic seed=7 pick=2
    v1 gru i3 h4 t3,1 float32 mem=sliced fill=uniform

After the version, words may come in any order; omitted fields have their defaults. If the cell's name is omitted, the
line fits every cell.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from reference import invalid_calls
from reference.formats import FORMATS
from reference.problem import CELL_SUFFIX, GATES, LSTM, Architecture, Problem
from strategies import axes, values
from strategies.axes import Axes, AxesInForce, extensions, far
from strategies.weights import Weights, is_name

VERSION = "v1"
CELLS = (*GATES, *(name + CELL_SUFFIX for name in GATES))
LARGEST_SIZE = 2**17
"""The largest size, and count of rows, steps or layers, that a case line may ask for."""

LARGEST_SEED = 2**32 - 1
MOST_NUMBERS = 2**26
"""The largest `Case.numbers` that a case line may ask for."""

SHORT_STEPS = {"bfloat16": 2}
"""The number of steps after which error bounds become vacuous, by dtype; 5 for the other dtypes."""


class CaseError(ValueError):
    """Raised for a line that is not a case. The message names the word and the accepted values."""


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
        words += ["t" + _listed(self.lengths) if self.lengths else f"t{self.steps}"]
        counts = {"l": self.num_layers, "n": 1 if self.lengths else self.batch_size}
        words += [f"{letter}{count}" for letter, count in counts.items() if count != 1]
        words += ["bi"] if self.bidirectional else []
        words += [*self.layout, self.dtype, self.device if self.device != "cpu" else ""]
        words += [f"mem={self.memory}"] if self.memory != "contiguous" else []
        words += [f"weights={self.weights.name}"] if self.weights is not None else []
        words += [f"bad={self.spoil}"] if self.spoil else []
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


SIZE_LETTERS = {
    "i": "input_size",
    "h": "hidden_size",
    "t": "steps",
    "l": "num_layers",
    "n": "batch_size",
    "p": "proj_size",
}


def _lengths(ends: int, batch_size: int, steps: int) -> tuple[int, ...]:
    """The lengths of a packed sequence, the longest `steps`; `ends` chooses any order, sorted, or all equal."""
    kind, choice = ends % 4, ends // 4
    if kind == 0:
        return (steps,) * batch_size
    lengths = [1 + choice * (2 * row + 1) % steps for row in range(batch_size)]
    lengths[-1 - choice % batch_size] = steps
    return tuple(sorted(lengths, reverse=True) if kind == 2 else lengths)


def _listed(lengths: tuple[int, ...]) -> str:
    """Lengths in the form of a case line: `3,1`, and `3,` for a packed sequence of one row."""
    return ",".join(map(str, lengths)) + ("," if len(lengths) == 1 else "")


def parse(line: str) -> tuple[Case, str]:
    """The case that `line` stands for, and its cell ("" if the line names none).

    Raises CaseError, which names the word, its position and the accepted values.
    """
    words = line.split()
    if not words or words[0] != VERSION:
        raise CaseError(f"a case line begins with {VERSION!r}, this one with {_shown(words[0] if words else '')}")
    found: dict[str, object] = {}
    for place, word in enumerate(words[1:], 2):
        try:
            name, value = _read(word)
        except ValueError as error:
            raise CaseError(f"word {place} of the case line, {_shown(word)}: {error}") from None
        if name == "layout" and value not in found.get(name, ()):  # type: ignore[operator]
            found[name] = (*found.get(name, ()), value)  # type: ignore[misc]
        elif name in found:
            raise CaseError(f"word {place} of the case line, {_shown(word)}: {name} is given already")
        else:
            found[name] = value
    cell = str(found.pop("cell", ""))
    return _completed(found, cell), cell


def _completed(found: dict[str, Any], cell: str) -> Case:
    """The case with the fields that a line sets. Raises CaseError if they contradict each other."""
    layout = found.pop("layout", ())
    if lengths := found.get("lengths"):
        if {"steps", "batch_size"} & found.keys():
            raise CaseError(f"t{_listed(lengths)} sets rows and steps; leave out n and any other t")
        found |= {"steps": max(lengths), "batch_size": len(lengths)}
    case = replace(Case(), layout=tuple(word for word in axes.LAYOUT_WORDS if word in layout), **found)
    if "unb" in case.layout and (case.batch_size > 1 or case.lengths):
        raise CaseError("unb takes a single padded row: leave out n and lengths")
    if cell.endswith(CELL_SUFFIX) and replace(case, spoil="") not in SINGLE_STEP:
        raise CaseError(f"{cell} takes one padded step: t1, without l, bi, bf and lengths")
    if case.proj_size and cell not in ("", LSTM):
        raise CaseError(f"p{case.proj_size}: only lstm has a projection; leave p out")
    if case.proj_size >= case.hidden_size:
        raise CaseError(f"p{case.proj_size}: proj_size must be smaller than hidden_size, h{case.hidden_size}")
    if (numbers := case.numbers()) > MOST_NUMBERS:
        raise CaseError(f"the case has {numbers} numbers; use smaller sizes, up to {MOST_NUMBERS} are computed")
    return case


def _shown(word: str) -> str:
    return repr(word) if len(word) <= 60 else repr(word[:60]) + "..."


def _read(word: str) -> tuple[str, object]:
    """The field that a word sets, and its value. Raises ValueError, which gives the accepted values."""
    if word in CELLS:
        return "cell", word
    if word == "bi":
        return "bidirectional", True
    if word in axes.LAYOUT_WORDS:
        return "layout", word
    if word in FORMATS:
        return "dtype", word
    if re.fullmatch(r"(cpu|cuda|mps|xpu)(:[0-9]+)?", word):
        return "device", word
    if match := re.fullmatch(r"([a-z])([0-9]+)", word):
        return _size(*match.groups())
    if re.fullmatch(r"t([0-9]+,)+([0-9]+)?", word):
        return "lengths", tuple(_size("t", digits)[1] for digits in word[1:].rstrip(",").split(","))
    if match := re.fullmatch(r"(fill|seed|pick|mem|weights|bad)=(.*)", word):
        return _setting(*match.groups())
    known = [
        *CELLS,
        "sizes such as i3 h4 p2 l2 n2 t5",
        "lengths such as t3,1",
        "bi",
        *axes.LAYOUT_WORDS,
        *FORMATS,
        "cpu",
        "mem=",
        "fill=",
        "seed=",
        "pick=",
        "weights=",
        "bad=",
    ]
    raise ValueError("not a word of a case; one of " + ", ".join(known))


def _size(letter: str, digits: str) -> tuple[str, int]:
    if letter not in SIZE_LETTERS:
        raise ValueError("no such size; " + ", ".join(f"{k} is {v}" for k, v in SIZE_LETTERS.items()))
    if not 1 <= (size := _number(digits)) <= LARGEST_SIZE:
        raise ValueError(f"{SIZE_LETTERS[letter]} must be between 1 and {LARGEST_SIZE}")
    return SIZE_LETTERS[letter], size


def _number(digits: str) -> int:
    """`digits` as a number. Twelve digits exceed every limit here; more are cut, since int() refuses thousands."""
    return int(digits.lstrip("0")[:12] or "0")


def _setting(name: str, text: str) -> tuple[str, object]:
    if name == "fill":
        if text not in values.EVERY_FILL:
            raise ValueError("no such fill; one of " + ", ".join(values.EVERY_FILL))
        return name, text
    if name == "mem":
        if text not in axes.MEMORY:
            raise ValueError("no such memory; one of " + ", ".join(axes.MEMORY))
        return "memory", text
    if name == "bad":
        invalid_calls.read(text)
        return "spoil", text
    if name == "weights":
        if not is_name(text):
            raise ValueError("name a module as --like does, such as weights=encoder.rnn")
        return name, Weights(text)
    if not re.fullmatch("[0-9]+", text) or _number(text) > LARGEST_SEED:
        raise ValueError(f"{name} must be a whole number up to {LARGEST_SEED}")
    return name, _number(text)


@dataclass(frozen=True)
class Cases:
    """A family of cases: pinned fields have one of their permitted values, every other field varies.

    far    the size that is far out, "" for none
    share  a property draws one case where it draws so many of an ordinary family
    near   the fields that are pinned only because another size is far out
    """

    pinned: Mapping[str, tuple[Any, ...]]
    far: str = ""
    share: int = 1
    near: tuple[str, ...] = ()

    @property
    def large(self) -> bool:
        """Whether some size is far out, or pinned to values that are."""
        return bool(self.far) or any(min(self.pinned.get(name, (0,))) >= least for name, (least, _) in axes.FAR.items())

    def strategy(self, axes: AxesInForce = Axes) -> st.SearchStrategy[Case]:
        """Draws from the family; shrinks towards one step of one unit in float32, without further words.

        axes  returns the dtypes and devices to draw from; called whenever a case is drawn
        """
        drawn = {name: field(axes) for name, field in FIELDS.items() if name not in self.pinned}
        for name, permitted in self.pinned.items():
            if name not in EXTENSIONS:
                drawn[name] = PINNED[name](axes, permitted) if name in PINNED else st.sampled_from(permitted)
        for most, (name, chooser) in enumerate(EXTENSIONS.items(), 2**15):
            drawn[chooser] = extensions(self.pinned.get(name, (False, True)), most)
        if self.far:
            drawn[self.far] = far(self.far)
            return st.builds(Case.drawn, **drawn).map(lambda case: case.within(axes().most_numbers, self.far))
        return st.builds(Case.drawn, **drawn)

    def __contains__(self, case: Case) -> bool:
        valid_or_meant = not case.spoil or "spoil" in self.pinned
        return valid_or_meant and all(getattr(case, name) in permitted for name, permitted in self.pinned.items())


FAR_SHARE = 10
"""Cases with a size far out take about ten times as long as ordinary ones."""


def cases(far: Any = "", share: Any = 0, **pinned: object) -> Cases:
    """The family of all cases, or of those with fields pinned to one value or to several (a tuple or range).

    A field pinned to None varies. Besides the fields of `Case`, these may be pinned:

    projection, packed                            whether a case has a proj_size, and lengths: False unless pinned to
                                                  True, or to None for both
    short=True                                    few enough steps that bounds carried through all of them are not
                                                  vacuous, see `SHORT_STEPS`
    batch_first, bias, hx, unbatched, dropout     True or False: pins a word of the layout
    spoil                                         what is wrong with the calls, which are valid without it

    far    the name of a size that is far out, see `axes.FAR`; the other sizes are small unless they are pinned
    share  a property draws one case where it draws so many of an ordinary family; 1, or 10 with a size far out

    Raises TypeError for an unknown name, and for arguments that contradict each other.
    """
    near: dict[str, Any] = {}
    if far:
        if far not in axes.FAR or far in pinned:
            raise TypeError(f"cases() takes far as one of {', '.join(axes.FAR)} that is not pinned, not {far!r}")
        near = {name: values for name, values in axes.NEAR.items() if name != far}
        if "short" in pinned or pinned.get("projection"):
            near = {name: values for name, values in near.items() if name not in ("steps", "hidden_size")}
        near = {name: values for name, values in near.items() if name not in pinned}
        pinned = near | pinned
    share = share or (FAR_SHARE if far else 1)
    if pinned.get("unbatched"):
        pinned = {"batch_size": 1} | pinned
        if pinned["batch_size"] != 1 or pinned.get("packed", False) is not False:
            raise TypeError("cases(unbatched=True) is about a single padded row: leave out batch_size and packed")
    if "short" in pinned and (pinned["short"] is not True or "steps" in pinned):
        raise TypeError("cases() takes short=True, or steps, or neither")
    if pinned.get("projection"):
        pinned = {"hidden_size": axes.SIZES_ABOVE_1} | pinned
    for name in WORDS.keys() & pinned.keys():
        if not isinstance(pinned[name], bool):
            raise TypeError(f"cases() takes True or False for {name}, not {pinned[name]!r}")
        if "layout" in pinned:
            raise TypeError(f"cases() takes either layout or {name}, which is a word of it")
    words = {word: pinned.pop(name) is present for name, (word, present) in WORDS.items() if name in pinned}
    pinned = dict.fromkeys(EXTENSIONS, False) | pinned
    known = [*FIELDS, *EXTENSIONS, "short", "spoil"]
    if unknown := pinned.keys() - known:
        raise TypeError(f"cases() has no field {min(unknown)!r}; it has " + ", ".join([*known, *WORDS]))
    if words:
        pinned["layout"] = tuple(
            layout for layout in axes.LAYOUTS if all((word in layout) is there for word, there in words.items())
        )
    permitted = {name: _permitted(name, value) for name, value in pinned.items() if value is not None}
    return Cases(permitted, far, share, tuple(near))


def _permitted(name: str, value: object) -> tuple[object, ...]:
    """The permitted values of a pinned field. A layout is itself a tuple of words."""
    one = name == "layout" and isinstance(value, tuple) and all(isinstance(word, str) for word in value)
    return tuple(value) if isinstance(value, tuple | range) and not one else (value,)


WORDS = {
    "batch_first": ("bf", True),
    "bias": ("nobias", False),
    "hx": ("nohx", False),
    "unbatched": ("unb", True),
    "dropout": ("drop", True),
}
"""The arguments of `cases` that pin a layout word: the word, and the value for which a case has it."""

EXTENSIONS = {"projection": "narrowing", "packed": "ends"}
"""Features that only some cells and calls have, and the argument of `Case.drawn` that chooses each."""

FIELDS: dict[str, Callable[[AxesInForce], st.SearchStrategy[object]]] = {
    "input_size": lambda _: axes.input_sizes(),
    "hidden_size": lambda _: axes.hidden_sizes(),
    "num_layers": lambda _: axes.counts(3),
    "batch_size": lambda _: axes.counts(5),
    "steps": lambda _: axes.counts(12),
    "bidirectional": lambda _: st.booleans(),
    "layout": lambda _: axes.layouts(),
    "memory": lambda _: axes.memories(),
    "dtype": axes.dtypes,
    "device": axes.devices,
    "fill": lambda _: axes.fills(),
    "seed": lambda _: axes.seeds(),
    "pick": lambda _: axes.picks(),
}
"""The strategy of each field that is not pinned, given the axes in force."""

PINNED: dict[str, Callable[[AxesInForce, tuple[Any, ...]], st.SearchStrategy[object]]] = {
    "layout": lambda _, permitted: axes.layouts(permitted),
    "dtype": axes.dtypes,
}
"""The strategies of pinned fields whose permitted values have weights or depend on the axes in force."""

ONE_STEP = {"num_layers": 1, "steps": 1, "bidirectional": False, "batch_first": False}
SINGLE_STEP = cases(**ONE_STEP)
"""The cases of classes that take one step at a time: one layer, one direction, no batch_first."""
