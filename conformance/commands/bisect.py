"""The command that runs a case under several interpreters: `python -m conformance bisect LINE --python A B C`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from packaging.version import Version

from conformance.commands.cases import Chosen, chosen, looked_at, of_folder
from conformance.harness import session
from conformance.harness.cells import CELL_NAMES
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution.machine import Build
from conformance.harness.execution.requests.module_request import ModuleCall
from conformance.harness.execution.requests.request import Request, Result
from conformance.harness.execution.subject import Subject
from conformance.harness.findings.known import version_of
from conformance.harness.findings.recorder import Finding, Key
from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import MOST, one_line, say
from conformance.harness.isolation.interpreter import CannotRun, build_of, children
from conformance.harness.isolation.worker_process import ChildError, WorkerProcess
from conformance.harness.pytest_plugin.options import OptionError
from conformance.harness.session import Session

CHANGES, ALIKE, USAGE = 0, 1, 4
"""Exit codes."""

FEWEST = 2
"""Interpreters that have to run a case before anything can be said of a change."""


@dataclass(frozen=True)
class Verdict:
    """What one interpreter's PyTorch does with the case; `cannot` says in a line why it does nothing."""

    python: str
    build: Build | None = None
    cannot: str = ""
    found: Mapping[Key, Finding] = field(default_factory=dict)
    kernels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The verdict in the table."""
        if self.cannot:
            return f"cannot run: {self.cannot}"
        if not self.found:
            return "does not deviate"
        if len(self.found) > 1:
            return f"{counted(len(self.found), 'deviation')}, see below"
        ((clause, name, kind, _),) = self.found
        return one_line(f"deviates: {clause} {name} {kind}", 80)


@dataclass
class _Recording:
    """Has requests carried out, and notes which kernels each route reaches."""

    worker: WorkerProcess
    kernels: dict[str, dict[str, None]] = field(default_factory=dict)

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
        asked = replace(request, record_kernels=True) if isinstance(request, ModuleCall) else request
        results = self.worker.execute(subject, asked)
        for seen in results:
            for kernel in getattr(seen, "kernels", ()):
                self.kernels.setdefault(getattr(seen, "route", ""), {})[kernel] = None
        return results


def bisect(line: str, test: str, pythons: Sequence[str], like: Sequence[str] = (), time: float = 0.0) -> int:
    """Prints what each interpreter's PyTorch does with a case, and where that changes; returns the exit code.

    line: a case line, or the folder of a report
    like: models, of whose modules the properties are asked; they are built in this process
    time: seconds that the case may take by its estimate in each, 0 for any
    """
    try:
        told, cells = of_folder(line), list[str]()
        if told is not None:
            line, test, cells = told[0], test or told[1], [told[2]] if told[2] and not told[0] else []
        wanted = chosen(line, test, cells=cells, like=like, most_seconds=time)
    except OptionError as error:
        return _usage(str(error))
    if len(pythons) < FEWEST:
        return _usage("name at least two interpreters after --python")
    verdicts = sorted((_verdict(python, wanted) for python in pythons), key=_order)
    say("\n".join(_table(verdicts)))
    ran = [one for one in verdicts if not one.cannot]
    if len(ran) < FEWEST:
        return _usage("fewer than two of these interpreters can run the case")
    keys = dict.fromkeys(key for one in ran for key in one.found)
    changing = [key for key in keys if any(key not in one.found for one in ran)]
    for key in keys:
        say("\n".join(_told(key, ran)))
    if not keys:
        say("no deviation in any of them")
    return CHANGES if changing else ALIKE


def _verdict(python: str, wanted: Chosen) -> Verdict:
    """What an interpreter does with the case."""
    try:
        build = build_of(python)
    except CannotRun as reason:
        return Verdict(python, cannot=str(reason))
    case = wanted.options.case
    if case is not None and case.device not in build.devices:
        return Verdict(python, build, f"it has no {case.device}")
    worker = children(python)
    recording = _Recording(worker)
    try:
        options = wanted.options
        with session.nested(Session(options.subject, executor=recording, build=build, fleet=options.fleet)) as here:
            records = [looked_at(here, tested, cell, case) for tested, cell in wanted.tried]
            refused = [one_line(row.message) for row in here.recorder.left_out()]
    except ChildError as error:
        return Verdict(python, build, one_line(str(error).strip().splitlines()[-1]))
    finally:
        worker.close()
    if not any(record.elements or record.findings for record in records):
        return Verdict(python, build, refused[0] if refused else "nothing was compared")
    kernels = {route: tuple(labels) for route, labels in recording.kernels.items()}
    return Verdict(python, build, found=_found(records), kernels=kernels)


def _found(records: Sequence[CaseRecord]) -> dict[Key, Finding]:
    """Each distinct deviation."""
    findings = [one.finding for record in records for one in record.findings]
    return {one.key: one for one in reversed(findings)}


def _order(verdict: Verdict) -> tuple[bool, Version]:
    """By release; what has none comes last."""
    return verdict.build is None, version_of(verdict.build.version) if verdict.build else Version("0")


def _release(verdict: Verdict) -> str:
    return one_line(verdict.build.version, 40) if verdict.build else "-"


def _python(verdict: Verdict) -> str:
    """An interpreter's path as the terminal shows it."""
    return one_line(verdict.python, MOST)


def _names(ran: Sequence[Verdict]) -> list[str]:
    """What tells interpreters apart: their releases, with the path where several have one release."""
    releases = [_release(one) for one in ran]
    return [
        f"{release} ({_python(one)})" if releases.count(release) > 1 else release
        for one, release in zip(ran, releases, strict=True)
    ]


def _table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """A line for each interpreter below a heading; the kernels come last, as they have no set width."""
    heading = ("interpreter", "torch", "verdict", "kernels")
    rows = [heading, *((_python(one), _release(one), one.words, _kernels(one.kernels)) for one in verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading) - 1)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, [*widths, 0], strict=True)]
        yield "  ".join(cells).rstrip()


def _kernels(of: Mapping[str, tuple[str, ...]]) -> str:
    """`grad mkldnn_rnn_layer, no_mkldnn addmm+tanh`; routes that reach the same are named together."""
    routes: dict[tuple[str, ...], list[str]] = {}
    for route, labels in of.items():
        routes.setdefault(labels, []).append(route)
    return one_line(", ".join(f"{' '.join(names)} {'+'.join(labels)}" for labels, names in routes.items()), MOST) or "-"


def _told(key: Key, ran: Sequence[Verdict]) -> Iterator[str]:
    """Between which releases a deviation came or went, and what then differs in kernels."""
    clause, name, kind, cell = key
    yield one_line(" ".join(filter(None, (clause, CELL_NAMES[cell], name, kind))), 200)
    bad = [key in one.found for one in ran]
    changes = [place for place in range(1, len(ran)) if bad[place] != bad[place - 1]]
    names = _names(ran)
    if not changes:
        yield f"  in all {len(ran)}"
    elif len(changes) > 1:
        yield "  not monotone: " + ", ".join(
            f"{name} {'bad' if is_bad else 'good'}" for name, is_bad in zip(names, bad, strict=True)
        )
    else:
        came = bad[changes[0]]
        first, last = ("bad", "good") if came else ("good", "bad")
        yield f"  first {first} {names[changes[0]]}, last {last} {names[changes[0] - 1]}"
    for place in changes:
        yield f"  {_difference(ran[place - 1], ran[place], f'from {names[place - 1]} to {names[place]}')}"


def _difference(before: Verdict, after: Verdict, between: str) -> str:
    """What differs in kernels between two interpreters; `between` names them."""
    if not before.kernels and not after.kernels:
        return f"no kernels to compare {between}"
    if dict(before.kernels) == dict(after.kernels):
        return f"the same kernels {between}"
    return f"kernels {between}: {_kernels(before.kernels)} became {_kernels(after.kernels)}"


def _usage(message: str) -> int:
    say(one_line(f"python -m conformance bisect: {message}", MOST), sys.stderr)
    return USAGE
