"""Build modules and call nothing: their parameters' facts, and the numbers that they draw."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.module_call import fact, guarded_call
from conformance.harness.execution.observation import Constructed, ParametersDrawn
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest, built
from conformance.harness.execution.requests.request import Request
from conformance.harness.execution.routes import CONSTRUCTOR
from conformance.harness.execution.subject import Subject
from reference.problem import Architecture


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
