"""Seeded faults of what the documentation says in code, and of files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from conformance.selftest.faults.fault import ALL, EVERY, Fault, Faults
from conformance.selftest.implementations.plain import Plain, subject
from reference.problem import RNN_TANH

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


# Texts


CODE = """A module.

    .. code-block:: python

        def forward(x, hx=None):
            h, output = torch.zeros(num_layers, x.size(-2), hidden_size) if hx is None else hx.clone(), []
            for x_t in x.transpose(0, 1) if batch_first else x:
                for layer in range(num_layers):
                    x_t = torch.tanh({})
                    h[layer] = x_t
                output.append(x_t)
            output = torch.stack(output, 1 if batch_first else 0)
            return output, h
"""
SUM = "x_t @ weight_ih[layer].T + bias_ih[layer] + h[layer] @ weight_hh[layer].T + bias_hh[layer]"


def _text(name: str, place: str, text: str) -> None:
    """A fault of the documentation of an object of torch."""
    FAULTS.append(Fault(name, ("I",), (RNN_TANH,), replace(subject(name), docstrings={place: text})))


_text("documents-an-rnn-with-its-bias-twice", "nn.RNN", CODE.format(SUM + " + bias_hh[layer]"))
_text("documents-an-rnn-without-its-state", "nn.RNN", CODE.format(SUM.replace("h[layer]", "0 * h[layer]")))
_text("documents-an-rnn-by-code-that-cannot-run", "nn.RNN", CODE.format("x_t @ weights[layer].T"))
_text("documents-an-example-that-raises", "nn.LSTM", "    >>> nn.LSTM(10)\n")
_text("documents-an-example-that-prints-something-else", "nn.GRUCell", "    >>> nn.GRUCell(1, 2).bias\n    False\n")
_text("documents-an-example-of-packing-that-raises", "nn.utils.rnn.pack_sequence", "    >>> pack_sequence([])\n")
