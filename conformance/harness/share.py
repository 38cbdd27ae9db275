"""The share of a run's time that a property has for its drawn cases, and what becomes of a case once that is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from conformance.harness.session import Session
from strategies import Case
from strategies.families import FEWEST_CASES

SHARES_TO_SHRINK = 10
"""A property whose case failed may take so many shares of the time of a run to find a smaller one."""


@dataclass
class Share:
    """What a property looked at so far.

    began     when each case was drawn
    failed    the cases that failed
    repeated  what those of them raised that were looked at once more when no time was left
    """

    began: list[float] = field(default_factory=list)
    failed: set[Case] = field(default_factory=set)
    repeated: dict[Case, Exception] = field(default_factory=dict)

    def look(self, here: Session, case: Case, clause: str, check: Callable[[], None]) -> None:
        """Looks at a case, if there is time. One that failed before fails again, or Hypothesis would call the test
        flaky; when no time is left it is looked at once, whatever is asked."""
        self.began.append(time.time())
        late = not here.has_time_for(case, clause)
        if late and case in self.repeated:
            raise self.repeated[case]
        if case not in self.failed and (late or self._is_used(here)):
            here.cut_short = True
            return
        try:
            check()
        except Exception as error:
            self.failed.add(case)
            if late:
                self.repeated[case] = error
            raise

    def _is_used(self, here: Session) -> bool:
        """Whether a property had its share of the time, ten of them where it shrinks a case that failed."""
        share = here.seconds_each * (SHARES_TO_SHRINK if self.failed else 1)
        return len(self.began) > FEWEST_CASES and self.began[-1] - self.began[0] > share
