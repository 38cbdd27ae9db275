"""Forward calls: once, again, layer by layer, step by step, and after a part of the input was overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from conformance.harness.execution.inputs import Inputs, data_of
from conformance.harness.execution.module_call import call_module
from conformance.harness.execution.observation import (
    ByLayers,
    BySteps,
    Manner,
    Observation,
    Poisoned,
    Repeated,
)
from conformance.harness.execution.requests.module_request import Begun, ModuleCall, plain
from conformance.harness.execution.requests.problem_request import with_its_layers
from reference.problem import LSTM, Problem


@dataclass(frozen=True, eq=False)
class Forward(ModuleCall[Observation]):
    """Call a module once."""


@dataclass(frozen=True, eq=False)
class ForwardTwice(ModuleCall[Repeated]):
    """Call a module, again, and a third time after the first results were overwritten; note what the calls change."""

    result = Repeated

    def called(self, begun: Begun[Repeated]) -> Repeated:
        before = _Contents(begun.module, begun.given)
        seen, returned = begun.call()
        if seen.failure is not None:
            return seen  # type: ignore[no-any-return]
        changed = before.changed()
        second, _ = call_module(begun.module, begun.given, plain(seen))
        changed, after = before.changed() | changed, _Contents(begun.module, begun.given)
        with torch.no_grad():
            for value in returned.values():
                data_of(value).detach().fill_(float("nan"))
        shared = after.changed()
        third, _ = call_module(begun.module, begun.given, plain(seen))
        return replace(seen, again=(second, third), changed=changed, shared=shared)  # type: ignore[no-any-return]


class _Contents:
    """Everything that a call may not change, as it was before."""

    def __init__(self, module: torch.nn.Module, inputs: Inputs) -> None:
        states = dict(zip(("h_0", "c_0"), inputs.states, strict=False))
        self.tensors = {"input": data_of(inputs.input)} | states | dict(module.named_parameters())
        self.before = {name: t.detach().clone() for name, t in self.tensors.items()}
        self.random_state = torch.get_rng_state()

    def changed(self) -> dict[str, str]:
        """For the name of each that is another now, its first changed element; of the random state nothing more."""
        told = {name: _first_change(self.before[name], t.detach()) for name, t in self.tensors.items()}
        changed = {name: text for name, text in told.items() if text}
        return changed | ({} if torch.equal(self.random_state, torch.get_rng_state()) else {"random state": ""})


def _first_change(before: torch.Tensor, after: torch.Tensor) -> str:
    """The first element that has other bits, before and after; "" where none has."""
    places = (_bits(before) != _bits(after)).nonzero().tolist()
    if not places:
        return ""
    was, now = (float(values[tuple(places[0])]) for values in (before, after))
    return f"index {places[0]} was {was:.9g}, is {now:.9g}"


def _bits(t: torch.Tensor) -> torch.Tensor:
    return t.detach().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[t.element_size()])


@dataclass(frozen=True, eq=False)
class ForwardByLayers(ModuleCall[ByLayers]):
    """Call a module, and its layers as modules of their own, each handed the tensor that the one below returned."""

    result = ByLayers

    def problems(self) -> tuple[Problem, ...]:
        return with_its_layers(self.problem)

    def called(self, begun: Begun[ByLayers]) -> ByLayers:
        seen: ByLayers = begun.call()[0]
        if seen.failure is not None or seen.misshapen:
            return seen
        if self.problem.architecture.num_layers == 1:
            return replace(seen, layers=(seen,))
        return replace(seen, layers=tuple(self._layers(begun)))

    def _layers(self, begun: Begun[ByLayers]) -> Iterator[Observation]:
        below, directions = begun.given.input, self.problem.architecture.directions
        values = self.problem.input
        for layer in range(self.problem.architecture.num_layers):
            part = self.problem.layer(layer, values)
            states = tuple(s[layer * directions : (layer + 1) * directions] for s in begun.given.states)
            alone = Observation(part, begun.blank.subject, begun.blank.route, layer=layer)
            seen, returned = call_module(begun.modules.loaded(part, layer), Inputs(below, states), alone)
            yield seen
            if seen.failure is not None or seen.misshapen:
                return
            below = returned["output"]
            values = seen.output.values.reshape(*self.problem.input.shape[:2], -1)


@dataclass(frozen=True, eq=False)
class ForwardByStep(ModuleCall[BySteps]):
    """Call a module of one layer and direction, and once for each step, each handed the states returned before."""

    result = BySteps

    def problems(self) -> tuple[Problem, ...]:
        handed_on = np.zeros(())  # each step is handed the states of the one before
        return self.problem, self.problem.step(0, None if self.problem.steps == 1 else handed_on)

    def called(self, begun: Begun[BySteps]) -> BySteps:
        seen: BySteps = begun.call()[0]
        if seen.failure is not None or seen.misshapen:
            return seen
        return replace(seen, steps=tuple(self._steps(begun)))

    def _steps(self, begun: Begun[BySteps]) -> Iterator[Observation]:
        a, states = self.problem.architecture, begun.given.states
        given = {name: self.problem.state(name) for name in (("h_0", "c_0") if a.cell == LSTM else ("h_0",)) if states}
        for t in range(self.problem.steps):
            part = self.problem.step(t, **given)
            time_axis = 1 if a.batch_first and not self.problem.unbatched else 0
            x = data_of(begun.given.input).narrow(time_axis, t, 1)
            blank = Observation(part, begun.blank.subject, begun.blank.route, step=t)
            one, returned = call_module(begun.module, Inputs(x, states), blank)
            yield one
            if one.failure is not None or one.misshapen:
                return
            states = tuple(value for name, value in returned.items() if name != "output")
            given = {name.replace("_n", "_0"): one.results[name].values for name in returned if name != "output"}


@dataclass(frozen=True, eq=False)
class ForwardPoisoned(ModuleCall[Poisoned]):
    """Call a module on a padded batch, and again after some rows and steps were overwritten with NaN in place.

    The states of these rows are overwritten too, unless all rows are meant.
    """

    rows: slice = field(default_factory=lambda: slice(None), kw_only=True)
    steps: slice = field(default_factory=lambda: slice(None), kw_only=True)
    result = Poisoned

    @property
    def manner(self) -> Manner:
        return replace(super().manner, rows=self.rows, steps=self.steps)

    def called(self, begun: Begun[Poisoned]) -> Poisoned:
        seen: Poisoned = begun.call()[0]
        if seen.failure is not None:
            return seen
        self._overwrite(begun.given)
        return replace(seen, poisoned=(call_module(begun.module, begun.given, plain(seen))[0],))

    def _overwrite(self, given: Inputs) -> None:
        x = data_of(given.input)
        batch_first = self.problem.architecture.batch_first
        batch = x[None] if self.problem.unbatched else x if batch_first else x.transpose(0, 1)
        with torch.no_grad():
            batch[self.rows, self.steps] = float("nan")
            for state in given.states if self.rows != slice(None) else ():
                (state[:, None] if self.problem.unbatched else state)[:, self.rows] = float("nan")
