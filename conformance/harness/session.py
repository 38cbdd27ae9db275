"""One run: the subject, what is drawn from, what is known, what was found. Sessions nest: the innermost is current."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

import reference
from conformance.clauses import CLAUSES, RED
from conformance.harness import packing_calls, platform, runner, subject
from conformance.harness.capabilities import features, is_refusal, smallest
from conformance.harness.known import Known, matching
from conformance.harness.observation import Observation
from conformance.harness.packing_calls import Packer
from conformance.harness.recorder import Finding, Recorder
from conformance.harness.runner import Drawer, Plan, Runner
from conformance.harness.subject import TORCH_NN, Subject
from reference.problem import Problem
from reference.roundings import Judgement
from strategies import Axes, Case
from strategies.axes import DTYPES

if TYPE_CHECKING:
    from conformance.harness.property import Property


WITNESSED_EVERY = 50
"""One case in so many is called once more under the eyes of a witness, and every failure is."""

ALWAYS_SUPPORTED = ("float32", "float64")
"""Dtypes that torch.nn may refuse nothing in: there, a refusal is a finding of the property that met it."""


@dataclass(frozen=True)
class Calls:
    """Where calls into the subject are made: in this process, or by others of these signatures elsewhere."""

    run: Runner = runner.run
    pack: Packer = packing_calls.pack
    draw: Drawer = runner.draw


HERE = Calls()
"""Calls in this process."""


@dataclass
class CaseRecord:
    """A property looking at one case: what it compared, and what it found."""

    session: Session
    tested: Property
    cell: str
    case: Case | None
    elements: int = 0
    vacuous: float = 0.0
    worst: float = 0.0
    sees: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def node(self) -> str:
        return f"{self.tested.name}[{self.cell}]"

    def checked(self, elements: int, vacuous: float, ratio: float) -> None:
        """Counts a comparison of so many elements, a share of them vacuous; `ratio` is its worst error / bound."""
        self.elements += elements
        self.vacuous += vacuous * elements
        if ratio <= 1:
            self.worst = max(self.worst, ratio)

    def found(
        self, seen: Observation, field: str, kind: str, lines: list[str], severity: str = "", clause: str | None = None
    ) -> None:
        """A deviation of `seen`; its severity and clause are the property's own unless given."""
        of = CLAUSES[clause or self.tested.clause.id]
        self.findings.append(
            Finding(
                severity=severity or of.severity,
                clause=of.id,
                test=self.tested.name,
                cell=self.cell,
                subject=seen.subject,
                route=seen.route,
                dtype=seen.problem.dtype,
                field=field,
                kind=kind,
                lines=tuple(lines),
                case=seen.problem.case if self.case is not None else "",
                kernels=self.session.kernels(seen),
                options=self.session.subject.options(self.cell),
            )
        )

    def died(self, how: str, route: str, dtype: str, case: str) -> Finding:
        """The finding that a call ended with its process."""
        return Finding(
            RED,
            self.tested.clause.id,
            self.tested.name,
            self.cell,
            self.session.subject.name,
            route,
            dtype,
            field="call",
            kind=how,
            lines=(how,),
            case=case,
            options=self.session.subject.options(self.cell),
        )


@dataclass
class Session:
    """What a run is about.

    subject      what is judged
    axes         the dtypes and devices that cases are drawn from
    known        known deviations in force
    routes       those of `EAGER_ROUTES` that calls take; others are taken where a property names them
    dtypes       those of calls, also where a property draws none
    calls        who makes the calls: this process, or a child of it (`child.CALLS`)
    latest       the last failure of each property and cell
    """

    subject: Subject
    axes: Axes = field(default_factory=Axes)
    known: tuple[Known, ...] = ()
    recorder: Recorder = field(default_factory=Recorder)
    latest: dict[str, Finding] = field(default_factory=dict)
    routes: tuple[str, ...] = runner.EAGER_ROUTES
    dtypes: tuple[str, ...] = DTYPES
    calls: Calls = HERE
    _probes: dict[tuple[str, str, str, str, tuple[str, ...]], Observation] = field(default_factory=dict)
    _record: CaseRecord | None = None
    _observed: int = 0
    _failed: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def case_at_hand(self) -> CaseRecord:
        assert self._record is not None, "assertions belong into a property marked with @clause"
        return self._record

    @contextmanager
    def looking_at(self, record: CaseRecord) -> Iterator[CaseRecord]:
        before, self._record = self._record, record
        try:
            yield record
        finally:
            self._record = before

    def judgement(self, problem: Problem) -> Judgement:
        """The rounding models for a problem on this machine."""
        return _judgement(problem.architecture.name, problem.dtype, problem.device, self.subject.name)

    def observe(self, problem: Problem, plan: Plan) -> tuple[Observation, ...]:
        """One observation for each of the plan's routes that the run takes and that the subject supports."""
        taken = [r for r in plan.routes if r in self.routes or r not in runner.EAGER_ROUTES]
        routes = tuple(taken) if problem.dtype in self.dtypes else ()
        self._observed += 1
        watched = replace(plan, routes=routes, witness=self._observed % WITNESSED_EVERY == 1)
        seen = self.calls.run(self.subject, problem, watched, self.judgement(problem))
        for kernel in (kernel for observation in seen for kernel in observation.kernels):
            self.recorder.kernels[kernel] = self.recorder.kernels.get(kernel, 0) + 1
        return tuple(one for one in seen if not self._left_out(one))

    def _left_out(self, seen: Observation) -> bool:
        """Whether `seen` failed, and asks for what the subject cannot do at all; if so, it is counted as that."""
        problem = seen.problem
        combination = (problem.architecture.name, problem.dtype, problem.device, seen.route)
        cause = self._cause(*combination, features(problem)) if seen.failure is not None else None
        if cause is None:
            return False
        feature, failure = cause
        self.recorder.skipped(*combination, failure, feature)
        return True

    def _cause(
        self, cell: str, dtype: str, device: str, route: str, asked: tuple[str, ...]
    ) -> tuple[str, tuple[str, str]] | None:
        """The one feature ("" for a plain call) that is refused at the smallest size too, and in which words.

        Of a subject that refuses plain calls, nothing where it accepts the smallest call with all that is asked for.
        """
        if dtype in ALWAYS_SUPPORTED and self.subject.name == TORCH_NN:
            return None
        plain = self.probe(cell, dtype, device, route).failure
        if plain is not None and cell not in self.subject.classes:
            return cell, plain
        if plain is not None and is_refusal(plain):
            return ("", plain) if is_refusal(self.probe(cell, dtype, device, route, asked).failure) else None
        for feature in asked:
            alone = self.probe(cell, dtype, device, route, (feature,)).failure
            if alone is not None and is_refusal(alone):
                return feature, alone
        return None

    def kernels(self, seen: Observation) -> tuple[str, ...]:
        """The kernels that a call like `seen` reaches; none where it fails or has none."""
        if seen.kernels or seen.failure is not None or seen.route not in runner.EAGER_ROUTES:
            return seen.kernels
        return self.calls.run(self.subject, seen.problem, Plan((seen.route,), witness=True), seen.judgement)[0].kernels

    def probe(self, cell: str, dtype: str, device: str, route: str, asked: tuple[str, ...] = ()) -> Observation:
        """The smallest call that asks for these features, kept: refused, the subject does not support them at all."""
        key = (cell, dtype, device, route, asked)
        if key not in self._probes:
            problem = smallest(cell, dtype, device, asked)
            self._probes[key] = self.calls.run(self.subject, problem, Plan((route,)), self.judgement(problem))[0]
        return self._probes[key]

    def leave_out_unsupported_dtypes(self) -> None:
        """Draws no more from a dtype that every cell refuses on every device and route, and records that."""
        for dtype in self.axes.dtypes:
            pairs = [(cell, device) for device in self.axes.devices for cell in self.subject.classes]
            combinations = [(cell, dtype, device, route) for route in runner.EAGER_ROUTES for cell, device in pairs]
            needed = dtype in ALWAYS_SUPPORTED and self.subject.name == TORCH_NN
            if needed or not all(is_refusal(self.probe(*combination).failure) for combination in combinations):
                continue
            self.axes.dtypes = tuple(name for name in self.axes.dtypes if name != dtype)
            for cell, device in pairs:
                failure = self.probe(cell, dtype, device, "grad").failure or ("", "")
                self.recorder.skipped(cell, dtype, device, "every route", failure)

    def repeats(self, node: str, finding: Finding) -> bool:
        """Whether `finding` is what the same case gave before, if it failed before; it is remembered either way."""
        self.latest[node] = finding
        return self._failed.setdefault((node, finding.case), finding.lines) == finding.lines

    def known_as(self, finding: Finding, case: Case | None) -> str:
        """The id of the known deviation that `finding` is, or ""."""
        return matching(self.known, finding, case)


@cache
def _judgement(cell: str, dtype: str, device: str, subject_name: str) -> Judgement:
    return reference.model(
        cell, dtype, device.partition(":")[0], platform.capability(), platform.release(), subject_name
    )


_sessions: list[Session] = []


def current() -> Session:
    """The innermost session; a plain one of torch.nn where none was begun."""
    if not _sessions:
        begin(Session(subject.torch_nn()))
    return _sessions[-1]


def current_case() -> CaseRecord:
    """The case that a property is looking at."""
    return current().case_at_hand()


def begin(session: Session) -> Session:
    """Makes `session` the current one: pins threads and precision."""
    platform.pin()
    _sessions.append(session)
    return session


def end(session: Session) -> None:
    """Back to the session around it."""
    assert _sessions.pop() is session, "sessions end in the order in which they began"


@contextmanager
def nested(session: Session) -> Iterator[Session]:
    """`session` for as long as the block lasts."""
    begin(session)
    try:
        yield session
    finally:
        end(session)
