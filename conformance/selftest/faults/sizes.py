"""Seeded faults that show only at special sizes and values, or only beyond a given size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from conformance.harness.execution.subject import Subject
from conformance.selftest.faults.fault import ALL, Fault, Faults
from conformance.selftest.implementations.plain import Plain, States

FAULTS = Faults()

# Special sizes and values


class _When(Plain):
    """Adds 1/2 to the input of every step if a condition on the module and the input holds."""

    def __init__(self, *args: Any, condition: Callable[[Plain, torch.Tensor], bool], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.condition = condition

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        x = super().input_at(sequence, t, direction)
        return x + 2**-1 if self.condition(self, sequence) else x


SPECIAL: dict[str, Callable[[Plain, torch.Tensor], bool]] = {
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
"""Conditions under which `_When` is wrong; the input is (T, N, features)."""


def _has_values(x: torch.Tensor) -> bool:
    return type(x) is torch.Tensor and x.device.type != "meta"


def _special() -> Iterator[Fault]:
    for name, condition in SPECIAL.items():
        classes = {cell: partial(_When, cell, condition=condition) for cell in ALL}
        effort = "default" if name in ("an-input-of-zeros",) else "smoke"
        yield Fault(f"wrong-with-{name}", ("B1", "B2"), ALL, Subject(name, classes), effort=effort)


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
    needs = ((SIZED[what], size + 1),)
    return Fault(f"wrong-from-{what}-{size}-on", ("B1", "B2"), ALL, Subject(what, classes), needs, effort)


_SEEDED = (("unit", 2), ("unit", 8), ("row", 2), ("step", 5), ("feature", 3), ("layer", 1), ("length", 2))
FAULTS.extend(beyond(*what_and_size) for what_and_size in _SEEDED)
