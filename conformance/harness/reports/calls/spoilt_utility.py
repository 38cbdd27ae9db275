"""An invalid call of a packing utility as lines of Python."""

from __future__ import annotations

from typing import Any

import torch

from conformance.harness.execution.requests.invalid.packing import UtilityCall
from conformance.harness.execution.requests.packing import Batch, Pack
from conformance.harness.execution.subject import torch_nn
from conformance.harness.reports.calls.packing_call import ARGUMENTS, RNN, PackingCall, name_of
from reference.invalid_calls import Spoil

ROWS = {"count": "[]", "order": "[rows[0][:1], *rows[1:-1], torch.cat([rows[-1], rows[-1]])]"}
"""Rows that do not go together, as Python writes them."""


def with_batch_sizes(sizes: Any) -> str:
    """The line that makes a packed sequence by hand, with other batch sizes."""
    written = repr(sizes) if isinstance(sizes, list) else f"torch.tensor({sizes.tolist()}{_dtype(sizes)})"
    return f"packed = {RNN}.PackedSequence(packed.data, {written}, packed.sorted_indices, packed.unsorted_indices)"


def _dtype(tensor: torch.Tensor) -> str:
    return "" if tensor.dtype in (torch.int64, torch.bool) else f", dtype={tensor.dtype}"


class UtilityText:
    """The lines of a call of a utility, valid and spoilt."""

    def __init__(self, batch: Batch, spoil: Spoil) -> None:
        subject = torch_nn()
        self.what = spoil
        self.before, self.call = UtilityCall(subject, batch, spoil), UtilityCall(subject, batch, spoil)
        self.text = PackingCall(Pack(batch, spoil.called, "list", {}), exact=True)

    @property
    def names(self) -> list[str]:
        """The script's variables of the positional arguments."""
        return [ARGUMENTS[name] for name in self.before.given]

    @property
    def first(self) -> str:
        """The script's variable of the first one."""
        return self.names[0]

    def valid_lines(self) -> list[str]:
        """What makes the arguments of the valid call."""
        return self.text.arguments()

    def valid(self) -> str:
        """The valid call."""
        return self._called(self.before.options)

    def invalid(self) -> str:
        """The call with one argument spoilt."""
        return self._called(self.call.options)

    def _called(self, options: dict[str, Any]) -> str:
        usual = {"batch_first": False, "enforce_sorted": True}
        given = [f"{name}={value!r}" for name, value in options.items() if usual.get(name) is not value]
        return f"{name_of(self.what.called)}({', '.join([*self.names, *given])})"

    def spoilt_lines(self) -> list[str]:
        """What spoils one argument; nothing where an option is wrong."""
        what = self.what
        if what.argument == "batch_sizes" and what.aspect == "type":
            return [with_batch_sizes(self.before.first.batch_sizes.tolist())]
        self.call.spoil()
        if what.argument == "batch_sizes":
            return [with_batch_sizes(self.call.first.batch_sizes)]
        if what.argument == "lengths":
            return [f"lengths = {_written(self.call.given['lengths'])}"]
        if what.argument not in ARGUMENTS:
            return []
        name = ARGUMENTS[what.argument]
        if what.aspect == "type":
            listed = f"{name}.data.tolist()" if name == "packed" else f"{name}.tolist()"
            return [f"{name} = {({'text': repr('a text'), 'nothing': 'None'}).get(what.value, listed)}"]
        if what.aspect == "dtype":
            return [f"rows[-1] = rows[-1].to({self.call.first[-1].dtype})"]
        return [f"rows = {ROWS.get(what.aspect, '[*rows[:-1], torch.cat([rows[-1], rows[-1][:, :1]], 1)]')}"]


def _written(lengths: Any) -> str:
    """Lengths as Python writes them."""
    if not isinstance(lengths, torch.Tensor):
        return repr(lengths)
    if lengths.device.type == "meta":
        return f"torch.zeros({tuple(lengths.shape)}, dtype=torch.int64, device='meta')"
    return f"torch.tensor({lengths.tolist()}{_dtype(lengths)})"
