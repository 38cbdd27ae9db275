"""Sound variations: `Plain` computed in another way that a correct implementation may choose. None may be caught.

They are seeded faults turned round: a finding in one of them is a hole in the error bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

import reference
from conformance.harness.execution import tensors
from conformance.harness.execution.subject import Subject
from conformance.selftest.implementations.plain import Elsewhere, Plain, States, name_by_docstring, subject
from conformance.selftest.implementations.workspaces import Workspaces
from reference.ball import Ball
from reference.formats import FORMATS
from reference.problem import GRU, LSTM, Architecture, Problem

WIDER = {torch.float32: torch.float64, torch.float16: torch.float32, torch.bfloat16: torch.float32}
"""The type that a step or a call may be computed in instead of the stored one."""

HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Variation:
    """A sound subject."""

    name: str
    subject: Subject


_VARIATIONS: list[Variation] = []


def variations() -> tuple[Variation, ...]:
    """Every sound variation."""
    return tuple(_VARIATIONS)


def variation(kind: type[Plain]) -> type[Plain]:
    """Registers a class as the variation that its docstring describes."""
    name = name_by_docstring(kind)
    _VARIATIONS.append(Variation(name, subject(name, kind)))
    return kind


def wide(t: torch.Tensor) -> torch.Tensor:
    """`t` in the next wider type; float64 stays."""
    return t.to(WIDER.get(t.dtype, t.dtype))


class _Summing(Plain):
    """Sums products by a rule of its own: 16-bit types in float32 and rounded once, the others in their own type."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        operands = (x.float(), weight.float()) if x.dtype in HALF else (x, weight)
        product = self.product(*operands).to(x.dtype)
        return product if bias is None else product + bias

    def product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """x (N, features) times weight (rows, features), transposed."""
        raise NotImplementedError


@variation
class _Reversed(_Summing):
    """Sums the features backwards."""

    def product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x.flip(-1), weight.flip(-1))


@variation
class _Pairwise(_Summing):
    """Sums products pair by pair."""

    def product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        terms = x[:, None] * weight
        while terms.shape[-1] > 1:
            middle = terms.shape[-1] // 2
            odd = terms[..., 2 * middle :]
            terms = torch.cat([terms[..., :middle] + terms[..., middle : 2 * middle], odd], -1)
        return terms[..., 0]


@variation
class _Blocked(_Summing):
    """Sums products in blocks of three."""

    def product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        blocks = [torch.nn.functional.linear(a, b) for a, b in zip(x.split(3, -1), weight.split(3, -1), strict=True)]
        total = blocks[-1]
        for block in blocks[-2::-1]:
            total = total + block
        return total


@variation
class _TermByTerm(_Summing):
    """Rounds after every multiply-add."""

    def product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        total = x.new_zeros(x.shape[0], weight.shape[0])
        for a, b in zip(x.unbind(-1), weight.unbind(-1), strict=True):
            total = (wide(total) + wide(a)[:, None] * wide(b)).to(x.dtype)
        return total


@variation
class _OrderedBySize(_Summing):
    """Sums the largest products first, each rounded."""

    def product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        terms = x[:, None] * weight
        order = terms.abs().argsort(-1, descending=True)
        return _running(terms.gather(-1, order))


def _running(terms: torch.Tensor) -> torch.Tensor:
    """The sum along the last axis, one addition after the other, each rounded to the type of `terms`."""
    total = terms[..., 0]
    for term in terms.unbind(-1)[1:]:
        total = total + term
    return total


@variation
class _FusedBiases(Plain):
    """Adds the biases first, rounded."""

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        if b_ih is None:
            return w_ih, w_hh, None, None
        if self.cell != GRU:
            return w_ih, w_hh, b_ih + b_hh, None
        gates = 2 * self.hidden_size
        both = torch.cat([b_ih[:gates] + b_hh[:gates], b_ih[gates:]])
        return w_ih, w_hh, both, torch.cat([torch.zeros_like(b_hh[:gates]), b_hh[gates:]])


@variation
class _BeginsAtBias(Plain):
    """Begins the running sum at the bias."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        kind = torch.float32 if x.dtype in HALF else x.dtype
        total = x.new_zeros(weight.shape[0], dtype=kind) if bias is None else bias.to(kind)
        for a, b in zip(x.to(kind).unbind(-1), weight.to(kind).unbind(-1), strict=True):
            total = total + a[:, None] * b
        return total.to(x.dtype)


variation(Workspaces)


class _Joined(Plain):
    """Sums what one pre-activation takes from input and state in one go, both biases added first."""

    def pre_activation(
        self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
    ) -> torch.Tensor:
        both = None if b_ih is None else b_ih + b_hh
        return self.linear(torch.cat([x, h], -1), torch.cat([w_ih, w_hh], -1), both)

    def gru(self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> torch.Tensor:
        gates = 2 * self.hidden_size
        first = (w if w is None else w[:gates] for w in (w_ih, w_hh, b_ih, b_hh))
        r, z = torch.sigmoid(self.pre_activation(x, h, *first)).chunk(2, -1)
        last_ih, last_hh = (b if b is None else b[gates:] for b in (b_ih, b_hh))
        n = self.tanh(self.linear(x, w_ih[gates:], last_ih) + r * self.linear(h, w_hh[gates:], last_hh))
        return self.blend(z, n, h)


@variation
class _OneProduct(_Joined):
    """Multiplies input and state in one product."""


@variation
class _StoredAccumulation(Plain):
    """Accumulates products in the stored type."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        product = _running(x[:, None] * weight)
        return product if bias is None else product + bias


@variation
class _StoredJointAccumulation(_Joined):
    """Accumulates input and state in one sum of the stored type, the biases first."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        total = x.new_zeros(weight.shape[0]) if bias is None else bias
        for a, b in zip(x.unbind(-1), weight.unbind(-1), strict=True):
            total = total + a[:, None] * b
        return total


@variation
class _OtherBlend(Plain):
    """Blends as (h-n)*z+n."""

    def blend(self, z: torch.Tensor, n: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return (h - n) * z + n


@variation
class _WiderStep(Plain):
    """Computes a step wider and rounds once."""

    def computed(self) -> torch.dtype:
        """The type that steps are computed in."""
        stored = next(self.parameters()).dtype
        return WIDER.get(stored, stored)

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        found = super().weights(layer, direction)
        w_ih, w_hh, b_ih, b_hh = (w if w is None else w.to(self.computed()) for w in found)
        return w_ih, w_hh, b_ih, b_hh

    def projection(self, layer: int, direction: int) -> torch.Tensor | None:
        w_hr = super().projection(layer, direction)
        return None if w_hr is None else w_hr.to(self.computed())

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        kind = self.computed()
        after = super().step(x.to(kind), tuple(state.to(kind) for state in states), layer, direction)
        return tuple(state.to(x.dtype) for state in after)


@variation
class _WiderCall(_WiderStep):
    """Computes the whole call wider."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        kind, stored = self.computed(), input.data.dtype
        given = tuple(state.to(kind) for state in hx) if isinstance(hx, tuple) else hx if hx is None else hx.to(kind)
        output, states = super().forward(input.to(kind), given)
        return output.to(stored), tuple(s.to(stored) for s in states) if self.cell == LSTM else states.to(stored)


@variation
class _Reference(_WiderCall):
    """Returns the midpoints of the reference, rounded."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if not isinstance(input, PackedSequence) and input.dim() == 2:
            return self.unbatched(input, hx)
        output, states = super().forward(input, hx)
        if type(input.data) is not torch.Tensor or input.data.device.type == "meta":
            return output, states  # facts alone are asked for
        problem = self.problem(input, hx)
        rounding = reference.model(self.cell, problem.dtype, "cpu", "", "", "").red
        enclosure = reference.forward(problem, rounding)
        below = enclosure.output.rearranged(lambda v: v.swapaxes(0, 1).reshape(*v.shape[1::-1], -1))
        wider = output if self.lengths is None else pad_packed_sequence(output, self.batch_first)[0]
        output = self.output(self.said(below, wider.transpose(0, 1) if self.batch_first else wider))
        if self.cell != LSTM:
            return output, self.said(enclosure.h_n, states)
        assert enclosure.c_n is not None
        return output, (self.said(enclosure.h_n, states[0]), self.said(enclosure.c_n, states[1]))

    def problem(self, input: Any, hx: Any) -> Problem:
        """The call as the reference wants it."""
        padded = input if self.lengths is None else pad_packed_sequence(input, self.batch_first)[0]
        sequence = padded if self.batch_first else padded.transpose(0, 1)
        given = hx if isinstance(hx, tuple) else () if hx is None else (hx,)
        states = [tensors.array(s).reshape(self.num_layers, self.directions, *s.shape[1:]) for s in given]
        h_0, c_0 = [*states, None, None][:2]
        architecture = Architecture(
            self.cell,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            bias=self.bias,
            bidirectional=self.directions == 2,
            proj_size=self.proj_size,
        )
        return Problem(
            architecture,
            tensors.dtype_name(sequence.dtype),
            "cpu",
            parameters={name: tensors.array(p) for name, p in self.named_parameters()},
            input=tensors.array(sequence),
            h_0=h_0,
            c_0=c_0,
            lengths=None if self.lengths is None else tuple(self.lengths.tolist()),
        )

    def said(self, ball: Ball, wider: torch.Tensor) -> torch.Tensor:
        """Midpoints rounded from the working type once; `wider` where the reference says nothing, and for gradients."""
        dtype = tensors.dtype_name(wider.dtype)
        midpoint, radius = (values.reshape(wider.shape) for values in (ball.midpoint, ball.radius))
        values = np.where(np.isfinite(radius), FORMATS[dtype].round(midpoint), tensors.array(wider))
        return Elsewhere.apply(tensors.tensor(values, dtype), wider)
