"""A problem: an architecture and its numbers, as plain NumPy data in one canonical layout.

Letters in shapes: L layers, D directions (1 or 2), N rows of the batch, T time steps, I input_size, H hidden_size,
R features of one direction's output (proj_size with a projection, else H), P proj_size, G gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

RNN_TANH, RNN_RELU, LSTM, GRU = "rnn_tanh", "rnn_relu", "lstm", "gru"

GATES = {RNN_TANH: ("h",), RNN_RELU: ("h",), LSTM: ("i", "f", "g", "o"), GRU: ("r", "z", "n")}
"""The gates of each cell, in the order in which its parameters stack them.

Source: documentation of torch.nn.RNN, torch.nn.LSTM and torch.nn.GRU, section Variables.
"""

CELL_SUFFIX = "_cell"
"""The suffix for classes that take one step at a time: `lstm_cell` is torch.nn.LSTMCell."""

FORWARD, REVERSE = 0, 1


@dataclass(frozen=True)
class Architecture:
    """The constructor arguments of a recurrent module that affect its results.

    cell         one of the keys of `GATES`
    single_step  the class that takes one step at a time (torch.nn.LSTMCell): one layer, one direction, one step
    dropout      the rate between the layers of a stack, in training mode

    The other fields are named as in the documentation.
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
        """The name of the class: the cell's, followed by `CELL_SUFFIX` if the class takes one step at a time."""
        return self.cell + (CELL_SUFFIX if self.single_step else "")

    def end(self, layer: int, direction: int) -> str:
        """The suffix of a parameter's name: `_l0`, `_l0_reverse`, `_l1` and so on; empty for a single step."""
        return "" if self.single_step else f"_l{layer}" + ("_reverse" if direction == REVERSE else "")

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """R, the features of one direction's output."""
        return self.proj_size or self.hidden_size

    def layer_input_size(self, layer: int) -> int:
        """The number of features that `layer` reads: input_size, or D * R from layer 1 on."""
        return self.input_size if layer == 0 else self.directions * self.output_size

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of all parameters, in the documented order."""
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
    """One call of a module. All arrays are float64 and hold numbers that `dtype` stores exactly.

    parameters  by name, in the shapes of `Architecture.parameter_shapes`
    input       (N, T, I)
    h_0         (L, D, N, R), or None if the call passes no states
    c_0         (L, D, N, H) for an LSTM, or None if the call passes no states; None for other cells
    lengths     the row lengths of a packed sequence, each from 1 to T, the longest T; None for a padded batch. The
                call does not read elements of `input` past a row's length
    unbatched   the call's tensors have no batch axis; N is 1
    training    whether the module is in training mode; in evaluation mode dropout does nothing
    memory      the memory layout of input and states, one of `strategies.axes.MEMORY`
    case        the case line that reproduces this problem
    relation    how the problem was derived from that case; empty if it was not changed
    granule     a power of two, at most 1, of which every number of the problem is an integer multiple; 0 if unknown.
                Products are then multiples of its square, so short sums of them are exact in any order
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
        """`h_0` or `c_0` (L, D, N, features), zeros if the call does not pass it."""
        given = self.h_0 if name == "h_0" else self.c_0
        if given is not None:
            return given
        a = self.architecture
        features = a.output_size if name == "h_0" else a.hidden_size
        return np.zeros((a.num_layers, a.directions, self.batch_size, features))

    def rows(self, chosen: Sequence[int]) -> Problem:
        """The chosen rows of the batch, in this order, as a separate batch as long as the longest of them."""
        kept = list(chosen)
        lengths = None if self.lengths is None else tuple(self.lengths[row] for row in kept)
        h_0, c_0 = (None if state is None else state[:, :, kept] for state in (self.h_0, self.c_0))
        steps = self.steps if lengths is None else max(lengths)
        return replace(self, input=self.input[kept, :steps], h_0=h_0, c_0=c_0, lengths=lengths)

    def step(self, t: int, h_0: np.ndarray | None = None, c_0: np.ndarray | None = None) -> Problem:
        """Step `t` of a padded batch as a separate call, from the given states (L, D, N, features) or from none."""
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
    """A scalar loss of a call's results: the sum of all elements of each result times its cotangent.

    cotangents  by the name of a result: output (N, T, D, R), h_n (L, D, N, R), an LSTM's c_n (L, D, N, H). Numbers
                that the problem's dtype stores; results without a cotangent do not enter the loss
    wanted      the names of the tensors to differentiate with respect to: input, h_0, c_0, parameters
    memory      how the cotangents lie in memory; "summed": one number, expanded with stride 0, as `.sum()` hands it on
    """

    cotangents: Mapping[str, np.ndarray]
    wanted: tuple[str, ...]
    memory: str = "contiguous"

    def rows(self, chosen: Sequence[int], steps: int) -> Loss:
        """The loss of the chosen rows of the batch, in this order, as a separate batch of `steps` steps."""
        kept = list(chosen)
        found = {
            name: numbers[kept, :steps] if name == "output" else numbers[:, :, kept]
            for name, numbers in self.cotangents.items()
        }
        return replace(self, cotangents=found)


def results_of(problem: Problem) -> dict[str, tuple[int, ...]]:
    """The names of the results that a call returns, and their canonical shapes."""
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
    """The names of the tensors that have a gradient: input, the states that the call passes, and the parameters."""
    states = [name for name in ("h_0", "c_0") if getattr(problem, name) is not None]
    return ("input", *states, *problem.parameters)
