"""The request that makes an invalid call between two valid ones."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.execution.adjacent_memory import FILLINGS, Filling, beside, filled
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.inputs import Inputs, data_of
from conformance.harness.execution.module_call import call_module, guarded_call, masks_repeatable
from conformance.harness.execution.observation import SECOND_TIME, WITHOUT_STATES, Refused, same_numbers
from conformance.harness.execution.requests.invalid.harm import (
    contents,
    difference,
    first_difference,
    has_nan,
    is_silent,
    silent_elements,
    tensors_of,
    values_of,
)
from conformance.harness.execution.requests.invalid.state import changes, restore, settings_restored, state
from conformance.harness.execution.requests.module_request import Begun, ModuleCall, plain
from conformance.harness.execution.routes import EAGER_ROUTES
from conformance.harness.execution.subject import Subject
from conformance.harness.execution.tensors import dtype_name
from reference.invalid_calls import EMPTY, Spoil, read
from reference.problem import LSTM, Problem

NO_SEQUENCE = {
    "batch_sizes.order": "a row that has ended goes on",
    "batch_sizes.sum": "the data has not as many elements as the batch sizes say",
}
"""Why nothing is right as the answer to a packed sequence that is wrong in this place."""

SIZE_AXES = {"features": -1, "rows": -2, "layers": 0}
"""The axis of a state, or of an input, that each size of it is."""

PARAMETER_AXES = {"rows": 0, "columns": 1}

NO_TENSOR: dict[str, Callable[[torch.Tensor], Any]] = {
    "list": lambda t: t.tolist(),
    "array": lambda t: np.zeros(tuple(t.shape), np.float32),
    "text": lambda t: "a text",
    "nothing": lambda t: None,
}
"""What may stand in place of a tensor."""


Made = Callable[[], list[torch.Tensor]]
"""A call; it gives every tensor that it returns."""


@dataclass(frozen=True, eq=False)
class CallInvalidly(ModuleCall[Refused]):
    """Call a module, call it with one thing spoilt, and call it as before; `spoil` as in `reference.invalid_calls`.

    pick: of several parameters that may be spoilt, chooses one
    """

    spoil: str = field(kw_only=True)
    pick: int = field(default=0, kw_only=True)
    result = Refused

    def blank(self, subject: Subject, route: str) -> Refused:
        spoilt = parameter_spoilt(list(self.problem.parameters), read(self.spoil), self.pick)
        return replace(super().blank(subject, route), parameter=spoilt)

    def called(self, begun: Begun[Refused]) -> Refused:
        with masks_repeatable(self.problem):
            return self._called(begun)

    def _called(self, begun: Begun[Refused]) -> Refused:
        begin = state(begun.module, begun.given.by_name())
        before, _ = begun.call()
        if before.failure is not None:
            return before
        usual = changes(begin, state(begun.module, begun.given.by_name()))
        call = Spoilt(begun, read(self.spoil))
        seen, alone = replace(before, raw={}, facts={}, warnings=()), call.without_states()
        with call.in_place():
            held, given = contents(call.tensors()), call.given_tensors()
            begin = state(begun.module, given)
            returned, refusal = call.tried()
            left = tuple(name for name in changes(begin, state(begun.module, given)) if name not in usual)
            restore(begin, left)
            if refusal is not None:
                seen = replace(seen, refusal=refusal, works_after=call.accepted_later())
            else:
                seen = replace(seen, returned=values_of(returned), ignored=call.ignored(returned))
                seen = replace(seen, nonsense=nonsense(call.spoil), examined=call.is_examined)
                seen = replace(seen, beside=tuple(call.beside(filling) for filling in FILLINGS))
            seen = replace(seen, changed=changes(held, contents(call.tensors())) + left)
        if seen.works_after:
            return seen
        after, _ = call_module(begun.module, begun.given, plain(before))
        works = difference(before.raw, after.raw, after.failure)
        if not works and not same_numbers(alone, now := call.without_states()):
            works = WITHOUT_STATES + first_difference(alone, now)
        return replace(seen, works_after=works, keeps=refusal is not None and not works and call.keeps())


class Spoilt:
    """A call in which one argument is spoilt."""

    def __init__(self, begun: Begun[Any], spoil: Spoil) -> None:
        self.module, self.given, self.blank, self.spoil = begun.module, begun.given, begun.blank, spoil
        self.input: Any = begun.given.input
        self.states: dict[str, Any] = dict(zip(("h_0", "c_0"), begun.given.states, strict=False))
        has_it = begun.blank.parameter in dict(self.module.named_parameters())
        self.parameter: str = begun.blank.parameter if has_it else ""
        self.original = getattr(self.module, self.parameter) if self.parameter else None
        self.target: torch.Tensor | None = None
        if spoil.argument == "input":
            self.input = self._spoilt_input()
        elif spoil.argument == "batch_sizes":
            self.input = self._with_other_batch_sizes()
        elif spoil.argument in self.states:
            self.target = self.states[spoil.argument] = self._spoilt(self.states[spoil.argument], SIZE_AXES)

    def _with_other_batch_sizes(self) -> PackedSequence:
        self.target = self.input.data.clone()
        return packed_with(self.input, self.target, spoilt_batch_sizes(self.input.batch_sizes, self.spoil))

    def _spoilt_input(self) -> Any:
        data = data_of(self.input)
        if self.spoil.aspect == "type":
            return NO_TENSOR[self.spoil.value](data)
        self.target = self._spoilt(data, SIZE_AXES)
        return self.input._replace(data=self.target) if isinstance(self.input, PackedSequence) else self.target

    def _spoilt(self, tensor: torch.Tensor, axes: dict[str, int]) -> torch.Tensor:
        """A tensor that is wrong in one aspect."""
        aspect = self.spoil.aspect
        if aspect == "dtype":
            return tensor.to(getattr(torch, self.spoil.dtype_in(dtype_name(tensor.dtype))))
        if aspect == "device":
            return tensor.to(self.spoil.value)
        if aspect == "rank":
            return tensor[None].clone() if self.spoil.by > 0 else tensor.select(0, 0).clone()
        if self.spoil.how == EMPTY:
            return tensor.narrow(input_axis(self.blank.problem, aspect), 0, 0).clone()
        return resized(tensor, axes[aspect], self.spoil.by)

    def in_place(self) -> _Swapped:
        """A block in which the module has the spoilt parameter, if it is one that is spoilt."""
        if self.original is None:
            return _Swapped(self.module, "", None)
        self.target = torch.nn.Parameter(self._spoilt(self.original.detach(), PARAMETER_AXES), requires_grad=False)
        return _Swapped(self.module, self.parameter, self.target)  # type: ignore[arg-type]

    def arguments(self) -> tuple[Any, ...]:
        """The positional arguments of the call."""
        states = list(self.states.values())
        if self.spoil.argument == "hx":
            return (self.input, self._spoilt_states(states))
        if not states:
            return (self.input,)
        return (self.input, tuple(states) if self.blank.problem.architecture.cell == LSTM else states[0])

    def _spoilt_states(self, states: list[Any]) -> Any:
        if self.spoil.aspect == "count":
            if self.spoil.by < 0:
                return tuple(states[:-1])
            self.target = states[0].clone() if self.target is None else self.target
            return (*states, self.target)
        return {"tensor": torch.stack(states), "list": states, "text": "a text"}[self.spoil.value]

    def made(self, filling: Filling | None = None) -> list[torch.Tensor]:
        """Every tensor that the call returns; its arguments lie amid a filling if there is one."""
        arguments, blank = self.arguments(), self.blank
        arguments = arguments if filling is None else beside(arguments, filling)
        return list(tensors_of(guarded_call(blank.problem.case, blank.route, lambda: self.module(*arguments))))

    def tried(self) -> tuple[list[torch.Tensor], Failure | None]:
        """What the call returns, and how it was refused if it was."""
        try:
            return self.made(), None
        except Exception as error:  # the subject's own, whatever it is
            return [], Failure.raised(error)

    @property
    def is_examined(self) -> bool:
        """Whether the influence of the spoilt tensor is looked at element by element."""
        return self.target is not None and has_nan(self.target)

    def accepted_later(self) -> str:
        """That the same call is accepted once it was refused; "" where it is not."""
        with settings_restored():
            return "" if self.tried()[1] else SECOND_TIME

    def without_states(self) -> tuple[np.ndarray, ...]:
        """What the valid call returns without states, where a state is spoilt; nothing where it raises."""
        if self.spoil.argument not in ("h_0", "c_0", "hx"):
            return ()
        try:
            return values_of(list(tensors_of(self.module(self.given.input))))
        except Exception:  # the subject's own, whatever it is
            return ()

    def beside(self, filling: Filling) -> tuple[np.ndarray, ...]:
        """What a call returns that was accepted, with this filling; nothing where it raises now."""
        with filled(self.module, filling):
            try:
                return values_of(self.made(filling))
            except Exception:  # the subject's own: that its answer is another one says enough
                return ()

    def given_tensors(self) -> dict[str, torch.Tensor]:
        """The tensors that the call is given, by name."""
        given = {"input": data_of(self.input), **self.states}
        return {n: t for n, t in given.items() if isinstance(t, torch.Tensor)}

    def tensors(self) -> dict[str, torch.Tensor]:
        """What the call may not change, by name."""
        return self.given_tensors() | dict(self.module.named_parameters())

    def keeps(self) -> bool:
        """Whether the module keeps arguments that it refused once it made another call, but none that it took."""
        with self.in_place():
            refused = self._passed(self.arguments())
        return self._outlive(refused) and not self._outlive(self._passed(self.given.arguments()))

    def _outlive(self, passed: list[weakref.ref[torch.Tensor]]) -> bool:
        """Whether any of these arguments is there when another call is over."""
        with suppress(Exception):  # the subject's own, whatever it is
            _called(self.module, self.given)
        if all(one() is None for one in passed):
            return False
        gc.collect()
        return any(one() is not None for one in passed)

    def _passed(self, arguments: tuple[Any, ...]) -> list[weakref.ref[torch.Tensor]]:
        """Makes the call with copies of the arguments, of which nothing but references is left."""
        copies = beside(arguments, FILLINGS[0])
        originals = list(map(id, tensors_of(arguments)))
        with settings_restored(), suppress(Exception):  # the subject's own, whatever it is
            guarded_call(self.blank.problem.case, self.blank.route, lambda: self.module(*copies))
        return [weakref.ref(one) for one in tensors_of(copies) if id(one) not in originals]

    def ignored(self, returned: list[torch.Tensor]) -> tuple[str, ...]:
        """Elements that may be NaN without any result being so, if none of the same tensor may in the valid call."""
        if any(not one.numel() for one in returned):
            return ()
        for name, tensor in self._of_influence().items():
            silent = silent_elements(tensor, self.made) if has_nan(tensor) else ()
            if silent and not self._in_a_valid_call(name, silent_elements):
                return tuple(f"{name}{index}" for index in silent)
            as_there = partial(is_silent, numbers=tensor)
            if _has_no_nan(tensor) and is_silent(tensor, self.made) and not self._in_a_valid_call(name, as_there):
                return (f"of {name}",)
        return ()

    def _of_influence(self) -> dict[str, torch.Tensor]:
        """The spoilt tensor; where an input has other features, the weights that multiply it too."""
        name = self.parameter or ("input" if self.spoil.argument == "batch_sizes" else self.spoil.argument)
        found = {} if self.target is None else {name: self.target}
        if self.spoil.place == "input.features":
            found |= {n: p.data for n, p in self.module.named_parameters() if n in ("weight_ih", "weight_ih_l0")}
        return found

    def _in_a_valid_call(self, name: str, silent: Callable[[torch.Tensor, Made], Any]) -> bool:
        """Whether a tensor, or an element of it, has no influence in the valid call either."""
        parameters = dict(self.module.named_parameters())
        if name == self.parameter:
            valid = self.original
        else:
            valid = parameters[name].data if name in parameters else self.given.by_name().get(name)
        with _Swapped(self.module, self.parameter, self.original):
            if valid is None:  # of a state that no valid call has
                return False
            return bool(silent(valid, lambda: _called(self.module, self.given)))


def parameter_spoilt(names: Sequence[str], spoil: Spoil, pick: int) -> str:
    """The parameter of these names that is spoilt: `pick`, which chooses the route too, chooses it; "" if none is."""
    several = [name for name in names if name.startswith(spoil.argument)]
    return several[pick // len(EAGER_ROUTES) % len(several)] if several else ""


def _has_no_nan(tensor: torch.Tensor) -> bool:
    """Whether a tensor has numbers, but of a dtype without NaN, or complex ones."""
    return tensor.device.type != "meta" and tensor.numel() > 0 and not tensor.is_floating_point()


class _Swapped:
    """A block in which a module has another parameter of this name, also where a part of it has the same one."""

    def __init__(self, module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        self.module, self.name, self.parameter = module, name, parameter

    def __enter__(self) -> None:
        if self.parameter is not None:
            before = getattr(self.module, self.name)
            owners = [(one, name, kept) for one in self.module.modules() for name, kept in one._parameters.items()]
            self.before = [one for one in owners if one[2] is before] or [(self.module, self.name, before)]
            for owner, name, _ in self.before:
                setattr(owner, name, self.parameter)

    def __exit__(self, *raised: object) -> None:
        if self.parameter is not None:
            for owner, name, before in self.before:
                setattr(owner, name, before)


def _called(module: torch.nn.Module, given: Inputs) -> list[torch.Tensor]:
    return list(tensors_of(module(*given.arguments())))


def nonsense(spoil: Spoil) -> str:
    """Why numbers are no answer to a call that is wrong there; "" where they may be."""
    why = NO_SEQUENCE.get(f"{spoil.argument}.{spoil.aspect}")
    return f"returns numbers, though {why}" if why else ""


def spoilt_batch_sizes(sizes: torch.Tensor, spoil: Spoil) -> Any:
    """Batch sizes that sum to one more or less, or of which one is larger than the one before it."""
    listed: list[int] = sizes.tolist()
    if spoil.aspect == "sum":
        at = 0 if spoil.by > 0 else len(listed) - 1
        listed[at] += spoil.by
    elif spoil.aspect == "order":
        listed = _rising(listed)
    elif spoil.aspect == "dtype":
        return sizes.to(getattr(torch, spoil.value))
    return listed if spoil.aspect == "type" else torch.tensor(listed)


def _rising(sizes: list[int]) -> list[int]:
    """The sizes with a smaller one before a larger one, the first in its place if possible; 0 before a single one."""
    falls = [at for at in range(1, len(sizes) - 1) if sizes[at] > sizes[at + 1]]
    if falls:
        at = falls[-1]
        return [*sizes[:at], sizes[at + 1], sizes[at], *sizes[at + 2 :]]
    return [sizes[0] - 1, *sizes[1:-1], sizes[-1] + 1] if len(sizes) > 1 else [0, *sizes]


def input_axis(problem: Problem, aspect: str) -> int:
    """The axis of a padded input that its rows, or its steps, are."""
    first = "rows" if problem.architecture.single_step or problem.architecture.batch_first else "steps"
    return 0 if problem.unbatched or aspect == first else 1


def packed_with(packed: PackedSequence, data: torch.Tensor, sizes: Any) -> PackedSequence:
    """A packed sequence with other data and batch sizes, made as a user makes one by hand."""
    return PackedSequence(data, sizes, packed.sorted_indices, packed.unsorted_indices)


def resized(tensor: torch.Tensor, axis: int, by: int) -> torch.Tensor:
    """A tensor with one place more along an axis, which repeats the last one, or one less."""
    if by < 0:
        return tensor.narrow(axis, 0, tensor.shape[axis] - 1).clone()
    return torch.cat([tensor, tensor.narrow(axis, tensor.shape[axis] - 1, 1)], axis)
