"""The folders of a red run: written in child processes after the last test, the worst finding first."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from conformance.clauses import AMBER, RED, REMARK
from conformance.harness.execution.failure import TIMED_OUT
from conformance.harness.execution.routes import ROUTES
from conformance.harness.findings.recorder import SEPARATOR, Finding
from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import one_line
from conformance.harness.pytest_plugin.options import Options
from conformance.harness.pytest_plugin.output.causes import likeness, simplicity
from conformance.harness.pytest_plugin.output.report import Report
from conformance.harness.reports.minimiser import minimise
from strategies.axes import DTYPES

FOLDER = ".conformance"
"""Where reports are written below the run's root unless --reports names another place."""

SCRIPT = "repro.py"

MOST_SECONDS, SECONDS_EACH, AT_ONCE = 300.0, 90.0, 2
"""How long all children may take, how long each, and how many there are at a time."""

SECONDS_AFTER = 50.0
"""How long all children may take after the time of a run that ends after a time."""

SECONDS_BESIDE = 10.0
"""What a child takes beside its search for simpler numbers: it imports torch, and so does the script that it runs."""

CALL_SECONDS = 10.0
"""The most that a call may take in them, so that one that does not return is told within a child's time."""

INTERRUPTED, NO_TIME = "interrupted", "no time was left"

Key = tuple[str, str, str, str]
"""What makes two findings of one cause one report: clause, field, kind and cell, or those of a `report_key`."""

Told = tuple[Key, str]
"""What a folder tells of: its key and its case."""


@dataclass(frozen=True)
class Written:
    """A folder, and what was said of its script."""

    path: str
    outcome: str


@dataclass
class Folders:
    """What became of the reports of a run.

    parent   where they are
    written  by what each tells of
    missing  what was not written: the reason, and the command that writes it
    refused  why none could be written, in a line
    """

    parent: str
    written: dict[Told, Written] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    refused: str = ""

    def of(self, cause: Iterable[Finding]) -> Written | None:
        """The folder that tells of the first of these findings that has one; another cause may have the same key."""
        return next((self.written[told_of(one)] for one in cause if told_of(one) in self.written), None)

    def said(self) -> str:
        """How many there are, and where."""
        if self.refused:
            return f"none: {self.refused}"
        number = len({one.path for one in self.written.values()})
        missing = f"; {counted(len(self.missing), 'other')} not written, see below" if self.missing else ""
        return f"{counted(number, 'folder')} in {self.parent}{missing}"


@dataclass(frozen=True)
class Job:
    """What one child writes: the folders of all findings of one property in one case.

    arguments: those of `python -m conformance`. also: other places of what they tell of.
    """

    keys: tuple[Told, ...]
    arguments: tuple[str, ...]
    also: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command that does the same."""
        return shlex.join(["python", "-m", "conformance", *self.arguments])


def key_of(finding: Finding) -> Key:
    """What a finding's report is about; calls that do not return are alike whatever their limit was."""
    clause, field, kind, cell = finding.report_key
    hangs = finding.failure is not None and finding.failure.kind == TIMED_OUT
    return clause, field, "did not return" if hangs else kind, cell


def told_of(finding: Finding) -> Told:
    """What the folder of a finding tells of; one of a surrounding tells of every case."""
    return key_of(finding), "" if finding.surrounding else finding.case


def findings_to_tell(report: Report) -> list[Finding]:
    """The simplest finding of each kind that is not known: red before amber, shapes and types before numbers.

    Exceptions of other words are of another cause, and told apart.
    """
    severities = (RED, AMBER, REMARK)

    def order(finding: Finding) -> tuple[object, ...]:
        return severities.index(finding.severity), finding.element is not None, *simplicity(finding), len(finding.test)

    simplest: dict[tuple[Key, str], Finding] = {}
    for finding in sorted(_unknown(report), key=order):  # type: ignore[type-var]
        hangs = finding.failure is not None and finding.failure.kind == TIMED_OUT
        simplest.setdefault((key_of(finding), likeness(finding) if finding.failed and not hangs else ""), finding)
    return list(simplest.values())


def _unknown(report: Report) -> list[Finding]:
    """Every finding that is not known, quiet ones too."""
    return [*report.findings, *(one for one in report.session.recorder.quiet_findings() if not one.known)]


def jobs(
    findings: Iterable[Finding],
    options: Options,
    parent: str,
    seed: str,
    call_limit: float,
    alike: Iterable[Finding] = (),
) -> list[Job]:
    """The work of the children, in the order of the findings; what one property finds in one case is one job, but each
    report of a surrounding, which is told the places of those `alike`, is one of its own."""
    places: dict[Key, dict[str, None]] = {}
    for one in alike:
        places.setdefault(key_of(one), {})[one.place] = None
    limit = min(call_limit or CALL_SECONDS, CALL_SECONDS)
    narrowed = [*_each("dtype", options.dtypes, DTYPES), *_each("route", options.routes, ROUTES)]
    made: dict[tuple[str, ...], Job] = {}
    for one in findings:
        chosen = [one.case] if one.case else ["--cell", one.cell] if one.cell else []
        own = ["report", *chosen, "--test", one.test, *shlex.split(one.options), "--reports", parent]
        more = [*narrowed, *(["--seed", seed] if seed else []), "--call-limit", f"{limit:g}"]
        if one.surrounding and not one.ended_process:
            own += ["--only", SEPARATOR.join(one.report_key)]
        place = (one.case, one.test, one.cell, *(one.report_key if one.surrounding else ()))
        before = made.get(place, Job((), (*own, *more), tuple(places.get(key_of(one), ())) if one.surrounding else ()))
        made[place] = replace(before, keys=(*before.keys, told_of(one)))
    return list(made.values())


def _each(name: str, some: Sequence[str], every: Iterable[str]) -> list[str]:
    """The options that choose some values of all."""
    return [word for value in some for word in (f"--{name}", value)] if len(some) < len(tuple(every)) else []


def seconds_left(deadline: float) -> float:
    """How long all children may take, of a run that is over at this time of time.time()."""
    return max(0.0, min(MOST_SECONDS, deadline + SECONDS_AFTER - time.time()))


class Writing:
    """Children that write folders, in time, until all are written or the user has had enough.

    deadline  the time of time.time() at which the run is over
    """

    def __init__(
        self, waiting: Sequence[Job], folders: Folders, cwd: Path, roots: Sequence[Path], deadline: float = math.inf
    ) -> None:
        self.waiting = list(waiting)
        self.folders = folders
        self.cwd = cwd
        path = [str(root) for root in roots] + list(filter(None, [os.environ.get("PYTHONPATH")]))
        self.environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
        self.running: list[_Child] = []
        self.until = time.monotonic() + seconds_left(deadline)

    def run(self) -> None:
        """Writes what can be written; the rest is listed with its reason. Ctrl-C ends it."""
        reason = NO_TIME
        try:
            while (self.waiting and self._has_time()) or self.running:
                self._begin()
                self._look()
                time.sleep(0.05)
        except KeyboardInterrupt:
            reason = INTERRUPTED
        finally:
            for child in self.running:
                child.kill()
        self._missing([child.job for child in self.running] + self.waiting, reason)

    def _has_time(self) -> bool:
        """Whether a child that begins now may end in time."""
        return time.monotonic() + SECONDS_BESIDE < self.until

    def _begin(self) -> None:
        while self.waiting and len(self.running) < AT_ONCE and self._has_time():
            seconds, job = self._seconds_to_simplify(), self.waiting.pop(0)
            try:
                self.running.append(_Child(job, seconds, self.cwd, self.environment, self.until))
            except OSError as error:  # no room for what it prints, or for a process
                self._missing([job], one_line(str(error)))

    def _seconds_to_simplify(self) -> float:
        """How long the next child may look for simpler numbers, so that all that wait have their share of the time."""
        turns = math.ceil(len(self.waiting) / AT_ONCE)
        share = (self.until - time.monotonic()) / turns - SECONDS_BESIDE
        return max(0.0, min(minimise.SECONDS, share / len(self.waiting[0].keys)))

    def _look(self) -> None:
        """Takes what came to an end, and ends what takes too long."""
        for child in list(self.running):
            code, late = child.process.poll(), time.monotonic() > child.until
            if code is None and not late:
                continue
            self.running.remove(child)
            child.kill()
            own = NO_TIME if time.monotonic() > self.until else f"it took longer than {SECONDS_EACH:g} s"
            self._take(child, own if code is None else "")

    def _take(self, child: _Child, late: str) -> None:
        """Notes the folders that a child has written; `late`: why it was ended."""
        for line in child.said(child.output):
            path, _, outcome = line.rpartition("  ")
            told = _told(self.cwd / path)
            if told is not None and (told in child.job.keys or told not in self.folders.written):
                self.folders.written[told] = Written(path, outcome)
        if any(key not in self.folders.written for key in child.job.keys):
            words = child.said(child.errors)
            self._missing([child.job], late or one_line(words[-1] if words else "the case did not show it again"))

    def _missing(self, left: Iterable[Job], reason: str) -> None:
        self.folders.missing += [(reason, job.command) for job in left]


class _Child:
    """A child that does one job, in a process group of its own. seconds: for simpler numbers of each finding."""

    def __init__(self, job: Job, seconds: float, cwd: Path, environment: dict[str, str], until: float) -> None:
        self.job = job
        self.until = min(until, time.monotonic() + SECONDS_EACH)
        self.output, self.errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115, until it ends
        also = [f"--also={place}" for place in job.also]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "conformance", *job.arguments, f"--seconds={seconds:.1f}", "--time=0", *also],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.errors,
            start_new_session=True,
        )

    def said(self, stream: IO[bytes]) -> list[str]:
        """The lines that it printed."""
        stream.seek(0)
        return [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]

    def kill(self) -> None:
        """Ends it and what it started, if it lives."""
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()


def _told(folder: Path) -> Told | None:
    """What the report in a folder tells of."""
    try:
        return told_of(Finding.from_json(json.loads((folder / "case.json").read_text(encoding="utf-8"))["finding"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(
    report: Report,
    given: str | None,
    cwd: Path,
    root: Path,
    seed: str | None,
    call_limit: float,
    deadline: float = math.inf,
) -> Folders:
    """Writes a folder for each distinct finding of a red run, below `given` or the run's root."""
    parent = Path(given) if given is not None else root / FOLDER
    with suppress(ValueError):  # of a folder elsewhere
        parent = parent.relative_to(cwd)
    folders = Folders(str(parent))
    waiting = jobs(findings_to_tell(report), report.options, str(parent), seed or "", call_limit, _unknown(report))
    if not report.session.subject.texts:
        folders.refused = f"{report.session.subject.name} exists in this process alone"
    elif reason := _unwritable(cwd / parent):
        folders.refused = f"{parent}: {reason}; name a folder that can be written with --reports"
    elif report.ended_by_user:
        folders.missing = [(INTERRUPTED, job.command) for job in waiting]
    else:
        Writing(waiting, folders, cwd, (cwd, root), deadline).run()
    return folders


def _unwritable(folder: Path) -> str:
    """Why nothing can be written below a folder; "" where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return str(error.strerror)
    return ""
