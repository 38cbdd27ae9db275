"""Which rows of a call are judged: all of them, or as many as are computed in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from conformance.harness.execution.observation import LabelledArray
from conformance.judging.errors import JudgeError
from reference.formats import FLOAT64, FORMATS
from reference.problem import GATES, Problem

MOST_PRODUCTS = 2**29
"""The products of numbers in all rows that are judged together; the reference takes about ten seconds for them."""

MOST_OF_ONE_ROW = 2**34
"""The most products in a single row: minutes."""

MOST_PREACTIVATIONS = 2**23
"""The gates of all rows and steps of a layer: the reference holds about ten arrays of so many numbers."""

MOST_STEPS = 2**16
"""The steps of all layers, which the reference computes one by one: half a minute."""

FLOAT64_TIMES = 8
"""How much longer products of float64 take, whose reference is wider than what processors multiply in blocks."""


def products(problem: Problem) -> int:
    """The products in one row of the call, as many as take equally long in float32."""
    a = problem.architecture
    read = sum(a.layer_input_size(layer) + a.output_size for layer in range(a.num_layers))
    times = FLOAT64_TIMES if FORMATS[problem.dtype] is FLOAT64 else 1
    return times * problem.steps * a.directions * len(GATES[a.cell]) * a.hidden_size * read


def rows_judged(problem: Problem, results: Sequence[LabelledArray], seed: int) -> tuple[int, ...]:
    """The rows of the batch to judge, in order; drawn with `seed` if not all of them.

    Half of them are those that hold NaN or inf, or in which two results (arrays of one name) differ most. Raises
    JudgeError if a single row is too much.
    """
    a, in_row = problem.architecture, products(problem)
    if (steps := problem.steps * a.num_layers) > MOST_STEPS:
        raise JudgeError(f"{steps:,} steps of layers, up to {MOST_STEPS:,} are judged; give fewer steps")
    if in_row > MOST_OF_ONE_ROW:
        raise JudgeError(f"a row has {in_row:,} products, up to {MOST_OF_ONE_ROW:,} are judged; give fewer steps")
    gates = problem.steps * a.directions * len(GATES[a.cell]) * a.hidden_size
    most = max(1, min(MOST_PRODUCTS // in_row, MOST_PREACTIVATIONS // gates))
    if most >= problem.batch_size:
        return tuple(range(problem.batch_size))
    order = np.random.default_rng(seed).permutation(problem.batch_size)
    telling = _telling(problem.batch_size, results)
    first = [int(row) for row in order[np.argsort(-telling[order], kind="stable")] if telling[row] > 0]
    others = [int(row) for row in order if telling[row] <= 0]
    half = first[: math.ceil(most / 2)]
    return tuple(sorted((half + others + first[len(half) :])[:most]))


def _telling(rows: int, results: Sequence[LabelledArray]) -> np.ndarray:
    """For each row (N,): inf if it holds NaN or inf, else the largest difference of two results of one name."""
    telling = np.zeros(rows)
    for place, one in enumerate(results):
        telling = np.maximum(telling, np.where(_by_row(one, ~np.isfinite(one.values)) > 0, np.inf, 0))
        for other in results[:place]:
            if other.field == one.field:
                with np.errstate(invalid="ignore"):
                    differing = np.nan_to_num(np.abs(one.values - other.values), nan=0.0, posinf=0.0)
                telling = np.maximum(telling, _by_row(one, differing))
    return telling


def _by_row(labelled: LabelledArray, values: np.ndarray) -> np.ndarray:
    """The largest of `values`, an array like the labelled one, in each row (N,)."""
    axis = [name for name, _ in labelled.axes].index("row")
    return np.asarray(values.max(axis=tuple(i for i in range(values.ndim) if i != axis)), np.float64)
