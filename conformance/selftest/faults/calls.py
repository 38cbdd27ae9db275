"""Seeded faults of how a call is made: omitted arguments, layouts, memory, modes, rows, packing and wiring."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.cells import SINGLE_STEPS
from conformance.selftest.faults.fault import EVERY, Fault, Faults
from conformance.selftest.implementations.plain import Plain, SingleStep, States, subject
from reference.problem import GRU, LSTM, RNN_TANH

FAULTS = Faults()
fault = FAULTS.seed

# Omitted arguments and layouts


@fault("E1", "B1")
class _BiasWhereThereIsNone(Plain):
    """Adds 1/8 to every product without a bias."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight, bias) + (0 if bias is not None else 2**-3)


@fault("E1", "B1", on=EVERY)
class _OnesWhereNoStateIsGiven(Plain):
    """Uses ones as the default initial states."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        states = super().initial_states(sequence, hx)
        return states if hx is not None else tuple(torch.ones_like(state) for state in states)


@fault("E1", "B1")
class _UnbatchedBackwards(Plain):
    """Reads an unbatched sequence backwards."""

    def unbatched(self, input: torch.Tensor, hx: Any) -> tuple[Any, Any]:
        return super().unbatched(input.flip(0), hx)


@fault("A1")
class _UnbatchedOutputWithBatch(Plain):
    """Adds a batch dimension to an unbatched output."""

    def unbatched(self, input: torch.Tensor, hx: Any) -> tuple[Any, Any]:
        output, states = super().unbatched(input, hx)
        return output.unsqueeze(1), states


@fault("A2")
class _UnbatchedStatesWithBatch(Plain):
    """Adds a batch dimension to unbatched states."""

    def unbatched(self, input: torch.Tensor, hx: Any) -> tuple[Any, Any]:
        output, states = super().unbatched(input, hx)
        return output, tuple(s.unsqueeze(1) for s in states) if self.cell == LSTM else states.unsqueeze(1)


@fault("A2", on=SINGLE_STEPS)
class _SingleStepWithLayers(Plain):
    """Adds a layer dimension to the states of a single step."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, states, layer, direction)
        return tuple(state[None] for state in after) if isinstance(self, SingleStep) else after


@fault("E2", "B1")
class _SquareBatchTimeMajor(Plain):
    """Reads batch-first input as time-major if N equals T."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        square = not isinstance(input, PackedSequence) and input.dim() == 3 and 1 < input.shape[0] == input.shape[1]
        return super().forward(input.transpose(0, 1) if self.batch_first and square else input, hx)


# Memory


def _reread(x: Any, strides: bool, offset: bool) -> Any:
    """Reads a tensor as if it were contiguous (strides) or at offset 0 (offset), if its storage suffices."""
    if isinstance(x, PackedSequence):
        return x._replace(data=_reread(x.data, strides, offset))
    if x.device.type == "meta" or type(x) is not torch.Tensor:
        return x
    contiguous = torch.empty(x.shape, device="meta").stride()
    begin = 0 if offset else x.storage_offset()
    room = x.untyped_storage().nbytes() // x.element_size() - begin
    return x.as_strided(x.shape, contiguous if strides else x.stride(), begin) if x.numel() <= room else x


@fault("E2", "B1")
class _IgnoresStrides(Plain):
    """Reads its input as if it were contiguous."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        return super().forward(_reread(input, strides=True, offset=False), hx)


@fault("E2", "B1", "E3")
class _IgnoresOffset(Plain):
    """Reads its input from the beginning of the storage."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        return super().forward(_reread(input, strides=False, offset=True), hx)


@fault("E2", "B1")
class _IgnoresStateStrides(Plain):
    """Reads the given states as if they were contiguous."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        states = super().initial_states(sequence, hx)
        return states if hx is None else tuple(_reread(state, strides=True, offset=False) for state in states)


@fault("E2", "B1")
class _ExpandedRowsOnce(Plain):
    """Returns zero outputs for all but the first of expanded rows."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        output, states = super().forward(input, hx)
        axis = 0 if self.batch_first else 1
        if isinstance(input, PackedSequence) or input.dim() < 3 or input.stride(axis) or input.shape[axis] == 1:
            return output, states
        first = output.narrow(axis, 0, 1)
        return torch.cat([first, torch.zeros_like(output.narrow(axis, 1, output.shape[axis] - 1))], axis), states


# Modes


def _louder(states: States) -> States:
    return tuple(state * (1 + 2**-4) for state in states)


class _Mode(Plain):
    """Scales the states of layer 0 by 1 + 1/16 after each step to which it `applies`."""

    def applies(self, x: torch.Tensor) -> bool:
        raise NotImplementedError

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, states, layer, direction)
        return _louder(after) if layer == 0 and self.applies(x) else after


@fault("B1")
class _WithoutGrad(_Mode):
    """Computes different values under no_grad."""

    def applies(self, x: torch.Tensor) -> bool:
        return not torch.is_grad_enabled()


@fault("B1")
class _InEvaluation(_Mode):
    """Computes different values in evaluation mode."""

    def applies(self, x: torch.Tensor) -> bool:
        return not self.training


@fault("B1")
class _OfInputWithGrad(_Mode):
    """Computes different values if the input requires a gradient."""

    def applies(self, x: torch.Tensor) -> bool:
        return x.requires_grad


@fault("B1")
class _OfFrozenParameters(_Mode):
    """Computes different values if all parameters are frozen."""

    def applies(self, x: torch.Tensor) -> bool:
        return torch.is_grad_enabled() and not any(parameter.requires_grad for parameter in self.parameters())


@fault("B1", on=SINGLE_STEPS)
class _SingleStepLouder(_Mode):
    """Computes different values in a single step."""

    def applies(self, x: torch.Tensor) -> bool:
        return isinstance(self, SingleStep)


# Purity


@fault("D4", on=EVERY)
class _ChangesInput(Plain):
    """Halves its input in place."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        with torch.no_grad():
            sequence.mul_(0.5)
        return super().initial_states(sequence, hx)


@fault("D4", on=EVERY)
class _ChangesParameter(Plain):
    """Scales its first parameter by 1 + 1/16 on every call."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        with torch.no_grad():
            next(self.parameters()).mul_(1 + 2**-4)
        return super().initial_states(sequence, hx)


@fault("D4", on=EVERY)
class _SecondCallDiffers(Plain):
    """Adds 1/16 to the initial states from the second call on."""

    calls = 0

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        self.calls += 1
        states = super().initial_states(sequence, hx)
        return states if self.calls == 1 else tuple(state + 2**-4 for state in states)


# Rows and steps


@fault("E3", "E2", "B1")
class _CentredOverTime(Plain):
    """Subtracts the mean over time from its input."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        return super().run(sequence - sequence.mean(0, keepdim=True), states, layer, direction)


@fault("E3", "E2", "B1")
class _CentredOverRows(Plain):
    """Subtracts the mean over the batch from its input."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        return super().run(sequence - sequence.mean(1, keepdim=True), states, layer, direction)


@fault("E2", "B1")
class _LastRowTwice(Plain):
    """Replaces the last row of the batch with the first."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        if sequence.shape[1] > 1:
            sequence = torch.cat([sequence[:, :-1], sequence[:, :1]], 1)
        return super().run(sequence, states, layer, direction)


@fault("E2", "B1")
class _StateIgnoredInLongCalls(Plain):
    """Ignores the given states if there is more than one step."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        return super().initial_states(sequence, None if len(sequence) > 1 else hx)


# Packing


@fault("A1")
class _OtherIndices(Plain):
    """Returns packed output without sorted_indices and unsorted_indices."""

    def output(self, sequence: torch.Tensor) -> Any:
        output = super().output(sequence)
        return output if self.packed is None else output._replace(sorted_indices=None, unsorted_indices=None)


@fault("A1")
class _IndicesSwapped(Plain):
    """Returns packed output with sorted_indices and unsorted_indices swapped."""

    def output(self, sequence: torch.Tensor) -> Any:
        output, given = super().output(sequence), self.packed
        if given is None:
            return output
        return output._replace(sorted_indices=given.unsorted_indices, unsorted_indices=given.sorted_indices)


@fault("E2", "B1", "B2")
class _RowsLeftSorted(Plain):
    """Returns the final states of packed rows in sorted order."""

    def final_states(self, last: list[States]) -> States:
        states = super().final_states(last)
        order = self.packed.sorted_indices if self.packed is not None else None
        return states if order is None else tuple(state.index_select(1, order) for state in states)


@fault("E1", "B1", "B2")
class _PackedRowsEndEarly(Plain):
    """Ends packed rows longer than one step a step early."""

    def if_running(self, t: int, after: States, before: States) -> States:
        if self.lengths is None:
            return after
        running = (t < (self.lengths - 1).clamp(min=1))[:, None]
        return tuple(torch.where(running, new, old) for new, old in zip(after, before, strict=True))


@fault("D1", "D2", "B1")
class _StateOfTheLongest(Plain):
    """Returns the final states of the longest packed row for every row."""

    def final_states(self, last: list[States]) -> States:
        states = super().final_states(last)
        if self.lengths is None:
            return states
        longest = int(self.lengths.argmax())
        return tuple(state[:, longest : longest + 1].expand_as(state) for state in states)


# Projection


@fault("B1", "B2", on=(LSTM,))
class _ProjectionReversed(Plain):
    """Reverses the columns of the projection weight."""

    def project(self, h: torch.Tensor, w_hr: torch.Tensor | None) -> torch.Tensor:
        return super().project(h, None if w_hr is None else w_hr.flip(1))


@fault("B1", "B2", on=(LSTM,), num_layers=2)
class _ProjectionOfTheFirstLayer(Plain):
    """Uses the projection weight of the first layer in every layer."""

    def projection(self, layer: int, direction: int) -> torch.Tensor | None:
        return super().projection(0, direction)


# Wiring between layers, directions and biases


@fault("B1", num_layers=2)
class _WeightsOfTheFirstLayer(Plain):
    """Uses the recurrent weights of the first layer in every layer."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, _, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, super().weights(0, direction)[1], b_ih, b_hh


@fault("B1", "B2")
class _ForwardWeightsInReverse(Plain):
    """Uses the recurrent weights of the forward direction in the reverse direction."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, _, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, super().weights(layer, 0)[1], b_ih, b_hh


@fault("B1", "B2", on=(GRU,))
class _BiasesSwapped(Plain):
    """Swaps b_ih and b_hh of a GRU."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        return w_ih, w_hh, b_hh, b_ih


@fault("B1", num_layers=2)
class _HalvesSwappedBetweenLayers(Plain):
    """Swaps the forward and reverse features between layers."""

    def run(self, sequence: torch.Tensor, states: States, layer: int, direction: int) -> tuple[torch.Tensor, States]:
        if layer and self.directions == 2:
            sequence = torch.cat([*reversed(sequence.chunk(2, -1))], -1)
        return super().run(sequence, states, layer, direction)


# Exact data


class _Timid(Plain):
    """Scales tanh by 1 - 1/64."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return super().tanh(z) * (1 - 2**-6)


FAULTS.append(Fault("a-tanh-that-never-reaches-one", ("F5", "B1"), (RNN_TANH, GRU), subject("timid", _Timid)))
