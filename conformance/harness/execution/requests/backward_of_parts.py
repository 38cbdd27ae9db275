"""The request that differentiates several calls of one module, made before the first backward pass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch

from conformance.harness.execution.inputs import inputs
from conformance.harness.execution.module_call import call_module, masks_repeatable
from conformance.harness.execution.observation import Differentiated, Manner
from conformance.harness.execution.requests.backward import Backward, Pulled, gradients_of, pulled, requiring
from conformance.harness.execution.requests.problem_request import Modules
from reference.problem import Loss, Problem


@dataclass(frozen=True)
class Part:
    """A call of some rows of a batch: its problem, its tensors by name, and what it returned."""

    rows: range
    problem: Problem
    leaves: dict[str, torch.Tensor]
    returned: dict[str, Any]

    def pulled(self, loss: Loss) -> Pulled:
        """What a pass for a loss of the whole batch goes back from here; nothing where all cotangents are zero."""
        own = loss.rows(self.rows, self.problem.steps)
        is_pulled = any(values.any() for values in own.cotangents.values())
        return pulled(self.problem, own, self.returned) if is_pulled else []

    def gradient(self, name: str) -> np.ndarray:
        """The gradient of an input or a state; zeros where there is none."""
        return gradients_of(self.leaves).get(name, np.zeros(tuple(self.leaves[name].shape)))


@dataclass(frozen=True, eq=False)
class BackwardOfParts(Backward):
    """Call a module with the first rows of a batch and then with the others, and pull losses of the batch back.

    A pass leaves out a call whose cotangents are all zero. The gradients are those of the batch.
    first: how many rows the first call takes
    """

    first: int = field(kw_only=True)

    passes_share_a_graph: ClassVar[bool] = False

    @property
    def manner(self) -> Manner:
        return replace(super().manner, first_rows=self.first)

    def problems(self) -> tuple[Problem, ...]:
        rows = range(self.problem.batch_size)
        return self.problem, self.problem.rows(rows[: self.first]), self.problem.rows(rows[self.first :])

    def observed(self, modules: Modules, blank: Differentiated) -> Differentiated:
        module, parts = modules.loaded(self.problem), list[Part]()
        parameters = requiring(module, self.loss.wanted)
        with masks_repeatable(self.problem):
            for rows in (range(self.first), range(self.first, self.problem.batch_size)):
                problem = self.problem.rows(rows)
                given = inputs(problem, requiring=self.loss.wanted, packing=modules.subject.packing)
                seen, returned = call_module(module, given, replace(blank, problem=problem))
                if seen.failure is not None or seen.misshapen:
                    return seen
                parts.append(Part(rows, problem, given.by_name(), returned))
            passes = [[pair for part in parts for pair in part.pulled(loss)] for loss in self.losses]
            return self.after_passes(blank, passes, parameters, lambda: self._joined(parts))

    def _joined(self, parts: list[Part]) -> dict[str, np.ndarray]:
        """The gradients of inputs and states of all calls as those of one batch."""
        return {name: self._batch(name, [part.gradient(name) for part in parts]) for name in parts[0].leaves}

    def _batch(self, name: str, parts: list[np.ndarray]) -> np.ndarray:
        """Rows as one batch, in the shape in which the call takes it; shorter ones are padded with zeros."""
        a = self.problem.architecture
        batch_axis = 0 if a.single_step or (name == "input" and a.batch_first) else 1
        if name == "input" and not a.single_step:
            time_axis = 1 - batch_axis
            parts = [_padded(values, time_axis, self.problem.steps) for values in parts]
        return np.concatenate(parts, batch_axis)


def _padded(values: np.ndarray, axis: int, size: int) -> np.ndarray:
    missing = [(0, size - values.shape[axis] if at == axis else 0) for at in range(values.ndim)]
    return np.pad(values, missing)
