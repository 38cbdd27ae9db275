"""Helpers for the tests of `network`: random problems, possible outputs of an implementation, equal enclosures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from reference.ball import Ball
from reference.formats import FORMATS
from reference.network import Enclosure, forward
from reference.problem import LSTM, Architecture, Problem
from reference.roundings import Rounding
from reference.testing.balls import assert_close

SIDES = pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])


def random_problem(
    cell: str,
    dtype: str = "float32",
    num_layers: int = 1,
    steps: int = 4,
    bidirectional: bool = False,
    bias: bool = True,
    batch_size: int = 2,
) -> Problem:
    """A problem of 3 input features and 4 units, all numbers random in (-1, 1) and stored exactly by `dtype`."""
    rng, store = np.random.default_rng(7), FORMATS[dtype].round
    a = Architecture(cell, 3, 4, num_layers, bias=bias, bidirectional=bidirectional)
    state = (num_layers, a.directions, batch_size, 4)
    return Problem(
        a,
        dtype,
        "cpu",
        parameters={name: store(rng.uniform(-1, 1, shape)) for name, shape in a.parameter_shapes().items()},
        input=store(rng.uniform(-1, 1, (batch_size, steps, 3))),
        h_0=store(rng.uniform(-1, 1, state)),
        c_0=store(rng.uniform(-1, 1, state)) if cell == LSTM else None,
    )


def possible_output(problem: Problem, rounding: Rounding) -> np.ndarray:
    """An output (N, T, D, R) that an implementation could have returned: the midpoints, rounded to the format."""
    return rounding.format.round(forward(problem, rounding).output.midpoint)


def results_by_name(enclosure: Enclosure) -> dict[str, Ball]:
    """The balls of an enclosure by name; c_n for an LSTM alone."""
    named = {"output": enclosure.output, "h_n": enclosure.h_n, "c_n": enclosure.c_n}
    return {name: ball for name, ball in named.items() if ball is not None}


def assert_equal(one: Enclosure, other: Enclosure) -> None:
    """Two enclosures are equal up to the order in which a matrix product is summed."""
    first, second = results_by_name(one), results_by_name(other)
    assert first.keys() == second.keys()
    for name in first:
        assert_close(first[name], second[name], name, rtol=1e-13)


def reversed_alone(problem: Problem) -> Problem:
    """The reverse direction of a bidirectional `problem`, as a unidirectional problem on flipped input."""
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


def scalar_sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), for equations worked out by hand."""
    return 1 / (1 + math.exp(-x))
