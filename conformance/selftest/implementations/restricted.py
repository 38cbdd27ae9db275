"""Kernels that can do less than PyTorch's modules, each with what it states of itself; they refuse everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance.harness.execution import subject
from conformance.harness.execution.subject import Subject
from conformance.selftest.implementations.plain import Plain
from reference.problem import LSTM

Refuses = Callable[["Restricted", torch.Tensor, Any], Any]


def _packed(x: Any) -> bool:
    return not isinstance(x, torch.Tensor)


class Restricted(Plain):
    """An LSTM that refuses calls."""

    def refuses(self, x: Any, hx: Any) -> Any:
        """Whether it cannot make a call."""
        return False

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if self.refuses(input, hx):
            raise NotImplementedError("not this call")
        return super().forward(input, hx)


class Wrong(Plain):
    """An LSTM whose output gate is off by one part in a hundred."""

    def lstm(self, z: torch.Tensor, c: torch.Tensor) -> Any:
        h, c = super().lstm(z, c)
        return h * 1.01, c


RESTRICTIONS: dict[str, tuple[dict[str, Any], Refuses]] = {
    "a multiple of 4 units": ({"hidden_size": {"multiple_of": 4}}, lambda self, x, hx: self.hidden_size % 4),
    "2 to 6 features": ({"input_size": {"min": 2, "max": 6}}, lambda self, x, hx: not 2 <= self.input_size <= 6),
    "8 or 16 units": ({"hidden_size": [8, 16]}, lambda self, x, hx: self.hidden_size not in (8, 16)),
    "1 layer": ({"layers": 1}, lambda self, x, hx: self.num_layers != 1),
    "2 rows at most": ({"batch_size": {"max": 2}}, lambda self, x, hx: _rows(self, x) > 2),
    "3 steps at most": ({"steps": {"max": 3}}, lambda self, x, hx: _steps(self, x) > 3),
    "2 steps at least": ({"steps": {"min": 2}}, lambda self, x, hx: _steps(self, x) < 2),
    "batch first": ({"batch_first": True}, lambda self, x, hx: not self.batch_first),
    "time first": ({"batch_first": False}, lambda self, x, hx: self.batch_first),
    "biases": ({"bias": True}, lambda self, x, hx: not self.bias),
    "no biases": ({"bias": False}, lambda self, x, hx: self.bias),
    "one direction": ({"bidirectional": False}, lambda self, x, hx: self.directions == 2),
    "both directions": ({"bidirectional": True}, lambda self, x, hx: self.directions == 1),
    "no states": ({"states": False}, lambda self, x, hx: hx is not None),
    "states": ({"states": "required"}, lambda self, x, hx: hx is None),
    "no packed input": ({"packed": False}, lambda self, x, hx: _packed(x)),
    "no unbatched input": ({"unbatched": False}, lambda self, x, hx: not _packed(x) and x.dim() == 2),
    "no projection": ({"proj_size": False}, lambda self, x, hx: self.proj_size),
    "no dropout": ({"dropout": False}, lambda self, x, hx: self.dropout),
    "float32": ({"dtypes": ["float32"]}, lambda self, x, hx: _data(x).dtype != torch.float32),
    "contiguous input": ({"memory": ["contiguous", "offset"]}, lambda self, x, hx: _is_strided(x, hx)),
    "no gradients": ({"gradients": False}, lambda self, x, hx: _wants_gradients(self, x)),
}
"""By name, what a kernel states, and whether it refuses a call."""


def _data(x: Any) -> torch.Tensor:
    return x.data if _packed(x) else x  # type: ignore[no-any-return]


def _rows(self: Plain, x: Any) -> int:
    if _packed(x):
        return int(x.batch_sizes[0])
    return 1 if x.dim() == 2 else x.shape[0 if self.batch_first else 1]


def _steps(self: Plain, x: Any) -> int:
    if _packed(x):
        return len(x.batch_sizes)
    return int(x.shape[1 if self.batch_first and x.dim() == 3 else 0])


def _is_strided(x: Any, hx: Any) -> bool:
    return not all(one.is_contiguous() or one.transpose(0, 1).is_contiguous() for one in (_data(x), *(hx or ())))


def _wants_gradients(self: Plain, x: Any) -> bool:
    given = any(one.requires_grad for one in (_data(x), *self.parameters()))
    return given and torch.is_grad_enabled() and x.device.type != "meta"


def restricted(name: str, kind: type[Plain] = Plain) -> Subject:
    """The kernel that can do what `RESTRICTIONS` has under a name, sound or with the fault of `kind`."""
    statement, refuses = RESTRICTIONS[name]
    made: Any = type("Kernel", (Restricted, kind), {"refuses": lambda self, x, hx: refuses(self, x, hx)})

    def construct(*given: Any, **named: Any) -> Any:
        return made.made(LSTM, *given, **named)

    construct.conformance = statement  # type: ignore[attr-defined]
    return subject.of(construct, (LSTM,), name)
