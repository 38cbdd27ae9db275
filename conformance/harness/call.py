"""One call of a subject: from a problem's numbers to tensors, and from what came back to an observation."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from conformance.harness import blackbox, bridge, memory
from conformance.harness.observation import Fact, Observation
from reference.problem import LSTM, Architecture, Problem

MASK_SEED = 0
"""What the random numbers of a call whose dropout acts start from."""

UNREAL_ROUTES = ("meta", "fake")
"""Tensors without values: device="meta", and FakeTensorMode."""

_SOURCE_LINE = re.compile(r" \(Triggered internally at .*\)$")
"""Where a warning comes from in PyTorch's sources: another place in every release."""

T = TypeVar("T")


def asked(case: str, route: str, work: Callable[[], T]) -> T:
    """What `work`, a call into the subject, returns; its case is written down before, where it outlives the process."""
    blackbox.before(case, route)
    try:
        return work()
    finally:
        blackbox.after()


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
        made = memory.laid_out(made, problem.memory, None if problem.unbatched else batch_axis)
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
        padded = memory.laid_out(padded, problem.memory).requires_grad_()
    is_sorted = lengths == sorted(lengths, reverse=True)
    packed = packing.pack_padded_sequence(padded, torch.tensor(lengths), batch_first, enforce_sorted=is_sorted)
    if requiring:
        return Inputs(packed, states, padded)
    return Inputs(packed._replace(data=memory.laid_out(packed.data, problem.memory)), states)


def _with_values(problem: Problem) -> Make:
    return lambda values: bridge.tensor(values, problem.dtype, problem.device)


def called(module: torch.nn.Module, inputs: Inputs, blank: Observation) -> tuple[Observation, dict[str, Any]]:
    """One call, what it warned of and what it returned; an exception of the subject's becomes the failure."""
    with recorded_warnings() as caught:
        try:
            arguments = inputs.arguments()
            result = asked(blank.problem.case, blank.route, lambda: module(*arguments))
        except Exception as error:  # the subject's own, whatever it is
            return replace(blank, failure=failure_of(error)), {}
    try:
        returned = named_results(result, blank.problem.architecture)
        padded = {"output": padded_output(returned["output"], blank.problem)} if "output" in returned else {}
        tensors = returned | padded
    except TypeError as error:
        return replace(blank, failure=("malformed result", str(error))), {}
    real = blank.route not in UNREAL_ROUTES
    seen = replace(
        blank,
        facts={name: fact(t) for name, t in tensors.items()},
        raw={name: bridge.array(t) for name, t in tensors.items()} if real else {},
        repacked=_repacked(inputs.input, returned.get("output")),
        warnings=tuple(dict.fromkeys(_SOURCE_LINE.sub("", str(warning.message)) for warning in caught)),
    )
    return seen, returned


def _repacked(given: PaddedOrPacked, returned: Any) -> tuple[str, ...]:
    """Which parts of the packing went in and did not come out the same: values, dtype and device."""
    if not (isinstance(given, PackedSequence) and isinstance(returned, PackedSequence)):
        return ()
    names = ("batch_sizes", "sorted_indices", "unsorted_indices")
    return tuple(name for name in names if not _same_indices(getattr(given, name), getattr(returned, name)))


def _same_indices(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.device == b.device and a.tolist() == b.tolist()


@contextmanager
def recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Every warning of the block, whoever was warned before; none of them is shown."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.set_warn_always(True)
        try:
            yield caught
        finally:
            torch.set_warn_always(False)


@contextmanager
def masks_repeatable(problem: Problem) -> Iterator[None]:
    """The same random numbers for every call whose dropout acts; on the CPU nobody else's are touched."""
    if not (problem.training and problem.architecture.dropout):
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(MASK_SEED)
        yield


def padded_output(output: PaddedOrPacked, problem: Problem) -> torch.Tensor:
    """An output in the layout of a padded batch. Raises TypeError where packed came in and not out, or the reverse."""
    if isinstance(output, PackedSequence) is (problem.lengths is None):
        raise TypeError(f"packed in, packed out is documented, this is {_shape_of(output)}")
    if not isinstance(output, PackedSequence):
        return output
    try:
        return pad_packed_sequence(output, problem.architecture.batch_first, total_length=problem.steps)[0]
    except Exception as error:  # whatever a malformed packed sequence leads to
        raise TypeError(f"a packed output that cannot be padded: {error}") from None


def named_results(result: object, architecture: Architecture) -> dict[str, Any]:
    """output, h_n and c_n of a call's result; of a single step its states alone. Raises TypeError for another build."""
    output, state = {}, result
    if not architecture.single_step:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"a tuple (output, state) is documented, this is {_shape_of(result)}")
        output, state = {"output": result[0]}, result[1]
    names = ("h_n", "c_n") if architecture.cell == LSTM else ("h_n",)
    states = state if architecture.cell == LSTM else (state,)
    if not (isinstance(states, tuple) and len(states) == len(names)):
        raise TypeError(f"the state is documented as {' and '.join(names)}, this is {_shape_of(state)}")
    named = output | dict(zip(names, states, strict=True))
    for name, value in named.items():
        data = value.data if isinstance(value, PackedSequence) and name == "output" else value
        if not (isinstance(data, torch.Tensor) and data.is_floating_point()):
            raise TypeError(f"{name} is documented as a floating-point tensor, this is {_shape_of(value)}")
    return named


def _shape_of(value: object) -> str:
    plain = isinstance(value, tuple | list) and not isinstance(value, PackedSequence)
    return f"a {type(value).__name__}" + (f" of {len(value)}" if plain else "")  # type: ignore[arg-type]


def fact(t: torch.Tensor) -> Fact:
    """What can be said of a tensor before any value."""
    return Fact(type(t).__name__, tuple(t.shape), bridge.dtype_name(t.dtype), str(t.device), tuple(t.stride()))


def failure_of(error: Exception) -> tuple[str, str]:
    return type(error).__name__, str(error)


def data_of(value: PaddedOrPacked) -> torch.Tensor:
    return value.data if isinstance(value, PackedSequence) else value
