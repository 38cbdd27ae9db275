"""The command that writes the folder of a case: `python -m conformance report LINE`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.commands.cases import chosen, looked_at
from conformance.harness import session
from conformance.harness.checks.case_record import Found
from conformance.harness.execution import machine
from conformance.harness.findings.recorder import SEPARATOR
from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import MOST, one_line, piece, say
from conformance.harness.isolation import worker_process
from conformance.harness.localiser.localise import explained
from conformance.harness.property import Property
from conformance.harness.pytest_plugin.options import OptionError
from conformance.harness.reports import folder
from conformance.harness.reports.minimiser.minimise import SECONDS, minimised
from conformance.harness.reports.scripts.whole import circumstances
from conformance.harness.session import Session
from reference.problem import Problem
from strategies import Case

FOUND, NOTHING, USAGE = 0, 1, 4
"""Exit codes."""


@dataclass(frozen=True)
class Wanted:
    """What a command line asks for.

    test        the name of one property, "" for every one that the case fits
    like        the models whose modules are meant
    seed        of the run that found it, for the record
    call_limit  seconds that a call may take
    time        seconds that the case may take by its estimate, 0 for any
    seconds     that are spent on simpler numbers of each finding
    also        other places where the run saw what the case shows
    only        the keys of the reports to write, all of them unless given
    """

    line: str
    parent: Path
    test: str = ""
    subjects: Sequence[str] = ()
    cells: Sequence[str] = ()
    dtypes: Sequence[str] = ()
    routes: Sequence[str] = ()
    like: Sequence[str] = ()
    seed: str = ""
    call_limit: float = 120.0
    time: float = 0.0
    seconds: float = SECONDS
    also: Sequence[str] = ()
    only: Sequence[str] = ()


def report(wanted: Wanted) -> int:
    """Writes a folder for each distinct deviation that the properties find in one case; returns the exit code."""
    worker_process.pool().limit = wanted.call_limit
    if wanted.subjects and (why := worker_process.pool().refusal_of_import(wanted.subjects)):
        return _usage(f"--subject {why}")  # it was imported in a child, where it ends nothing but that
    try:
        narrowed = (wanted.subjects, wanted.cells, wanted.dtypes, wanted.routes, wanted.like)
        asked = chosen(wanted.line, wanted.test, *narrowed, most_seconds=wanted.time)
    except OptionError as error:
        return _usage(str(error))
    options = asked.options
    machine.pin()
    made = Session(options.subject, routes=options.routes, dtypes=options.dtypes, executor=worker_process.IN_CHILDREN)
    made.fleet = options.fleet
    with session.nested(made) as here:
        each = distinct(
            (one, cell, found) for one, cell in asked.tried for found in found_by(here, one, cell, options.case)
        )
        each = [one for one in each if SEPARATOR.join(one[2].finding.report_key) in wanted.only or not wanted.only]
        for one, cell, found, places in each:
            try:
                least = minimised(here, one, cell, options.case, found, wanted.seconds)
                path, outcome = folder.write(
                    wanted.parent, recognised(here, found, least), wanted.seed, also_in(found, places, wanted.also)
                )
            except OSError as error:
                place = f"{piece(wanted.parent)}: {error.strerror}"
                return _usage(f"{place}; name a folder that can be written with --reports")
            say(f"{path}  {outcome}")
    if not each:
        say(nothing_found(here))
    return FOUND if each else NOTHING


def distinct(found: Iterable[tuple[Property, str, Found]]) -> list[tuple[Property, str, Found, list[str]]]:
    """Each finding once, of those that one report tells of that of the plainest call, with the places of all; the
    plainest calls come first."""
    alike: dict[tuple[str, ...], list[tuple[Property, str, Found]]] = {}
    for one in sorted(found, key=lambda one: len(list(circumstances(one[2].seen)))):
        alike.setdefault(one[2].finding.report_key, []).append(one)
    return [(*those[0], [one.finding.place for _, _, one in those]) for those in alike.values()]


def also_in(found: Found, places: Iterable[str], given: Sequence[str]) -> list[str]:
    """The other places of a finding's cause, each once: of a surrounding alone."""
    other = dict.fromkeys((*places, *given)) if found.finding.surrounding else {}
    return [place for place in other if place != found.finding.place]


def nothing_found(here: Session) -> str:
    """What to say of a case in which nothing deviates: how many properties compared something, or why none did."""
    compared = sum(tally.elements > 0 for tally in here.recorder.tallies.values())
    if compared:
        return f"no deviation in {counted(compared, 'property')}; no folder was written"
    refused = [one_line(row.message) for row in here.recorder.left_out()]
    return (
        f"nothing was compared, no folder was written: {refused[0] if refused else 'no route that it needs is taken'}"
    )


def found_by(here: Session, tested: Property, cell: str, case: Case | None) -> Iterator[Found]:
    """What a property finds in a case, each once."""
    record = looked_at(here, tested, cell, case)
    yield from {found.finding.signature: found for found in reversed(record.findings)}.values()


def recognised(here: Session, found: Found, least: Found) -> Found:
    """The simplest form of a finding, with what its numbers would be right for.

    Drawn numbers tell more than simple ones, where their sizes are those that are left.
    """
    told = found if _sizes(found.seen.problem) == _sizes(least.seen.problem) else least
    what = explained(told.finding, told.seen, here.judgement(told.seen.problem).red)
    return least._replace(finding=replace(least.finding, what=what))


def _sizes(problem: Problem) -> tuple[object, ...]:
    a = problem.architecture
    return a.hidden_size, a.num_layers, a.directions, a.proj_size, problem.input.shape, problem.lengths


def _usage(message: str) -> int:
    say(one_line(f"python -m conformance report: {message}", MOST), sys.stderr)
    return USAGE
