"""The operations of life cycles, on any module: what `reference.histories` says of weights, done."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch.func import functional_call, stack_module_state
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.execution.module_call import seed_generators
from conformance.harness.execution.requests.life.living import Done, Living, pull
from conformance.harness.execution.requests.life.made_weights import MADE
from conformance.harness.execution.requests.life_cycle import CHANGES
from conformance.harness.execution.tensors import DTYPES
from reference.histories import CONVERSIONS, COPIES, STEP
from reference.life import FACTOR, Life

NO_SUCH_DEVICE = "cuda:99"
"""A device that no machine has."""


NEAR = 2.0**-4
"""The relative difference of results from which on they are of other weights."""


def doubled(way: str) -> Callable[[Living], Done]:
    """Doubles every parameter in one of the `CHANGES`."""

    def done(one: Living) -> Done:
        double(one.module, way)
        return None

    return done


def double(module: torch.nn.Module, way: str = "in place") -> None:
    """Doubles every parameter of a module."""
    with torch.no_grad():
        CHANGES[way](module)


def _stepped(**options: Any) -> Callable[[Living], Done]:
    """Doubles every parameter by a step of torch.optim.SGD with these options."""
    return lambda one: _by_step(one, torch.optim.SGD(one.module.parameters(), lr=FACTOR - 1, **options), -1)


def _rprop_step(one: Living) -> Done:
    return _by_step(one, torch.optim.Rprop(one.module.parameters(), lr=STEP), 1)


def _by_step(one: Living, optimiser: torch.optim.Optimizer, sign: int) -> Done:
    """A step from gradients that are the parameters themselves, or their negatives."""
    for parameter in one.module.parameters():
        parameter.grad = sign * parameter.detach()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return None


def _forward(one: Living) -> Done:
    with torch.no_grad():
        one.call(one.module)
    return None


def _backward(one: Living) -> Done:
    pull(one.call(one.module))
    for parameter in one.module.parameters():
        parameter.grad = None
    return None


def _refused_call(one: Living) -> Done:
    with suppress(Exception):
        one.module("a text")
    with suppress(Exception):
        one.call(_TooWide(one.module))
    return None


class _Around(torch.nn.Module):
    """Calls a module in another way; it is none of its parts."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.called = [module]


class _TooWide(_Around):
    """Calls a module with an input that has one feature more."""

    def forward(self, x: Any, *states: Any) -> Any:
        if isinstance(x, PackedSequence):  # which may end the process: judged elsewhere
            raise TypeError("a packed sequence")
        return self.called[0](torch.cat([x, x[..., :1]], -1), *states)


def _hooks(one: Living) -> Done:
    """Each hook is called once, in order; a backward hook where something wants a gradient."""
    called: list[str] = []
    module = one.module
    removable = [
        module.register_forward_pre_hook(lambda *_: called.append("forward_pre")),
        module.register_forward_hook(lambda *_: called.append("forward")),
        module.register_full_backward_pre_hook(lambda *_: called.append("backward_pre")),
        module.register_full_backward_hook(lambda *_: called.append("backward")),
        module._register_state_dict_hook(lambda *_: called.append("state_dict")),
        module.register_state_dict_pre_hook(lambda *_: called.append("state_dict_pre")),
    ]
    try:
        pull(one.call(module))
        module.state_dict()
    finally:
        for handle in removable:
            handle.remove()
        for parameter in module.parameters():
            parameter.grad = None
    one.told = ", ".join(called)
    return None


def _state_dict(one: Living) -> Done:
    return _given(one, one.module.state_dict())


def _state_dict_file(one: Living) -> Done:
    file = io.BytesIO()
    torch.save(one.module.state_dict(), file)
    file.seek(0)
    return _given(one, torch.load(file, weights_only=True))


def _given(one: Living, state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Another module that loads a state_dict; the one that it is from changes afterwards."""
    other = one.make().train(one.module.training)
    one.told = str(other.load_state_dict(state))
    double(one.module)
    return other


def _can_be_imported(module: torch.nn.Module) -> bool:
    """Whether another process could make such a module from a pickle."""
    kind = type(module)
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def _file(one: Living) -> Done:
    if not _can_be_imported(one.module):
        return None
    file = io.BytesIO()
    torch.save(one.module, file)
    file.seek(0)
    return _apart(one, torch.load(file, weights_only=False))


def _pickle(one: Living) -> Done:
    if not _can_be_imported(one.module):
        return None
    return _apart(one, pickle.loads(pickle.dumps(one.module)))


def _deepcopy(one: Living) -> Done:
    return _apart(one, copy.deepcopy(one.module))


def _apart(one: Living, made: torch.nn.Module) -> torch.nn.Module:
    """A copy; the module that it is from changes afterwards."""
    double(one.module)
    return made


def _copy(one: Living) -> Done:
    """A copy that has the same parameters."""
    made = copy.copy(one.module)
    double(one.module)
    return made


def _load(one: Living) -> Done:
    one.told = str(one.module.load_state_dict(one.twice()))
    return None


def _load_assign(one: Living) -> Done:
    one.told = str(one.module.load_state_dict(one.twice(), assign=True))
    return None


def _reset_parameters(one: Living) -> Done:
    state = one.twice()
    getattr(one.module, "reset_parameters")()  # noqa: B009  (mypy knows no such method)
    one.module.load_state_dict(state)
    return None


def _to_empty(one: Living) -> Done:
    state, device = one.twice(), one.parameter(one.first).device
    one.module.to_empty(device=device)
    one.module.load_state_dict(state)
    return None


def _shared_with_another(one: Living) -> Done:
    other = one.make()
    for name in one.life.weights:
        setattr(other, name, getattr(one.module, name))
    double(other)
    return None


def _twice_first(one: Living) -> torch.nn.Parameter:
    return torch.nn.Parameter(one.parameter(one.first).detach() * FACTOR)


def _setattr(one: Living) -> Done:
    setattr(one.module, one.first, _twice_first(one))
    return None


def _register_parameter(one: Living) -> Done:
    made = _twice_first(one)
    delattr(one.module, one.first)
    one.module.register_parameter(one.first, made)
    return None


def _register_after_to(one: Living) -> Done:
    made = _twice_first(one)
    delattr(one.module, one.first)
    one.module.to(made.dtype)
    one.module.register_parameter(one.first, made)
    return None


def _parameters_dict(one: Living) -> Done:
    one.module._parameters[one.first] = _twice_first(one)
    return None


def _tie(one: Living, after: Life) -> Done:
    for name, other in after.together.items():
        setattr(one.module, name, getattr(one.module, other))
    return None


def _untie(one: Living) -> Done:
    for name in one.life.together:
        setattr(one.module, name, torch.nn.Parameter(getattr(one.module, name).detach() * FACTOR))
    return None


def _functional_call(one: Living) -> Done:
    """A call with other weights, with all or the last alone, gives what a call gives once the module has these."""
    every = tuple(one.life.weights)
    counted = all(_counts(one, names) for names in (every, every[-1:]))
    one.told = "the weights that are given count" if counted else "other weights than those that are given count"
    return None


def _counts(one: Living, names: Sequence[str]) -> bool:
    """Whether a functional call with these weights doubled gives what the module gives once they are."""
    given = {name: getattr(one.module, name).detach() * FACTOR for name in names}
    held = {one.life.held[name].name: one.parameter(name) for name in names}
    with torch.no_grad():
        got = one.call(_Functional(one.module, given))
        for parameter in held.values():
            parameter.mul_(FACTOR)
        same = _are_near(got, one.call(one.module))
        for parameter in held.values():
            parameter.div_(FACTOR)
    return same


def _stack_module_state(one: Living) -> Done:
    """A call with the weights of one of several stacked modules gives what a call of it gives."""
    other = one.make()
    for name, parameter in one.module.named_parameters():
        other.get_parameter(name).requires_grad_(parameter.requires_grad)  # stacked weights are frozen, or not
    parameters, _ = stack_module_state([other, one.module])
    with torch.no_grad():
        got = one.call(_Functional(one.module, {name: values[1].clone() for name, values in parameters.items()}))
        same = _are_near(got, one.call(one.module))
    one.told = "its stacked weights count" if same else "other weights than the stacked ones count"
    return None


def _are_near(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether results are of the same weights: bits hang on where the weights lie in memory."""
    return torch.allclose(got, wanted, rtol=NEAR, atol=NEAR / 4, equal_nan=True)


class _Functional(_Around):
    """A module that is called with weights that are not its own."""

    def __init__(self, module: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__(module)
        self.given = weights

    def forward(self, *arguments: Any) -> Any:
        return functional_call(self.called[0], dict(self.given), arguments)


def _in_mode(training: bool) -> Callable[[Living], Done]:
    return lambda one: one.module.train(training)


def _wanting(wanted: bool) -> Callable[[Living], Done]:
    return lambda one: one.module.requires_grad_(wanted)


def _freezing(place: int) -> Callable[[Living], Done]:
    def done(one: Living) -> Done:
        one.parameter(tuple(one.life.weights)[place]).requires_grad_(False)
        return None

    return done


def _into(dtype: torch.dtype) -> Callable[[Living], Done]:
    return lambda one: one.module.to(dtype)


def _failed_to(one: Living) -> Done:
    with suppress(Exception):
        one.module.to(NO_SUCH_DEVICE)
    return None


def _share_memory(one: Living) -> Done:
    return one.module.share_memory()


def _flatten_parameters(one: Living) -> Done:
    getattr(one.module, "flatten_parameters", lambda: None)()
    return None


def _export(one: Living) -> Done:
    logging.disable()  # it tells everything that it does
    try:
        one.call(_Exported(one.module))
    finally:
        logging.disable(logging.NOTSET)
    return None


class _Exported(_Around):
    """A module that is exported where it is called."""

    def forward(self, *arguments: Any) -> Any:
        if isinstance(arguments[0], PackedSequence):  # which is another route, judged elsewhere
            return self.called[0](*arguments)
        import torch._dynamo  # takes seconds
        import torch.export

        torch._dynamo.reset()  # it exports a class a few times alone
        return torch.export.export(self.called[0], arguments).module()(*arguments)


OPERATIONS: Mapping[str, Callable[[Living], Done]] = {
    "forward": _forward,
    "backward": _backward,
    "refused_call": _refused_call,
    "hooks": _hooks,
    "export": _export,
    "state_dict": _state_dict,
    "state_dict_file": _state_dict_file,
    "file": _file,
    "pickle": _pickle,
    "deepcopy": _deepcopy,
    "copy": _copy,
    "step": doubled("by an optimiser step"),
    "momentum_step": _stepped(momentum=0.5, foreach=True),
    "rprop_step": _rprop_step,
    "in_place": doubled("in place"),
    "data": doubled("through .data"),
    "load": _load,
    "load_assign": _load_assign,
    "reset_parameters": _reset_parameters,
    "to_empty": _to_empty,
    "shared_with_another": _shared_with_another,
    "setattr": _setattr,
    "register_parameter": _register_parameter,
    "register_after_to": _register_after_to,
    "parameters_dict": _parameters_dict,
    "untie": _untie,
    "functional_call": _functional_call,
    "stack_module_state": _stack_module_state,
    "train": _in_mode(True),
    "eval": _in_mode(False),
    "freeze": _wanting(False),
    "freeze_first": _freezing(0),
    "freeze_second": _freezing(1),
    "freeze_last": _freezing(-1),
    "unfreeze": _wanting(True),
    **{name: _into(DTYPES[dtype]) for name, dtype in CONVERSIONS.items()},
    "failed_to": _failed_to,
    "share_memory": _share_memory,
    "flatten_parameters": _flatten_parameters,
    **MADE,
}
"""What is done, by name; `tie` also needs to know which weights are one then."""


def do(name: str, one: Living, after: Life) -> torch.nn.Module:
    """Does an operation; returns the module that goes on. Raises whatever the module does.

    It draws the same random numbers each time: norms are estimated from such, and orthogonal weights completed by them.
    """
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        seed_generators(0)
        random = torch.get_rng_state()
        done = _tie(one, after) if name == "tie" else OPERATIONS[name](one)
        if name in COPIES and not torch.equal(torch.get_rng_state(), random):
            one.told += "; random numbers are drawn"
    return one.module if done is None else done
