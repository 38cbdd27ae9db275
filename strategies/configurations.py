"""Configurations of a user's modules, and the families of cases that a property has there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from reference.problem import CELL_SUFFIX
from strategies import axes
from strategies.axes import Axes, AxesInForce
from strategies.case import Case
from strategies.cost import seconds_of
from strategies.families import ONE_STEP, Cases
from strategies.real import PART_OF_GATES, RealCases, gates_as_inputs
from strategies.weights import Weights

OWN_WORDS = ("bf", "nobias", "drop")
"""Layout words that are a module's own; the others are choices of a call."""

SIZES = ("input_size", "hidden_size", "num_layers")

FEW_ROWS, FEW_STEPS = (1, 2, 3), (1, 2, 3, 4, 5)
"""Rows and steps that are drawn beside those of the model."""

NUMBERS_OF_ORDINARY_CASE = 2**13
"""A configuration with so many times more numbers is drawn as many times less often."""

MOST_SHARE = 40


@dataclass(frozen=True)
class Configuration:
    """A module of a model.

    cell     one of `CELLS`
    case     its sizes and flags, the dtype, and the rows, steps and lengths of its largest call
    modules  its names: the model and the path in it, of every module that has this configuration
    weights  the parameters of the first module, if they are known
    several  whether the run has other models too, so that a path alone does not name a module
    calls    calls of other rows, steps or lengths, the largest first
    others   the parameters of the other modules, as far as they differ
    """

    cell: str
    case: Case
    modules: tuple[tuple[str, str], ...]
    weights: Weights | None = None
    several: bool = False
    calls: tuple[Case, ...] = ()
    others: tuple[Weights, ...] = ()

    @property
    def name(self) -> str:
        """The path of the first module, such as `encoder.rnn`; behind its model if the run has several."""
        model, path = self.modules[0]
        return f"{model}:{path}" if self.several else path

    @property
    def key(self) -> tuple[str, Case, tuple[Case, ...]]:
        """What is equal in modules of one configuration."""
        return self.cell, self.case, self.calls

    @property
    def every_weights(self) -> tuple[Weights, ...]:
        """The parameters of all of its modules, as far as they are known."""
        return ((self.weights,) if self.weights is not None else ()) + self.others


@dataclass(frozen=True)
class ModelCases(Cases):
    """Cases of one configuration.

    whole    the first cases: the rows and steps of each call in full, as far as the family has them, the largest first
    drawn    rows and steps that are drawn where the family leaves them free, and the choosers of extensions
    weights  real parameters, drawn beside others; none if the family pins the numbers, or none are known
    part     a case has at most one in so many of the numbers that the run permits
    clause   of the property, which tells what a case costs
    """

    whole: tuple[Case, ...] = (Case(),)
    drawn: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    weights: tuple[Weights, ...] = ()
    part: int = 1
    clause: str = ""

    @property
    def large(self) -> bool:
        return True

    def strategy(self, axes_in_force: AxesInForce = Axes) -> st.SearchStrategy[Case]:
        """Draws from the family at the configuration; shrinks towards one row and step with drawn weights."""
        drawn = Cases({**self.pinned, **self.drawn}).strategy(axes_in_force)
        cases = drawn.map(
            lambda case: self.affordable(case, axes_in_force().most_numbers, axes_in_force().most_seconds)
        )
        if not self.weights:
            return cases
        return st.builds(_with_weights, cases, st.sampled_from([None, *self.weights]))

    def firsts(self, most: int, seconds: float = math.inf) -> list[tuple[Case, Case]]:
        """Each call in full, reduced likewise, and as it is; the largest with the parameters of each module."""
        reduced = {self.affordable(case, most, seconds): case for case in reversed(self.whole)}
        (largest, whole), *others = reversed(reduced.items())
        weights = self.weights or (None,)
        firsts = [(_with_weights(largest, one), whole) for one in weights]
        return firsts + [(_with_weights(case, weights[0]), whole) for case, whole in others]

    def affordable(self, case: Case, most: int, seconds: float = math.inf) -> Case:
        """The case with fewer rows, then fewer steps, until it has at most so many numbers and estimated seconds.

        Units and layers stay.
        """

        def fits(one: Case) -> bool:
            return one.numbers() <= most // self.part and seconds_of(one, self.clause) <= seconds

        for name in FREE:
            size = getattr(case.reduced(name, fits), name)
            permitted = self.pinned.get(name)
            if permitted is not None and size not in permitted:
                size = max((one for one in permitted if one <= size), default=min(permitted))
            case = case.of_size(name, size) if size < getattr(case, name) else case
        return case


def _with_weights(case: Case, weights: Weights | None) -> Case:
    return replace(case, weights=weights) if weights is not None else case


def at(family: Cases, configuration: Configuration, long: bool, clause: str = "") -> ModelCases | str:
    """The family's cases at a configuration, or the reason why it has none there.

    long: whether its bounds stay narrow at any number of steps; others run at 5 steps at most, or 2 in bfloat16.
    clause: of the property.
    """
    if isinstance(family, RealCases):
        found = _of_real(family, configuration)
        return found if isinstance(found, str) else replace(found, clause=clause)
    pins = {name: values for name, values in family.pinned.items() if name not in family.near}
    case = configuration.case
    if reason := _excluded(pins, case):
        return reason
    layouts = _layouts(pins, case)
    if not layouts:
        return "about other flags"
    weights = configuration.every_weights if "fill" not in pins else ()
    own: dict[str, tuple[Any, ...]] = {name: (getattr(case, name),) for name in (*SIZES, "proj_size", "bidirectional")}
    pinned = {"fill": axes.NEAR["fill"]} | pins | own | {"layout": layouts, "dtype": (case.dtype,)}
    long = long or family.far == "steps"
    if not long and not {"steps", "short"} & pins.keys():
        pinned["steps"] = tuple(range(1, case.most_steps + 1))
    pinned.pop("projection", None)  # proj_size is pinned itself
    drawn: dict[str, tuple[Any, ...]] = {"projection": (False,)}
    calls = (case, *configuration.calls)
    drawn |= {
        name: _beside(few, [getattr(one, name) for one in calls]) for name, few in FREE.items() if name not in pinned
    }
    if "short" in pinned:
        drawn.pop("steps", None)
    whole = tuple(dict.fromkeys(_whole(pinned, one, layouts) for one in calls))
    return ModelCases(pinned, share=_share(case), whole=whole, drawn=drawn, weights=weights, clause=clause)


FREE = {"batch_size": FEW_ROWS, "steps": FEW_STEPS}
"""Sizes of a call, which a module does not fix."""


def _beside(few: tuple[int, ...], sizes: Sequence[int]) -> tuple[int, ...]:
    """The small sizes, and those of the model as often as one of them."""
    return tuple(dict.fromkeys((*few, *sizes)))


def _of_real(family: RealCases, configuration: Configuration) -> ModelCases | str:
    """What is asked of real configurations is asked of this one in full."""
    if configuration.cell.endswith(CELL_SUFFIX):
        return "about sequences"
    case = gates_as_inputs(configuration.case) if family.of_gates else configuration.case
    weights = () if family.of_gates else configuration.every_weights
    fields = ("layout", "dtype", "proj_size", "bidirectional", *SIZES)
    pinned: dict[str, tuple[Any, ...]] = {name: (getattr(case, name),) for name in fields}
    pinned |= {"fill": ("initial",), "memory": ("contiguous",), "packed": (case.packed,)}
    drawn = {"projection": (False,)} | {name: (getattr(case, name),) for name in FREE}
    part = PART_OF_GATES if family.of_gates else 1
    whole = (replace(case, fill="initial"),)
    return ModelCases(
        pinned, share=family.share, least=family.least, whole=whole, drawn=drawn, weights=weights, part=part
    )


def _excluded(pins: Mapping[str, tuple[Any, ...]], case: Case) -> str:
    """The pin that leaves the configuration out, in words; "" if none does."""
    needed = {
        "dtype": "other dtypes",
        "bidirectional": "one direction" if case.bidirectional else "two directions",
        "projection": "no projection" if case.projection else "a projection",
    }
    for name, what in needed.items():
        if name in pins and getattr(case, name) not in pins[name]:
            return f"about {what}"
    for name in SIZES:
        if name in pins and not _fits(getattr(case, name), pins[name]):
            several = f" to {max(pins[name])}" if len(set(pins[name])) > 1 else ""
            return f"about {name} {min(pins[name])}{several}"
    return ""


def _fits(size: int, permitted: tuple[int, ...]) -> bool:
    """Whether a family has the size. Several that begin above 1 stand for that many and more."""
    return size in permitted or (len(set(permitted)) > 1 and min(permitted) > 1 and size > max(permitted))


def _layouts(pins: Mapping[str, tuple[Any, ...]], case: Case) -> tuple[tuple[str, ...], ...]:
    """The layouts that a family permits with the module's own words; without dropout where it has none with it."""
    own = {word for word in OWN_WORDS if word in case.layout}
    permitted = pins.get("layout", axes.LAYOUTS)
    found = [
        tuple(words for words in permitted if set(OWN_WORDS) & set(words) == wanted) for wanted in (own, own - {"drop"})
    ]
    return found[0] or found[1]


def _whole(pinned: Mapping[str, tuple[Any, ...]], case: Case, layouts: tuple[tuple[str, ...], ...]) -> Case:
    """The call in full, as far as the family has it."""
    lengths = case.lengths if pinned.get("packed") != (False,) else ()
    if pinned.get("packed") == (True,) and not lengths:
        lengths = tuple(max(1, case.steps - row) for row in range(case.batch_size))
    fill = "initial" if "initial" in pinned["fill"] else pinned["fill"][0]
    own = tuple(word for word in case.layout if not (word == "unb" and lengths))
    without = tuple(word for word in own if word != "drop")
    layout = next((words for words in (own, without) if words in layouts), layouts[0])
    whole = replace(case, lengths=lengths, layout=layout, fill=fill)
    whole = replace(whole, memory=pinned.get("memory", ("contiguous",))[0])
    if "short" in pinned:
        whole = whole.of_size("steps", min(whole.steps, whole.most_steps))
    for name in FREE:
        permitted = pinned.get(name)
        if permitted is not None and getattr(whole, name) not in permitted:
            size = max((one for one in permitted if one <= getattr(whole, name)), default=min(permitted))
            whole = replace(whole, **{name: size}) if not lengths else whole.of_size(name, size)
    return whole


def _share(case: Case) -> int:
    """How many times less often a case of this configuration is drawn than an ordinary one."""
    few = replace(case, batch_size=max(FEW_ROWS), steps=max(FEW_STEPS), lengths=())
    return max(1, min(MOST_SHARE, few.numbers() // NUMBERS_OF_ORDINARY_CASE))


def of_module(cell: str, case: Case) -> Case:
    """The case of a module of this cell: one that takes one step has no other."""
    if not cell.endswith(CELL_SUFFIX):
        return case
    layout = tuple(word for word in case.layout if word not in ("bf", "drop"))
    fields: dict[str, Any] = {name: size for name, size in ONE_STEP.items() if name != "batch_first"}
    return replace(case, layout=layout, lengths=(), **fields)
