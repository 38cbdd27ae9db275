"""Cases drawn as the properties draw them, for commands that look at many."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis

from strategies.axes import Axes, AxesInForce
from strategies.case import Case
from strategies.families import Cases


def look_at(
    family: Cases, count: int, seed: int, look: Callable[[Case], None], axes_in_force: AxesInForce = Axes
) -> None:
    """Calls `look` on `count` cases of a family, the smallest first, the same ones for the same seed."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(family.strategy(axes_in_force))
    def each(case: Case) -> None:
        look(case)

    each()
