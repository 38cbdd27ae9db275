"""From a problem to observations: the one place that calls the subject. No tensor leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from conformance.harness import bridge
from conformance.harness.call import (
    UNREAL_ROUTES,
    Inputs,
    asked,
    called,
    data_of,
    fact,
    failure_of,
    inputs,
    masks_repeatable,
    recorded_warnings,
)
from conformance.harness.gradients import differentiated
from conformance.harness.observation import Observation
from conformance.harness.subject import Subject
from conformance.harness.ways import differentiated_by
from conformance.harness.witness import kernels
from reference.problem import LSTM, Architecture, Loss, Problem
from reference.roundings import Judgement

EAGER_ROUTES = ("grad", "no_grad", "no_mkldnn")
"""With gradients, under torch.no_grad, and with gradients while oneDNN is off."""

GRAD_ROUTES = ("inference", "frozen", "input_grad")
"""Under torch.inference_mode; with parameters that require no gradient; with inputs and states that require one too."""

BACKWARD_ROUTES = ("grad", "no_mkldnn")
"""The eager routes that can be differentiated."""

ROUTES = EAGER_ROUTES + UNREAL_ROUTES
"""What a run may reach; `GRAD_ROUTES` beside them are for the properties that name them."""

CONSTRUCTOR = "constructor"
"""No call at all: the facts of the parameters, and the module's repr."""


@dataclass(frozen=True)
class Plan:
    """What to do with a problem, as data.

    routes    names of `ROUTES`, one observation each
    layers    also run it as a composition of one-layer modules
    stepwise  also run one layer in one direction as a call for each step, each handed the states that the last returned
    witness   also call once more under the eyes of a witness, which says what kernels are reached
    again     also call a second time, and a third after overwriting what came back; note what calls changed
    poison    rows and steps of a padded batch: also call again after these, and the rows' states if not all rows are
              meant, were overwritten with NaN in place
    loss      differentiate the call, and do none of the other things
    way       differentiate it so: a name of `ways.WAYS`, or `ways.GRADGRADCHECK`; "" for backward passes
    """

    routes: tuple[str, ...] = EAGER_ROUTES
    layers: bool = False
    again: bool = False
    stepwise: bool = False
    witness: bool = False
    poison: tuple[slice, slice] | None = None
    loss: Loss | None = None
    way: str = ""


def run(subject: Subject, problem: Problem, plan: Plan, judgement: Judgement) -> tuple[Observation, ...]:
    """One observation of `subject` on `problem` for each route of `plan`, in this process."""
    modules = _Modules(subject)
    return tuple(_on_route(modules, blank, plan) for blank in blanks(subject, problem, plan, judgement))


def blanks(subject: Subject, problem: Problem, plan: Plan, judgement: Judgement) -> list[Observation]:
    """Observations of calls that were not made yet, one for each route of `plan`."""
    return [Observation(problem, subject.name, route, judgement, loss=plan.loss) for route in plan.routes]


Runner = Callable[[Subject, Problem, Plan, Judgement], tuple[Observation, ...]]
"""`run`, or another that does the same elsewhere."""


class _Refused(Exception):
    """The subject could not be built; `failure` says why."""

    def __init__(self, failure: tuple[str, str]) -> None:
        super().__init__(*failure)
        self.failure = failure


class _Modules:
    """The modules of one run, each built once for all routes: of the whole problem, and of its layers."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.kept: dict[int | None, torch.nn.Module] = {}

    def loaded(self, problem: Problem, layer: int | None = None) -> torch.nn.Module:
        """The module that `problem`, or the layer of it, is about. Raises _Refused."""
        if layer not in self.kept:
            try:
                with torch.inference_mode(False):  # parameters of an inference are of no use on another route
                    self.kept[layer] = asked(problem.case, CONSTRUCTOR, lambda: self.subject.loaded(problem))
            except Exception as error:  # the subject's own, whatever it is
                raise _Refused(failure_of(error)) from None
        return self.kept[layer]


@contextmanager
def entered(route: str) -> Iterator[None]:
    """The settings of a route, for as long as the block lasts."""
    contexts: dict[str, Callable[[], Any]] = {
        "no_grad": torch.no_grad,
        "no_mkldnn": _mkldnn_off,
        "fake": _fake_mode,
        "inference": torch.inference_mode,
    }
    with contexts.get(route, nullcontext)():
        yield


@contextmanager
def _mkldnn_off() -> Iterator[None]:
    """The flag alone: torch.backends.mkldnn.flags also sets a TF32 flag, which warns on 2.13."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _fake_mode() -> Any:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def prepare() -> None:
    """Has PyTorch import what the routes and the witness need on their first use, which takes a second."""
    with entered("fake"):
        pass
    kernels(lambda: None)


def _on_route(modules: _Modules, blank: Observation, plan: Plan) -> Observation:
    with entered(blank.route):
        try:
            if blank.route in UNREAL_ROUTES:
                return _unreal(modules.subject, blank)
            if blank.route == CONSTRUCTOR:
                return _constructed(modules.subject, blank)
            return _real(modules, blank, plan)
        except _Refused as refused:
            return replace(blank, failure=refused.failure)


def _real(modules: _Modules, blank: Observation, plan: Plan) -> Observation:
    problem = blank.problem
    if plan.loss is not None and plan.way:
        return differentiated_by(plan.way, modules.loaded(problem), plan.loss, blank)
    if plan.loss is not None:
        return differentiated(modules.loaded(problem), modules.subject.packing, plan.loss, blank)
    module, given = modules.loaded(problem), inputs(problem)
    _require_gradients(module, given, blank.route)
    watch = _Watch(module, given) if plan.again else None
    with masks_repeatable(problem):
        seen, returned = called(module, given, blank)
    if watch and seen.failure is None:
        seen = replace(seen, again=_called_again(module, given, seen, returned), changed=watch.changed())
    if plan.witness and seen.failure is None:
        seen = replace(seen, kernels=_reached(module, given, blank))
    if plan.layers and seen.failure is None and not seen.misshapen:
        one_layer = problem.architecture.num_layers == 1
        seen = replace(seen, layers=(seen,) if one_layer else _composition(modules, given, blank))
    if plan.stepwise and seen.failure is None and not seen.misshapen:
        seen = replace(seen, steps=_step_by_step(module, given, blank))
    if plan.poison and seen.failure is None:
        _poison(given, problem, *plan.poison)
        seen = replace(seen, again=(called(module, given, blank)[0],))
    return seen


def _reached(module: torch.nn.Module, given: Inputs, blank: Observation) -> tuple[str, ...]:
    arguments = given.arguments()
    with recorded_warnings():
        return kernels(lambda: asked(blank.problem.case, blank.route, lambda: module(*arguments)))


def _require_gradients(module: torch.nn.Module, given: Inputs, route: str) -> None:
    """What requires a gradient on a route: parameters, but not where they are frozen, and hardly ever inputs."""
    for parameter in module.parameters():
        if parameter.requires_grad is (route == "frozen"):
            parameter.requires_grad_(route != "frozen")
    if route == "input_grad":
        for tensor in (data_of(given.input), *given.states):
            tensor.requires_grad_()


def _poison(given: Inputs, problem: Problem, rows: slice, steps: slice) -> None:
    """Overwrites rows and steps of a padded input in place, and the rows' states unless all rows are meant."""
    x = data_of(given.input)
    batch = x[None] if problem.unbatched else x if problem.architecture.batch_first else x.transpose(0, 1)
    with torch.no_grad():
        batch[rows, steps] = float("nan")
        for state in given.states if rows != slice(None) else ():
            state[:, rows] = float("nan")


def _built(subject: Subject, problem: Problem, device: str) -> torch.nn.Module:
    """A module with the parameters that it draws. Raises _Refused."""
    try:
        return asked(problem.case, CONSTRUCTOR, lambda: subject.module(problem, device))
    except Exception as error:  # the subject's own, whatever it is
        raise _Refused(failure_of(error)) from None


def _constructed(subject: Subject, blank: Observation) -> Observation:
    module = _built(subject, blank.problem, blank.problem.device)
    return replace(blank, facts={name: fact(p) for name, p in module.named_parameters()}, text=repr(module))


Drawer = Callable[[Subject, int, Sequence[Architecture]], list[dict[str, np.ndarray]]]
"""`draw`, or another that does the same elsewhere, and raises `deaths.Died` where that process ends."""


def draw(subject: Subject, seed: int, architectures: Sequence[Architecture]) -> list[dict[str, np.ndarray]]:
    """The float32 parameters that modules of these architectures draw, one after the other, after manual_seed(seed)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = asked("", CONSTRUCTOR, lambda: [subject.drawn(one, "float32", "cpu") for one in architectures])
    return [{name: bridge.array(p) for name, p in module.named_parameters()} for module in modules]


class _Watch:
    """Everything that a call may not change, as it was before."""

    def __init__(self, module: torch.nn.Module, inputs: Inputs) -> None:
        states = dict(zip(("h_0", "c_0"), inputs.states, strict=False))
        self.tensors = {"input": data_of(inputs.input)} | states | dict(module.named_parameters())
        self.before = {name: t.detach().clone() for name, t in self.tensors.items()}
        self.random_state = torch.get_rng_state()

    def changed(self) -> tuple[str, ...]:
        names = [name for name, t in self.tensors.items() if not torch.equal(_bits(t), _bits(self.before[name]))]
        return (*names, *([] if torch.equal(self.random_state, torch.get_rng_state()) else ["random state"]))


def _called_again(
    module: torch.nn.Module, inputs: Inputs, seen: Observation, returned: dict[str, Any]
) -> tuple[Observation, ...]:
    """A second call and, after the first results were overwritten, a third."""
    blank = replace(seen, facts={}, raw={}, warnings=())
    second, _ = called(module, inputs, blank)
    with torch.no_grad():
        for value in returned.values():
            data_of(value).detach().fill_(float("nan"))
    third, _ = called(module, inputs, blank)
    return second, third


def _bits(t: torch.Tensor) -> torch.Tensor:
    return t.detach().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[t.element_size()])


def _composition(modules: _Modules, inputs: Inputs, blank: Observation) -> tuple[Observation, ...]:
    """The stack as one-layer modules, each handed the very tensor that the one below returned."""
    problem, below = blank.problem, inputs.input
    directions = problem.architecture.directions
    seen: list[Observation] = []
    for layer in range(problem.architecture.num_layers):
        values = problem.input if layer == 0 else seen[-1].output.values.reshape(*problem.input.shape[:2], -1)
        part = problem.layer(layer, values)
        states = tuple(s[layer * directions : (layer + 1) * directions] for s in inputs.states)
        alone = replace(blank, problem=part, layer=layer)
        one, returned = called(modules.loaded(part, layer), Inputs(below, states), alone)
        seen.append(one)
        if one.failure is not None or one.misshapen:
            break
        below = returned["output"]
    return tuple(seen)


def _step_by_step(module: torch.nn.Module, inputs: Inputs, blank: Observation) -> tuple[Observation, ...]:
    """A call for each step of a padded batch, each from the very states that the call before it returned."""
    a, states = blank.problem.architecture, inputs.states
    given = {name: blank.problem.state(name) for name in (("h_0", "c_0") if a.cell == LSTM else ("h_0",)) if states}
    seen: list[Observation] = []
    for t in range(blank.problem.steps):
        part = blank.problem.step(t, **given)
        x = data_of(inputs.input).narrow(1 if a.batch_first and not blank.problem.unbatched else 0, t, 1)
        one, returned = called(module, Inputs(x, states), replace(blank, problem=part, step=t))
        seen.append(one)
        if one.failure is not None or one.misshapen:
            break
        states = tuple(value for name, value in returned.items() if name != "output")
        given = {name.replace("_n", "_0"): one.results[name].values for name in returned if name != "output"}
    return tuple(seen)


def _unreal(subject: Subject, blank: Observation) -> Observation:
    """A call with tensors that have no values: facts alone."""
    problem = blank.problem
    device = "meta" if blank.route == "meta" else problem.device
    module = _built(subject, problem, device)

    def empty(values: np.ndarray) -> torch.Tensor:
        return torch.empty(values.shape, dtype=bridge.DTYPES[problem.dtype], device=device)

    return called(module, inputs(problem, empty), blank)[0]
