"""A case some of whose numbers are others than its line says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from reference.problem import Problem
from strategies import Case

GRIDS = (1.0, 0.5, 0.25, 0.125)
"""Numbers are rounded to multiples of these: every dtype stores them, and they are short in decimal."""

Key = tuple[str, int]
"""The name of a tensor, and the seed of its numbers."""

Edits = Mapping[Key, np.ndarray]


@dataclass(frozen=True, eq=False)
class EditedCase(Case):
    """A case some of whose tensors have other numbers; a smaller size crops them.

    asked  every tensor that was asked for, with the numbers that it has
    before the line of the case that was changed
    """

    edits: Edits = field(default_factory=dict)
    asked: dict[Key, np.ndarray] = field(default_factory=dict)
    before: str = ""

    @classmethod
    def of(cls, case: Case, line: str) -> EditedCase:
        """A case that nothing is changed of yet."""
        return cls(**vars(case), before=line)

    def values_of(self, role: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
        key = (name, self.seed)
        numbers = self.edits.get(key, np.zeros(()))
        if numbers.ndim == len(shape) and all(
            asked <= there for asked, there in zip(shape, numbers.shape, strict=False)
        ):
            numbers = numbers[tuple(map(slice, shape))].copy()
        else:
            numbers = super().values_of(role, name, shape)
        if key not in self.asked or self.asked[key].size <= numbers.size:
            self.asked[key] = numbers
        return numbers

    def on(self, cell: str) -> Problem:
        problem = super().on(cell)
        return replace(problem, case=self.before, granule=_granule(problem) if self.edits else problem.granule)


def _granule(problem: Problem) -> float:
    """The largest of `GRIDS` that every number is a multiple of, else 0."""
    states = [state for state in (problem.h_0, problem.c_0) if state is not None]
    arrays = [problem.input, *states, *problem.parameters.values()]
    return next((grid for grid in GRIDS if not any((numbers % grid).any() for numbers in arrays)), 0.0)
