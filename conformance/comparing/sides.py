"""One side of a comparison: an interpreter, the calls that it makes, and what a property sees of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

from conformance.commands.cases import looked_at
from conformance.harness import session
from conformance.harness.execution import machine
from conformance.harness.execution.machine import Build
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests.module_request import ModuleCall
from conformance.harness.execution.requests.request import Request, Result
from conformance.harness.execution.subject import Subject, SubjectError, torch_nn
from conformance.harness.findings.known import Known, matching
from conformance.harness.findings.recorder import Finding, Key
from conformance.harness.isolation.interpreter import CannotRun, build_of, children
from conformance.harness.isolation.worker_process import ChildError, WorkerProcess
from conformance.harness.property import Property
from conformance.harness.session import Session
from reference.problem import Problem
from strategies import Case

Place = tuple[str, str, str]
"""A cell, a dtype and a route."""


@dataclass
class Seen:
    """What the calls of one case returned.

    bits      a checksum of every array, in the order in which they were returned, each with its place and name
    warnings  with their places
    kernels   where they were asked for
    """

    bits: list[tuple[Place, str, int]] = field(default_factory=list)
    warnings: set[tuple[Place, str]] = field(default_factory=set)
    kernels: dict[Place, set[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What one side shows of one case under one property.

    compared  how many elements a check looked at
    worst     the largest error / bound among them
    """

    findings: Mapping[Key, Finding]
    compared: int
    worst: float
    seen: Seen


@dataclass
class Recording:
    """Has requests carried out, and keeps what they return as checksums.

    Kernels are recorded for the first call of each kind, as that takes a second call.
    """

    worker: WorkerProcess
    seen: Seen = field(default_factory=Seen)
    _profiled: set[tuple[object, ...]] = field(default_factory=set)

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
        """As the worker does."""
        if isinstance(request, ModuleCall) and (kind := _kind(request)) not in self._profiled:
            self._profiled.add(kind)
            request = replace(request, record_kernels=True)  # type: ignore[type-var]
        results = self.worker.execute(subject, request)
        for result in results:
            self._note(result)
        return results

    def begin(self) -> Seen:
        """Starts the record of another case."""
        self.seen = Seen()
        return self.seen

    def _note(self, result: object) -> None:
        place = _place(result)
        self.seen.bits += [(place, name, value) for name, value in _checksums(result)]
        for one in (result, *getattr(result, "parts", ())):
            self.seen.warnings.update((place, text) for text in getattr(one, "warnings", ()))
        if kernels := getattr(result, "kernels", ()):
            self.seen.kernels.setdefault(place, set()).update(kernels)


def _kind(request: ModuleCall[Any]) -> tuple[object, ...]:
    """What decides which kernels a call reaches, as far as sizes do not."""
    p: Problem = request.problem
    a = p.architecture
    return (type(request), a.name, p.dtype, p.device, request.routes, p.lengths is not None, a.bidirectional, a.bias)


def _place(result: object) -> Place:
    if not isinstance(result, Observation) or result.problem is None:
        return ("", "", "")
    return (result.problem.architecture.name, result.problem.dtype, result.route)


def _checksums(value: object, name: str = "") -> Iterator[tuple[str, int]]:
    """The name of every array within a result, and a checksum of its bytes."""
    if isinstance(value, np.ndarray):
        yield name, zlib.crc32(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _checksums(one, f"{name} {key}".strip())
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _checksums(one, name)
    elif is_dataclass(value) and not isinstance(value, type | Problem):
        for each in fields(value):
            if each.name not in GIVEN:
                yield from _checksums(getattr(value, each.name), name)


GIVEN = ("problem", "loss", "before", "request", "wanted")
"""Fields of a result that repeat what was asked."""


@contextmanager
def naming(python: str) -> Iterator[None]:
    """Names the interpreter that cannot go on. Raises CannotRun."""
    try:
        yield
    except (CannotRun, ChildError, SubjectError) as reason:
        raise CannotRun(f"{python}: {str(reason).strip().splitlines()[-1]}") from None


@dataclass
class Side:
    """An interpreter and its children. known: the deviations that its PyTorch is known to have here."""

    python: str
    build: Build
    known: tuple[Known, ...] = ()
    recording: Recording = field(init=False)
    subject: Subject = field(default_factory=torch_nn)

    def __post_init__(self) -> None:
        self.recording = Recording(children(self.python))

    @classmethod
    def of(cls, python: str, known: tuple[Known, ...] = ()) -> Side:
        """The side of this interpreter; of `known` it takes what concerns it. Raises CannotRun."""
        with naming(python):
            build = build_of(python)
        return cls(python, build, tuple(one for one in known if one.concerns(build.version, machine.cpu_flags())))

    def look(self, tested: Property, cell: str, case: Case | None) -> Look:
        """What a property sees of a case here. Raises CannotRun."""
        seen = self.recording.begin()
        with naming(self.python), session.nested(self.session()) as here:
            record = looked_at(here, tested, cell, case)
        named = [replace(one.finding, known=matching(self.known, one.finding, case)) for one in record.findings]
        findings = {one.key: one for one in reversed(named)}
        return Look(findings, record.elements, record.worst, seen)

    def session(self) -> Session:
        """A session whose calls this side makes."""
        return Session(self.subject, executor=self.recording, build=self.build)

    def ask(self, request: Request[Result]) -> tuple[Result, ...]:
        """What this side answers to a request; nothing is recorded. Raises CannotRun."""
        with naming(self.python):
            return self.recording.worker.execute(self.subject, request)

    def close(self) -> None:
        self.recording.worker.close()
