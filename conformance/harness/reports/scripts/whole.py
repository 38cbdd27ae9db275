"""What scripts of every kind are put together from: title, imports, literals, functions, calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from conformance.harness.execution.observation import Differentiated, Observation
from conformance.harness.execution.requests.documentation.executed import CODE
from conformance.harness.execution.routes import ROUTES
from conformance.harness.findings.recorder import Finding
from conformance.harness.foreign_text import one_line
from conformance.harness.reports.calls.call_text import Call, in_context
from conformance.harness.reports.calls.classes import Classes
from conformance.harness.reports.calls.memory_text import CONTIGUOUS, functions
from conformance.harness.reports.templating import PYTHON, code
from reference.problem import RNN_RELU

PLAIN_ROUTE = "grad"

DIFFER = "got != expected"
"""When a script that compares facts shows the defect."""

MOST_LINES = 60
"""The most lines of a script: a screen."""


def title(finding: Finding, seen: Observation, says: str) -> str:
    """The first line of a script."""
    module = Classes.of(finding).described(seen.problem.architecture)
    return one_line(f"{', '.join([module, finding.dtype, *circumstances(seen)])}: {says}", 300)


def circumstances(seen: Observation) -> Iterator[str]:
    """What is unusual about a call, in words; a script of it has them all."""
    manner, loss = seen.manner, seen.loss if isinstance(seen, Differentiated) else None
    if seen.route in ROUTES and seen.route != PLAIN_ROUTE:
        yield ROUTES[seen.route].words
    if manner.change:
        yield f"weights doubled {manner.change} after a first call"
    if manner.spelled:
        yield f"called by {manner.spelled}" if manner.spelled == CODE else f"arguments {manner.spelled}"
    if manner.first_rows:
        yield "two calls of one module"
    memories = ("parameters", manner.parameter_memory), ("inputs", seen.problem.memory)
    for what, memory in (*memories, ("cotangents", CONTIGUOUS if loss is None else loss.memory)):
        if memory != CONTIGUOUS:
            yield f"{what} {memory} in memory"


def sentence(text: str) -> str:
    """Foreign text as a line that ends in one full stop."""
    return one_line(text.rstrip().rstrip(".")) + "."


def where(finding: Finding) -> str:
    """The place of the element that a finding shows: `h_n, layer 0 forward, row 0, unit 0`."""
    return one_line(finding.lines[0].partition(":  ")[0])


def fits(text: str) -> bool:
    """Whether a script fits a screen."""
    return len(text.splitlines()) <= MOST_LINES


def fitted(text: str) -> str:
    """The script, without blank lines between functions, or between all its parts, where it is too long otherwise."""
    for since in ("def ", "try:"):
        if not fits(text):
            lines = text.splitlines()
            begin = next((at for at, line in enumerate(lines) if line.startswith(since)), len(lines))
            text = "\n".join([*lines[:begin], *filter(None, lines[begin:])]) + "\n"
    return text


def rendered(
    finding: Finding,
    template: str,
    *,
    title: str,
    seen: Sequence[str],
    imports: Sequence[str] = (),
    needs: str = "",
    **fields: Any,
) -> str:
    """The script that a template makes of these fields. seen: sentences below the title. needs: words behind the
    modules that it imports beside the standard library."""
    modules = Classes.of(finding).modules
    alone = " and ".join(["torch", *modules.values()]) if modules else "torch alone"
    head = {"title": title, "seen": seen, "needs": alone + needs} | code(modules=modules)
    text = PYTHON.get_template(template).render(**head, imports=sorted({*imports, "sys"}), **fields)
    return fitted(text)


def parts(
    calls: Sequence[Call],
    lines: Sequence[str],
    more_literals: str = "",
    equations: bool = True,
    math: str = "math",
    forced: bool = False,
) -> dict[str, Any]:
    """What the templates need of these calls, the first of which the equations are about.

    lines: what is done with the modules. math: the module of the equations. forced: whether the equations start each
    step from what the call returned, which `lines` call `returned`.
    """
    first = calls[0]
    made = [line for call in calls for line in call.module_lines()]
    laid_out = functions([*made, *lines])
    computes = equations and first.problem.architecture.cell != RNN_RELU
    modules = [math] if computes else []
    literals = [text for text in (*(call.literals() for call in calls), more_literals) if text]
    return code(
        **first.fields(),
        math=math,
        forced=forced,
        equations=equations,
        imports=modules,
        literals="\n".join(literals),
        call="\n".join([*([laid_out] if laid_out else []), *made, in_context(first.route, list(lines))]),
    )
