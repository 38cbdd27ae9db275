"""The command that writes the folder of a case: `python -m conformance report LINE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from conformance.harness import session
from conformance.harness.checks.case_record import CaseRecord, Found
from conformance.harness.execution import machine
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.rendering import one_line
from conformance.harness.isolation.worker_process import IN_CHILDREN
from conformance.harness.property import Property, properties
from conformance.harness.pytest_plugin.options import OptionError, read
from conformance.harness.reports import folder
from conformance.harness.session import Session
from strategies import Case

FOUND, NOTHING, USAGE = 0, 1, 4
"""Exit codes."""


def report(line: str, subjects: Sequence[str], test: str, parent: Path) -> int:
    """Writes a folder for each distinct deviation that the properties find in one case; returns the exit code.

    test: the name of one property, "" for every one that the case fits.
    """
    try:
        options = read("default", subjects, line, [], [], [], [], [], no_stale=False)
    except OptionError as error:
        return _usage(str(error))
    assert options.case is not None, "a line was given"
    cells = [options.cell] if options.cell else list(options.cells)
    asked = [
        (one, cell) for one in properties() for cell in cells if one.fits(options.case, cell) and test in ("", one.name)
    ]
    if not asked:
        return _usage(f"no property {test or 'at all'} is about {one_line(line)}")
    machine.pin()
    written = dict[tuple[str, ...], str]()
    with session.nested(Session(options.subject, routes=options.routes, executor=IN_CHILDREN)) as here:
        for found in (found for one, cell in asked for found in found_by(here, one, cell, options.case)):
            key = (*found.finding.signature, found.finding.cell)
            if key not in written:
                try:
                    path, outcome = folder.write(parent, found)
                except OSError as error:
                    return _usage(f"{parent}: {error.strerror}; name a folder that can be written with --reports")
                written[key] = f"{path}  {outcome}"
                print(written[key], flush=True)
    return FOUND if written else NOTHING


def found_by(here: Session, tested: Property, cell: str, case: Case | None) -> Iterator[Found]:
    """What a property finds in a case, each once."""
    records = list[CaseRecord]()
    here.on_case = records.append
    with suppress(Deviation):  # it is in the record
        tested.check(cell, case)
    yield from {found.finding.signature: found for found in reversed(records[0].findings)}.values()


def _usage(message: str) -> int:
    print(f"python -m conformance report: {message}", file=sys.stderr)
    return USAGE
