"""Seeded faults that show only at special sizes and values, or only beyond a given size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from conformance.harness.execution.subject import Subject
from conformance.selftest.faults.fault import ALL, Fault, Faults
from conformance.selftest.implementations.plain import Plain, States, subject
from reference.problem import GRU, LSTM, RNN_TANH

FAULTS = Faults()
fault = FAULTS.seed

# Special sizes and values


Condition = Callable[[Plain, torch.Tensor], bool]
"""Of a module and its input (T, N, features)."""


class _When(Plain):
    """Adds 1/2 to the input of every step if a condition holds. A single step is sound."""

    condition: Condition

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return x + 2**-1 if self.condition(self, sequence) else x


def wrong_when(name: str, condition: Condition, kind: type[Plain] = _When) -> Subject:
    """The subject that is wrong, as `kind` says, where a condition holds."""
    return subject(name, type(kind.__name__, (kind,), {"condition": staticmethod(condition)}))


SPECIAL: dict[str, Condition] = {
    "one-unit": lambda module, x: module.hidden_size == 1,
    "one-feature": lambda module, x: module.input_size == 1,
    "one-row": lambda module, x: x.shape[1] == 1,
    "one-step": lambda module, x: len(x) == 1,
    "as-many-features-as-units": lambda module, x: module.input_size == module.hidden_size > 1,
    "as-many-rows-as-steps": lambda module, x: x.shape[0] == x.shape[1] > 1,
    "an-odd-number-of-units": lambda module, x: module.hidden_size % 2 == 1 and module.hidden_size > 1,
    "an-input-of-zeros": lambda module, x: _has_values(x) and not bool(x.any()),
    "equal-rows": lambda module, x: _has_values(x) and x.shape[1] > 1 and bool((x == x[:, :1]).all()),
}
"""Conditions under which `_When` is wrong."""


def _has_values(x: torch.Tensor) -> bool:
    return type(x) is torch.Tensor and x.device.type != "meta"


def _special() -> Iterator[Fault]:
    for name, condition in SPECIAL.items():
        effort = "default" if name in ("an-input-of-zeros",) else "smoke"
        yield Fault(f"wrong-with-{name}", ("B1", "B2"), ALL, wrong_when(name, condition), effort=effort)


FAULTS.extend(_special())


# Beyond a size


class Beyond(Plain):
    """Sound below index `beyond` of `what`, a key of `SIZED`, and wrong from there on."""

    def __init__(self, *args: Any, what: str, beyond: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.what, self.beyond = what, beyond

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        if self.what == "layer" and layer >= self.beyond:
            sequence = sequence + 0.5
        return super().run(sequence, states, layer, direction)

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return x + 0.5 if self.what == "step" and t >= self.beyond else x

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        axis = {"unit": 1, "row": 0}.get(self.what)
        if self.what == "feature" and layer == 0:
            x = torch.cat([x[:, : self.beyond], torch.zeros_like(x[:, self.beyond :])], 1)
        h, *c = super().step(x, states, layer, direction)
        if axis is not None and h.shape[axis] > self.beyond:
            sound, wrong = h.split([self.beyond, h.shape[axis] - self.beyond], axis)
            h = torch.cat([sound, wrong * (1 - 2**-3)], axis)
        return (h, *c)

    def if_running(self, t: int, after: States, before: States) -> States:
        states = super().if_running(t, after, before)
        return before if self.what == "length" and self.lengths is not None and t >= self.beyond else states


SIZED = {
    "unit": "hidden_size",
    "row": "batch_size",
    "step": "steps",
    "feature": "input_size",
    "layer": "num_layers",
    "length": "steps",
}
"""The dimensions in which `Beyond` can be wrong, and the field of a case that must exceed `beyond` to show it."""


def beyond(what: str, size: int, effort: str = "smoke") -> Fault:
    """The fault that is wrong from index `size` of `what`, a key of `SIZED`, on."""
    classes = {cell: partial(Beyond, cell, what=what, beyond=size) for cell in ALL}
    fields = (SIZED[what], "hidden_size") if what == "feature" else (SIZED[what],)
    needs = tuple((field, size + 1) for field in fields)
    return Fault(f"wrong-from-{what}-{size}-on", ("B1", "B2"), ALL, Subject(what, classes), needs, effort)


_FAR = (("row", 8), ("row", 64), ("step", 100), ("unit", 256), ("feature", 256), ("layer", 6))
_SEEDED = (*_FAR, ("unit", 2), ("unit", 8), ("row", 2), ("step", 5), ("feature", 3), ("layer", 1), ("length", 2))
FAULTS.extend(beyond(*what_and_size) for what_and_size in _SEEDED)


@fault("B2", steps=17)
class _ForgetsEvery16Steps(Plain):
    """Starts from zero states again after every 16 steps."""

    def if_running(self, t: int, after: States, before: States) -> States:
        states = super().if_running(t, after, before)
        return tuple(torch.zeros_like(state) for state in states) if t % 16 == 15 else states


@fault("B1", "B2", on=(LSTM,), batch_size=18)
class _InitialStatesOfOtherRows(Plain):
    """Starts rows from 17 on from the initial states of row 0."""

    def start(self, initial: States, layer: int, direction: int) -> States:
        states = super().start(initial, layer, direction)
        return tuple(torch.cat([state[:17], state[:1].expand_as(state[17:])]) for state in states)


def _steeper(x: torch.Tensor) -> torch.Tensor:
    """The same values, with a gradient half as large again."""
    half = 0.5 * x
    return x + half - half.detach()


class SteeperBeyond(Plain):
    """Sound values; gradients 1.5 times too large from a size on: `what` is one of `SIZED` but length."""

    def __init__(self, *args: Any, what: str, beyond: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.what, self.beyond = what, beyond

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        is_wrong = self.what == "layer" and layer >= self.beyond
        return super().run(_steeper(sequence) if is_wrong else sequence, states, layer, direction)

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        if self.what == "step" and t >= self.beyond:
            return _steeper(x)
        axis = {"row": 0, "feature": 1}.get(self.what)
        return x if axis is None else self._steeper_along(x, axis)

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        h, *c = super().step(x, states, layer, direction)
        return (self._steeper_along(h, 1) if self.what == "unit" else h, *c)

    def _steeper_along(self, x: torch.Tensor, axis: int) -> torch.Tensor:
        kept = min(self.beyond, x.shape[axis])
        return torch.cat([x.narrow(axis, 0, kept), _steeper(x.narrow(axis, kept, x.shape[axis] - kept))], axis)


def steeper_beyond(what: str, size: int, effort: str = "smoke") -> Fault:
    """The fault of every module whose gradients are wrong from index `size` of a unit, row, step, ... on."""
    classes = {cell: partial(SteeperBeyond, cell, what=what, beyond=size) for cell in ALL}
    fields = (SIZED[what], "hidden_size") if what == "feature" else (SIZED[what],)
    needs = tuple((field, size + 1) for field in fields)
    return Fault(f"wrong-gradient-from-{what}-{size}-on", ("C1",), ALL, Subject(what, classes), needs, effort)


FAULTS.extend(steeper_beyond(*what_and_size) for what_and_size in _FAR[1:])


PRODUCTS: dict[str, Callable[[Plain, torch.Tensor], int]] = {
    "rows-by-steps": lambda module, x: x.shape[0] * x.shape[1],
    "rows-by-units": lambda module, x: x.shape[1] * module.hidden_size,
    "rows-by-features": lambda module, x: x.shape[1] * x.shape[2],
}
"""Products of sizes; the input is (T, N, features)."""


class PastAProduct(Plain):
    """Wrong in the last row where a product of sizes exceeds `past`: its values, or with `steeper` its gradients."""

    def __init__(self, *args: Any, product: str, past: int, steeper: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.product, self.past, self.steeper = PRODUCTS[product], past, steeper

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        if self.product(self, sequence) <= self.past:
            return x
        return torch.cat([x[:-1], _steeper(x[-1:]) if self.steeper else x[-1:] + 0.5])


def past_a_product(product: str, past: int, steeper: bool = False, effort: str = "smoke") -> Fault:
    """The fault of every module that is wrong in the last row where a product of sizes exceeds `past`."""
    classes = {cell: partial(PastAProduct, cell, product=product, past=past, steeper=steeper) for cell in ALL}
    name = f"wrong-{'gradient-' if steeper else ''}past-{past}-{product}"
    needs = (("batch_size", past + 1), ("steps", past + 1), ("hidden_size", past + 1), ("input_size", past + 1))
    return Fault(name, ("C1",) if steeper else ("B1", "B2"), ALL, Subject(name, classes), needs, effort)


FAULTS.extend(past_a_product(product, 65_535, steeper) for product in PRODUCTS for steeper in (False, True))


@fault("E3", batch_size=66)
class _RowsReadLaterRows(Plain):
    """Adds row 65 of the input to row 0."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return x if len(x) <= 65 else torch.cat([x[:1] + x[65:66], x[1:]])


@fault("D1", batch_size=65)
class _LateRowsReturnEarlierStates(Plain):
    """Returns halved final states of rows from 64 on."""

    def final_states(self, last: list[States]) -> States:
        return tuple(torch.cat([s[:, :64], s[:, 64:] / 2], 1) for s in super().final_states(last))


@fault("E1", num_layers=7)
class _DeepStackSkipsALayer(Plain):
    """Adds 1/4 to what layer 5 hands on in a stack of more than 6."""

    def between(self, output: torch.Tensor, layer: int) -> torch.Tensor:
        below = super().between(output, layer)
        return below + 0.25 if layer == 5 and self.num_layers > 6 else below


@fault("D2", steps=101)
class _LateBackwardStates(Plain):
    """Returns halved backward states of more than 100 steps."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, after = super().run(sequence, states, layer, direction)
        halved = direction and len(sequence) > 100
        return outputs, tuple(state / 2 for state in after) if halved else after


# Large calls, of which the parts are sound

LARGE: dict[str, tuple[str, int, Condition]] = {
    "65-rows": ("batch_size", 65, lambda module, x: x.shape[1] > 64),
    "101-steps": ("steps", 101, lambda module, x: len(x) > 100),
    "257-units": ("hidden_size", 257, lambda module, x: module.hidden_size > 256),
    "257-features": ("input_size", 257, lambda module, x: module.input_size > 256),
    "7-layers": ("num_layers", 7, lambda module, x: module.num_layers > 6),
}
"""Sizes from which on a call is wrong: the field of a case, its value, and the condition."""

WHOLE: dict[str, Condition] = {
    "in-two-directions": lambda module, x: module.directions == 2,
    "of-several-rows": lambda module, x: x.shape[1] > 1,
    "over-several-steps": lambda module, x: len(x) > 1,
    "outside-of-cells": lambda module, x: True,
}
"""What a call has and the parts that it is compared with have not."""

WRONG_AS_A_WHOLE = {
    "in-two-directions": ("65-rows", "257-units", "257-features"),
    "of-several-rows": ("257-units", "257-features"),
    "over-several-steps": ("257-units", "257-features"),
    "outside-of-cells": ("65-rows", "257-units", "257-features"),
}


def _wrong_as_a_whole() -> Iterator[Fault]:
    for whole, sizes in WRONG_AS_A_WHOLE.items():
        for size in sizes:
            field, least, large = LARGE[size]
            name, conditions = f"wrong-with-{size}-{whole}", (large, WHOLE[whole])
            judged = wrong_when(name, partial(_all_hold, conditions))
            yield Fault(name, ("E2",), ALL, judged, ((field, least),))


def _all_hold(conditions: tuple[Condition, ...], module: Plain, x: torch.Tensor) -> bool:
    return all(holds(module, x) for holds in conditions)


FAULTS.extend(_wrong_as_a_whole())


@fault("E2", steps=101)
class _ForgetsAtStep100(Plain):
    """Starts from zero states again after step 100."""

    def if_running(self, t: int, after: States, before: States) -> States:
        states = super().if_running(t, after, before)
        return tuple(torch.zeros_like(state) for state in states) if t == 100 else states


@fault("E2", steps=101)
class _LongReverseDirectionBeginsLate(Plain):
    """Reads from the last step but one on in the reverse direction of more than 100 steps."""

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        late = direction == 1 and len(sequence) > 100
        return super().input_at(sequence, min(t + 1, len(sequence) - 1) if late else t, direction)


class _LosesASixtyFourth(Plain):
    """Returns outputs that are too small by one part in 64 if a condition holds."""

    condition: Condition

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        outputs, after = super().run(sequence, states, layer, direction)
        return outputs * (1 - 2**-6) if self.condition(self, sequence) else outputs, after


def _inexact() -> Iterator[Fault]:
    for size, (field, least, large) in LARGE.items():
        name = f"loses-a-sixty-fourth-with-{size}"
        yield Fault(name, ("F5",), (RNN_TANH, GRU), wrong_when(name, large, _LosesASixtyFourth), ((field, least),))


FAULTS.extend(_inexact())
