"""Scripts of memory that calls keep."""

from __future__ import annotations

from conformance.harness.checks.case_record import Found
from conformance.harness.checks.memory import FIRST_LAPS, MOST_PER_CALL
from conformance.harness.execution.observation import InLaps
from conformance.harness.execution.requests.laps import LAPS
from conformance.harness.findings.rendering import constructor
from conformance.harness.observe import FEW_LENGTHS
from conformance.harness.reports.bare_call import BareCall
from conformance.harness.reports.call_text import ENVIRONMENT


def grown(found: Found) -> str | None:
    """The script of a module that takes memory for lengths that it has met before."""
    finding, seen = found.finding, found.seen
    if not isinstance(seen, InLaps) or finding.field != "memory":
        return None
    problem = seen.problem
    return ENVIRONMENT.get_template("memory.py.j2").render(
        title=f"{constructor(problem.architecture)}, {problem.dtype}: memory grows with calls of lengths met before",
        seen=f"{finding.lines[-1]}.",
        steps=problem.steps,
        laps=LAPS,
        first=FIRST_LAPS,
        allowed=MOST_PER_CALL,
        differentiated=FEW_LENGTHS.steps,
        rows=problem.batch_size,
        input_size=problem.architecture.input_size,
        hidden=problem.architecture.hidden_size,
        dtype=problem.dtype,
        constructor=BareCall(problem, seen.route).constructed,
    )
