"""Problems that must give the same, or a part of the same: from one problem to another, data alone.

Every route that a property tries one on can try the other on. Each keeps the case line of the problem that it was made
from, and names what was done to it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reference.backward import identity_weights
from reference.problem import CELL_SUFFIX, FORWARD, GATES, LSTM, REVERSE, Problem

States = tuple[np.ndarray, np.ndarray | None]
"""h (L, D, N, R), and c (L, D, N, H) for LSTM."""


def with_zero_biases(problem: Problem) -> Problem:
    """A problem without biases as one whose biases are zeros."""
    a = replace(problem.architecture, bias=True)
    parameters = {name: problem.parameters.get(name, np.zeros(shape)) for name, shape in a.parameter_shapes().items()}
    return replace(problem, architecture=a, parameters=parameters, relation="biases of zeros")


def with_zero_states(problem: Problem) -> Problem:
    """A problem without initial states as one whose states are zeros."""
    c_0 = problem.state("c_0") if problem.architecture.cell == LSTM else None
    return replace(problem, h_0=problem.state("h_0"), c_0=c_0, relation="states of zeros")


def as_batch_of_one(problem: Problem) -> Problem:
    """An unbatched problem with the axis of the batch."""
    return replace(problem, unbatched=False, relation="batch of one")


def packed(problem: Problem) -> Problem:
    """A padded batch as a packed sequence of equal lengths."""
    return replace(problem, lengths=(problem.steps,) * problem.batch_size, relation="packed with equal lengths")


def contiguous(problem: Problem) -> Problem:
    """The same numbers, contiguous in memory."""
    return replace(problem, memory="contiguous", relation="contiguous copies")


def transposed(problem: Problem) -> Problem:
    """The same batch for the other value of batch_first."""
    a = replace(problem.architecture, batch_first=not problem.architecture.batch_first)
    return replace(problem, architecture=a, relation=f"batch_first={a.batch_first}")


def row_alone(problem: Problem, row: int) -> Problem:
    """One row as a padded batch of one, cut to its length where it was packed."""
    return replace(_own_memory(problem.rows([row])), lengths=None, relation=f"row {row} alone")


def _own_memory(problem: Problem) -> Problem:
    """Not expanded any more: what was equal in every row need not be laid out so."""
    return replace(problem, memory="contiguous") if problem.memory == "expanded" else problem


def rotated(problem: Problem, by: int) -> Problem:
    """The batch with its rows moved on by `by` places."""
    n = problem.batch_size
    return replace(problem.rows([(row + by) % n for row in range(n)]), relation=f"rows moved by {by}")


def sorted_by_length(problem: Problem) -> tuple[Problem, list[int]]:
    """A packed problem with its longest rows first, and which row of the given one stands in each place."""
    lengths = problem.lengths or ()
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    return replace(problem.rows(order), relation="rows sorted by length"), order


def one_direction(problem: Problem, direction: int) -> Problem:
    """One direction of one layer as a module of its own; the reverse direction's rows run backwards in time."""
    a = replace(problem.architecture, bidirectional=False)
    end = problem.architecture.end(0, direction)
    parameters = {name: problem.parameters[name.removesuffix(a.end(0, FORWARD)) + end] for name in a.parameter_shapes()}
    h_0, c_0 = (None if s is None else s[:, direction : direction + 1] for s in (problem.h_0, problem.c_0))
    x = backwards(problem, problem.input) if direction == REVERSE else problem.input
    name = ("forward", "reverse")[direction]
    return replace(
        problem, architecture=a, parameters=parameters, input=x, h_0=h_0, c_0=c_0, relation=f"{name} direction alone"
    )


def backwards(problem: Problem, values: np.ndarray) -> np.ndarray:
    """Values (N, T, ...) with the time of each row reversed, from its own last step."""
    turned = values.copy()
    for row in range(problem.batch_size):
        length = problem.steps if problem.lengths is None else problem.lengths[row]
        turned[row, :length] = values[row, :length][::-1]
    return turned


def first_steps(problem: Problem, steps: int) -> Problem:
    """The first steps alone."""
    return replace(problem, input=problem.input[:, :steps], relation=f"first {steps} steps alone")


def later_steps(problem: Problem, since: int, states: States) -> Problem:
    """The steps from `since` on, from the states that the ones before returned."""
    relation = f"steps from {since} on, from the states returned before"
    return replace(
        _own_memory(problem),
        input=problem.input[:, since:],
        h_0=states[0],
        c_0=states[1],
        granule=0.0,
        relation=relation,
    )


def with_active_dropout(problem: Problem) -> Problem:
    """The same module in training, where half of what each layer hands to the next is left out and the rest doubled."""
    return replace(problem, architecture=replace(problem.architecture, dropout=0.5), training=True)


def showing_the_mask(problem: Problem) -> Problem:
    """A call of the same shape whose output is zero where dropout left out what layer 0 handed to layer 1.

    Two layers in one direction: every gate of layer 0 adds up to 1, every gate of layer 1 reads its own unit alone.
    """
    size, ones = problem.architecture.hidden_size, np.ones_like(problem.input)
    parameters = {name: np.zeros_like(values) for name, values in problem.parameters.items()}
    parameters["weight_ih_l0"][:, 0] = 1.0
    parameters["weight_ih_l1"][:] = np.tile(np.eye(size), (len(GATES[problem.architecture.cell]), 1))
    return replace(
        problem, parameters=parameters, input=ones, h_0=None, c_0=None, granule=0.0, relation="showing the mask"
    )


def with_masked_weights(problem: Problem, kept: np.ndarray) -> Problem:
    """A call of two layers whose dropout kept these units (H,), as one without dropout: the mask is in the weights."""
    a = replace(problem.architecture, dropout=0.0)
    weights = {"weight_ih_l1": problem.parameters["weight_ih_l1"] * np.where(kept, 2.0, 0.0)}
    return replace(
        problem,
        architecture=a,
        parameters={**problem.parameters, **weights},
        granule=0.0,
        relation="dropout's mask in the weights",
    )


def gates_as_inputs(problem: Problem) -> Problem:
    """One layer, each of whose gates reads an input of its own: the input's gradient is that of the pre-activations."""
    parameters = {**problem.parameters, **identity_weights(problem)}
    return replace(problem, parameters=parameters, relation="each gate reads an input of its own")


def single_step(problem: Problem, t: int, states: States | None = None) -> Problem:
    """Step `t` of one layer in one direction for the class that takes one step at a time."""
    a = replace(problem.architecture, single_step=True, batch_first=False, dropout=0.0)
    parameters = {name: problem.parameters[name + "_l0"] for name in a.parameter_shapes()}
    h_0, c_0 = states if states is not None else (problem.h_0, problem.c_0)
    return replace(
        _own_memory(problem),
        architecture=a,
        parameters=parameters,
        input=problem.input[:, t : t + 1],
        h_0=h_0,
        c_0=c_0,
        granule=0.0,
        relation=f"{a.cell + CELL_SUFFIX}, step {t}",
    )
