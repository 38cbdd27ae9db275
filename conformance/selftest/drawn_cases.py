"""Cases drawn as the properties draw them, for commands that look at many."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis

from strategies import Case, Cases


def look_at(family: Cases, count: int, seed: int, look: Callable[[Case], None]) -> None:
    """Calls `look` on `count` cases of a family, the same ones for the same seed."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(family.strategy())
    def each(case: Case) -> None:
        look(case)

    each()
