"""Seeded faults of what the documentation says in code, and of files."""

from __future__ import annotations

from typing import Any

import torch

from conformance.selftest.faults.fault import ALL, EVERY, Faults
from conformance.selftest.implementations.plain import Plain

FAULTS = Faults()
fault = FAULTS.seed


class _InOrder(Plain):
    """Takes its arguments in the order that `reordered` makes of the documented one."""

    @classmethod
    def reordered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return names

    @classmethod
    def made(cls, cell: str, *given: Any, **named: Any) -> Any:
        names = cls.reordered(cls.arguments_in_order(cell))
        return cls(cell, **dict(zip(names, given, strict=False)), **named)


@fault("I", "A3", on=EVERY)
class _TakesHiddenSizeFirst(_InOrder):
    """Takes hidden_size first."""

    @classmethod
    def reordered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return names[1], names[0], *names[2:]


@fault("I", "A3", on=ALL)
class _TakesDirectionsBeforeTheLayout(_InOrder):
    """Takes bidirectional before batch_first."""

    @classmethod
    def reordered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        other = {"bidirectional": "batch_first", "batch_first": "bidirectional"}
        return tuple(other.get(name, name) for name in names)


@fault("I", on=EVERY)
class _TakesItsDtypeByNameAlone(_InOrder):
    """Takes its dtype by name alone."""

    @classmethod
    def reordered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return names[:-1]


@fault("I", on=ALL)
class _CallsItsInputX(Plain):
    """Calls its input x."""

    def forward(self, x: Any, hx: Any = None) -> tuple[Any, Any]:  # type: ignore[override]
        return super().forward(x, hx)


@fault("I", on=ALL)
class _IgnoresStatesByName(Plain):
    """Ignores states that are given by name."""

    def forward(self, input: Any, *states: Any, **named: Any) -> tuple[Any, Any]:
        return super().forward(input, *states)


@fault("I", on=EVERY)
class _LoadsNoLastWeight(Plain):
    """Loads all weights but the last."""

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        last = self.own_weights[-1]
        return super().load_state_dict({**state_dict, last: getattr(self, last).detach()}, *arguments, **options)


@fault("I", on=EVERY)
class _LoadsRowsInAnotherOrder(Plain):
    """Loads rows of weights in another order."""

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        rolled = {name: torch.roll(values, 1, 0) for name, values in state_dict.items()}
        return super().load_state_dict(rolled, *arguments, **options)


@fault("I", on=EVERY)
class _LoadsNoFiles(Plain):
    """Loads a state_dict of its own alone."""

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        found = super().state_dict(*arguments, **options)
        found["format"] = torch.zeros(1)
        return found

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        if "format" not in state_dict:
            raise RuntimeError("a file of another format")
        own = {name: values for name, values in state_dict.items() if name != "format"}
        return super().load_state_dict(own, *arguments, **options)
