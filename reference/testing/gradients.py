"""Helpers for the tests of `backward`: random problems of many shapes, losses, and their gradients by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference.backward import Gradients, backward
from reference.ball import Ball
from reference.formats import FLOAT32, FORMATS
from reference.network import forward
from reference.problem import GATES, LSTM, Architecture, Problem
from reference.testing.models import red_model

Cotangents = dict[str, np.ndarray]

SHAPES: dict[str, dict[str, Any]] = {
    "one layer": {},
    "both ways": {"bidirectional": True},
    "a stack of three": {"num_layers": 3},
    "a stack both ways": {"num_layers": 2, "bidirectional": True},
    "without biases": {"bias": False},
    "packed": {"lengths": (2, 4, 1)},
    "a packed stack both ways": {"lengths": (1, 3, 4), "num_layers": 2, "bidirectional": True},
    "a single step": {"single_step": True, "steps": 1},
}
PROJECTED: dict[str, dict[str, Any]] = {
    "a projection": {"proj_size": 2},
    "a packed projected stack both ways": {
        "proj_size": 3,
        "lengths": (4, 1, 2),
        "num_layers": 2,
        "bidirectional": True,
    },
}
EACH_CELL_AND_SHAPE = pytest.mark.parametrize(
    ("cell", "shape"),
    [(cell, shape) for cell in GATES for shape in SHAPES] + [(LSTM, shape) for shape in PROJECTED],
)


def shaped_problem(
    cell: str,
    shape: str = "one layer",
    dtype: str = "float64",
    seed: int = 7,
    sizes: tuple[int, int] = (3, 4),
    batch_size: int = 3,
) -> Problem:
    """A problem of one of the named shapes, all numbers random in (-1, 1).

    The numbers have at most 24 bits, so that adding a small power of two to one of them is exact in float64.
    """
    fields = {**SHAPES, **PROJECTED}[shape]
    rng, format = np.random.default_rng(seed), min(FORMATS[dtype], FLOAT32, key=lambda format: format.precision)
    a = Architecture(cell, *sizes, **{name: fields[name] for name in fields if name not in ("lengths", "steps")})
    steps = fields.get("steps", 4)
    state = (a.num_layers, a.directions, batch_size)

    def drawn(*shape: int) -> np.ndarray:
        return format.round(rng.uniform(-1, 1, shape))

    return Problem(
        a,
        dtype,
        "cpu",
        parameters={name: drawn(*shape) for name, shape in a.parameter_shapes().items()},
        input=drawn(batch_size, steps, a.input_size),
        h_0=drawn(*state, a.output_size),
        c_0=drawn(*state, a.hidden_size) if cell == LSTM else None,
        lengths=fields.get("lengths"),
    )


def random_cotangents(problem: Problem, names: tuple[str, ...] = ("output", "h_n", "c_n"), seed: int = 0) -> Cotangents:
    """Cotangents for each named result that the cell has: random multiples of 1/16 in [-1, 1]."""
    rng, enclosure = np.random.default_rng(seed), forward(problem, red_model(problem.architecture.cell, "float64"))
    results = {name: getattr(enclosure, name) for name in names}
    return {name: rng.integers(-16, 17, ball.midpoint.shape) / 16 for name, ball in results.items() if ball is not None}


def balls_of(gradients: Gradients) -> dict[str, Ball]:
    """All gradients by name: input, h_0, c_0 for an LSTM, and the parameters."""
    states = {"h_0": gradients.h_0} | ({} if gradients.c_0 is None else {"c_0": gradients.c_0})
    return {"input": gradients.input} | states | dict(gradients.parameters)


def gradients_by_name(problem: Problem, cotangents: Cotangents, capability: str = "AVX2") -> dict[str, Ball]:
    """All gradients by name, for the model of the measured kernels or, with "AVX512", for the union model."""
    return balls_of(backward(problem, red_model(problem.architecture.cell, problem.dtype, capability), cotangents))


def loss_value(problem: Problem, cotangents: Cotangents) -> np.floating:
    """The loss whose gradients with respect to the results are `cotangents`; padding contributes zero."""
    enclosure = forward(problem, red_model(problem.architecture.cell, "float64"))
    return sum((getattr(enclosure, name).midpoint * given).sum() for name, given in cotangents.items())
