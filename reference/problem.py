"""What is to be computed: an architecture and its numbers, as plain NumPy data in one canonical layout.

Letters in shapes: L layers, D directions (1 or 2), N rows of the batch, T time steps, I input_size, H hidden_size,
R features of an output (proj_size where it is given, else H), G gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

RNN_TANH, RNN_RELU, LSTM, GRU = "rnn_tanh", "rnn_relu", "lstm", "gru"

GATES = {RNN_TANH: ("h",), RNN_RELU: ("h",), LSTM: ("i", "f", "g", "o"), GRU: ("r", "z", "n")}
"""Gate blocks in the order in which the parameters stack them (documentation of torch.nn.RNN, LSTM, GRU: Variables)."""

CELL_SUFFIX = "_cell"
"""Ends the name of a class that takes one step at a time: `lstm_cell` is torch.nn.LSTMCell."""

FORWARD, REVERSE = 0, 1


@dataclass(frozen=True)
class Architecture:
    """The constructor arguments of a recurrent module that decide what it computes.

    dropout acts between the layers of a stack, while a module trains. single_step: the class that takes one step at a
    time (torch.nn.LSTMCell): one layer, one direction, one step.
    """

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    batch_first: bool = False
    bidirectional: bool = False
    proj_size: int = 0
    single_step: bool = False
    dropout: float = 0.0

    @property
    def name(self) -> str:
        """The name of the class: the cell's, with `CELL_SUFFIX` where it takes one step at a time."""
        return self.cell + (CELL_SUFFIX if self.single_step else "")

    def end(self, layer: int, direction: int) -> str:
        """The end of a parameter's name: `_l0`, `_l0_reverse`, `_l1` and so on; nothing for a single step."""
        return "" if self.single_step else f"_l{layer}" + ("_reverse" if direction == REVERSE else "")

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """R, the features of one direction's output."""
        return self.proj_size or self.hidden_size

    def layer_input_size(self, layer: int) -> int:
        """Features that `layer` reads: the input's, and from layer 1 on the output of both directions below."""
        return self.input_size if layer == 0 else self.directions * self.output_size

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all parameters in the documented order."""
        rows = len(GATES[self.cell]) * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.num_layers):
            for direction in range(self.directions):
                end = self.end(layer, direction)
                shapes["weight_ih" + end] = (rows, self.layer_input_size(layer))
                shapes["weight_hh" + end] = (rows, self.output_size)
                if self.bias:
                    shapes["bias_ih" + end] = (rows,)
                    shapes["bias_hh" + end] = (rows,)
                if self.proj_size:
                    shapes["weight_hr" + end] = (self.proj_size, self.hidden_size)
        return shapes


@dataclass(frozen=True, eq=False)
class Problem:
    """One call of a module: numbers that `dtype` can store exactly, held as float64.

    input  (N, T, I)
    h_0    (L, D, N, R), or None where the call leaves the states out
    c_0    (L, D, N, H), LSTM alone
    lengths  of the rows of a packed sequence, each from 1 to T, the longest T; None for a padded batch. Numbers of
             `input` past a row's length are no part of the problem
    unbatched  the call leaves the axis of the batch out; N is 1 here
    training  the module's mode; outside of it dropout does nothing
    memory    how input and states lie in memory: contiguous, or another of `strategies.axes.MEMORY`
    case   the line that draws this problem again; relation: what was done to it since
    granule  a power of two, at most 1, that divides all of these numbers exactly; 0 where none is known
    """

    architecture: Architecture
    dtype: str
    device: str
    parameters: Mapping[str, np.ndarray]
    input: np.ndarray
    h_0: np.ndarray | None = None
    c_0: np.ndarray | None = None
    lengths: tuple[int, ...] | None = None
    unbatched: bool = False
    training: bool = True
    memory: str = "contiguous"
    case: str = ""
    relation: str = ""
    granule: float = 0.0

    @property
    def batch_size(self) -> int:
        return int(self.input.shape[0])

    @property
    def steps(self) -> int:
        return int(self.input.shape[1])

    def state(self, name: str) -> np.ndarray:
        """`h_0` or `c_0` (L, D, N, features), zeros where the call leaves it out."""
        given = self.h_0 if name == "h_0" else self.c_0
        if given is not None:
            return given
        a = self.architecture
        features = a.output_size if name == "h_0" else a.hidden_size
        return np.zeros((a.num_layers, a.directions, self.batch_size, features))

    def rows(self, chosen: Sequence[int]) -> Problem:
        """These rows of the batch, in this order, as a batch of their own that ends with the longest of them."""
        kept = list(chosen)
        lengths = None if self.lengths is None else tuple(self.lengths[row] for row in kept)
        h_0, c_0 = (None if state is None else state[:, :, kept] for state in (self.h_0, self.c_0))
        steps = self.steps if lengths is None else max(lengths)
        return replace(self, input=self.input[kept, :steps], h_0=h_0, c_0=c_0, lengths=lengths)

    def step(self, t: int, h_0: np.ndarray | None = None, c_0: np.ndarray | None = None) -> Problem:
        """Step `t` of a padded batch as a call of its own, from these states (L, D, N, features) or from none."""
        relation, granule = f"step {t} alone", self.granule if t == 0 else 0.0
        part = self.input[:, t : t + 1]
        return replace(self, input=part, h_0=h_0, c_0=c_0, relation=relation, granule=granule)

    def layer(self, layer: int, below: np.ndarray) -> Problem:
        """Layer `layer` as a module of one layer that reads `below` (N, T, features)."""
        a = self.architecture
        alone = replace(a, num_layers=1, input_size=a.layer_input_size(layer), dropout=0.0)
        names = alone.parameter_shapes()
        return replace(
            self,
            architecture=alone,
            parameters={name: self.parameters[name.replace("_l0", f"_l{layer}")] for name in names},
            input=below,
            h_0=None if self.h_0 is None else self.h_0[layer : layer + 1],
            c_0=None if self.c_0 is None else self.c_0[layer : layer + 1],
            relation=f"layer {layer} alone",
            granule=self.granule if layer == 0 else 0.0,
        )


@dataclass(frozen=True, eq=False)
class Loss:
    """A number made of a call's results, to be differentiated: the sum of each result times its cotangent.

    cotangents  by the name of a result: output (N, T, D, R), h_n (L, D, N, R), an LSTM's c_n (L, D, N, H), numbers of
                the problem's dtype; a result left out has no part in the loss
    wanted      what gradients are asked of: input, h_0, c_0 and parameters, by name
    passes      how often the loss is differentiated, over one graph
    """

    cotangents: Mapping[str, np.ndarray]
    wanted: tuple[str, ...]
    passes: int = 1


def results_of(problem: Problem) -> dict[str, tuple[int, ...]]:
    """The results that a call returns, and their canonical shapes."""
    a = problem.architecture
    states = (a.num_layers, a.directions, problem.batch_size)
    shapes: dict[str, tuple[int, ...]] = {}
    if not a.single_step:
        shapes["output"] = (problem.batch_size, problem.steps, a.directions, a.output_size)
    shapes["h_n"] = (*states, a.output_size)
    if a.cell == LSTM:
        shapes["c_n"] = (*states, a.hidden_size)
    return shapes


def differentiable(problem: Problem) -> tuple[str, ...]:
    """What gradients can be asked of: input, the states that the call is given, and the parameters."""
    states = [name for name in ("h_0", "c_0") if getattr(problem, name) is not None]
    return ("input", *states, *problem.parameters)
