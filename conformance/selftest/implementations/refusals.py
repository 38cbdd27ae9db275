"""What `Plain` and `RefusingPacking` refuse: a check for each place that an invalid call can be wrong in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from reference.problem import GATES, LSTM


@dataclass
class Call:
    """A call of a module of `Plain`, before anything is computed."""

    module: Any
    input: Any
    hx: Any

    @property
    def data(self) -> Any:
        return self.input.data if isinstance(self.input, PackedSequence) else self.input

    @property
    def single_step(self) -> bool:
        return not self.module.end(0, 0)

    @property
    def batched(self) -> bool:
        return isinstance(self.input, PackedSequence) or self.data.dim() == (2 if self.single_step else 3)

    @property
    def rows(self) -> int:
        """The rows of a batch; 0 without one."""
        if isinstance(self.input, PackedSequence):
            return int(self.input.batch_sizes[0])
        if not self.batched:
            return 0
        return int(self.data.shape[0 if self.single_step or self.module.batch_first else 1])

    @property
    def steps(self) -> int | None:
        """The steps of a padded input; None of another one."""
        if self.single_step or isinstance(self.input, PackedSequence):
            return None
        return int(self.data.shape[1 if self.batched and self.module.batch_first else 0])

    @property
    def states(self) -> dict[str, Any]:
        """The initial states by name."""
        several = self.hx if isinstance(self.hx, tuple) else () if self.hx is None else (self.hx,)
        return dict(zip(("h_0", "c_0"), several, strict=False))

    def state_shape(self, name: str) -> dict[str, int]:
        """The size of each axis of a state by its name, in order."""
        m = self.module
        layers = {} if self.single_step else {"layers": m.num_layers * m.directions}
        rows = {"rows": self.rows} if self.batched else {}
        return layers | rows | {"features": m.output_size if name == "h_0" else m.hidden_size}

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """Its weights, whether they are parameters themselves or made of some."""
        return {name: getattr(self.module, name) for name in self.module.own_weights}

    def parameter_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter (rows, columns), (rows,) of a bias."""
        m = self.module
        rows = (len(GATES[m.cell]) * m.hidden_size,)
        if name.startswith("bias"):
            return rows
        if name.startswith("weight_hr"):
            return (m.proj_size, m.hidden_size)
        if name.startswith("weight_hh"):
            return (*rows, m.output_size)
        first = name.removesuffix("_reverse").endswith("_l0") or self.single_step
        return (*rows, m.input_size if first else m.directions * m.output_size)


Wrong = Callable[[Call], bool]


def _ranks(call: Call) -> tuple[int, ...]:
    if isinstance(call.input, PackedSequence):
        return (2,)
    return (1, 2) if call.single_step else (2, 3)


def _of_states(name: str) -> Iterator[tuple[str, Wrong]]:
    """The checks of one initial state."""

    def size(axis: str) -> Wrong:
        def wrong(call: Call) -> bool:
            state, sizes = call.states.get(name), call.state_shape(name)
            place = list(sizes).index(axis) if axis in sizes else None
            return state is not None and place is not None and state.dim() > place and state.shape[place] != sizes[axis]

        return wrong

    def differs(attribute: str) -> Wrong:
        return lambda call: (
            name in call.states and getattr(call.states[name], attribute) != getattr(call.data, attribute)
        )

    yield f"{name}.rank", lambda call: name in call.states and call.states[name].dim() != len(call.state_shape(name))
    for axis in ("layers", "rows", "features"):
        yield f"{name}.{axis}", size(axis)
    yield f"{name}.dtype", differs("dtype")
    yield f"{name}.device", differs("device")


def _of_parameters(prefix: str) -> Iterator[tuple[str, Wrong]]:
    """The checks of the parameters whose names begin so."""

    def some(wrong: Callable[[Call, str, torch.Tensor], bool]) -> Wrong:
        return lambda call: any(
            wrong(call, name, one) for name, one in call.parameters.items() if name.startswith(prefix)
        )

    yield f"{prefix}.rows", some(lambda call, name, one: one.shape[0] != call.parameter_shape(name)[0])
    if prefix.startswith("weight"):
        yield f"{prefix}.columns", some(lambda call, name, one: one.shape[1] != call.parameter_shape(name)[1])
    yield f"{prefix}.dtype", some(lambda call, name, one: one.dtype != call.data.dtype)
    yield f"{prefix}.device", some(lambda call, name, one: one.device != call.data.device)


def _is_packed(call: Call) -> bool:
    return isinstance(call.input, PackedSequence)


def _checks() -> Iterator[tuple[str, Wrong]]:
    yield "input.type", lambda call: not isinstance(call.data, torch.Tensor)
    yield (
        "hx.type",
        lambda call: (
            call.hx is not None and not isinstance(call.hx, tuple if call.module.cell == LSTM else torch.Tensor)
        ),
    )
    yield "hx.count", lambda call: isinstance(call.hx, tuple) and len(call.hx) != 2
    yield "batch_sizes.order", lambda call: _is_packed(call) and _rises(call.input.batch_sizes)
    yield "batch_sizes.sum", lambda call: _is_packed(call) and int(call.input.batch_sizes.sum()) != len(call.data)
    yield "input.rank", lambda call: call.data.dim() not in _ranks(call)
    yield "input.features", lambda call: call.data.shape[-1] != call.module.input_size
    yield "input.rows", lambda call: call.batched and not call.rows
    yield "input.steps", lambda call: call.steps == 0
    yield "input.dtype", lambda call: all(one.dtype != call.data.dtype for one in call.parameters.values())
    yield "input.device", lambda call: all(one.device != call.data.device for one in call.parameters.values())
    for name in ("h_0", "c_0"):
        yield from _of_states(name)
    for prefix in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        yield from _of_parameters(prefix)


CHECKS = dict(_checks())
"""By place, whether a call is wrong there; in the order in which they are asked."""


def wrong_place(module: Any, input: Any, hx: Any, unchecked: tuple[str, ...]) -> str:
    """The first place in which a call is wrong, of those that are checked; "" if there is none."""
    call = Call(module, input, hx)
    return next((place for place, wrong in CHECKS.items() if place not in unchecked and wrong(call)), "")


def _rises(sizes: torch.Tensor) -> bool:
    listed = sizes.tolist()
    return listed != sorted(listed, reverse=True)


# Constructors


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**40


ARGUMENTS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "input_size": lambda given: _is_size(given["input_size"]),
    "hidden_size": lambda given: _is_size(given["hidden_size"]),
    "num_layers": lambda given: _is_size(given["num_layers"]),
    "bias": lambda given: type(given["bias"]) is bool,
    "batch_first": lambda given: type(given["batch_first"]) is bool,
    "bidirectional": lambda given: type(given["bidirectional"]) is bool,
    "dropout": lambda given: type(given["dropout"]) in (int, float) and 0 <= given["dropout"] <= 1,
    "proj_size": lambda given: type(given["proj_size"]) is int and 0 <= given["proj_size"] < given["hidden_size"],
    "nonlinearity": lambda given: given["nonlinearity"] in ("tanh", "relu"),
}
"""By name, whether an argument of a constructor is valid; in the order in which they are asked."""


def refuse_arguments(given: Mapping[str, Any], unchecked: tuple[str, ...]) -> None:
    """Raises ValueError for the first argument that is invalid, of those that are checked."""
    for name, is_valid in ARGUMENTS.items():
        if f"constructor.{name}" not in unchecked and not is_valid(given):
            raise ValueError(f"{name} is not what the constructor takes")
