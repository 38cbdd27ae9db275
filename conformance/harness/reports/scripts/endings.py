"""Scripts of calls that return nothing: exceptions, crashes and calls that hang."""

from __future__ import annotations

import signal

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.failure import EXITED, KILLED, MALFORMED, MISMATCHED, RAISED, TIMED_OUT, Failure
from conformance.harness.execution.observation import (
    Differentiated,
    DifferentiatedByApi,
    GradgradChecked,
    InLaps,
    Observation,
    PackingObservation,
)
from conformance.harness.findings.recorder import Finding
from conformance.harness.reports.calls.bare_call import BareCall
from conformance.harness.reports.calls.call_text import CONTEXTS, PARTS, Call, inside
from conformance.harness.reports.calls.classes import Classes
from conformance.harness.reports.calls.memory_text import functions
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.calls.packing_call import PackingCall, defaults_left_out, name_of
from conformance.harness.reports.scripts.whole import rendered, sentence
from conformance.harness.reports.templating import code

LIMIT_SECONDS = 20
"""The most that a call may take in a script: with PyTorch's import, less than `folder.SECONDS`."""


def ending(found: Found) -> str | None:
    """The script of a call that gave no result, but is documented to."""
    finding, seen = found.finding, found.seen
    failure = seen.failure
    if failure is None or finding.kind not in (failure.title, f"refuses {finding.dtype}"):
        return None
    if failure.kind in (MALFORMED, MISMATCHED):
        return None
    constants, lines, what = _call(finding, seen)
    return rendered(
        finding,
        "child.py.j2",
        title=f"{what}: {failure.title}",
        seen=[sentence(failure.text) if failure.text != failure.title else "It is documented to return."],
        imports=["subprocess"],
        limit=LIMIT_SECONDS,
        **code(constants=[*constants, *functions(lines).splitlines()], lines=lines, ending=ascii(*ends_so(failure))),
    )


def ends_so(failure: Failure) -> tuple[str, ...]:
    """How what a script says of such an ending begins, as far as it is the same each time.

    Raises NoScript where nothing is known of the ending.
    """
    words = {
        RAISED: f"raised {failure.exception}:",
        KILLED: f"killed by signal {failure.number:g}",
        EXITED: f"ended the process with exit code {failure.number:g}",
        TIMED_OUT: "did not return within",
    }
    if failure.exception == KeyboardInterrupt.__name__ and failure.kind == EXITED:
        words[EXITED] = f"killed by signal {signal.SIGINT:d}"  # as a process of its own ends by it
    if failure.kind not in words:
        raise NoScript("nothing is known of how the call ended the process")
    return (ascii(words[failure.kind])[1:-1],)  # as the template's `plain` writes it


def _call(finding: Finding, seen: Observation) -> tuple[list[str], list[str], str]:
    """The numbers of a call, the lines that make it, and what is called."""
    if isinstance(seen, PackingObservation):
        if seen.request is None:
            raise NoScript("the call is not known")
        return [], PackingCall(defaults_left_out(seen.request), exact=False).lines(), name_of(seen.utility)
    classes = Classes.of(finding)
    what = f"{classes.described(seen.problem.architecture)}, {seen.problem.dtype}"
    if isinstance(seen, DifferentiatedByApi | GradgradChecked | InLaps):
        raise NoScript(f"none makes the calls of {type(seen).__name__}")
    if seen.route not in CONTEXTS or not finding.case:
        return [], BareCall.of_finding(finding, seen).lines(), what
    call = Call(seen.problem, seen.route, seen.manner, classes=classes)
    constants = call.literals().splitlines()
    lines = inside(CONTEXTS[seen.route], [*call.module_lines(), *call.lines()])
    if isinstance(seen, Differentiated):
        constants.append(PARTS)
        lines.append(f"sum(t.sum() for t in parts([{call.returned()}])).backward()")
    return constants, lines, what
