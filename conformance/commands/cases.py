"""What the commands about one case share: the properties that it is put to, and the record of what each saw."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.recorder import Finding
from conformance.harness.foreign_text import one_line, piece, say, told_of_import
from conformance.harness.property import Property, properties
from conformance.harness.pytest_plugin.asked import asked
from conformance.harness.pytest_plugin.costs import cost_of
from conformance.harness.pytest_plugin.options import OptionError, Options, read
from conformance.harness.reports.folder import CASE
from conformance.harness.session import Session
from strategies import Case


@dataclass(frozen=True)
class Chosen:
    """The options of a command, and the properties to try, each with the cell."""

    options: Options
    tried: tuple[tuple[Property, str], ...]


def chosen(
    line: str,
    test: str = "",
    subjects: Sequence[str] = (),
    cells: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    routes: Sequence[str] = (),
    like: Sequence[str] = (),
    most_seconds: float = 0.0,
) -> Chosen:
    """The properties that a case fits, or the one named `test`; without a line, a property that draws no case.

    like: models, of whose modules the properties are asked. most_seconds: that the case may take by its estimate, which
    is announced if it is long; 0 for any.

    Raises OptionError.
    """
    options = read("default", subjects, line or None, cells, [], dtypes, routes, [], no_stale=False, like=like)
    for told in told_of_import(options.printed):
        say(told, sys.stderr)
    cells = [options.cell] if options.cell else options.cells
    named = [one for one in properties() if test in ("", one.name)]
    if not named:
        raise OptionError(f"there is no property {piece(test)}; a finding's case.json names its own")
    if options.case is None and (not test or any(one.draws for one in named)):
        raise OptionError("give a case line, or with --test a property that draws no case")
    if like:
        named = list(asked(named, options.fleet).properties)
    tried = [(one, cell) for one in named for cell in cells if _fits(one, options.case, cell)]
    if not tried:
        raise OptionError(f"no property {piece(test) or 'at all'} is about {one_line(line) or ', '.join(cells)}")
    if options.case is not None and most_seconds:
        cost = cost_of(options.case, tried)
        cost.require_allowed(most_seconds, "give smaller sizes, one property with --test, or --time 0 for no limit")
        if cost.announced:
            say(f"python -m conformance: {cost.announced}", sys.stderr)
    return Chosen(options, tuple(tried))


def of_folder(place: str) -> tuple[str, str, str] | None:
    """The case line, the property and the cell of the report in a folder; None where the place is no folder.

    Raises OptionError.
    """
    path = Path(place)
    try:
        if not path.is_dir():
            return None
        finding = Finding.from_json(json.loads((path / CASE).read_text(encoding="utf-8"))["finding"])
        told = finding.case, finding.test, finding.cell
    except OSError as error:
        raise OptionError(f"{piece(place)}: {CASE}: {error.strerror}; name the folder of a report") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OptionError(f"{piece(place)}: {CASE} is not that of a report; name one that has it whole") from None
    if not all(isinstance(one, str) for one in told) or "--subject" in finding.options.split():
        raise OptionError(f"{piece(place)}: it is not about torch.nn, which alone other interpreters have")
    return told


def _fits(tested: Property, case: Case | None, cell: str) -> bool:
    return cell in tested.cells if case is None else tested.fits(case, cell)


def looked_at(here: Session, tested: Property, cell: str, case: Case | None) -> CaseRecord:
    """What a property saw of a case in a session that is current."""
    records = list[CaseRecord]()
    here.on_case = records.append
    with suppress(Deviation, pytest.skip.Exception):  # what was found is in the record
        tested.check(cell, case)
    return records[0]
