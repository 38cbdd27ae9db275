"""How long both sides take: pairs of calls, one side after the other, so that a busy machine slows both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from conformance.comparing.cases import Module
from conformance.comparing.sides import Side
from conformance.harness.execution.requests.timed import CallTimed

PAIRS = 11
"""So many pairs of measurements of each configuration; the least of a few calls is one measurement."""

SLOWER_TIMES, IN_PAIRS = 2.0, 9
"""A configuration is slower where the new side takes more than twice as long in at least so many pairs."""

ROUTES = ("no_grad", "grad")


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


def timed(modules: Iterable[Module], old: Side, new: Side) -> list[Times]:
    """The times of each module without gradients, and with a backward pass."""
    return [_times(one, route, old, new) for one in modules for route in ROUTES]


def _times(of: Module, route: str, old: Side, new: Side) -> Times:
    label = f"{of.name} {route}: {of.case.line(of.cell)}"
    request = CallTimed(of.case.on(of.cell), (route,))
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in range(PAIRS):
        for turn in (0, 1) if pair % 2 == 0 else (1, 0):  # neither side always has the warmer machine
            (seen,) = (old, new)[turn].ask(request)
            if seen.failure is not None:
                return Times(label, cannot=seen.failure.title)
            seconds[turn].append(min(seen.seconds))
    return Times(label, tuple(seconds[0]), tuple(seconds[1]))
