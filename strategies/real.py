"""Configurations of recurrent modules as users run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from hypothesis import strategies as st

from reference.problem import GATES, LSTM
from strategies import axes
from strategies.axes import Axes, AxesInForce
from strategies.case import Case
from strategies.families import Cases
from strategies.values import INITIAL

REAL: Mapping[str, Case] = {
    "embedded controller": Case(6, 16, steps=1000),
    "forecaster": Case(7, 64, 2, 32, 96, layout=("bf", "nohx")),
    "anomaly detector": Case(38, 64, 2, 64, 100, layout=("bf",)),
    "keyword spotter": Case(40, 128, 1, 16, 98, layout=("nohx",), proj_size=64),
    "decoder step": Case(256, 256, 1, 256, 1, layout=("bf",)),
    "tagger": Case(100, 200, 1, 32, 30, True, layout=("bf", "nohx"), lengths=tuple(range(30, 14, -1)) * 2),
    "video summariser": Case(512, 256, 1, 8, 64, True, layout=("bf", "nohx")),
    "character model": Case(65, 512, 2, 32, 100, layout=("bf",)),
    "sentence encoder": Case(300, 512, 1, 64, 25, True, layout=("nohx",), lengths=tuple(range(25, 9, -1)) * 4),
    "translation encoder": Case(512, 512, 2, 64, 30, layout=("nohx",), lengths=tuple(range(30, 14, -1)) * 4),
    "speech encoder": Case(80, 320, 4, 8, 400, True, layout=("bf", "nohx")),
    "language model": Case(400, 1150, 3, 20, 70),
}
"""Each in full."""

PART, PART_OF_GATES = 2, 16
"""They have at most one in so many of the numbers that a case with a size far out has: all their axes are long.

The second is of those in which every gate has an input of its own.
"""


def reduced(case: Case, most: int) -> Case | None:
    """The case with fewer rows, then fewer steps, until it has at most so many numbers.

    Layers and units stay. None if the parameters alone have more.
    """
    for field in ("batch_size", "steps"):
        case = case.within(most, field)
    return case if case.numbers() <= most else None


def gates_as_inputs(case: Case) -> Case:
    """One layer of the case, with an input for every gate of any cell; without projection."""
    inputs = len(GATES[LSTM]) * (1 + case.bidirectional) * case.hidden_size
    return replace(case, input_size=inputs, num_layers=1, proj_size=0)


OF_GATES: Mapping[str, Case] = {name: gates_as_inputs(case) for name, case in REAL.items()}


@cache
def that_fit(most: int, of_gates: bool = False) -> tuple[Case, ...]:
    """The configurations whose parameters alone have at most so many numbers, reduced."""
    whole = OF_GATES if of_gates else REAL
    return tuple(case for case in (reduced(case, most) for case in whole.values()) if case is not None)


@dataclass(frozen=True)
class RealCases(Cases):
    """Cases whose sizes are those of `REAL`, reduced to what the run allows.

    of_gates  one layer of them, with an input for every gate
    adapt     makes of each configuration one that a subject can do, or None; if the subject states anything
    """

    of_gates: bool = False
    adapt: Callable[[Case], Case | None] | None = None

    @property
    def large(self) -> bool:
        return True

    def strategy(self, axes_in_force: AxesInForce = Axes) -> st.SearchStrategy[Case]:
        """Draws one of the configurations that the run allows, a dtype, a device and numbers; shrinks to the first."""

        def chosen(place: int, dtype: str, device: str, seed: int, pick: int) -> Case:
            part = PART_OF_GATES if self.of_gates else PART
            fitting = self._possible(axes_in_force().most_numbers // part)
            case = fitting[place % len(fitting)]
            return replace(case, dtype=dtype, device=device, fill=INITIAL, seed=seed, pick=pick)

        return st.builds(
            chosen,
            place=st.sampled_from(range(720_720)),
            dtype=axes.dtypes(axes_in_force),
            device=axes.devices(axes_in_force),
            seed=axes.seeds(),
            pick=axes.picks(),
        )

    def _possible(self, most: int) -> tuple[Case, ...]:
        """The configurations that the run allows and the subject can do; the smallest of these where there is none."""
        if self.adapt is None:
            return that_fit(most, self.of_gates)
        whole = (OF_GATES if self.of_gates else REAL).values()
        there = sorted(filter(None, map(self.adapt, whole)), key=Case.numbers)
        fitting = tuple(filter(None, map(self.adapt, that_fit(most, self.of_gates))))
        return fitting or (there[0].of_size("batch_size", 1).of_size("steps", 1),)

    def __contains__(self, case: Case) -> bool:
        return any(_sizes(case) == _sizes(real) for real in (OF_GATES if self.of_gates else REAL).values())


def _sizes(case: Case) -> tuple[Any, ...]:
    """What is never reduced."""
    return case.input_size, case.hidden_size, case.proj_size, case.num_layers, case.bidirectional, bool(case.lengths)


def real_cases(share: int = 40, gates_as_inputs: bool = False) -> RealCases:
    """The family; a property draws one case where it draws `share` of an ordinary family.

    gates_as_inputs: of one layer, with an input for every gate.
    """
    return RealCases({}, share=share, of_gates=gates_as_inputs)


def name_of(case: Case) -> tuple[str, bool]:
    """The name of the configuration that a case of the family is, and whether it has all its rows and steps.

    Raises KeyError for another case.
    """
    whole = {_sizes(real): (name, real) for name, real in REAL.items()}
    name, real = whole[_sizes(case)]
    return name, (case.batch_size, case.steps) == (real.batch_size, real.steps)
