"""A comparison of two results files: what two runs of the contract recorded, one of each PyTorch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from packaging.version import InvalidVersion

from conformance.clauses import REMARK
from conformance.comparing.sides import Place
from conformance.comparing.timing import SLOWER_TIMES, Times
from conformance.comparing.told import Outcome, headroom, line, place_of, several, verdicts
from conformance.comparing.verdicts import Changed, Comparison, Headroom
from conformance.harness.findings.known import Known, matching
from conformance.harness.findings.recorder import Finding, Key
from conformance.harness.findings.rendering import counted
from conformance.results.document import Found, Judged, Results
from strategies import CaseError, parse

OF_CASES = ("effort", "seed", "subject", "case", "dtypes", "devices", "routes")
"""What was asked for, as far as it decides which cases are drawn."""

OF_TESTS = ("cells", "clauses")
"""The same, as far as it decides which properties are."""

WHOLE_RUN: Place = ("", "", "")
"""Results files have the kernels of all calls together."""

UNSURE = ("ERROR", "INCOMPLETE", "NOTHING")
"""Verdicts of a run that does not say what it would have found."""

NOT_HELD = "bits, warnings, training, initial weights, dropout masks, files: no results file holds them"


@dataclass(frozen=True)
class Recorded(Outcome):
    """What two results files tell; the rest of an outcome is empty.

    differing     options, machines and tools that differ, in words
    same_cases    whether both runs drew the same cases: else headroom counts for nothing, and times tell nothing
    asked         properties with their cells that both runs tried, only the old one, only the new one
    no_times      why there are no times
    unsure        why the new run does not say what else it would have found
    """

    differing: tuple[str, ...] = ()
    same_cases: bool = True
    asked: tuple[int, int, int] = (0, 0, 0)
    no_times: str = ""
    unsure: str = ""

    @property
    def lost(self) -> Mapping[tuple[str, str, str], Headroom]:
        return self.real.lost if self.same_cases else {}


def recorded(old: Results, new: Results, waivers: Sequence[Known] = ()) -> Recorded:
    """The outcome of two runs; waivers: the known deviations that may come."""
    of_cases = [*_differing(old, new, OF_CASES), *_other_tools(old, new)]
    before, now = _tried(old), _tried(new)
    real = Comparison(cases=sum(min(before[test], now[test]) for test in before.keys() & now.keys()))
    _note_findings(real, old, new, _concerning(waivers, new.environment.torch))
    _note_bounds(real, old, new)
    real.kernels[WHOLE_RUN] = (set(old.kernels), set(new.kernels))
    no_times = _no_times(old, new) or ("other cases" if of_cases else "")
    return Recorded(
        control=Comparison(),
        real=real,
        times=() if no_times else tuple(_times(old, new)),
        waived=frozenset(one.id for one in waivers),
        differing=(*of_cases, *_differing(old, new, OF_TESTS), *_other_machine(old, new)),
        same_cases=not of_cases,
        asked=(len(before.keys() & now.keys()), len(before.keys() - now.keys()), len(now.keys() - before.keys())),
        no_times=no_times,
        unsure=_unsure(new),
    )


def _concerning(waivers: Sequence[Known], release: str) -> list[Known]:
    """Those of a release; none of one that is no version."""
    with suppress(InvalidVersion):
        return [one for one in waivers if one.concerns(release, ())]
    return []


def _unsure(new: Results) -> str:
    if not new.complete:
        return f"the new run is not complete: {new.reason}"
    return f"the new run ended with {new.verdict}" if new.verdict in UNSURE else ""


def _tried(run: Results) -> dict[str, int]:
    """The properties, each with its cell, that looked at a case, and at how many."""
    return {one.test: one.cases for one in run.properties if one.cases}


def _note_findings(real: Comparison, old: Results, new: Results, waivers: Sequence[Known]) -> None:
    before, now = (_findings(run, waivers) for run in (old, new))
    tried_before, tried_now = ({one.test for one in run.properties} for run in (old, new))
    for key, one in now.items():
        if key not in before:
            line = one.case or one.test
            real.new[key] = Changed(one, line if one.test in tried_before else f"{line} (not tried before)")
    for key, one in before.items():
        if key not in now and one.test in tried_now:
            real.fixed[key] = Changed(one, one.case or one.test)


def _findings(run: Results, waivers: Sequence[Known]) -> dict[Key, Finding]:
    """The first finding of each signature and cell. A run keeps one of each remark, whatever the cell."""
    found: dict[Key, Finding] = {}
    for one in run.findings:
        key = (one.clause, one.field, one.kind, "" if one.severity == REMARK else one.cell)
        found.setdefault(key, _finding(one, waivers))
    return found


def _finding(of: Found, waivers: Sequence[Known]) -> Finding:
    """A finding as it is compared; its test has the cell."""
    same = ("severity", "clause", "test", "cell", "subject", "route", "dtype", "field", "kind", "lines", "case")
    made = Finding(**{name: getattr(of, name) for name in same}, known=of.known)
    with suppress(CaseError):
        case = parse(of.case)[0] if of.case else None
        return Finding(**vars(made) | {"known": matching(waivers, made, case) or of.known})
    return made


def _shared(old: Results, new: Results) -> Iterator[tuple[Judged, Judged]]:
    """The rows of one clause, cell, dtype and route that both runs have."""

    def rows(run: Results) -> dict[tuple[str, ...], Judged]:
        return {(one.clause, one.cell, one.dtype, one.route): one for one in run.judged}

    before, now = rows(old), rows(new)
    yield from ((row, now[place]) for place, row in before.items() if place in now)


def _note_bounds(real: Comparison, old: Results, new: Results) -> None:
    cases = defaultdict[tuple[str, str, str], int](int)
    for before, now in _shared(old, new):
        if before.elements and now.elements:
            place = (now.clause, now.cell, now.dtype)
            cases[place] += now.cases
            at = real.headroom[place]
            at.old, at.new = max(at.old, before.worst), max(at.new, now.worst)
            at.line = counted(cases[place], "case")


def _times(old: Results, new: Results) -> Iterator[Times]:
    """The seconds of a call of each cell, dtype and route in both runs."""
    spent: dict[Place, list[tuple[Judged, Judged]]] = defaultdict(list)
    for before, now in _shared(old, new):
        if before.calls and now.calls:
            spent[now.cell, now.dtype, now.route].append((before, now))
    for place, rows in spent.items():
        sides = [(sum(row.seconds for row in side), sum(row.calls for row in side)) for side in zip(*rows, strict=True)]
        (before, now) = (seconds / calls for seconds, calls in sides)
        if before:
            yield Times(place_of(place), (before,), (now,))


def _differing(old: Results, new: Results, names: Sequence[str]) -> list[str]:
    """What was asked otherwise, in words."""
    both = ((name, getattr(old.asked, name), getattr(new.asked, name)) for name in names)
    return [_other(name, before, now) for name, before, now in both if before != now]


def _other_tools(old: Results, new: Results) -> list[str]:
    """Other models, another suite, another Hypothesis: each draws other cases."""
    both: list[tuple[str, Sequence[str], Sequence[str]]] = [
        ("--like", _models(old), _models(new)),
        ("suite", old.suite, new.suite),
        ("Hypothesis", old.environment.hypothesis, new.environment.hypothesis),
    ]
    return [_other(name, before, now) for name, before, now in both if before != now]


def _models(run: Results) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.model for one in run.modules))


def _other_machine(old: Results, new: Results) -> list[str]:
    both = ((name, getattr(old.environment, name), getattr(new.environment, name)) for name in MACHINE)
    return [_other(name, before, now) for name, before, now in both if before != now]


MACHINE = ("processor", "capability")
"""What decides how long a call takes, and which kernels it reaches."""


def _no_times(old: Results, new: Results) -> str:
    if _other_machine(old, new):
        return "another processor"
    return "" if old.environment.processor else "the processor is not known"


def _other(name: str, before: Sequence[str], now: Sequence[str]) -> str:
    if isinstance(before, str) or isinstance(now, str):
        return f"{name} {before or 'none'}, then {now or 'none'}"
    less = [f"without {one}" for one in before if one not in now]
    more = [f"with {one}" for one in now if one not in before]
    return f"{name} {', '.join([*less, *more]) or 'in another order'}"


def told(outcome: Recorded) -> Iterator[str]:
    """The whole comparison, line by line."""
    if outcome.differing:
        yield line("other", f"{counted(len(outcome.differing), 'option or machine')}, the new run beside the old one")
        yield from several(outcome.differing)
    both, old, new = outcome.asked
    yield line(
        "asked", f"{both} properties and cells in both runs, {old} in the old one alone, {new} in the new one alone"
    )
    yield from verdicts(outcome)
    first, *rest = headroom(outcome.real)
    yield first if outcome.same_cases else f"{first}; other cases, counts for nothing"
    yield from rest
    yield from _kernels(*outcome.real.kernels[WHOLE_RUN])
    yield from _told_times(outcome)
    yield line("not told", NOT_HELD)


def _kernels(old: set[str], new: set[str]) -> Iterator[str]:
    yield line("kernels", f"{len(new - old)} new, {len(old - new)} gone")
    yield from several([*(f"new {one}" for one in sorted(new - old)), *(f"gone {one}" for one in sorted(old - new))])


def _told_times(outcome: Recorded) -> Iterator[str]:
    if outcome.no_times:
        yield line("time", f"not compared: {outcome.no_times}")
        return
    slower = [one for one in outcome.times if one.ratio > SLOWER_TIMES]
    said = f"{len(slower)} of {len(outcome.times)} kinds of calls more than twice as long"
    yield line("time", f"{said}; of one run each, counts for nothing")
    ordered = sorted(outcome.times, key=lambda one: -one.ratio)
    yield from several([f"{one.ratio:5.2f} times  {one.label}" for one in ordered])
