"""How long both sides take: pairs of calls, one side after the other, so that a busy machine slows both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from conformance.comparing.sides import Side
from conformance.harness.cells import MODULES, SINGLE_STEPS
from conformance.harness.execution.requests.timed import CallTimed
from reference.problem import Problem
from strategies import Case
from strategies.values import INITIAL

PAIRS = 11
"""So many pairs of measurements of each configuration; the least of a few calls is one measurement."""

SLOWER_TIMES, IN_PAIRS = 2.0, 9
"""A configuration is slower where the new side takes more than twice as long in at least so many pairs."""

ROUTES = ("no_grad", "grad")


@dataclass(frozen=True)
class Configuration:
    """A call that is timed: on `grad` a backward pass goes with it."""

    label: str
    problem: Problem
    route: str


@dataclass(frozen=True)
class Times:
    """The seconds of both sides, pair by pair; `cannot` says why there are none."""

    label: str
    old: tuple[float, ...] = ()
    new: tuple[float, ...] = ()
    cannot: str = ""

    @property
    def ratios(self) -> list[float]:
        """new / old of each pair."""
        return [after / before for before, after in zip(self.old, self.new, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def is_slower(self) -> bool:
        return sum(ratio > SLOWER_TIMES for ratio in self.ratios) >= IN_PAIRS


def configurations(cells: Sequence[str] = ()) -> Iterator[Configuration]:
    """Each cell at a size at which kernels, not Python, take the time; with and without gradients."""
    for cell in cells or (*MODULES, *SINGLE_STEPS):
        steps = 1 if cell in SINGLE_STEPS else 32
        case = Case(64, 128, steps=steps, batch_size=16, fill=INITIAL)
        yield from (Configuration(f"{case.line(cell)} {route}", case.on(cell), route) for route in ROUTES)


def timed(chosen: Iterable[Configuration], old: Side, new: Side) -> list[Times]:
    """The times of each configuration."""
    return [_times(one, old, new) for one in chosen]


def _times(of: Configuration, old: Side, new: Side) -> Times:
    seconds: tuple[list[float], list[float]] = ([], [])
    request = CallTimed(of.problem, (of.route,))
    for pair in range(PAIRS):
        for turn in (0, 1) if pair % 2 == 0 else (1, 0):  # neither side always has the warmer machine
            (seen,) = (old, new)[turn].ask(request)
            if seen.failure is not None:
                return Times(of.label, cannot=seen.failure.title)
            seconds[turn].append(min(seen.seconds))
    return Times(of.label, tuple(seconds[0]), tuple(seconds[1]))
