"""The tensors of a call, made of a problem's numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.execution import memory_layouts, tensors
from reference.problem import Problem

PaddedOrPacked = torch.Tensor | PackedSequence


@dataclass
class Inputs:
    """The tensors of one call: input as the module's layout wants it, packed or not, and initial states or none."""

    input: PaddedOrPacked
    states: tuple[torch.Tensor, ...]
    leaf: torch.Tensor | None = None
    """The padded batch that a packed input was made from, where its gradient is asked for."""

    def arguments(self) -> tuple[Any, ...]:
        """Positional arguments: input, and hx as the cell's documentation wants it."""
        if not self.states:
            return (self.input,)
        return (self.input, self.states if len(self.states) == 2 else self.states[0])

    def by_name(self) -> dict[str, torch.Tensor]:
        """input, as padded as it was made, h_0 and c_0, where there are any."""
        x = data_of(self.input) if self.leaf is None else self.leaf
        return {"input": x} | dict(zip(("h_0", "c_0"), self.states, strict=False))


Make = Callable[[np.ndarray], torch.Tensor]
"""From an array to a tensor of its shape, with or without its values."""


def inputs(
    problem: Problem, make: Make | None = None, requiring: Collection[str] = (), packing: Any = torch.nn.utils.rnn
) -> Inputs:
    """The tensors of a call, laid out as the problem says; `make` where they are not to have its values.

    Those named in `requiring`, of input, h_0 and c_0, require a gradient. packing has `pack_padded_sequence`.
    """
    make = make or _with_values(problem)
    a = problem.architecture
    given = [state for state in (problem.h_0, problem.c_0) if state is not None]

    def laid_out(name: str, values: np.ndarray, batch_axis: int) -> torch.Tensor:
        """Values with the axis of the batch, which an unbatched call leaves out."""
        made = make(values[(slice(None),) * batch_axis + (0,)] if problem.unbatched else values)
        made = memory_layouts.laid_out(made, problem.memory, None if problem.unbatched else batch_axis)
        return made.requires_grad_(name in requiring)

    names = ("h_0", "c_0")
    if a.single_step:
        states = tuple(laid_out(name, state[0, 0], 0) for name, state in zip(names, given, strict=False))
        return Inputs(laid_out("input", problem.input[:, 0], 0), states)
    stacked = [state.reshape(a.num_layers * a.directions, *state.shape[2:]) for state in given]
    states = tuple(laid_out(name, state, 1) for name, state in zip(names, stacked, strict=False))
    if problem.lengths is not None:
        return _packed(problem, make, states, "input" in requiring, packing)
    sequence = problem.input if a.batch_first else problem.input.swapaxes(0, 1)
    return Inputs(laid_out("input", sequence, 0 if a.batch_first else 1), states)


def _packed(problem: Problem, make: Make, states: tuple[torch.Tensor, ...], requiring: bool, packing: Any) -> Inputs:
    """The input as a packed sequence, from a batch whose padding is NaN; rows that are sorted are packed as such.

    Where a gradient is required, the padded batch is laid out as the problem says, and the packed one as PyTorch does.
    """
    batch_first, lengths = problem.architecture.batch_first, list(problem.lengths or ())
    ended = np.arange(problem.steps) >= np.array(lengths)[:, None]
    poisoned = np.where(ended[..., None], np.nan, problem.input)
    padded = make(poisoned if batch_first else poisoned.swapaxes(0, 1))
    if requiring:
        padded = memory_layouts.laid_out(padded, problem.memory).requires_grad_()
    is_sorted = lengths == sorted(lengths, reverse=True)
    packed = packing.pack_padded_sequence(padded, torch.tensor(lengths), batch_first, enforce_sorted=is_sorted)
    if requiring:
        return Inputs(packed, states, padded)
    return Inputs(packed._replace(data=memory_layouts.laid_out(packed.data, problem.memory)), states)


def _with_values(problem: Problem) -> Make:
    return lambda values: tensors.tensor(values, problem.dtype, problem.device)


def data_of(value: PaddedOrPacked) -> torch.Tensor:
    return value.data if isinstance(value, PackedSequence) else value
