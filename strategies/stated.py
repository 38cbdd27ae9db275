"""What an implementation states that it can do, and the cases that lie within that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import count, islice
from typing import Any

from reference.problem import CELL_SUFFIX, LSTM, Problem
from reference.roundings import Accuracy
from strategies import axes
from strategies.case import Case
from strategies.families import Cases
from strategies.real import OF_GATES, REAL, RealCases

SIZES = {"input_size": "input_size", "hidden_size": "hidden_size", "layers": "num_layers"}
SIZES |= {"batch_size": "batch_size", "steps": "steps"}
"""Keys that state a size, and the field of a case that each is about."""

WIDTHS = ("input_size", "hidden_size")
"""Keys of sizes that are pinned to small values for the time that a case takes alone."""

FLAGS = {"batch_first": "bf", "bias": "nobias", "bidirectional": ""}
"""Keys that state the values of a constructor's flag, and the layout word for the value that is not the default."""

FEATURES = ("packed", "unbatched", "dropout", "proj_size", "gradients")
"""Keys that are True for what can be asked, False for what cannot."""

REQUIRED = "required"
"""What `states` is where a call without initial states is impossible."""

NAMES: dict[str, tuple[str, ...]] = {
    "devices": ("cpu", "cuda", "mps", "xpu"),
    "dtypes": axes.DTYPES,
    "memory": axes.MEMORY,
}
"""Keys that list names, and the names that there are."""

STATES = "states"
ACCURACY = "accuracy"
KEYS = (*SIZES, *FLAGS, STATES, *FEATURES, *NAMES, ACCURACY)

FUNCTIONS = ("tanh", "sigmoid")
ERRORS = {"relative": 1e6, "absolute": 0.1}
"""How the error of a function is stated: in units of roundoff of the result, and absolute; each with its limit."""

LIMITS = ("multiple_of", "min", "max")
"""What a size may be stated by, if not by its values."""

FEW_SIZES = 4
"""A size that varies has at least so many values, where so many are stated."""

LARGEST_BEYOND = 2**10
"""A size beyond what is stated is tried up to this one."""

OF_A_SEQUENCE = ("layers", "steps", "batch_first", "bidirectional", "packed", "dropout", "proj_size")
"""Keys that say nothing of a class that takes one step."""


class StatementError(ValueError):
    """A statement that cannot be read; the message says why, and what may stand there."""


@dataclass(frozen=True)
class Sizes:
    """The values of one size: those listed in `only`, or the multiples from `least` to `most`."""

    least: int = 1
    most: int | None = None
    multiple_of: int = 1
    only: tuple[int, ...] = ()

    def __contains__(self, size: int) -> bool:
        if self.only:
            return size in self.only
        return size >= self.least and size % self.multiple_of == 0 and (self.most is None or size <= self.most)

    def __iter__(self) -> Iterator[int]:
        if self.only:
            return iter(sorted(self.only))
        first = -(-self.least // self.multiple_of) * self.multiple_of
        return iter(
            range(first, self.most + 1, self.multiple_of) if self.most is not None else count(first, self.multiple_of)
        )

    @property
    def smallest(self) -> int:
        return next(iter(self))

    def nearest(self, size: int) -> int:
        """The largest value up to `size`, or the smallest of all."""
        best = self.smallest
        for one in self:
            if one > size:
                break
            best = one
        return best

    def first(self, number: int) -> tuple[int, ...]:
        """The smallest values."""
        return tuple(islice(self, number))

    def choices(self, usual: tuple[int, ...]) -> tuple[int, ...]:
        """The usual values that there are; with the smallest of all where these are few."""
        own = tuple(size for size in usual if size in self)
        return own if len(set(own)) >= FEW_SIZES else tuple(sorted((*own, *self.first(FEW_SIZES))))

    def beyond(self) -> tuple[int, ...]:
        """The nearest sizes that are not stated: one below, one between two values, one above."""
        values = self.first(2)
        near = [values[0] - 1, values[0] + 1, max(self.only) + 1 if self.only else (self.most or 0) + 1]
        return tuple(dict.fromkeys(size for size in near if 1 <= size <= LARGEST_BEYOND and size not in self))

    def __str__(self) -> str:
        if self.only:
            return " or ".join(map(str, self.only))
        words = {"multiple_of": self.multiple_of, "min": self.least, "max": self.most}
        idle = {"multiple_of": 1, "min": 1, "max": None}
        return ", ".join(f"{name} {words[name]}" for name in LIMITS if words[name] != idle[name])


@dataclass(frozen=True)
class Stated:
    """What an implementation of one cell states of itself. A key that is not there says nothing.

    sizes     the values of a size, by its key in `SIZES`
    flags     the values of a constructor's flag
    features  whether each can be asked
    states    whether initial states can be given: True, False, or `REQUIRED` where they cannot be left out
    names     devices, dtypes and kinds of memory
    accuracy  that of its functions and sums, None where it says nothing
    """

    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    flags: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    features: Mapping[str, bool] = field(default_factory=dict)
    states: bool | str | None = None
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accuracy: Accuracy | None = None

    @property
    def has_gradients(self) -> bool:
        """Whether gradients may be asked for."""
        return self.features.get("gradients", True)

    def refusal(self, problem: Problem, differentiated: bool = False) -> str:
        """What of the statement a call is outside of, as in `packed: False`; "" if of nothing."""
        a, single = problem.architecture, problem.architecture.single_step
        sizes = {"input_size": a.input_size, "hidden_size": a.hidden_size, "layers": a.num_layers}
        sizes |= {"batch_size": problem.batch_size, "steps": problem.steps}
        used = {"packed": problem.lengths is not None, "unbatched": problem.unbatched, "dropout": a.dropout > 0}
        used |= {"proj_size": a.proj_size > 0, "gradients": differentiated}
        has = {"devices": problem.device.partition(":")[0], "dtypes": problem.dtype, "memory": problem.memory}
        outside = [name for name, values in self.sizes.items() if sizes[name] not in values]
        outside += [name for name, values in self.flags.items() if getattr(a, name) not in values]
        outside += [name for name, can in self.features.items() if used[name] and not can]
        outside += [STATES] if self.states == (REQUIRED if problem.h_0 is None else False) else []
        outside += [name for name, values in self.names.items() if has[name] not in values]
        return next((self.said(name) for name in outside if not (single and name in OF_A_SEQUENCE)), "")

    def said(self, name: str) -> str:
        """What is stated under a key, in words."""
        if name in self.sizes:
            return f"{name}: {self.sizes[name]}"
        if name in self.flags:
            return f"{name}: {' or '.join(map(str, self.flags[name]))} alone"
        if name in self.names:
            return f"{name}: {', '.join(self.names[name])}"
        return f"{name}: {self.states if name == STATES else self.features[name]}"

    def narrowed(self, family: Cases, cell: str) -> Cases | str:
        """The cases of a family that lie within the statement, or what is stated that leaves none."""
        if isinstance(family, RealCases):
            return self._real(family, cell)
        pins = dict(family.pinned)
        for keys, narrow in ((self.sizes, self._size), (self.names, self._name), (self.features, self._feature)):
            for key in keys:
                if not (cell.endswith(CELL_SUFFIX) and key in OF_A_SEQUENCE) and not narrow(family, pins, key, cell):
                    return self.said(key)
        if "bidirectional" in self.flags and not cell.endswith(CELL_SUFFIX):
            pins["bidirectional"] = _kept(pins.get("bidirectional", (False, True)), self.flags["bidirectional"])
            if not pins["bidirectional"]:
                return self.said("bidirectional")
        if why := self._layouts(pins, cell):
            return why
        of_field = {SIZES[key]: sizes for key, sizes in self.sizes.items()}
        return replace(family, pinned=pins, far_sizes=of_field.get(family.far))

    def _real(self, family: RealCases, cell: str) -> RealCases | str:
        """The real configurations whose sizes are possible, with other words of a layout if need be."""
        there = [case for case in (OF_GATES if family.of_gates else REAL).values() if not self._misfit(case, cell)]
        if not there:
            return self._misfit(next(iter(REAL.values())), cell)
        return replace(family, adapt=lambda case: None if self._misfit(case, cell) else self.nearest(case, cell))

    def _misfit(self, case: Case, cell: str) -> str:
        """The key by which a case is impossible whatever its dtype and layout, in words; "" if by none."""
        used = {"packed": case.packed, "proj_size": case.projection and cell == LSTM}
        outside = [key for key, sizes in self.sizes.items() if getattr(case, SIZES[key]) not in sizes]
        outside += [key for key, is_used in used.items() if is_used and not self.features.get(key, True)]
        outside += ["bidirectional"] if case.bidirectional not in self.flags.get("bidirectional", (False, True)) else []
        return next(map(self.said, outside), "")

    def _size(self, family: Cases, pins: dict[str, tuple[Any, ...]], key: str, cell: str) -> bool:
        """Narrows one size; whether that leaves any."""
        name, sizes = SIZES[key], self.sizes[key]
        if name == family.far:
            return sizes.nearest(axes.FAR[name][1]) >= axes.FAR[name][0]
        if name == "steps" and "short" in pins:
            if sizes.smallest == 1 and sizes.multiple_of == 1 and not sizes.only:
                return True  # fewer steps are possible too
            del pins["short"]
            pins["steps"] = tuple(size for size in sizes.first(FEW_SIZES) if size <= axes.FEWEST_SHORT)
        elif name in family.near or (key in WIDTHS and name in pins and _is_small(family)):
            pins[name] = _kept(pins[name], sizes) or sizes.first(len(set(pins[name])))
        elif name in pins:
            pins[name] = _kept(pins[name], sizes)
        else:
            pins[name] = sizes.choices(axes.USUAL[name])
        values = pins[name]
        pins[name] = (*values, *values[:1] * list(SIZES).index(key))  # no two sizes may have equal strategies
        return bool(values)

    def _name(self, family: Cases, pins: dict[str, tuple[Any, ...]], key: str, cell: str) -> bool:
        """Narrows dtypes or memory. Devices are those of the run, which has no others."""
        field = {"dtypes": "dtype", "memory": "memory"}.get(key)
        if field is not None:
            usual = axes.MEMORY if field == "memory" else axes.DTYPES
            pins[field] = _kept(pins.get(field, usual), self.names[key])
        return field is None or bool(pins[field])

    def _feature(self, family: Cases, pins: dict[str, tuple[Any, ...]], key: str, cell: str) -> bool:
        """Narrows what is drawn apart from a layout."""
        field = {"packed": "packed", "proj_size": "projection"}.get(key)
        if field is not None and not self.features[key] and (field == "packed" or cell == LSTM):
            pins[field] = _kept(pins.get(field, (False, True)), (False,))
            return bool(pins[field])
        return True

    def _layouts(self, pins: dict[str, tuple[Any, ...]], cell: str) -> str:
        """Keeps the layouts that are possible; what is stated where none is."""
        permitted = pins.get("layout", axes.LAYOUTS)
        for key, is_kept in self._words(cell).items():
            kept = tuple(layout for layout in permitted if is_kept(layout))
            if not kept:
                return self.said(key)
            permitted = kept
        if len(permitted) < len(pins.get("layout", axes.LAYOUTS)):
            pins["layout"] = permitted
        return ""

    def _words(self, cell: str) -> dict[str, Callable[[tuple[str, ...]], bool]]:
        """By key, whether a layout is possible."""
        possible: dict[str, Callable[[tuple[str, ...]], bool]] = {}
        for key, word in FLAGS.items():
            if word and key in self.flags:
                values = {value is (key == "batch_first") for value in self.flags[key]}  # whether the word may stand
                possible[key] = lambda layout, word=word, values=values: (word in layout) in values  # type: ignore[misc]
        if self.states is not None and self.states is not True:
            without = self.states is False
            possible[STATES] = lambda layout: ("nohx" in layout) is without
        for key, word in (("unbatched", "unb"), ("dropout", "drop")):
            if not self.features.get(key, True):
                possible[key] = lambda layout, word=word: word not in layout  # type: ignore[misc]
        single = cell.endswith(CELL_SUFFIX)
        return {key: is_kept for key, is_kept in possible.items() if not (single and key in OF_A_SEQUENCE)}

    def nearest(self, case: Case, cell: str) -> Case:
        """The case with sizes and words changed, as little as needed, until the statement permits them."""
        single = cell.endswith(CELL_SUFFIX)
        keys = [key for key in self.sizes if not (single and key in OF_A_SEQUENCE)]
        changed: dict[str, Any] = {SIZES[key]: self.sizes[key].nearest(getattr(case, SIZES[key])) for key in keys}
        if case.device.partition(":")[0] not in self.names.get("devices", NAMES["devices"]):
            changed["device"] = self.names["devices"][0]
        if case.dtype not in self.names.get("dtypes", axes.DTYPES):
            changed["dtype"] = self.names["dtypes"][0]
        if case.memory not in self.names.get("memory", axes.MEMORY):
            changed["memory"] = self.names["memory"][0]
        if "bidirectional" in self.flags and not single and case.bidirectional not in self.flags["bidirectional"]:
            changed["bidirectional"] = not case.bidirectional
        words = list(case.layout)
        for key, word in (*((key, word) for key, word in FLAGS.items() if word), (STATES, "nohx")):
            is_kept = self._words(cell).get(key)
            if is_kept is not None and not is_kept(tuple(words)):
                words = [one for one in words if one != word] if word in words else [*words, word]
        ordered = tuple(word for word in axes.LAYOUT_WORDS if word in words)
        return replace(case, layout=ordered, **changed)

    def beyond(self, case: Case, cell: str) -> Iterator[tuple[str, Case]]:
        """Cases near a possible one that are impossible by what is stated under one key, and that in words."""
        single = cell.endswith(CELL_SUFFIX)
        for key, beyond in (*self._other_values(case), *self._other_words(case), *self._other_features(case, cell)):
            if not (single and key in OF_A_SEQUENCE):
                yield self.said(key), beyond

    def _other_values(self, case: Case) -> Iterator[tuple[str, Case]]:
        """By key, the case with a size, a dtype, a kind of memory or directions that are not stated."""
        for key, sizes in self.sizes.items():
            yield from ((key, case.of_size(SIZES[key], size)) for size in sizes.beyond())
        yield from (("dtypes", replace(case, dtype=name)) for name in self._left_out("dtypes"))
        yield from (("memory", replace(case, memory=name)) for name in self._left_out("memory"))
        if len(self.flags.get("bidirectional", (False, True))) == 1:
            yield "bidirectional", replace(case, bidirectional=not case.bidirectional)

    def _other_words(self, case: Case) -> Iterator[tuple[str, Case]]:
        """By key, the case with a word of its layout more or less than is stated."""
        words = {key: word for key, word in FLAGS.items() if word and len(self.flags.get(key, (False, True))) == 1}
        words |= {STATES: "nohx"} if self.states in (False, REQUIRED) else {}
        words |= {} if self.features.get("dropout", True) else {"dropout": "drop"}
        words |= {} if self.features.get("unbatched", True) else {"unbatched": "unb"}
        for key, word in words.items():
            layout = tuple(one for one in axes.LAYOUT_WORDS if one in set(case.layout) ^ {word})
            one_row = case.of_size("batch_size", 1) if word == "unb" else case
            yield key, replace(one_row, layout=layout)

    def _other_features(self, case: Case, cell: str) -> Iterator[tuple[str, Case]]:
        """By key, the case as a packed one, or with a projection, where these are stated as impossible."""
        if not self.features.get("packed", True):
            rows = range(case.batch_size)
            yield "packed", replace(case, lengths=tuple(max(1, case.steps - row) for row in rows))
        if not self.features.get("proj_size", True) and cell == LSTM and case.hidden_size > 1:
            yield "proj_size", replace(case, proj_size=1)

    def _left_out(self, key: str) -> tuple[str, ...]:
        """The names that are not stated under a key; none where nothing is."""
        return tuple(name for name in NAMES[key] if name not in self.names.get(key, NAMES[key]))

    def promises(self, feature: str, problem: Problem) -> bool:
        """Whether a feature of `FEATURE_KEYS`, or a plain call (""), is stated as possible by name."""
        if not feature:
            return "dtypes" in self.names or "devices" in self.names
        key = FEATURE_KEYS.get(feature, "")  # "" for the name of a cell that there is not
        if key == "layers":
            return key in self.sizes and problem.architecture.num_layers in self.sizes[key]
        return key in self.flags or self.features.get(key, False)


FEATURE_KEYS = {
    "projection": "proj_size",
    "packed sequences": "packed",
    "unbatched input": "unbatched",
    "bidirectional": "bidirectional",
    "several layers": "layers",
    "bias=False": "bias",
    "batch_first": "batch_first",
    "dropout in evaluation mode": "dropout",
}
"""The key under which each optional feature of a call is stated."""


def _is_small(family: Cases) -> bool:
    """Whether a family has small widths only, or any: not some that depend on each other."""
    return all(max(family.pinned.get(name, (1,))) <= FEW_SIZES for name in WIDTHS)


def _kept(values: tuple[Any, ...], permitted: Any) -> tuple[Any, ...]:
    return tuple(value for value in values if value in permitted)


def read(statement: object) -> Stated:
    """What a plain dictionary states. Raises StatementError."""
    if not isinstance(statement, Mapping):
        raise StatementError(f"is a {type(statement).__name__}; a dictionary is wanted, such as {{'packed': False}}")
    if not statement:
        raise StatementError("is empty; leave it out, or state something")
    for key in statement:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, 1)
            raise StatementError(
                f"has no key {key!r}; " + (f"the nearest is {near[0]!r}" if near else f"it has {', '.join(KEYS)}")
            )
    given = dict(statement)
    return Stated(
        {key: _sizes(key, given[key]) for key in SIZES if key in given},
        {key: _flag(key, given[key]) for key in FLAGS if key in given},
        {key: _feature(key, given[key]) for key in FEATURES if key in given},
        _states(given[STATES]) if STATES in given else None,
        {key: _names(key, given[key], known) for key, known in NAMES.items() if key in given},
        _accuracy(given[ACCURACY]) if ACCURACY in given else None,
    )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _sizes(key: str, value: object) -> Sizes:
    wanted = f"{key!r} is a number from 1 on, several of them, or a dictionary of {', '.join(LIMITS)}"
    if isinstance(value, Mapping):
        if not value or not value.keys() <= set(LIMITS) or not all(map(_is_size, value.values())):
            raise StatementError(f"{wanted}; not {value!r}")
        found = Sizes(value.get("min", 1), value.get("max"), value.get("multiple_of", 1))
        if next(iter(found), None) is None:
            raise StatementError(f"{key!r}: no size is {found}")
        return found
    several = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not several or not all(map(_is_size, several)):
        raise StatementError(f"{wanted}; not {value!r}")
    return Sizes(only=several)


def _flag(key: str, value: object) -> tuple[bool, ...]:
    several = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not several or not all(isinstance(one, bool) for one in several):
        raise StatementError(f"{key!r} is the value that it can have, True or False, or [False, True]; not {value!r}")
    return several


def _feature(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise StatementError(f"{key!r} is True for what is possible and False for what is not; not {value!r}")
    return value


def _states(value: object) -> bool | str:
    if isinstance(value, bool) or value == REQUIRED:
        return value  # type: ignore[return-value]
    raise StatementError(
        f"{STATES!r} is True where initial states can be given, False where not, {REQUIRED!r} where they have to be; "
        f"not {value!r}"
    )


def _names(key: str, value: object, known: tuple[str, ...]) -> tuple[str, ...]:
    several = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not several or not all(isinstance(one, str) and one in known for one in several):
        raise StatementError(f"{key!r} lists some of {', '.join(known)}; not {value!r}")
    return several  # type: ignore[return-value]


def _accuracy(value: object) -> Accuracy:
    wanted = f"{ACCURACY!r} is a dictionary of tanh, sigmoid and accumulation, each an error in units of roundoff"
    if not isinstance(value, Mapping) or not value or not value.keys() <= {*FUNCTIONS, "accumulation"}:
        raise StatementError(f"{wanted}; not {value!r}")
    functions = {name: _error(name, value[name]) for name in FUNCTIONS if name in value}
    sums: Any = value.get("accumulation")
    if sums is not None and not _is_error(sums, ERRORS["relative"]):
        raise StatementError(f"{wanted}, from 0 to {ERRORS['relative']:g}; not {sums!r}")
    return Accuracy(functions.get("tanh"), functions.get("sigmoid"), None if sums is None else float(sums))


def _error(name: str, value: object) -> tuple[float, float]:
    """The relative and the absolute error of a function."""
    parts: Mapping[Any, Any] = value if isinstance(value, Mapping) else {"relative": value}
    if not parts or not parts.keys() <= ERRORS.keys() or not all(_is_error(parts[key], ERRORS[key]) for key in parts):
        limits = " and ".join(f"{key} up to {most:g}" for key, most in ERRORS.items())
        raise StatementError(f"{name!r} is an error in units of roundoff, or a dictionary of {limits}; not {value!r}")
    return float(parts.get("relative", 0.0)), float(parts.get("absolute", 0.0))


def _is_error(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
