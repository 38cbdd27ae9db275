"""From a problem to observations: the one place that calls the subject. No tensor leaves it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from conformance.harness import blackbox, bridge, memory
from conformance.harness.observation import Fact, Observation
from conformance.harness.subject import Subject
from conformance.harness.witness import kernels
from reference.problem import LSTM, Architecture, Problem
from reference.roundings import Judgement

EAGER_ROUTES = ("grad", "no_grad", "no_mkldnn")
"""With gradients, under torch.no_grad, and with gradients while oneDNN is off."""

UNREAL_ROUTES = ("meta", "fake")
"""Tensors without values: device="meta", and FakeTensorMode."""

GRAD_ROUTES = ("inference", "frozen", "input_grad")
"""Under torch.inference_mode; with parameters that require no gradient; with inputs and states that require one too."""

ROUTES = EAGER_ROUTES + UNREAL_ROUTES
"""What a run may reach; `GRAD_ROUTES` beside them are for the properties that name them."""

_SOURCE_LINE = re.compile(r" \(Triggered internally at .*\)$")
"""Where a warning comes from in PyTorch's sources: another place in every release."""

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
    """

    routes: tuple[str, ...] = EAGER_ROUTES
    layers: bool = False
    again: bool = False
    stepwise: bool = False
    witness: bool = False
    poison: tuple[slice, slice] | None = None


def run(subject: Subject, problem: Problem, plan: Plan, judgement: Judgement) -> tuple[Observation, ...]:
    """One observation of `subject` on `problem` for each route of `plan`, in this process."""
    modules = _Modules(subject)
    blanks = [Observation(problem, subject.name, route, judgement) for route in plan.routes]
    return tuple(_on_route(modules, blank, plan) for blank in blanks)


T = TypeVar("T")


def asked(case: str, route: str, work: Callable[[], T]) -> T:
    """What `work`, a call into the subject, returns; its case is written down before, where it outlives the process."""
    blackbox.before(case, route)
    try:
        return work()
    finally:
        blackbox.after()


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
                raise _Refused(_failure(error)) from None
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
    module, given = modules.loaded(problem), inputs(problem)
    _require_gradients(module, given, blank.route)
    watch = _Watch(module, given) if plan.again else None
    seen, returned = _call(module, given, blank)
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
        seen = replace(seen, again=(_call(module, given, blank)[0],))
    return seen


def _reached(module: torch.nn.Module, given: Inputs, blank: Observation) -> tuple[str, ...]:
    arguments = given.arguments()
    return kernels(lambda: asked(blank.problem.case, blank.route, lambda: module(*arguments)))


def _require_gradients(module: torch.nn.Module, given: Inputs, route: str) -> None:
    """What requires a gradient on a route: parameters, but not where they are frozen, and hardly ever inputs."""
    for parameter in module.parameters():
        if parameter.requires_grad is (route == "frozen"):
            parameter.requires_grad_(route != "frozen")
    if route == "input_grad":
        for tensor in (_data(given.input), *given.states):
            tensor.requires_grad_()


def _poison(given: Inputs, problem: Problem, rows: slice, steps: slice) -> None:
    """Overwrites rows and steps of a padded input in place, and the rows' states unless all rows are meant."""
    x = _data(given.input)
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
        raise _Refused(_failure(error)) from None


def _constructed(subject: Subject, blank: Observation) -> Observation:
    module = _built(subject, blank.problem, blank.problem.device)
    return replace(blank, facts={name: fact(p) for name, p in module.named_parameters()}, text=repr(module))


PaddedOrPacked = torch.Tensor | PackedSequence


@dataclass
class Inputs:
    """The tensors of one call: input as the module's layout wants it, packed or not, and initial states or none."""

    input: PaddedOrPacked
    states: tuple[torch.Tensor, ...]

    def arguments(self) -> tuple[Any, ...]:
        """Positional arguments: input, and hx as the cell's documentation wants it."""
        if not self.states:
            return (self.input,)
        return (self.input, self.states if len(self.states) == 2 else self.states[0])


Make = Callable[[np.ndarray], torch.Tensor]
"""From an array to a tensor of its shape, with or without its values."""


def inputs(problem: Problem, make: Make | None = None) -> Inputs:
    """The tensors of a call, laid out as the problem says; `make` where they are not to have its values."""
    make = make or _with_values(problem)
    a = problem.architecture
    given = [state for state in (problem.h_0, problem.c_0) if state is not None]

    def laid_out(values: np.ndarray, batch_axis: int) -> torch.Tensor:
        """Values with the axis of the batch, which an unbatched call leaves out."""
        made = make(values[(slice(None),) * batch_axis + (0,)] if problem.unbatched else values)
        return memory.laid_out(made, problem.memory, None if problem.unbatched else batch_axis)

    if a.single_step:
        return Inputs(laid_out(problem.input[:, 0], 0), tuple(laid_out(state[0, 0], 0) for state in given))
    states = tuple(laid_out(state.reshape(a.num_layers * a.directions, *state.shape[2:]), 1) for state in given)
    if problem.lengths is not None:
        return Inputs(_packed(problem, make), states)
    sequence = problem.input if a.batch_first else problem.input.swapaxes(0, 1)
    return Inputs(laid_out(sequence, 0 if a.batch_first else 1), states)


def _packed(problem: Problem, make: Make) -> PackedSequence:
    """The input as a packed sequence, from a batch whose padding is NaN; rows that are sorted are packed as such."""
    batch_first, lengths = problem.architecture.batch_first, list(problem.lengths or ())
    ended = np.arange(problem.steps) >= np.array(lengths)[:, None]
    poisoned = np.where(ended[..., None], np.nan, problem.input)
    padded = make(poisoned if batch_first else poisoned.swapaxes(0, 1))
    is_sorted = lengths == sorted(lengths, reverse=True)
    packed = pack_padded_sequence(padded, torch.tensor(lengths), batch_first, enforce_sorted=is_sorted)
    return packed._replace(data=memory.laid_out(packed.data, problem.memory))


def _with_values(problem: Problem) -> Make:
    return lambda values: bridge.tensor(values, problem.dtype, problem.device)


def _call(module: torch.nn.Module, inputs: Inputs, blank: Observation) -> tuple[Observation, dict[str, Any]]:
    """One call, what it warned of and what it returned; an exception of the subject's becomes the failure."""
    with _recorded_warnings() as caught:
        try:
            arguments = inputs.arguments()
            result = asked(blank.problem.case, blank.route, lambda: module(*arguments))
        except Exception as error:  # the subject's own, whatever it is
            return replace(blank, failure=_failure(error)), {}
    try:
        returned = _named(result, blank.problem.architecture)
        padded = {"output": _padded(returned["output"], blank.problem)} if "output" in returned else {}
        tensors = returned | padded
    except TypeError as error:
        return replace(blank, failure=("malformed result", str(error))), {}
    real = blank.route not in UNREAL_ROUTES
    seen = replace(
        blank,
        facts={name: fact(t) for name, t in tensors.items()},
        raw={name: bridge.array(t) for name, t in tensors.items()} if real else {},
        repacked=_repacked(inputs.input, returned.get("output")),
        warnings=tuple(dict.fromkeys(_SOURCE_LINE.sub("", str(warning.message)) for warning in caught)),
    )
    return seen, returned


def _repacked(given: PaddedOrPacked, returned: Any) -> tuple[str, ...]:
    """Which parts of the packing went in and did not come out the same: values, dtype and device."""
    if not (isinstance(given, PackedSequence) and isinstance(returned, PackedSequence)):
        return ()
    names = ("batch_sizes", "sorted_indices", "unsorted_indices")
    return tuple(name for name in names if not _same_indices(getattr(given, name), getattr(returned, name)))


def _same_indices(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.device == b.device and a.tolist() == b.tolist()


@contextmanager
def _recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.set_warn_always(True)
        try:
            yield caught
        finally:
            torch.set_warn_always(False)


def _padded(output: PaddedOrPacked, problem: Problem) -> torch.Tensor:
    """An output in the layout of a padded batch. Raises TypeError where packed came in and not out, or the reverse."""
    if isinstance(output, PackedSequence) is (problem.lengths is None):
        raise TypeError(f"packed in, packed out is documented, this is {_shape_of(output)}")
    if not isinstance(output, PackedSequence):
        return output
    try:
        return pad_packed_sequence(output, problem.architecture.batch_first, total_length=problem.steps)[0]
    except Exception as error:  # whatever a malformed packed sequence leads to
        raise TypeError(f"a packed output that cannot be padded: {error}") from None


def _named(result: object, architecture: Architecture) -> dict[str, Any]:
    """output, h_n and c_n of a call's result; of a single step its states alone. Raises TypeError for another build."""
    output, state = {}, result
    if not architecture.single_step:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"a tuple (output, state) is documented, this is {_shape_of(result)}")
        output, state = {"output": result[0]}, result[1]
    names = ("h_n", "c_n") if architecture.cell == LSTM else ("h_n",)
    states = state if architecture.cell == LSTM else (state,)
    if not (isinstance(states, tuple) and len(states) == len(names)):
        raise TypeError(f"the state is documented as {' and '.join(names)}, this is {_shape_of(state)}")
    named = output | dict(zip(names, states, strict=True))
    for name, value in named.items():
        data = value.data if isinstance(value, PackedSequence) and name == "output" else value
        if not (isinstance(data, torch.Tensor) and data.is_floating_point()):
            raise TypeError(f"{name} is documented as a floating-point tensor, this is {_shape_of(value)}")
    return named


def _shape_of(value: object) -> str:
    plain = isinstance(value, tuple | list) and not isinstance(value, PackedSequence)
    return f"a {type(value).__name__}" + (f" of {len(value)}" if plain else "")  # type: ignore[arg-type]


def fact(t: torch.Tensor) -> Fact:
    """What can be said of a tensor before any value."""
    return Fact(type(t).__name__, tuple(t.shape), bridge.dtype_name(t.dtype), str(t.device), tuple(t.stride()))


def _failure(error: Exception) -> tuple[str, str]:
    return type(error).__name__, str(error)


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
        self.tensors = {"input": _data(inputs.input)} | states | dict(module.named_parameters())
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
    second, _ = _call(module, inputs, blank)
    with torch.no_grad():
        for value in returned.values():
            _data(value).detach().fill_(float("nan"))
    third, _ = _call(module, inputs, blank)
    return second, third


def _data(value: PaddedOrPacked) -> torch.Tensor:
    return value.data if isinstance(value, PackedSequence) else value


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
        one, returned = _call(modules.loaded(part, layer), Inputs(below, states), alone)
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
        x = _data(inputs.input).narrow(1 if a.batch_first and not blank.problem.unbatched else 0, t, 1)
        one, returned = _call(module, Inputs(x, states), replace(blank, problem=part, step=t))
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

    return _call(module, inputs(problem, empty), blank)[0]
