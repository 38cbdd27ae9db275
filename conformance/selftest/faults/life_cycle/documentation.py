"""Seeded faults of what the documentation says in code, and of files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from conformance.selftest.faults.fault import ALL, EVERY, Fault, Faults
from conformance.selftest.implementations.packing import Packing
from conformance.selftest.implementations.plain import Plain, name_by_docstring, subject
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


@fault("A6", "A3", on=EVERY)
class _TakesHiddenSizeFirst(_InOrder):
    """Takes hidden_size first."""

    @classmethod
    def reordered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return names[1], names[0], *names[2:]


@fault("A6", "A3", on=ALL)
class _TakesDirectionsBeforeTheLayout(_InOrder):
    """Takes bidirectional before batch_first."""

    @classmethod
    def reordered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        other = {"bidirectional": "batch_first", "batch_first": "bidirectional"}
        return tuple(other.get(name, name) for name in names)


@fault("A6", on=EVERY)
class _TakesItsDtypeByNameAlone(_InOrder):
    """Takes its dtype by name alone."""

    @classmethod
    def reordered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return names[:-1]


@fault("A6", on=ALL)
class _CallsItsInputX(Plain):
    """Calls its input x."""

    def forward(self, x: Any, hx: Any = None) -> tuple[Any, Any]:  # type: ignore[override]
        return super().forward(x, hx)


@fault("A6", on=ALL)
class _IgnoresStatesByName(Plain):
    """Ignores states that are given by name."""

    def forward(self, input: Any, *states: Any, **named: Any) -> tuple[Any, Any]:
        return super().forward(input, *states)


@fault("A6", "A3", on=ALL)
class _HasTwoLayersByDefault(Plain):
    """Has two layers unless asked for another number."""

    def __init__(self, cell: str, input_size: int, hidden_size: int, num_layers: int = 2, **more: Any) -> None:
        super().__init__(cell, input_size, hidden_size, num_layers, **more)


@fault("A6", on=(RNN_TANH,))
class _HoldsAnotherNonlinearity(Plain):
    """Holds another nonlinearity than the one that it computes."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.nonlinearity = "relu"


class _TakesPaddingFirst(Packing):
    """Takes padding_value before batch_first."""

    def pad_sequence(self, sequences: Any, *given: Any, **named: Any) -> torch.Tensor:
        return super().pad_sequence(sequences, *given[1::-1], *given[2:], **named)


class _NamesTheLengthsOtherwise(Packing):
    """Takes lengths by another keyword."""

    def unpad_sequence(self, padded_sequences: torch.Tensor, sizes: Any, batch_first: bool = False) -> Any:
        return super().unpad_sequence(padded_sequences, sizes, batch_first)


class _PadsWithOnes(Packing):
    """Pads with ones unless asked for another number."""

    def pad_sequence(self, *given: Any, **named: Any) -> torch.Tensor:
        return super().pad_sequence(*given, **named if len(given) > 2 else {"padding_value": 1.0, **named})


for _kind in (_TakesPaddingFirst, _NamesTheLengthsOtherwise, _PadsWithOnes):
    _name = name_by_docstring(_kind)
    FAULTS.append(Fault(_name, ("I",), (RNN_TANH,), replace(subject(_name), packing=_kind())))


# Files


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


@fault("I", on=EVERY)
class _LoadsAnotherLastBit(Plain):
    """Loads each number with another last bit."""

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        next_to = {name: torch.nextafter(values, values + 1) for name, values in state_dict.items()}
        return super().load_state_dict(next_to, *arguments, **options)


@fault("I", on=ALL)
class _SwapsDirections(Plain):
    """Loads each direction's weights as those of the other."""

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        swapped = {name: state_dict.get(self.opposite(name), values) for name, values in state_dict.items()}
        return super().load_state_dict(swapped, *arguments, **options)

    @staticmethod
    def opposite(name: str) -> str:
        return name.removesuffix("_reverse") if name.endswith("_reverse") else f"{name}_reverse"


@fault("I", on=EVERY)
class _ZeroesOtherVersions(Plain):
    """Zeroes what was written by a version that it does not know."""

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        version = getattr(state_dict, "_metadata", {}).get("", {}).get("version", 0)
        zeros = {name: torch.zeros_like(values) for name, values in state_dict.items()}
        return super().load_state_dict(state_dict if version > 1 else zeros, *arguments, **options)


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


def _text(name: str, place: str, text: str, *more: str) -> None:
    """A fault of the documentation of an object of torch. more: other clauses that it breaks."""
    FAULTS.append(Fault(name, ("I", *more), (RNN_TANH,), replace(subject(name), docstrings={place: text})))


_text("documents-an-rnn-with-its-bias-twice", "nn.RNN", CODE.format(SUM + " + bias_hh[layer]"))
_text("documents-an-rnn-without-its-state", "nn.RNN", CODE.format(SUM.replace("h[layer]", "0 * h[layer]")))
_text("documents-an-rnn-by-code-that-cannot-run", "nn.RNN", CODE.format("x_t @ weights[layer].T"))
_text("documents-an-example-that-raises", "nn.LSTM", "    >>> nn.LSTM(10)\n")
_text("documents-an-example-that-prints-something-else", "nn.GRUCell", "    >>> nn.GRUCell(1, 2).bias\n    False\n")
_text("documents-an-example-of-packing-that-raises", "nn.utils.rnn.pack_sequence", "    >>> pack_sequence([])\n")

SOUND = """
.. code-block:: python

    rnn = nn.RNN(input_size, hidden_size, num_layers)
    params = dict(rnn.named_parameters())
    def forward(x, hx=None, batch_first=False):
        if batch_first:
            x = x.transpose(0, 1)
        if hx is None:
            hx = torch.zeros(rnn.num_layers, x.size(1), rnn.hidden_size)
        before, output = list(hx), []
        for x_t in x:
            after = []
            for layer in range(rnn.num_layers):
                below = x_t if layer == 0 else after[layer - 1]
                after.append(torch.tanh(
                    below @ params[f"weight_ih_l{layer}"].T
                    + before[layer] @ params[f"weight_hh_l{layer}"].T
                    + params[f"bias_ih_l{layer}"]
                    + params[f"bias_hh_l{layer}"]
                ))
            output.append(after[-1])
            before = after
        output = torch.stack(output, 1 if batch_first else 0)
        return output, torch.stack(before)

"""
"""Sound code of an RNN, as a docstring shows it."""


def _coded(name: str, was: str, now: str, *more: str) -> None:
    """A fault in the code of a docstring."""
    assert was in SOUND, f"{name} changes nothing"
    _text(name, "nn.RNN", SOUND.replace(was, now), *more)


_coded("documents-code-in-which-each-layer-reads-the-input", "else after[layer - 1]", "else x_t")
_coded("documents-code-that-ignores-batch_first", "            x = x.transpose(0, 1)", "            pass", "A1")
_coded("documents-code-of-another-result", "return output, torch.stack(before)", "return output")
_coded("documents-code-that-ends-its-process", "before, output = list(hx), []", "raise SystemExit")
_coded("documents-code-that-is-differentiated-in-part", "before = after", "before = [one.detach() for one in after]")
_coded(
    "documents-code-that-has-no-gradients",
    "return output, torch.stack(before)",
    "return output.detach(), torch.stack(before).detach()",
)

_text("shows-an-example-that-ends-its-process", "nn.utils.rnn.pack_sequence", ">>> raise SystemExit(3)\n")
_text("names-its-state-otherwise", "nn.RNN", "Inputs: input, state\n")
