"""What a case of a command line will probably take, said or refused before it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from conformance.harness.findings.rendering import counted
from conformance.harness.property import Property, properties
from conformance.harness.pytest_plugin.asked import asked
from conformance.harness.pytest_plugin.options import OptionError, Options
from strategies import Case
from strategies.cost import seconds_of

SECONDS_TO_SAY = 10.0
"""From so many estimated seconds on a case is announced."""

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Cost:
    """The estimated processor seconds of a case, and the properties that it fits."""

    seconds: float
    properties: int

    @property
    def announced(self) -> str:
        """What to say before it runs; "" where that is soon over."""
        return f"the case takes {self._said}" if self.seconds >= SECONDS_TO_SAY else ""

    @property
    def _said(self) -> str:
        size, unit = next((size, unit) for size, unit in _UNITS if self.seconds >= size)
        return f"about {counted(round(self.seconds / size), unit)} on {counted(self.properties, 'property')}"

    def require_allowed(self, most: float, remedy: str) -> None:
        """Raises OptionError where it is more than so many seconds; 0 allows any."""
        if most and self.seconds > most:
            raise OptionError(f"the case takes {self._said}, more than {most:,.0f} s: {remedy}")


def cost_of(case: Case, tried: Iterable[tuple[Property, str]]) -> Cost:
    """The cost of a case on these properties, each with its cell."""
    each = [seconds_of(case, tested.clause.id) for tested, _ in tried]
    return Cost(sum(each), len(each))


def of_run(options: Options) -> Cost | None:
    """The cost of --case; None without one."""
    case = options.case
    if case is None:
        return None
    cells = [options.cell] if options.cell else options.cells
    every = asked(properties(), options.fleet).properties if options.fleet.configurations else properties()
    return cost_of(case, [(one, cell) for one in every for cell in cells if one.fits(case, cell)])
