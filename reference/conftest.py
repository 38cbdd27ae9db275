"""What the tests of this floor share: cells and dtypes to go through, the model that judges, and a few helpers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from reference.ball import Ball
from reference.formats import FORMATS
from reference.problem import GATES, Problem
from reference.roundings import Rounding, model

CELLS = pytest.mark.parametrize("cell", GATES)
DTYPES = pytest.mark.parametrize("dtype", FORMATS)
MODELS = pytest.mark.parametrize("capability", ["AVX2", "AVX512"], ids=["measured", "union"])


def red_model(cell: str, dtype: str = "float32", capability: str = "AVX2") -> Rounding:
    """The model beyond which torch.nn is wrong: that of its measured kernels, or the union of all with "AVX512"."""
    return model(cell, dtype, "cpu", capability, "2.13", "torch.nn").red


def assert_close(one: Ball, other: Ball, name: str, rtol: float) -> None:
    """Two balls are equal but for the order in which a matrix product is summed."""
    for kind, atol in (("midpoint", 1e-15), ("radius", 0)):
        first, second = (np.asarray(getattr(ball, kind), float) for ball in (one, other))
        np.testing.assert_allclose(first, second, rtol=rtol, atol=atol, err_msg=f"{name} {kind}")


def reversed_alone(problem: Problem) -> Problem:
    """The reverse direction of `problem` as the forward direction of another, on flipped input."""
    return replace(
        problem,
        architecture=replace(problem.architecture, bidirectional=False),
        parameters={
            name.removesuffix("_reverse"): values
            for name, values in problem.parameters.items()
            if name.endswith("_reverse")
        },
        input=problem.input[:, ::-1],
        h_0=problem.state("h_0")[:, 1:],
        c_0=None if problem.c_0 is None else problem.c_0[:, 1:],
    )


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), for equations worked out by hand."""
    return 1 / (1 + math.exp(-x))
