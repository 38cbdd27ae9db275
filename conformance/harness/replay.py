"""The replay of a stored case."""

from __future__ import annotations

from conformance.harness import session
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.known import Known
from conformance.harness.isolation import worker_process
from conformance.harness.property import properties
from conformance.harness.session import Session
from strategies import parse


def reproduces(entry: Known) -> bool:
    """Whether the stored case of a known deviation still shows it. Raises LookupError if its test does not exist."""
    tested = next((one for one in properties() if one.name == entry.test), None)
    if tested is None:
        raise LookupError(f"known deviation {entry.id}: there is no property {entry.test}")
    case, cell = parse(entry.case) if entry.case else (None, dict(entry.where).get("cell", tested.cells)[0])
    outer = session.current()
    may_end_process = entry.field == "call" and outer.subject.texts
    executor = worker_process.IN_CHILDREN if may_end_process else outer.executor
    with session.nested(Session(outer.subject, outer.axes, routes=outer.routes, executor=executor)) as here:
        try:
            tested.check(cell, case)
            found = []
        except Deviation as deviation:
            found = [deviation.finding]
        return entry.signature in [finding.signature for finding in [*found, *here.recorder.quiet_findings()]]
