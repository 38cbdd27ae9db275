"""Scripts of numbers outside their error bounds."""

from __future__ import annotations

from conformance.harness.checks.case_record import Found
from conformance.harness.checks.values import NOT_ACCURATE, NOT_EXACT, OUTSIDE
from conformance.harness.reports.calls.call_text import Call, within
from conformance.harness.reports.scripts.whole import parts, rendered, title, where
from conformance.harness.reports.templating import code

FROM_OWN = "Each step is computed from the h that the call itself returned before it."
"""Said of findings about single steps, whose bound has no earlier errors in it."""

IN_WORDS = {True: "is not the exact number, rounded once", False: "lies outside of what rounding errors explain"}
NOTHING_IS_ROUNDED = "nothing is rounded before the end"


def number(found: Found) -> str | None:
    """The script of a result outside its bound, computed by the documented equations in Python floats."""
    finding, seen, _ = found
    element = finding.element
    exact = finding.kind == NOT_EXACT
    if element is None or element.other or element.name.startswith("gradient"):
        return None
    if finding.kind != OUTSIDE and not finding.kind.endswith(NOT_ACCURATE) and not exact:
        return None
    element, call = within(seen, element), Call.of(finding, seen)
    expected = call.expected(element.name, element.where)
    returned = [f"returned = {call.padded()}.tolist()"] if element.forced else []
    return rendered(
        finding,
        "number.py.j2",
        title=title(finding, seen, f"{element.name} is wrong"),
        seen=[
            f"{where(finding)} {IN_WORDS[exact]}.",
            *([FROM_OWN] if element.forced else []),
        ],
        **parts([call], [*call.lines(), *returned], forced=element.forced),
        **code(
            got=call.got(element.name, element.where),
            expected=f"torch.tensor({expected}, dtype=torch.{seen.problem.dtype}).item()" if exact else expected,
            row=element.where["row"],
            allowed=f"{element.allowed:.2g}",
        ),
        origin=NOTHING_IS_ROUNDED
        if exact
        else f"the most that rounding errors in {seen.problem.dtype} can add up to here",
    )
