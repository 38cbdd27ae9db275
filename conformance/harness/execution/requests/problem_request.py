"""A request about one problem: its modules, each built once, and one observation for each route."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

import torch

from conformance.harness.execution import memory_layouts
from conformance.harness.execution.failure import MISMATCHED, Failure
from conformance.harness.execution.module_call import guarded_call
from conformance.harness.execution.observation import Manner, Observation
from conformance.harness.execution.requests.request import Request
from conformance.harness.execution.routes import CONSTRUCTOR, EAGER_ROUTES, ROUTES
from conformance.harness.execution.subject import MismatchedParameters, Subject
from reference.problem import Problem

Seen = TypeVar("Seen", bound=Observation)


class Unbuilt(Exception):
    """The subject's module could not be built; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Modules:
    """The modules of one request, each built once for all routes: of the whole problem, and of its layers."""

    def __init__(self, subject: Subject, parameter_memory: str = "contiguous") -> None:
        self.subject = subject
        self.parameter_memory = parameter_memory
        self.kept: dict[int | None, torch.nn.Module] = {}

    def loaded(self, problem: Problem, layer: int | None = None) -> torch.nn.Module:
        """The module that `problem`, or the layer of it, is about, with its weights. Raises Unbuilt."""
        if layer not in self.kept:
            with torch.inference_mode(False):  # parameters of an inference are of no use on another route
                self.kept[layer] = built(problem, lambda: self._loaded(problem))
        return self.kept[layer]

    def _loaded(self, problem: Problem) -> torch.nn.Module:
        module = self.subject.loaded(problem)
        if self.parameter_memory != "contiguous":
            lay_out_parameters(module, self.parameter_memory)
        return module


def with_its_layers(problem: Problem) -> tuple[Problem, ...]:
    """A problem, and one with the architecture of each layer."""
    a = problem.architecture
    widths = sorted({a.layer_input_size(layer) for layer in range(a.num_layers)})
    return (problem, *(replace(problem, architecture=replace(a, input_size=one, num_layers=1)) for one in widths))


def lay_out_parameters(module: torch.nn.Module, memory: str) -> None:
    """Gives a module new parameters of the same values, which lie in memory as one of `PARAMETER_MEMORY` says."""
    parameters = dict(module.named_parameters())
    values = [parameter.detach() for parameter in parameters.values()]
    if memory == "flat":
        pieces = torch.cat([one.flatten() for one in values]).split([one.numel() for one in values])
        laid_out = [piece.view(one.shape) for piece, one in zip(pieces, values, strict=True)]
    else:
        laid_out = [memory_layouts.laid_out(one, memory) for one in values]
    for (name, parameter), made in zip(parameters.items(), laid_out, strict=True):
        owner, _, own_name = name.rpartition(".")
        setattr(module.get_submodule(owner), own_name, torch.nn.Parameter(made, parameter.requires_grad))


def built(problem: Problem, build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """What `build` returns. Raises Unbuilt."""
    try:
        return guarded_call(problem.case, CONSTRUCTOR, build)
    except MismatchedParameters as error:
        raise Unbuilt(Failure(MISMATCHED, message=str(error))) from None
    except Exception as error:  # the subject's own, whatever it is
        raise Unbuilt(Failure.raised(error)) from None


@contextmanager
def preparing(what: str) -> Iterator[None]:
    """A block that readies a subject's module for a call: what it raises is the subject's. Raises Unbuilt."""
    try:
        yield
    except Exception as error:  # of parameters that an earlier call of the subject replaced, whatever by
        raise Unbuilt(Failure.raised(error, during=f"{what}, made ready for another call")) from None


PARAMETER_MEMORY = ("transposed", "sliced", "offset", "flat")
"""How parameters lie in memory if not as they were made; flat: views of one buffer, one after the other."""


@dataclass(frozen=True, eq=False)
class ProblemRequest(Request[Seen]):
    """A request about one problem, on some routes: one observation for each.

    parameter_memory: contiguous, or one of `PARAMETER_MEMORY`.
    """

    problem: Problem
    routes: tuple[str, ...] = EAGER_ROUTES
    parameter_memory: str = field(default="contiguous", kw_only=True)

    result: ClassVar[type[Observation]] = Observation

    @property
    def manner(self) -> Manner:
        """How the call that is observed is made."""
        return Manner(self.parameter_memory)

    @property
    def is_differentiated(self) -> bool:
        """Whether gradients are asked for: of the request's loss, if it has one."""
        return bool(getattr(getattr(self, "loss", None), "wanted", ()))

    def problems(self) -> tuple[Problem, ...]:
        """The problems whose modules are called."""
        return (self.problem,)

    def unstated(self, subject: Subject) -> str:
        """What of the subject's statement the request is outside of, in words; "" if of nothing."""
        if not subject.stated:
            return ""
        refusals = (
            subject.statement(one.architecture.name).refusal(one, self.is_differentiated) for one in self.problems()
        )
        return next(filter(None, refusals), "")

    def blank(self, subject: Subject, route: str) -> Seen:
        """The observation of a call that was not made yet."""
        return self.result(self.problem, subject.name, route)  # type: ignore[return-value]

    def failed(self, subject: Subject, failure: Failure) -> Seen:
        return replace(self.blank(subject, self.routes[0]), failure=failure)

    def parts(self) -> list[Request[Seen]]:
        return [replace(self, routes=(route,)) for route in self.routes]

    def execute(self, subject: Subject) -> tuple[Seen, ...]:
        modules = Modules(subject, self.parameter_memory)
        return tuple(self._on_route(modules, route) for route in self.routes)

    def _on_route(self, modules: Modules, route: str) -> Seen:
        blank = replace(self.blank(modules.subject, route), manner=self.manner)
        with ROUTES[route].settings() if route in ROUTES else nullcontext():
            try:
                return self.observed(modules, blank)
            except Unbuilt as unbuilt:
                return replace(blank, failure=unbuilt.failure)

    @abstractmethod
    def observed(self, modules: Modules, blank: Seen) -> Seen:
        """Makes the call on the route of `blank`, under its settings. Raises Unbuilt."""
