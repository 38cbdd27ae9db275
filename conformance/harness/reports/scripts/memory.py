"""Scripts of memory that calls keep."""

from __future__ import annotations

from conformance.harness.checks.case_record import Found
from conformance.harness.checks.memory import FIRST_LAPS, MOST_PER_CALL
from conformance.harness.execution.observation import InLaps
from conformance.harness.execution.requests.laps import LAPS
from conformance.harness.observe import FEW_LENGTHS
from conformance.harness.reports.calls.bare_call import BareCall
from conformance.harness.reports.scripts.whole import rendered, sentence, title
from conformance.harness.reports.templating import code


def grown(found: Found) -> str | None:
    """The script of a module that takes memory for lengths that it has met before."""
    finding, seen = found.finding, found.seen
    if not isinstance(seen, InLaps) or finding.field != "memory":
        return None
    problem = seen.problem
    return rendered(
        finding,
        "memory.py.j2",
        title=title(finding, seen, "memory grows with calls of lengths met before"),
        seen=[sentence(finding.lines[-1])],
        imports=["ctypes", "gc", "os"],
        needs=", and Linux",
        steps=problem.steps,
        laps=LAPS,
        first=FIRST_LAPS,
        allowed=MOST_PER_CALL,
        differentiated=FEW_LENGTHS.steps,
        rows=problem.batch_size,
        input_size=problem.architecture.input_size,
        hidden=problem.architecture.hidden_size,
        dtype=problem.dtype,
        **code(constructor=BareCall.of_finding(finding, seen).constructed),
    )
