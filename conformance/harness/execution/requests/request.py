"""What can be asked of a subject: one small class for each kind of call, with a result type of its own.

A request is data, and `execute(subject)` carries it out in the process that it is in. `InProcess` and
`isolation.worker_process.WorkerProcess` are the two executors: one verb, `execute(subject, request)`, wherever the
calls are made. No tensor leaves a request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.failure import MISMATCHED, Failure
from conformance.harness.execution.inputs import Inputs, data_of, inputs
from conformance.harness.execution.kernels import kernels
from conformance.harness.execution.module_call import (
    call_module,
    fact,
    guarded_call,
    masks_repeatable,
    recorded_warnings,
)
from conformance.harness.execution.observation import (
    ByLayers,
    BySteps,
    Constructed,
    Observation,
    ParametersDrawn,
    Poisoned,
    Repeated,
)
from conformance.harness.execution.routes import CONSTRUCTOR, EAGER_ROUTES, ROUTES, Route
from conformance.harness.execution.subject import MismatchedParameters, Subject
from reference.problem import LSTM, Architecture, Problem

Result = TypeVar("Result", covariant=True)
Seen = TypeVar("Seen", bound=Observation)


class Request(ABC, Generic[Result]):
    """A dataclass that says which call is wanted."""

    @abstractmethod
    def execute(self, subject: Subject) -> tuple[Result, ...]:
        """Carries the request out in this process: one result for each of `parts`."""

    @abstractmethod
    def failed(self, subject: Subject, failure: Failure) -> Result:
        """The result of a request with one part whose call failed as a whole."""

    def parts(self) -> list[Request[Result]]:
        """The request as several, each with one result."""
        return [self]

    def shared(self) -> tuple[object, ...]:
        """The objects in it that results refer to."""
        return tuple(value for value in (getattr(self, f.name) for f in fields(self)) if is_dataclass(value))  # type: ignore[arg-type]


class Executor(Protocol):
    """Who carries requests out."""

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]: ...


class InProcess:
    """Carries requests out in this process."""

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
        """The results of `request.execute`."""
        return request.execute(subject)


class Unbuilt(Exception):
    """The subject's module could not be built; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Modules:
    """The modules of one request, each built once for all routes: of the whole problem, and of its layers."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.kept: dict[int | None, torch.nn.Module] = {}

    def loaded(self, problem: Problem, layer: int | None = None) -> torch.nn.Module:
        """The module that `problem`, or the layer of it, is about, with its weights. Raises Unbuilt."""
        if layer not in self.kept:
            with torch.inference_mode(False):  # parameters of an inference are of no use on another route
                self.kept[layer] = built(problem, lambda: self.subject.loaded(problem))
        return self.kept[layer]


def built(problem: Problem, build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """What `build` returns. Raises Unbuilt."""
    try:
        return guarded_call(problem.case, CONSTRUCTOR, build)
    except MismatchedParameters as error:
        raise Unbuilt(Failure(MISMATCHED, message=str(error))) from None
    except Exception as error:  # the subject's own, whatever it is
        raise Unbuilt(Failure.raised(error)) from None


@dataclass(frozen=True, eq=False)
class ProblemRequest(Request[Seen]):
    """A request about one problem, on some routes: one observation for each."""

    problem: Problem
    routes: tuple[str, ...] = EAGER_ROUTES

    result: ClassVar[type[Observation]] = Observation

    def blank(self, subject: Subject, route: str) -> Seen:
        """The observation of a call that was not made yet."""
        return self.result(self.problem, subject.name, route)  # type: ignore[return-value]

    def failed(self, subject: Subject, failure: Failure) -> Seen:
        return replace(self.blank(subject, self.routes[0]), failure=failure)

    def parts(self) -> list[Request[Seen]]:
        return [replace(self, routes=(route,)) for route in self.routes]

    def execute(self, subject: Subject) -> tuple[Seen, ...]:
        modules = Modules(subject)
        return tuple(self._on_route(modules, route) for route in self.routes)

    def _on_route(self, modules: Modules, route: str) -> Seen:
        blank = self.blank(modules.subject, route)
        with ROUTES[route].settings() if route in ROUTES else nullcontext():
            try:
                return self.observed(modules, blank)
            except Unbuilt as unbuilt:
                return replace(blank, failure=unbuilt.failure)

    @abstractmethod
    def observed(self, modules: Modules, blank: Seen) -> Seen:
        """Makes the call on the route of `blank`, under its settings. Raises Unbuilt."""


@dataclass(frozen=True, eq=False)
class Construct(ProblemRequest[Constructed]):
    """Build a module and call nothing."""

    routes: tuple[str, ...] = (CONSTRUCTOR,)
    result = Constructed

    def observed(self, modules: Modules, blank: Constructed) -> Constructed:
        module = built(self.problem, lambda: modules.subject.module(self.problem, self.problem.device))
        return replace(blank, facts={name: fact(p) for name, p in module.named_parameters()}, text=repr(module))


@dataclass(frozen=True, eq=False)
class DrawParameters(Request[ParametersDrawn]):
    """Build float32 modules of these architectures one after the other, after manual_seed(seed)."""

    seed: int
    architectures: tuple[Architecture, ...]

    def execute(self, subject: Subject) -> tuple[ParametersDrawn, ...]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            try:
                modules = guarded_call("", CONSTRUCTOR, lambda: self._modules(subject))
            except Exception as error:  # the subject's own, whatever it is
                return (ParametersDrawn(failure=Failure.raised(error)),)
        named = [dict(module.named_parameters()) for module in modules]
        return (ParametersDrawn(tuple({name: tensors.array(p) for name, p in one.items()} for one in named)),)

    def _modules(self, subject: Subject) -> list[torch.nn.Module]:
        return [subject.drawn(one, "float32", "cpu") for one in self.architectures]

    def failed(self, subject: Subject, failure: Failure) -> ParametersDrawn:
        return ParametersDrawn(failure=failure)


@dataclass
class Begun(Generic[Seen]):
    """A module and the tensors of a call, ready to be made."""

    modules: Modules
    module: torch.nn.Module
    given: Inputs
    blank: Seen

    def call(self) -> tuple[Any, dict[str, Any]]:
        """What the call returns, as an observation and as tensors."""
        with masks_repeatable(self.blank.problem):
            return call_module(self.module, self.given, self.blank)


@dataclass(frozen=True, eq=False)
class ModuleCall(ProblemRequest[Seen]):
    """A call of a module, and what is asked for beside it.

    record_kernels: also call it once more and note which kernels are reached.
    """

    record_kernels: bool = field(default=False, kw_only=True)

    def observed(self, modules: Modules, blank: Seen) -> Seen:
        route = ROUTES[blank.route]
        if not route.has_values:
            return self._without_values(modules, blank, route)
        begun = Begun(modules, modules.loaded(self.problem), inputs(self.problem), blank)
        _require_gradients(begun.module, begun.given, route)
        seen = self.called(begun)
        if self.record_kernels and seen.failure is None:
            seen = replace(seen, kernels=_kernels(begun))
        return seen

    def called(self, begun: Begun[Seen]) -> Seen:
        """Makes the call, and those that the request wants after it."""
        seen: Seen = begun.call()[0]
        return seen

    def _without_values(self, modules: Modules, blank: Seen, route: Route) -> Seen:
        """A call with tensors that have no values: facts alone."""
        device = route.device or self.problem.device
        module = built(self.problem, lambda: modules.subject.module(self.problem, device))

        def empty(values: np.ndarray) -> torch.Tensor:
            return torch.empty(values.shape, dtype=tensors.DTYPES[self.problem.dtype], device=device)

        return call_module(module, inputs(self.problem, empty), blank)[0]


def _kernels(begun: Begun[Any]) -> tuple[str, ...]:
    arguments, problem = begun.given.arguments(), begun.blank.problem
    with recorded_warnings():
        return kernels(lambda: guarded_call(problem.case, begun.blank.route, lambda: begun.module(*arguments)))


def _require_gradients(module: torch.nn.Module, given: Inputs, route: Route) -> None:
    for parameter in module.parameters():
        if parameter.requires_grad is route.frozen:
            parameter.requires_grad_(not route.frozen)
    if route.input_gradient:
        for tensor in (data_of(given.input), *given.states):
            tensor.requires_grad_()


def plain(seen: Observation) -> Observation:
    """A blank observation of another call on the same problem and route."""
    return Observation(seen.problem, seen.subject, seen.route)


@dataclass(frozen=True, eq=False)
class Forward(ModuleCall[Observation]):
    """Call a module once."""


@dataclass(frozen=True, eq=False)
class ForwardTwice(ModuleCall[Repeated]):
    """Call a module, again, and a third time after the first results were overwritten; note what the calls change."""

    result = Repeated

    def called(self, begun: Begun[Repeated]) -> Repeated:
        before = _Contents(begun.module, begun.given)
        seen, returned = begun.call()
        if seen.failure is not None:
            return seen  # type: ignore[no-any-return]
        second, _ = call_module(begun.module, begun.given, plain(seen))
        with torch.no_grad():
            for value in returned.values():
                data_of(value).detach().fill_(float("nan"))
        third, _ = call_module(begun.module, begun.given, plain(seen))
        return replace(seen, again=(second, third), changed=before.changed())  # type: ignore[no-any-return]


class _Contents:
    """Everything that a call may not change, as it was before."""

    def __init__(self, module: torch.nn.Module, inputs: Inputs) -> None:
        states = dict(zip(("h_0", "c_0"), inputs.states, strict=False))
        self.tensors = {"input": data_of(inputs.input)} | states | dict(module.named_parameters())
        self.before = {name: t.detach().clone() for name, t in self.tensors.items()}
        self.random_state = torch.get_rng_state()

    def changed(self) -> tuple[str, ...]:
        names = [name for name, t in self.tensors.items() if not torch.equal(_bits(t), _bits(self.before[name]))]
        return (*names, *([] if torch.equal(self.random_state, torch.get_rng_state()) else ["random state"]))


def _bits(t: torch.Tensor) -> torch.Tensor:
    return t.detach().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[t.element_size()])


@dataclass(frozen=True, eq=False)
class ForwardByLayers(ModuleCall[ByLayers]):
    """Call a module, and its layers as modules of their own, each handed the tensor that the one below returned."""

    result = ByLayers

    def called(self, begun: Begun[ByLayers]) -> ByLayers:
        seen: ByLayers = begun.call()[0]
        if seen.failure is not None or seen.misshapen:
            return seen
        if self.problem.architecture.num_layers == 1:
            return replace(seen, layers=(seen,))
        return replace(seen, layers=tuple(self._layers(begun)))

    def _layers(self, begun: Begun[ByLayers]) -> Iterator[Observation]:
        below, directions = begun.given.input, self.problem.architecture.directions
        values = self.problem.input
        for layer in range(self.problem.architecture.num_layers):
            part = self.problem.layer(layer, values)
            states = tuple(s[layer * directions : (layer + 1) * directions] for s in begun.given.states)
            alone = Observation(part, begun.blank.subject, begun.blank.route, layer=layer)
            seen, returned = call_module(begun.modules.loaded(part, layer), Inputs(below, states), alone)
            yield seen
            if seen.failure is not None or seen.misshapen:
                return
            below = returned["output"]
            values = seen.output.values.reshape(*self.problem.input.shape[:2], -1)


@dataclass(frozen=True, eq=False)
class ForwardByStep(ModuleCall[BySteps]):
    """Call a module of one layer and direction, and once for each step, each handed the states returned before."""

    result = BySteps

    def called(self, begun: Begun[BySteps]) -> BySteps:
        seen: BySteps = begun.call()[0]
        if seen.failure is not None or seen.misshapen:
            return seen
        return replace(seen, steps=tuple(self._steps(begun)))

    def _steps(self, begun: Begun[BySteps]) -> Iterator[Observation]:
        a, states = self.problem.architecture, begun.given.states
        given = {name: self.problem.state(name) for name in (("h_0", "c_0") if a.cell == LSTM else ("h_0",)) if states}
        for t in range(self.problem.steps):
            part = self.problem.step(t, **given)
            time_axis = 1 if a.batch_first and not self.problem.unbatched else 0
            x = data_of(begun.given.input).narrow(time_axis, t, 1)
            blank = Observation(part, begun.blank.subject, begun.blank.route, step=t)
            one, returned = call_module(begun.module, Inputs(x, states), blank)
            yield one
            if one.failure is not None or one.misshapen:
                return
            states = tuple(value for name, value in returned.items() if name != "output")
            given = {name.replace("_n", "_0"): one.results[name].values for name in returned if name != "output"}


@dataclass(frozen=True, eq=False)
class ForwardPoisoned(ModuleCall[Poisoned]):
    """Call a module on a padded batch, and again after some rows and steps were overwritten with NaN in place.

    The states of these rows are overwritten too, unless all rows are meant.
    """

    rows: slice = field(default_factory=lambda: slice(None), kw_only=True)
    steps: slice = field(default_factory=lambda: slice(None), kw_only=True)
    result = Poisoned

    def called(self, begun: Begun[Poisoned]) -> Poisoned:
        seen: Poisoned = begun.call()[0]
        if seen.failure is not None:
            return seen
        self._overwrite(begun.given)
        return replace(seen, poisoned=(call_module(begun.module, begun.given, plain(seen))[0],))

    def _overwrite(self, given: Inputs) -> None:
        x = data_of(given.input)
        batch_first = self.problem.architecture.batch_first
        batch = x[None] if self.problem.unbatched else x if batch_first else x.transpose(0, 1)
        with torch.no_grad():
            batch[self.rows, self.steps] = float("nan")
            for state in given.states if self.rows != slice(None) else ():
                state[:, self.rows] = float("nan")


def prepare() -> None:
    """Has PyTorch import what the routes and the kernel recording need on their first use, which takes a second."""
    with ROUTES["fake"].settings():
        pass
    kernels(lambda: None)
