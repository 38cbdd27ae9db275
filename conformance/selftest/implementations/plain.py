"""RNN, LSTM and GRU in a few plain tensor operations: sound, and easy to break in one place at a time."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from conformance.harness.execution.subject import Subject
from conformance.selftest.implementations.refusals import refuse_arguments, wrong_place
from reference.problem import CELL_SUFFIX, GATES, GRU, LSTM, RNN_RELU, RNN_TANH

States = tuple[torch.Tensor, ...]


class Plain(torch.nn.Module):
    """Takes what torch.nn.RNN, LSTM and GRU take, after the cell's name. Each method is a place for a fault."""

    unchecked: tuple[str, ...] = ()
    """Places of an invalid call that are not looked at."""

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        bidirectional: bool = False,
        nonlinearity: str = "tanh",
        proj_size: int = 0,
        dropout: float = 0.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers, "proj_size": proj_size}
        flags = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
        given = {**sizes, **flags, "dropout": dropout, "nonlinearity": nonlinearity}
        refuse_arguments(given, self.unchecked)
        self.cell = cell
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.directions = bias, batch_first, 2 if bidirectional else 1
        self.proj_size, self.output_size, self.dropout = proj_size, proj_size or hidden_size, dropout
        self.lengths: torch.Tensor | None = None
        self.packed: PackedSequence | None = None
        self.own_weights: list[str] = []
        rows = len(GATES[cell]) * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else self.directions * self.output_size
            for direction in range(self.directions):
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, self.output_size)}
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
                shapes |= {"weight_hr": (proj_size, hidden_size)} if proj_size else {}
                for name, shape in shapes.items():
                    drawn = torch.empty(shape, device=device, dtype=dtype).uniform_(-1, 1) / math.sqrt(hidden_size)
                    self.own_weights.append(name + self.end(layer, direction))
                    self.register_parameter(self.own_weights[-1], torch.nn.Parameter(drawn))

    @classmethod
    def made(cls, cell: str, *given: Any, **named: Any) -> Any:
        """A module whose arguments are given in the documented order, or by name."""
        return cls(cell, **dict(zip(cls.arguments_in_order(cell), given, strict=False)), **named)

    @classmethod
    def arguments_in_order(cls, cell: str) -> tuple[str, ...]:
        """The names of its arguments, in the order in which they are taken by position."""
        flags = ("bias", "batch_first", "dropout", "bidirectional")
        own = {RNN_TANH: ("nonlinearity",), RNN_RELU: ("nonlinearity",)}.get(cell, ())
        last = ("proj_size",) if cell == LSTM else ()
        return ("input_size", "hidden_size", "num_layers", *own, *flags, *last, "device", "dtype")

    def reset_parameters(self) -> None:
        """Draws every parameter anew."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-1, 1).div_(math.sqrt(self.hidden_size))

    def end(self, layer: int, direction: int) -> str:
        """The end of a parameter's name."""
        return f"_l{layer}" + ("_reverse" if direction else "")

    def extra_repr(self) -> str:
        shown = [f"{self.input_size}, {self.hidden_size}"]
        shown += [f"num_layers={self.num_layers}"] if self.num_layers != 1 else []
        shown += [f"{name}=True" for name in ("batch_first",) if getattr(self, name)]
        shown += ["bias=False"] if not self.bias else []
        shown += ["bidirectional=True"] if self.directions == 2 else []
        shown += [f"{name}={getattr(self, name)}" for name in ("proj_size", "dropout") if getattr(self, name)]
        shown += [f"nonlinearity={self.cell.removeprefix('rnn_')}"] if self.cell.startswith("rnn") else []
        return ", ".join(shown)

    def refuse(self, place: str, input: Any, hx: Any) -> None:
        """Refuses a call that is wrong in this place."""
        raise ValueError(f"{place} is not what the module takes")

    def check(self, input: Any, hx: Any) -> None:
        """Refuses an invalid call."""
        if place := wrong_place(self, input, hx, self.unchecked):
            self.refuse(place, input, hx)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        self.check(input, hx)
        self.lengths, self.packed = None, None
        if not isinstance(input, PackedSequence) and input.dim() == 2:
            return self.unbatched(input, hx)
        if isinstance(input, PackedSequence):
            self.packed = input
            below, self.lengths = pad_packed_sequence(input)
        else:
            below = input.transpose(0, 1) if self.batch_first else input
        initial = self.initial_states(below, hx)
        last: list[States] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.directions):
                output, states = self.run(below, self.start(initial, layer, direction), layer, direction)
                outputs.append(output)
                last.append(states)
            below = self.between(torch.cat(outputs, -1), layer)
        final = self.final_states(last)
        return self.output(below), final if self.cell == LSTM else final[0]

    def between(self, output: torch.Tensor, layer: int) -> torch.Tensor:
        """What a layer hands to the next: its output (T, N, features), dropped out in training; the last's whole."""
        last = layer == self.num_layers - 1
        return output if last else torch.dropout(output, self.dropout, self.training and self.dropout > 0)

    def unbatched(self, input: torch.Tensor, hx: Any) -> tuple[Any, Any]:
        """A call without the axis of the batch, as a batch of one."""
        axis = 0 if self.batch_first else 1
        states = hx if isinstance(hx, tuple) else () if hx is None else (hx,)
        batched = tuple(state.unsqueeze(1) for state in states)
        output, after = self.forward(
            input.unsqueeze(axis), (batched if self.cell == LSTM else batched[0]) if batched else None
        )
        after = tuple(state.squeeze(1) for state in after) if self.cell == LSTM else after.squeeze(1)
        return output.squeeze(axis), after

    def output(self, sequence: torch.Tensor) -> Any:
        """The output (T, N, features) as the caller wants it: packed as the input was, or batch first."""
        if self.packed is not None and self.lengths is not None:
            is_sorted = self.packed.sorted_indices is None
            return pack_padded_sequence(sequence, self.lengths, enforce_sorted=is_sorted)
        return sequence.transpose(0, 1) if self.batch_first else sequence

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        """h_0 (L*D, N, R), and c_0 (L*D, N, H) for LSTM."""
        if hx is None:
            widths = (self.output_size, self.hidden_size) if self.cell == LSTM else (self.output_size,)
            stacked = self.num_layers * self.directions
            return tuple(sequence.new_zeros(stacked, sequence.shape[1], width) for width in widths)
        return tuple(hx) if self.cell == LSTM else (hx,)

    def start(self, initial: States, layer: int, direction: int) -> States:
        """The states that one direction of one layer starts from."""
        return tuple(state[layer * self.directions + direction] for state in initial)

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        """One direction of one layer over a sequence (T, N, features): its outputs in time's order, its last states."""
        outputs = []
        for t in range(len(sequence)):
            after = self.step(self.input_at(sequence, t, direction), states, layer, direction)
            states = self.if_running(t, after, states)
            outputs.append(states[0])
        return self.in_time(torch.stack(outputs), direction), states

    def input_at(self, sequence: torch.Tensor, t: int, direction: int) -> torch.Tensor:
        """What the direction reads at its own step t."""
        return self.backwards(sequence)[t] if direction else sequence[t]

    def in_time(self, outputs: torch.Tensor, direction: int) -> torch.Tensor:
        """A direction's outputs, turned back into time's order."""
        return self.backwards(outputs) if direction else outputs

    def backwards(self, sequence: torch.Tensor) -> torch.Tensor:
        """A sequence (T, N, features) with the time of each row reversed, from its own end."""
        if self.lengths is None:
            return sequence.flip(0)
        t = torch.arange(len(sequence), device=self.lengths.device)[:, None]
        order = torch.where(t < self.lengths, self.lengths - 1 - t, t)
        return sequence[order, torch.arange(sequence.shape[1], device=self.lengths.device)]

    def if_running(self, t: int, after: States, before: States) -> States:
        """The states after step t, of rows that have ended those before it."""
        if self.lengths is None:
            return after
        running = (t < self.lengths)[:, None]
        return tuple(torch.where(running, new, old) for new, old in zip(after, before, strict=True))

    def final_states(self, last: list[States]) -> States:
        """h_n, and c_n for LSTM, from the last states of every layer and direction."""
        return tuple(torch.stack(states) for states in zip(*last, strict=True))

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        w_ih, w_hh, b_ih, b_hh = self.weights(layer, direction)
        if self.cell == LSTM:
            h, c = self.lstm(self.pre_activation(x, states[0], w_ih, w_hh, b_ih, b_hh), states[1])
            return self.project(h, self.projection(layer, direction)), c
        if self.cell == GRU:
            return (self.gru(x, states[0], w_ih, w_hh, b_ih, b_hh),)
        z = self.pre_activation(x, states[0], w_ih, w_hh, b_ih, b_hh)
        return (self.tanh(z) if self.cell == RNN_TANH else torch.relu(z),)

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        end = self.end(layer, direction)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w_ih, w_hh, b_ih, b_hh = (getattr(self, name + end, None) for name in names)
        return w_ih, w_hh, b_ih, b_hh

    def projection(self, layer: int, direction: int) -> torch.Tensor | None:
        return getattr(self, "weight_hr" + self.end(layer, direction), None)

    def pre_activation(
        self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
    ) -> torch.Tensor:
        return self.linear(x, w_ih, b_ih) + self.linear(h, w_hh, b_hh)

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return torch.nn.functional.linear(x, weight, bias)

    def lstm(self, z: torch.Tensor, c: torch.Tensor) -> States:
        i, f, g, o = z.chunk(4, -1)
        c = self.sigmoid(f) * c + self.sigmoid(i) * self.tanh(g)
        return self.sigmoid(o) * self.tanh(c), c

    def project(self, h: torch.Tensor, w_hr: torch.Tensor | None) -> torch.Tensor:
        return h if w_hr is None else self.linear(h, w_hr, None)

    def gru(self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> torch.Tensor:
        i_r, i_z, i_n = self.linear(x, w_ih, b_ih).chunk(3, -1)
        h_r, h_z, h_n = self.linear(h, w_hh, b_hh).chunk(3, -1)
        r, z = self.sigmoid(i_r + h_r), self.sigmoid(i_z + h_z)
        return self.blend(z, self.tanh(i_n + r * h_n), h)

    def blend(self, z: torch.Tensor, n: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return (1 - z) * n + z * h

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z)

    def sigmoid(self, z: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(z)


class SingleStep(Plain):
    """Takes what torch.nn.RNNCell, LSTMCell and GRUCell take, and one step at a time."""

    def end(self, layer: int, direction: int) -> str:
        return ""

    @classmethod
    def arguments_in_order(cls, cell: str) -> tuple[str, ...]:
        own = {RNN_TANH: ("nonlinearity",), RNN_RELU: ("nonlinearity",)}.get(cell, ())
        return ("input_size", "hidden_size", "bias", *own, "device", "dtype")

    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:
        self.check(input, hx)
        given = hx if isinstance(hx, tuple) or hx is None else (hx,)
        if input.dim() == 1:
            return self.unbatched_step(input, given)
        stacked = None if given is None else tuple(state[None] for state in given)
        initial = self.initial_states(input[None], stacked[0] if stacked and self.cell != LSTM else stacked)
        states = self.step(input, tuple(state[0] for state in initial), 0, 0)
        return states if self.cell == LSTM else states[0]

    def unbatched_step(self, input: torch.Tensor, given: States | None) -> Any:
        """A step without the axis of the batch, as a batch of one."""
        batched = None if given is None else tuple(state[None] for state in given)
        after = self.forward(input[None], batched if self.cell == LSTM or batched is None else batched[0])
        return tuple(state[0] for state in after) if self.cell == LSTM else after[0]


class Elsewhere(torch.autograd.Function):
    """The first argument; its gradient goes to the second, which has the same shape."""

    @staticmethod
    def forward(ctx: Any, used: torch.Tensor, credited: torch.Tensor) -> torch.Tensor:
        return used.view_as(used)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return torch.zeros_like(gradient), gradient


def name_by_docstring(kind: type) -> str:
    """The name that a class has in reports: its docstring, in lower case and with hyphens."""
    return (kind.__doc__ or "").rstrip(".").replace(" ", "-").replace(",", "").lower()


def subject(name: str, kind: type[Plain] = Plain, cells: tuple[str, ...] = tuple(GATES)) -> Subject:
    """A subject whose modules are of `kind`, and whose single steps are computed likewise."""
    single: type[Plain] = type(kind.__name__ + "Cell", (SingleStep, kind), {})
    classes = {cell: partial(kind.made, cell) for cell in cells}
    return Subject(name, classes | {cell + CELL_SUFFIX: partial(single.made, cell) for cell in cells})
