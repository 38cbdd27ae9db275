"""Cases drawn as the properties draw them, and other inputs, for commands that look at many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import hypothesis
from hypothesis.strategies import SearchStrategy

from strategies.axes import Axes, AxesInForce
from strategies.case import Case
from strategies.families import Cases

Drawn = TypeVar("Drawn")


def look_at(
    family: Cases, count: int, seed: int, look: Callable[[Case], None], axes_in_force: AxesInForce = Axes
) -> None:
    """Calls `look` on `count` cases of a family, the smallest first, the same ones for the same seed."""
    look_at_each(family.strategy(axes_in_force), count, seed, look)


def look_at_each(strategy: SearchStrategy[Drawn], count: int, seed: int, look: Callable[[Drawn], None]) -> None:
    """The same of whatever a strategy draws."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def each(drawn: Drawn) -> None:
        look(drawn)

    each()
