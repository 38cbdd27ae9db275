"""Scripts of numbers outside their error bounds."""

from __future__ import annotations

from conformance.harness.checks.case_record import Found
from conformance.harness.findings.rendering import one_line
from conformance.harness.reports.call_text import Call, within
from conformance.harness.reports.whole import parts, rendered, title, where


def number(found: Found) -> str | None:
    """The script of a result outside its bound, computed by the documented equations in Python floats."""
    finding, seen, _ = found
    element = finding.element
    if element is None or element.other or finding.kind != "outside its bound" or element.name.startswith("gradient"):
        return None
    element, call = within(seen, element), Call.of(seen)
    return rendered(
        "number.py.j2",
        **parts([call], call.lines()),
        title=title(finding, seen, f"{element.name} is wrong"),
        what=[one_line(f"{where(finding)} lies outside of what rounding errors explain.")],
        got=call.got(element.name, element.where),
        expected=call.expected(element.name, element.where),
        row=element.where["row"],
        allowed=f"{element.allowed:.2g}",
        origin=f"the most that rounding errors in {seen.problem.dtype} can add up to here",
    )
