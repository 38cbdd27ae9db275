"""What is differentiated in a case: cotangents of some of its results, and what gradients are asked of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from reference.problem import Loss, Problem, differentiable, results_of
from strategies import values
from strategies.case import Case

WIDE, NARROW = ("float32", "float64"), ("float16", "bfloat16")

SUPPORT_AXES: dict[str, dict[str, int]] = {
    "everywhere": {},
    "one step": {"output": 1},
    "one row": {"output": 0, "h_n": 2, "c_n": 2},
    "one unit": {"output": 3, "h_n": 3, "c_n": 3},
}
"""Where cotangents are not zero: at one place along an axis."""


MOST_STEPS = {"float32": 3, "float64": 3, "float16": 2, "bfloat16": 1}
MOST_LAYERS = {"float32": 2, "float64": 2, "float16": 1, "bfloat16": 1}
"""Through how many steps and layers the bounds of gradients are carried before many of them say nothing, by dtype.

float64 goes on much longer.
"""


def short(dtype: str) -> dict[str, object]:
    """What is pinned of a family of cases in which the bounds of gradients say something."""
    return {"steps": range(1, MOST_STEPS[dtype] + 1), "num_layers": range(1, MOST_LAYERS[dtype] + 1)}


def shortened(case: Case) -> Case:
    """The case with so few steps and layers that the bounds of its gradients say something."""
    steps, layers = MOST_STEPS[case.dtype], MOST_LAYERS[case.dtype]
    lengths = tuple(min(length, steps) for length in case.lengths)
    return replace(case, steps=min(case.steps, steps), num_layers=min(case.num_layers, layers), lengths=lengths)


def loss(case: Case, problem: Problem, passes: int = 1) -> Loss:
    """The loss that `pick` chooses for the problem that `case` poses: gradients of everything, from some results."""
    return Loss(cotangents(case, problem), differentiable(problem), passes)


def cotangents(case: Case, problem: Problem) -> dict[str, np.ndarray]:
    """Cotangents of one result or more, with numbers like those of states; a `pick` of 0 means all, everywhere."""
    names = list(results_of(problem))
    every = 2 ** len(names) - 1
    chosen = every - case.pick % every
    support = list(SUPPORT_AXES)[case.pick // every % len(SUPPORT_AXES)]
    place = case.pick // every // len(SUPPORT_AXES)
    found = {}
    for bit, (name, shape) in enumerate(results_of(problem).items()):
        if chosen >> bit & 1:
            kind = "uniform" if case.fill == "subnormal" else case.fill  # nothing is left of gradients that small
            numbers = values.fill(kind, values.STATE, f"gradient of {name}", case.seed, shape, case.dtype)
            found[name] = _within(SUPPORT_AXES[support].get(name), place, numbers)
    return found


def _within(axis: int | None, place: int, given: np.ndarray) -> np.ndarray:
    """The numbers at one place along an axis, zeros elsewhere; all of them where there is no such axis."""
    if axis is None:
        return given
    size = given.shape[axis]
    kept = np.arange(size) == place % size
    return np.where(kept.reshape([size if at == axis else 1 for at in range(given.ndim)]), given, 0.0)


def some(case: Case, problem: Problem) -> tuple[str, ...]:
    """Some of what gradients can be asked of, as `pick` chooses: with 0 the first alone, which is the input."""
    names = differentiable(problem)
    chosen = (case.pick + 1) * 0x9E3779B1 % 2**32 >> 7 if case.pick else 1
    return tuple(name for place, name in enumerate(names) if chosen >> place % 25 & 1)


def at(given: Loss, row: int | None = None, before: int | None = None) -> Loss:
    """The loss with zeros for the cotangents of other rows, or of steps from `before` on and of the last states."""
    found = {}
    for name, numbers in given.cotangents.items():
        kept = np.zeros(numbers.shape, bool)
        where = (slice(None) if row is None else row, slice(before))
        kept[where if name == "output" else (slice(None), slice(None), where[0])] = name == "output" or before is None
        found[name] = np.where(kept, numbers, 0.0)
    return replace(given, cotangents=found)


def times(given: Loss, factor: float) -> Loss:
    """The loss times a power of two."""
    return replace(given, cotangents={name: factor * numbers for name, numbers in given.cotangents.items()})


def of_row(given: Loss, row: int, steps: int) -> Loss:
    """The loss of one row, so many steps long, as a batch of its own."""
    found = {
        name: numbers[row : row + 1, :steps] if name == "output" else numbers[:, :, row : row + 1]
        for name, numbers in given.cotangents.items()
    }
    return replace(given, cotangents=found)


def of_first_steps(given: Loss, steps: int, states: Mapping[str, np.ndarray]) -> Loss:
    """The loss as the first steps see it: their outputs, and gradients of the states between (h_0, c_0)."""
    found = {name: numbers[:, :steps] for name, numbers in given.cotangents.items() if name == "output"}
    return replace(given, cotangents=found | {name.replace("_0", "_n"): numbers for name, numbers in states.items()})


def of_later_steps(given: Loss, since: int) -> Loss:
    """The loss as the steps from `since` on see it: their outputs, and the last states."""
    found = {name: numbers[:, since:] if name == "output" else numbers for name, numbers in given.cotangents.items()}
    return replace(given, cotangents=found)
