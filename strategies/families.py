"""Families of cases: some fields are pinned, every other varies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from hypothesis import strategies as st

from reference.histories import EXPORT, OPERATIONS, beginning, beginnings
from strategies import axes
from strategies.axes import Axes, AxesInForce, extensions, far
from strategies.case import Case

FEWEST_CASES = 3
"""A property draws at least so many cases."""


class PermittedSizes(Protocol):
    """Values of a size."""

    def nearest(self, size: int) -> int:
        """The largest value up to `size`, or the smallest of all."""


@dataclass(frozen=True)
class Cases:
    """A family of cases: pinned fields have one of their permitted values, every other field varies.

    far    the size that is far out, "" for none
    share  a property draws one case where it draws so many of an ordinary family
    least  it draws at least so many; Hypothesis's first is the smallest one
    near   the fields that are pinned only because another size is far out
    far_sizes  the values of the size that is far out, if a subject states them
    """

    pinned: Mapping[str, tuple[Any, ...]]
    far: str = ""
    share: int = 1
    near: tuple[str, ...] = ()
    least: int = FEWEST_CASES
    far_sizes: PermittedSizes | None = None

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
            return st.builds(Case.drawn, **drawn).map(lambda case: self._far_within(case, axes().most_numbers))
        return st.builds(Case.drawn, **drawn)

    def _far_within(self, case: Case, most: int) -> Case:
        """The case with the size that is far out reduced to at most so many numbers, to a permitted value."""
        case = case.within(most, self.far)
        if self.far_sizes is None:
            return case
        return case.of_size(self.far, self.far_sizes.nearest(getattr(case, self.far)))

    def __contains__(self, case: Case) -> bool:
        return not self.misfits(case)

    def misfits(self, case: Case) -> tuple[str, ...]:
        """The fields of a case that keep it out of the family."""
        pinned = self.pinned if not case.spoil or "spoil" in self.pinned else {**self.pinned, "spoil": ("",)}
        found = tuple(name for name, permitted in pinned.items() if not _permits(permitted, name, getattr(case, name)))
        return (*found, HISTORY) if case.history and HISTORY not in self.pinned else found


FAR_SHARE = 10
"""Cases with a size far out take about ten times as long as ordinary ones."""


def cases(far: Any = "", share: Any = 0, least: Any = FEWEST_CASES, **pinned: object) -> Cases:
    """The family of all cases, or of those with fields pinned to one value or to several (a tuple or range).

    A field pinned to None varies. Besides the fields of `Case`, these may be pinned:

    projection, packed                            whether a case has a proj_size, and lengths: False unless pinned to
                                                  True, or to None for both
    short=True                                    few enough steps that bounds carried through all of them are not
                                                  vacuous, see `SHORT_STEPS`
    batch_first, bias, hx, unbatched, dropout     True or False: pins a word of the layout
    spoil                                         what is wrong with the calls, which are valid without it
    history                                       what is done to a module first; some more operations come after it

    far    the name of a size that is far out, see `axes.FAR`; the other sizes are small unless they are pinned
    share  a property draws one case where it draws so many of an ordinary family; 1, or 10 with a size far out
    least  it draws at least so many

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
    known = [*FIELDS, *EXTENSIONS, "short", "spoil", HISTORY]
    if unknown := pinned.keys() - known:
        raise TypeError(f"cases() has no field {min(unknown)!r}; it has " + ", ".join([*known, *WORDS]))
    if words:
        pinned["layout"] = tuple(
            layout for layout in axes.LAYOUTS if all((word in layout) is there for word, there in words.items())
        )
    permitted = {name: _permitted(name, value) for name, value in pinned.items() if value is not None}
    return Cases(permitted, far, share, tuple(near), least)


def _permitted(name: str, value: object) -> tuple[object, ...]:
    """The permitted values of a pinned field. A layout is itself a tuple of words."""
    one = name == "layout" and isinstance(value, tuple) and all(isinstance(word, str) for word in value)
    return tuple(value) if isinstance(value, tuple | range) and not one else (value,)


HISTORY = "history"
MOST_LATER = 5
"""The most operations that come after the one that a family is about, each with what it takes back or without."""


def _permits(permitted: tuple[Any, ...], name: str, value: Any) -> bool:
    """Whether a field of a case has a permitted value; a history has a permitted beginning."""
    if name != HISTORY:
        return value in permitted
    return any(value[: len(begin)] == begin for name in permitted for begin in beginnings(name))


def lives_from(permitted: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """Histories that begin with one of these operations; they shrink by dropping later ones."""
    names = [name for name in OPERATIONS if name != EXPORT]
    parts = [*((name,) for name in names), *(beginning(name) for name in names if len(beginning(name)) > 1)]
    later = st.lists(st.sampled_from(parts), max_size=MOST_LATER)
    begun = st.sampled_from([begin for name in permitted for begin in beginnings(name)])
    return st.builds(lambda begin, others: (*begin, *chain.from_iterable(others)), begun, later)


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
    HISTORY: lambda _, permitted: lives_from(permitted),
}
"""The strategies of pinned fields whose permitted values have weights or depend on the axes in force."""

ONE_STEP = {"num_layers": 1, "steps": 1, "bidirectional": False, "batch_first": False}
SINGLE_STEP = cases(**ONE_STEP)
"""The cases of classes that take one step at a time: one layer, one direction, no batch_first."""
