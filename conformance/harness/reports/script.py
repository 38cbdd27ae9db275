"""Scripts that show a finding with torch alone."""

from __future__ import annotations

from collections.abc import Callable

from conformance.harness.checks.case_record import Found
from conformance.harness.reports.derivatives import derivative
from conformance.harness.reports.endings import ending
from conformance.harness.reports.facts_of_calls import fact
from conformance.harness.reports.gradients import gradient
from conformance.harness.reports.memory import grown
from conformance.harness.reports.no_script import NoScript
from conformance.harness.reports.numbers import number
from conformance.harness.reports.packing import packing
from conformance.harness.reports.pairs import pair
from conformance.harness.reports.relations import relation
from conformance.harness.reports.world import surrounded

WITH_DEFECT, WITHOUT_DEFECT, CANNOT_RUN = 10, 0, 2
"""Exit codes of every script."""

WRITERS: tuple[Callable[[Found], str | None], ...] = (
    surrounded,
    grown,
    ending,
    packing,
    derivative,
    number,
    gradient,
    pair,
    relation,
    fact,
)
"""Each writes the script of one kind of finding, and returns None for others."""


def script(found: Found) -> str:
    """The script of a finding. Raises NoScript if there is none."""
    reasons = list[NoScript]()
    for write in WRITERS:
        try:
            text = write(found)
        except NoScript as reason:
            reasons.append(reason)
        else:
            if text is not None:
                return text
    raise reasons[0] if reasons else NoScript(f"none is written of what {found.finding.kind}")
