"""The request that leads a module through its life cycle, beside a linear layer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.failure import IN_BACKWARD, Failure
from conformance.harness.execution.inputs import Inputs, inputs
from conformance.harness.execution.lived import AfterOperation, Lived
from conformance.harness.execution.module_call import call_module, guarded_call
from conformance.harness.execution.observation import Differentiated
from conformance.harness.execution.requests.backward import gradients_of, pulled
from conformance.harness.execution.requests.invalid.harm import tensors_of
from conformance.harness.execution.requests.life.living import Living, pull
from conformance.harness.execution.requests.life.operations import do
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest, built
from conformance.harness.execution.subject import Subject
from reference.histories import lives, moved
from reference.life import Facts, Life, called, facts
from reference.problem import Loss, Problem


def at_the_end(pick: int) -> bool:
    """Whether a module is called after the last operation alone."""
    return bool(pick % 2)


OF_OBJECTS = ("file", "pickle")
"""Operations of a module as an object, which are left out where its class cannot be imported."""


@dataclass(frozen=True, eq=False)
class LiveThrough(ProblemRequest[Lived]):
    """Do the operations of a history to a module, and call it after each; `history` as in `reference.histories`.

    loss: what each call is differentiated by. at_the_end: it is called after the last operation alone, unless another
    one fails
    """

    history: tuple[str, ...] = field(kw_only=True)
    loss: Loss = field(kw_only=True)
    at_the_end: bool = field(default=False, kw_only=True)
    result = Lived

    def observed(self, modules: Modules, blank: Lived) -> Lived:
        subject, problem = modules.subject, self.problem
        linear = _Companion.of(problem)
        one = _living(subject, built(problem, lambda: subject.loaded(problem)), problem)
        seen, done = list[AfterOperation](), list[str]()
        last = max((place for place, life in enumerate(lives(problem, self.history)) if life), default=0)
        for place, name in enumerate(self.history):
            after = moved(one.life, name)
            if after is None:
                continue
            is_called = place == last or not self.at_the_end
            try:
                is_plain = one.life.is_plain and after.is_plain
                told, otherwise = linear.taken_through(name, is_called, is_plain)
            except Exception as error:  # the linear layer's own: what it does not do is no finding
                ended = f"{name}: {error}"
                return replace(blank, history=self.history, after=tuple(seen), done=tuple(done), ended=ended)
            done.append(name)
            now = called(problem, after)
            was = AfterOperation(now, blank.subject, blank.route, loss=self.loss, operation=name, place=place)
            if not linear.wants_gradients_as(after):  # it has nothing to tie
                told = ""
            was = replace(was, told_by_linear=told, of_linear=otherwise, begun=problem, done=tuple(done))
            found = self._after(subject, one, after, was, is_called)
            if found and found[-1].failure is not None and not is_called and (ended := linear.failure()):
                return replace(blank, history=self.history, after=tuple(seen), done=tuple(done), ended=ended)
            seen += found
            if seen and seen[-1].failure is not None:
                break
        return replace(blank, history=self.history, after=tuple(seen), done=tuple(done))

    def _after(
        self, subject: Subject, one: Living, after: Life, was: AfterOperation, is_called: bool
    ) -> list[AfterOperation]:
        """Does one operation, and calls the module and a fresh one; [] where neither is called and nothing fails."""
        case, name = self.problem.case, was.operation
        is_plain, before = one.life.is_plain and after.is_plain, dict(one.module.named_parameters())
        try:
            module = guarded_call(case, was.route, lambda: do(name, one, after))
        except Exception as error:  # the subject's own, whatever it is
            return [replace(was, failure=Failure.raised(error, during=f"in {name}"))]
        if name in OF_OBJECTS and module is one.module:  # no other process could make it from its pickle
            was = replace(was, told_by_linear="")
        was = replace(was, told=one.told + (_kept(before, module) if is_plain else ""))
        one.module, one.life, one.told = module, after, ""
        one.make, one.call = _making(subject, was.problem), _calling(was.problem)
        if not is_called:
            return []
        seen = differentiated(module, was)
        if seen.failure is not None:
            return [seen]
        fresh, own = _fresh(subject, module, after, seen)
        return [replace(seen, facts_of=_facts(module, own), weights=_read(module, after.weights), fresh=(fresh,))]


def differentiated(module: torch.nn.Module, blank: Any) -> Any:
    """Calls a module and differentiates the call by whatever parameters want it; a failed call comes back as such."""
    problem: Problem = blank.problem
    for parameter in module.parameters():
        parameter.grad = None
    seen, returned = call_module(module, inputs(problem), blank)
    if seen.failure is not None or seen.misshapen:
        return seen
    pairs = pulled(problem, blank.loss, returned)
    try:
        if pairs:
            torch.autograd.backward([result for result, _ in pairs], [cotangent for _, cotangent in pairs])
    except Exception as error:  # the subject's own, whatever it is
        return replace(seen, failure=Failure.raised(error, during=IN_BACKWARD))
    return replace(seen, raw_gradients=gradients_of(dict(module.named_parameters(remove_duplicate=False))))


def _fresh(
    subject: Subject, module: torch.nn.Module, life: Life, seen: AfterOperation
) -> tuple[Differentiated, frozenset[str]]:
    """The same call of a module that is built with the weights; where they are loose, with those that the other has.

    Beside it the names that this module has for parameters and buffers, and that are documented nowhere.
    """
    problem = replace(seen.problem, parameters=dict(seen.problem.parameters) | _read(module, life.loose))
    made = built(problem, lambda: subject.loaded(problem))
    made.requires_grad_(
        life.wants_gradients
    )  # each parameter or none: which of them are frozen is what the other module must know
    blank = Differentiated(problem, seen.subject, seen.route, loss=seen.loss)
    own = {*made.state_dict(), *dict(made.named_parameters(remove_duplicate=False))}
    return differentiated(made, blank), frozenset(own - problem.architecture.parameter_shapes().keys())


def _read(module: torch.nn.Module, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The weights that a module computes with."""
    return {name: tensors.array(getattr(module, name)) for name in names}


def _facts(module: torch.nn.Module, own: Collection[str]) -> Facts:
    """What a module says of itself, but for names of its own, such as second ones of the documented parameters."""
    every = {name: one for name, one in module.named_parameters(remove_duplicate=False) if name not in own}
    groups: dict[int, list[str]] = {}
    for name, parameter in every.items():
        groups.setdefault(id(parameter), []).append(name)
    together = sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)
    wanting = sorted(name for name, parameter in every.items() if parameter.requires_grad)
    names = tuple(name for name in module.state_dict() if name not in own)
    return Facts(names, tuple(together), tuple(wanting), module.training)


def _kept(before: Mapping[str, torch.nn.Parameter], module: torch.nn.Module) -> str:
    """Whether the first parameter, and whether each other, is the object that it was, in words."""
    after = dict(module.named_parameters())
    first, *others = (after.get(name) is one for name, one in before.items())
    words = {True: "stays", False: "is another object"}
    return f"; the first parameter {words[first]}, each other {words[all(others)]}"


def _living(subject: Subject, module: torch.nn.Module, problem: Problem) -> Living:
    life = Life.of(problem.parameters, problem.dtype, problem.training)
    return Living(module, life, _making(subject, problem), _calling(problem))


def _making(subject: Subject, problem: Problem) -> Any:
    return lambda: subject.module(problem, problem.device)


def _calling(problem: Problem) -> Any:
    return partial(_called, given=inputs(problem))


def _called(module: torch.nn.Module, given: Inputs) -> torch.Tensor:
    """All numbers that a call returns."""
    return torch.cat([one.flatten() for one in tensors_of(module(*given.arguments())) if one.is_floating_point()])


@dataclass
class _Companion:
    """A linear layer that is led through the same history."""

    one: Living
    sizes: tuple[int, int]
    device: str
    otherwise: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, problem: Problem) -> _Companion:
        sizes = (problem.architecture.input_size, 2)
        weights: Mapping[str, np.ndarray] = {"weight": np.ones(sizes[::-1]), "bias": np.ones(2)}
        life = Life.of(weights, problem.dtype, problem.training)
        module = _linear(sizes, problem.dtype, problem.device).train(problem.training)
        return cls(_linear_living(module, life, sizes, problem.device), sizes, problem.device)

    def taken_through(self, name: str, is_called: bool = True, is_plain: bool = False) -> tuple[str, tuple[str, ...]]:
        """Does an operation to the layer, calls it and differentiates the call. Raises whatever the layer raises.

        Returns what the operation tells, and the names of facts of the layer that are not as documented. is_plain: the
        parameters of the module that is judged are its weights, before and after.
        """
        one = self.one
        after, before = moved(one.life, name), dict(one.module.named_parameters())
        if after is not None:
            module = do(name, one, after)
            self.one = _linear_living(module, after, self.sizes, self.device)
        if after is not None and is_called:
            self._called()
        was, wanted = _facts(self.one.module, ()), facts(self.one.life)
        otherwise = [one.name for one in fields(Facts) if getattr(was, one.name) != getattr(wanted, one.name)]
        told = one.told + (_kept(before, self.one.module) if is_plain else "")
        self.otherwise |= set(otherwise)  # what it did once the other module may show later
        return told if after is not None else "", tuple(sorted(self.otherwise))

    def wants_gradients_as(self, life: Life) -> bool:
        """Whether some parameter of the layer wants a gradient exactly where one of the other module does."""
        return life.wants_gradients is any(parameter.requires_grad for parameter in self.one.module.parameters())

    def _called(self) -> None:
        pull(self.one.call(self.one.module))

    def failure(self) -> str:
        """What a call of the layer raises now; "" if it returns."""
        try:
            self._called()
        except Exception as error:
            return f"a call: {error}"
        return ""


def _linear_living(module: torch.nn.Module, life: Life, sizes: tuple[int, int], device: str) -> Living:
    x = torch.ones(1, sizes[0], dtype=tensors.DTYPES[life.dtype], device=device)
    return Living(module, life, lambda: _linear(sizes, life.dtype, device), lambda called: called(x))


def _linear(sizes: tuple[int, int], dtype: str, device: str) -> torch.nn.Module:
    return torch.nn.Linear(*sizes, dtype=tensors.DTYPES[dtype], device=device)
