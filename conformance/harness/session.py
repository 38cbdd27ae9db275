"""The state of a run: subject, axes, known deviations, findings. Sessions nest; the innermost is current."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeVar

import reference
from conformance.clauses import RED
from conformance.harness.checks import case_record
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution import machine, subject
from conformance.harness.execution.failure import RAISED, Failure
from conformance.harness.execution.machine import Build
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.execution.requests.module_request import ModuleCall
from conformance.harness.execution.requests.problem_request import ProblemRequest
from conformance.harness.execution.requests.request import Executor, InProcess
from conformance.harness.execution.routes import EAGER_ROUTES, ROUTES
from conformance.harness.execution.subject import TORCH_NN, Subject
from conformance.harness.findings.known import Known, matching
from conformance.harness.findings.recorder import Finding, Recorder
from conformance.harness.models.fleet import Fleet
from conformance.harness.support import features, smallest
from reference.problem import Problem
from reference.roundings import Accuracy, Judgement, at_accuracy
from strategies import Axes, Case
from strategies.axes import DTYPES
from strategies.cost import seconds_of
from strategies.weights import Weights

Seen = TypeVar("Seen", bound=Observation)

SECONDS_THAT_TELL = 1.0
"""From so many estimated seconds on the pace of a run is known."""

KERNELS_RECORDED_EVERY = 50
"""One in this many requests also records the kernels that it reaches."""

BITS_REPEAT_ON = ("AVX2", "AVX512")
BITS_REPEAT_ON_RELEASES = ("2.0", "2.2", "2.6", "2.11", "2.13", "2.15")
"""Instruction sets and releases on which no two calls that say the same were ever seen to differ in a bit."""

ALWAYS_SUPPORTED = ("float32", "float64")
"""Dtypes that torch.nn must support fully: a refusal in them is a finding of the property that meets it."""


@dataclass
class Session:
    """The settings and records of a run.

    subject      the implementation under test
    axes         the dtypes and devices that cases are drawn from
    known        known deviations in force
    expired      those whose waivers have expired, which cover nothing
    fail_on      clauses whose ambers and remarks are red in this run
    routes       those of `ROUTES` that calls take; modules that are only built, and packing, have none
    dtypes       those in which calls are made, whether drawn or not
    executor     makes the calls, in this process or in children (`worker_process.IN_CHILDREN`)
    latest       the last failure of each property and cell
    unasked      why calls of a property and cell were not made
    put_right    settings from outside that were undone for the run
    fleet        the user's models
    deadline     the time of time.time() at which the run has to be over
    seconds_each after so many seconds a property draws no more than its fewest cases
    seconds_full the processor seconds that a model's call in full may be estimated to take
    spent        the seconds that cases took so far, and what they were estimated to take
    cut_short    whether the property at hand drew fewer cases than it may
    keeps_cases  whether the recorder keeps case lines of each property and outcome
    repeat       how often each case is looked at
    on_case      called with the record of each case before a property looks at it
    build        the PyTorch that makes the calls; that of this process unless the executor has another
    """

    subject: Subject
    axes: Axes = field(default_factory=Axes)
    known: tuple[Known, ...] = ()
    expired: tuple[Known, ...] = ()
    fail_on: tuple[str, ...] = ()
    recorder: Recorder = field(default_factory=Recorder)
    latest: dict[str, Finding] = field(default_factory=dict)
    unasked: dict[str, str] = field(default_factory=dict)
    put_right: tuple[str, ...] = ()
    fleet: Fleet = field(default_factory=Fleet)
    deadline: float = math.inf
    seconds_each: float = math.inf
    seconds_full: float = math.inf
    spent: tuple[float, float] = (0.0, 0.0)
    cut_short: bool = False
    keeps_cases: bool = False
    repeat: int = 1
    on_case: Callable[[CaseRecord], None] = lambda record: None
    routes: tuple[str, ...] = tuple(ROUTES)
    dtypes: tuple[str, ...] = DTYPES
    executor: Executor = field(default_factory=InProcess)
    build: Build = field(default_factory=machine.build)
    _probes: dict[tuple[str, str, str, str, tuple[str, ...]], Observation] = field(default_factory=dict)
    _requests: int = 0
    _failed: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def judgement(self, problem: Problem) -> Judgement:
        """The rounding models for a problem on this machine."""
        cell = problem.architecture.name
        name = self.subject.name if self.subject.is_pytorchs_own(cell) else f"{self.subject.name}, not PyTorch's own"
        stated = self.subject.stated.get(cell)
        accuracy = stated.accuracy if stated is not None else None
        return _judgement(cell, problem.dtype, problem.device, self.build, name, accuracy)

    def options(self, cell: str, module: str, weights: Weights | None = None) -> str:
        """The options that name the subject, and the model of a module or of its weights, on a command line."""
        own = self.subject.options(cell)
        return " ".join(filter(None, (own, self.fleet.option(module, weights) if module else "")))

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return time.time() > self.deadline

    def has_time_for(self, case: Case, clause: str) -> bool:
        """Whether a case of a property of this clause will probably end in time, at the pace of the cases so far."""
        if math.isinf(self.deadline):
            return True
        took, estimated = self.spent
        pace = max(1.0, took / estimated if estimated > SECONDS_THAT_TELL else 1.0)
        return time.time() + pace * seconds_of(case, clause) <= self.deadline

    def took(self, seconds: float, estimated: float) -> None:
        """A case took so many seconds and was estimated to take so many."""
        self.spent = self.spent[0] + seconds, self.spent[1] + estimated

    @property
    def repeats_bits(self) -> bool:
        """Whether PyTorch's own calls were measured to repeat every bit with this release and instruction set."""
        return self.build.release in BITS_REPEAT_ON_RELEASES and self.build.capability in BITS_REPEAT_ON

    def execute(self, request: ProblemRequest[Seen], executor: Executor | None = None) -> tuple[Seen, ...]:
        """One observation for each of the request's routes that the run takes and that the subject supports.

        None of a call that the subject states as impossible, which is not asked. executor: makes the calls instead of
        the run's.
        """
        problem = request.problem
        if outside := request.unstated(self.subject):
            case_record.current().not_asked(outside)
            return ()
        routes = self.possible(self.taken(request.routes), problem.architecture.name)
        request = replace(request, routes=routes if problem.dtype in self.dtypes else ())
        self._requests += 1
        if isinstance(request, ModuleCall) and self._requests % KERNELS_RECORDED_EVERY == 1:
            request = replace(request, record_kernels=True)
        seen = (executor or self.executor).execute(self.subject, request)
        for kernel in (kernel for observation in seen for kernel in observation.kernels):
            self.recorder.kernels[kernel] = self.recorder.kernels.get(kernel, 0) + 1
        return tuple(one for one in seen if not self._left_out(one))

    def taken(self, routes: tuple[str, ...]) -> tuple[str, ...]:
        """Those of a call's routes that the run takes. Where it takes none, the case's record keeps what was wanted."""
        taken = tuple(route for route in routes if route in self.routes or route not in ROUTES)
        if routes and not taken:
            case_record.current().wanted_in_vain(routes)
        return taken

    def possible(self, routes: tuple[str, ...], cell: str) -> tuple[str, ...]:
        """Those of the routes on which a cell can be called. Where there are none, the case's record says so."""
        stated = self.subject.statement(cell)
        if stated.has_gradients:
            return routes
        possible = tuple(route for route in routes if route not in ROUTES or not ROUTES[route].requires_gradient)
        if routes and not possible:
            case_record.current().not_asked(stated.said("gradients"))
        return possible

    def smallest(self, cell: str, dtype: str, device: str, wanted: tuple[str, ...] = ()) -> Problem:
        """The smallest problem with these features, of the sizes and flags that the subject states."""
        return smallest(cell, dtype, device, wanted, self.subject.statement(cell))

    def _left_out(self, seen: Observation) -> bool:
        """Whether `seen` failed because of a feature that the subject does not support; if so, it is counted."""
        problem = seen.problem
        combination = (problem.architecture.name, problem.dtype, problem.device, seen.route)
        cause = self._cause(*combination, features(problem)) if seen.failure is not None else None
        if cause is None:
            return False
        feature, failure = cause
        if self.subject.statement(problem.architecture.name).promises(feature, problem):
            return False
        self.recorder.skipped(*combination, failure, feature)
        case_record.current().not_asked(f"{feature or problem.dtype}: rejected even in the smallest call")
        return True

    def _cause(
        self, cell: str, dtype: str, device: str, route: str, asked: tuple[str, ...]
    ) -> tuple[str, Failure] | None:
        """The feature ("" for a plain call) that the subject refuses even in the smallest call, and the failure.

        None if the subject refuses plain calls but accepts the smallest call with all features that are asked for.
        """
        if dtype in ALWAYS_SUPPORTED and self.subject.name == TORCH_NN:
            return None
        plain = self.probe(cell, dtype, device, route).failure
        if plain is not None and cell not in self.subject.classes:
            return cell, plain
        if plain is not None and plain.is_refusal:
            return ("", plain) if self._refuses(cell, dtype, device, route, asked) else None
        for feature in asked:
            alone = self.probe(cell, dtype, device, route, (feature,)).failure
            if alone is not None and alone.is_refusal:
                return feature, alone
        return None

    def _refuses(self, cell: str, dtype: str, device: str, route: str, asked: tuple[str, ...] = ()) -> bool:
        """Whether the subject refuses the smallest call with these features."""
        failure = self.probe(cell, dtype, device, route, asked).failure
        return failure is not None and failure.is_refusal

    def kernels(self, seen: Observation) -> tuple[str, ...]:
        """The kernels that the call of `seen` reaches, called again if need be; () if it failed or is not eager."""
        if seen.kernels or seen.failure is not None or seen.route not in EAGER_ROUTES:
            return seen.kernels
        again = Forward(seen.problem, (seen.route,), record_kernels=True)
        return self.executor.execute(self.subject, again)[0].kernels

    def probe(self, cell: str, dtype: str, device: str, route: str, asked: tuple[str, ...] = ()) -> Observation:
        """The smallest call with these features, cached. If it is refused, the subject does not support them."""
        key = (cell, dtype, device, route, asked)
        if key not in self._probes:
            problem = self.smallest(cell, dtype, device, asked)
            self._probes[key] = self.executor.execute(self.subject, Forward(problem, (route,)))[0]
        return self._probes[key]

    def leave_out_unsupported_dtypes(self) -> None:
        """Removes dtypes that every cell refuses on every device and route, and records them as skipped.

        On the eager routes of the run if it has any: meta tensors take dtypes that no kernel does.
        """
        routes = [route for route in EAGER_ROUTES if route in self.routes] or self.routes
        for dtype in self.axes.dtypes:
            pairs = [(cell, device) for device in self.axes.devices for cell in self.subject.classes]
            combinations = [(cell, dtype, device, route) for route in routes for cell, device in pairs]
            claimed = any(dtype in one.names.get("dtypes", ()) for one in self.subject.stated.values())
            needed = claimed or (dtype in ALWAYS_SUPPORTED and self.subject.name == TORCH_NN)
            if needed or not all(self._refuses(*combination) for combination in combinations):
                continue
            self.axes.dtypes = tuple(name for name in self.axes.dtypes if name != dtype)
            for cell, device in pairs:
                failure = self.probe(cell, dtype, device, routes[0]).failure or Failure(RAISED)
                self.recorder.skipped(cell, dtype, device, "every route", failure)

    def aside(self, routes: tuple[str, ...] = ()) -> Session:
        """The same settings with records of its own, for calls that the run does not count; of these routes alone."""
        fresh = Session(self.subject, self.axes, self.known, routes=routes or self.routes, dtypes=self.dtypes)
        fresh.executor, fresh._probes, fresh.fleet = self.executor, self._probes, self.fleet
        return fresh

    def nothing_asked(self, node: str) -> str:
        """Why a property and cell compared nothing, where that is because calls were not made; else ""."""
        tally = self.recorder.tallies.get(node)
        return self.unasked.get(node, "") if tally is not None and not tally.elements and not tally.found else ""

    def repeats(self, node: str, finding: Finding) -> bool:
        """Whether the case failed the same way before, or not at all; remembers `finding`."""
        self.latest[node] = finding
        return self._failed.setdefault((node, finding.case), finding.lines) == finding.lines

    def judged(self, finding: Finding, case: Case | None) -> Finding:
        """The finding as this run takes it: named if it is known, red if --fail-on says so. What an expired waiver was
        about is not covered by another entry either."""
        lapsed = matching(self.expired, finding, case)
        if not lapsed and (known := self.known_as(finding, case)):
            return replace(finding, known=known)
        more = [entry.waiver for entry in self.expired if entry.id == lapsed]
        severity = finding.severity
        if severity != RED and finding.clause in self.fail_on:
            more += [f"red because of --fail-on {finding.clause}, {severity} without it"]
            severity = RED
        return replace(finding, severity=severity, lines=(*finding.lines, *more)) if more else finding

    def known_as(self, finding: Finding, case: Case | None) -> str:
        """The id of the known deviation that `finding` is, or ""."""
        return matching(self.known, finding, case)


@cache
def _judgement(
    cell: str, dtype: str, device: str, build: Build, subject_name: str, accuracy: Accuracy | None
) -> Judgement:
    found = reference.model(cell, dtype, device.partition(":")[0], build.capability, build.release, subject_name)
    return found if accuracy is None else Judgement(at_accuracy(found.red, accuracy), None)


def current() -> Session:
    """The session in force; begins one of torch.nn if there is none."""
    try:
        run = case_record.current().run
    except LookupError:
        return begin(Session(subject.torch_nn()))
    assert isinstance(run, Session)
    return run


def begin(session: Session) -> Session:
    """Makes `session` the current one; pins threads and precision."""
    session.put_right = machine.pin()
    case_record.push(CaseRecord(session))
    return session


@contextmanager
def nested(session: Session) -> Iterator[Session]:
    """Makes `session` current within the block; pins threads and precision."""
    machine.pin()
    with case_record.entered(CaseRecord(session)):
        yield session
