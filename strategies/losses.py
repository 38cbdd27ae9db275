"""The losses of a case: cotangents of some of its results, and the tensors to differentiate with respect to."""

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
"""The supports of cotangents: by result, the axis along which they are nonzero at one index alone.

Results that a support does not list have nonzero cotangents everywhere.
"""


MOST_STEPS = {"float32": 3, "float64": 3, "float16": 2, "bfloat16": 1}
MOST_LAYERS = {"float32": 2, "float64": 2, "float16": 1, "bfloat16": 1}
"""The numbers of steps and layers after which many bounds of gradients become vacuous, by dtype.

float64 could go much further.
"""


def short(dtype: str) -> dict[str, object]:
    """The fields to pin for a family of cases whose gradient bounds are mostly not vacuous."""
    return {"steps": range(1, MOST_STEPS[dtype] + 1), "num_layers": range(1, MOST_LAYERS[dtype] + 1)}


def shortened(case: Case) -> Case:
    """The case, with few enough steps and layers that its gradient bounds are mostly not vacuous."""
    steps, layers = MOST_STEPS[case.dtype], MOST_LAYERS[case.dtype]
    lengths = tuple(min(length, steps) for length in case.lengths)
    return replace(case, steps=min(case.steps, steps), num_layers=min(case.num_layers, layers), lengths=lengths)


def loss(case: Case, problem: Problem) -> Loss:
    """The loss that the case's pick chooses for its `problem`: some of the results, with respect to all tensors."""
    return Loss(cotangents(case, problem), differentiable(problem))


def another(case: Case, problem: Problem) -> Loss:
    """A further loss of the same call: other numbers, and the results that the next pick chooses."""
    return loss(replace(case, seed=case.seed + 1, pick=case.pick + 1), problem)


def cotangents(case: Case, problem: Problem) -> dict[str, np.ndarray]:
    """Cotangents of one or more results, in their shapes, float64, with numbers like those of states.

    The case's pick chooses the results and the support; 0 chooses all results, everywhere.
    """
    names = list(results_of(problem))
    every = 2 ** len(names) - 1
    chosen = every - case.pick % every
    support = list(SUPPORT_AXES)[case.pick // every % len(SUPPORT_AXES)]
    place = case.pick // every // len(SUPPORT_AXES)
    drawn = replace(case, fill="uniform") if case.fill == "subnormal" else case  # so small gradients underflow to zero
    found = {}
    for bit, (name, shape) in enumerate(results_of(problem).items()):
        if chosen >> bit & 1:
            numbers = drawn.values_of(values.STATE, f"gradient of {name}", shape)
            found[name] = _within(SUPPORT_AXES[support].get(name), place, numbers)
    return found


def _within(axis: int | None, place: int, given: np.ndarray) -> np.ndarray:
    """The numbers at the index `place` from the end of `axis`, zeros elsewhere; all of them if `axis` is None."""
    if axis is None:
        return given
    size = given.shape[axis]
    kept = np.arange(size) == size - 1 - place % size
    return np.where(kept.reshape([size if at == axis else 1 for at in range(given.ndim)]), given, 0.0)


def some(case: Case, problem: Problem) -> tuple[str, ...]:
    """The names of some differentiable tensors, as the case's pick chooses; 0 chooses the input alone.

    May be empty.
    """
    names = differentiable(problem)
    chosen = (case.pick + 1) * 0x9E3779B1 % 2**32 >> 7 if case.pick else 1
    return tuple(name for place, name in enumerate(names) if chosen >> place % 25 & 1)


def at(given: Loss, row: int | slice | None = None, before: int | None = None) -> Loss:
    """The loss with the cotangents of all other rows set to zero, or those of later steps and of the last states.

    row     the row of the batch to keep, or several; None keeps all
    before  the step from which on cotangents become zero; None keeps all steps and the last states
    """
    found = {}
    for name, numbers in given.cotangents.items():
        kept = np.zeros(numbers.shape, bool)
        where = (slice(None) if row is None else row, slice(before))
        kept[where if name == "output" else (slice(None), slice(None), where[0])] = name == "output" or before is None
        found[name] = np.where(kept, numbers, 0.0)
    return replace(given, cotangents=found)


COTANGENT_MEMORY = ("summed", "transposed", "sliced", "offset")
"""How cotangents lie in memory if they are not contiguous."""


def laid_out(given: Loss, memory: str) -> Loss:
    """The loss with cotangents that lie in memory as one of `COTANGENT_MEMORY` says; summed ones are all 1."""
    if memory != "summed":
        return replace(given, memory=memory)
    return replace(given, memory=memory, cotangents={n: np.ones(c.shape) for n, c in given.cotangents.items()})


def times(given: Loss, factor: float) -> Loss:
    """The loss times `factor`, which is a power of two, so that the products are exact."""
    return replace(given, cotangents={name: factor * numbers for name, numbers in given.cotangents.items()})


def of_first_steps(given: Loss, steps: int, states: Mapping[str, np.ndarray]) -> Loss:
    """The loss of the first `steps` steps as a separate call.

    states  the gradients with respect to the states that the later steps start from, by name: h_0, c_0
    """
    found = {name: numbers[:, :steps] for name, numbers in given.cotangents.items() if name == "output"}
    return replace(given, cotangents=found | {name.replace("_0", "_n"): numbers for name, numbers in states.items()})


def of_later_steps(given: Loss, since: int) -> Loss:
    """The loss of the steps from `since` on as a separate call: their outputs, and the last states."""
    found = {name: numbers[:, since:] if name == "output" else numbers for name, numbers in given.cotangents.items()}
    return replace(given, cotangents=found)
