"""The replay of a stored case."""

from __future__ import annotations

from conformance.clauses import RED
from conformance.harness import session
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.known import Known
from conformance.harness.findings.recorder import Finding
from conformance.harness.isolation import worker_process
from conformance.harness.property import properties
from conformance.harness.session import Session
from strategies import parse


def found_again(entry: Known) -> Finding | None:
    """What the stored case of a known deviation shows, if it still shows it. Raises LookupError if its test does not
    exist."""
    return next((finding for finding in shown(entry) if finding.signature == entry.signature), None)


def shown(entry: Known, known: tuple[Known, ...] = ()) -> list[Finding]:
    """What a run that knows these deviations finds in the stored case of one: the first that fails it, and all that do
    not. Raises LookupError if the entry's test does not exist."""
    tested = next((one for one in properties() if one.name == entry.test), None)
    if tested is None:
        raise LookupError(f"known deviation {entry.id}: there is no property {entry.test}")
    case, cell = parse(entry.case) if entry.case else (None, dict(entry.where).get("cell", tested.cells)[0])
    outer = session.current()
    may_end_process = entry.field == "call" and outer.subject.texts
    executor = worker_process.IN_CHILDREN if may_end_process else outer.executor
    made = Session(outer.subject, outer.axes, known, routes=outer.routes, executor=executor)
    with session.nested(made) as here:
        try:
            tested.check(cell, case)
            found = []
        except Deviation as deviation:
            found = [deviation.finding]
        return [*found, *here.recorder.quiet_findings()]


def raise_as_expired(entry: Known, finding: Finding) -> None:
    """If the waiver of an entry has expired, takes what was found again as any other finding: raises a red one as a
    Deviation, and counts the others."""
    here = session.current()
    if entry not in here.expired:
        return
    told = here.judged(finding, parse(finding.case)[0] if finding.case else None)
    if told.outcome == RED:
        raise Deviation.of(told)
    here.recorder.note(told)
