"""Scripts of numbers outside their error bounds."""

from __future__ import annotations

from dataclasses import replace

from conformance.harness.checks.case_record import Found
from conformance.harness.findings.rendering import constructor, one_line
from conformance.harness.reports.call_text import ENVIRONMENT, Call


def number(found: Found) -> str | None:
    """The script of a result outside its bound, computed by the documented equations in Python floats."""
    finding, seen, _ = found
    element, problem = finding.element, seen.problem
    if element is None or element.other or finding.kind != "outside its bound" or element.name.startswith("gradient"):
        return None
    begins = {"layer": seen.layer, "step": seen.step}
    element = replace(element, where={name: at - begins.get(name, 0) for name, at in element.where.items()})
    call = Call(problem, finding.route)
    return ENVIRONMENT.get_template("number.py.j2").render(
        **call.fields(),
        title=one_line(f"{constructor(problem.architecture)}, {problem.dtype}: {element.name} is wrong"),
        where=one_line(finding.lines[0].partition(":  ")[0]),
        got=call.got(element),
        expected=call.expected(element),
        row=element.where["row"],
        allowed=f"{element.allowed:.2g}",
        origin=f"the most that rounding errors in {problem.dtype} can add up to here",
    )
