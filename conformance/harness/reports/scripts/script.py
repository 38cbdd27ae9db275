"""Scripts that show a finding with torch alone."""

from __future__ import annotations

from collections.abc import Callable

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.requests.documentation.executed import CODE
from conformance.harness.reports.calls.call_text import MOST_NUMBERS, numbers_written
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.scripts.derivatives import derivative
from conformance.harness.reports.scripts.endings import ending
from conformance.harness.reports.scripts.facts_of_calls import fact
from conformance.harness.reports.scripts.gradients import gradient
from conformance.harness.reports.scripts.lives import life
from conformance.harness.reports.scripts.memory import grown
from conformance.harness.reports.scripts.numbers import number
from conformance.harness.reports.scripts.packing import packing
from conformance.harness.reports.scripts.pairs import pair
from conformance.harness.reports.scripts.refusals import refusal
from conformance.harness.reports.scripts.relations import relation
from conformance.harness.reports.scripts.world import surrounded

WITH_DEFECT, WITHOUT_DEFECT, CANNOT_RUN = 10, 0, 2
"""Exit codes of every script."""

WRITERS: tuple[Callable[[Found], str | None], ...] = (
    life,
    surrounded,
    grown,
    refusal,
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


def needs(found: Found) -> str:
    """What a script would need that has no room in it: the numbers of a large module; "" where there is room."""
    finding, number = found.finding, numbers_written(found.seen.problem)
    if number <= MOST_NUMBERS:
        return ""
    what = "the model's weights" if " weights=" in (finding.simplified or finding.case) else "the case's numbers"
    return f"{what}, {number:,} of them, which only the suite has: {finding.again}"


def script(found: Found) -> str:
    """The script of a finding. Raises NoScript if there is none."""
    if found.seen.manner.spelled == CODE:
        raise NoScript("none is written of code in the documentation, which is its own script")
    reasons = list[NoScript]()
    for write in WRITERS:
        try:
            text = write(found)
        except NoScript as reason:
            reasons.append(reason)
        else:
            if text is not None:
                return text
    if reasons and (missing := needs(found)):
        return f"# This script needs {missing}\nraise SystemExit({CANNOT_RUN})\n"
    raise reasons[0] if reasons else NoScript(f"none is written of what {found.finding.kind}")
