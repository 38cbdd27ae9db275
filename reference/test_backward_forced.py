"""Gradients of one layer, each step from the gradient that a subject found for the step after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference.backward import Gradients, backward, backward_forced, identity_weights
from reference.network import forward
from reference.problem import GATES, GRU, LSTM, RNN_RELU, Problem
from reference.testing.gradients import balls_of, random_cotangents, shaped_problem
from reference.testing.models import EACH_CELL, red_model

SHAPES = ("one layer", "both ways", "without biases", "packed", "a single step")
EACH_SHAPE = pytest.mark.parametrize("shape", [*SHAPES, "a projection"])


def with_identity(problem: Problem) -> Problem:
    """The problem with weights of the input that are an identity."""
    return replace(problem, parameters={**problem.parameters, **identity_weights(problem)})


def gated(cell: str, shape: str, dtype: str = "float64") -> Problem:
    if shape == "a projection" and cell != LSTM:
        pytest.skip("only lstm has a projection")
    units, directions = 4, 1 + (shape == "both ways")
    return with_identity(shaped_problem(cell, shape, dtype, sizes=(len(GATES[cell]) * units * directions + 1, units)))


def repeated(problem: Problem, times: int) -> Problem:
    """A padded problem with its steps repeated."""
    return replace(problem, input=np.tile(problem.input, (1, times, 1)))


def of_sound_subject(problem: Problem, dtype: str = "float64") -> tuple[Gradients, Gradients]:
    """The forced and the plain gradients, the first from what the plain reference says that a subject returns."""
    rounding, cotangents = red_model(problem.architecture.cell, dtype), random_cotangents(problem)
    plain = backward(problem, rounding, cotangents)
    output = np.asarray(forward(problem, rounding).output.midpoint, np.float64)
    of_input = np.asarray(plain.input.midpoint, np.float64)
    return backward_forced(problem, rounding, cotangents, output, of_input), plain


@EACH_SHAPE
@EACH_CELL
def test_forced_gradients_are_those_of_the_plain_reference(cell: str, shape: str) -> None:
    forced, plain = of_sound_subject(gated(cell, shape))
    for name, ball in balls_of(plain).items():
        np.testing.assert_allclose(balls_of(forced)[name].midpoint, ball.midpoint, rtol=1e-12, atol=1e-14, err_msg=name)


@EACH_CELL
def test_bounds_do_not_grow_with_the_steps(cell: str) -> None:
    short, long = (of_sound_subject(repeated(gated(cell, "one layer"), times), "float32")[0] for times in (2, 50))
    assert long.input.radius.max() <= 2 * short.input.radius.max()
    assert long.h_0.radius.max() <= 2 * short.h_0.radius.max()


@EACH_CELL
def test_bounds_of_many_steps_are_far_below_those_from_the_inputs(cell: str) -> None:
    forced, plain = of_sound_subject(repeated(gated(cell, "one layer"), 50), "float32")
    assert forced.input.radius.mean() < plain.input.radius.mean() / (1 if cell == RNN_RELU else 3)


@pytest.mark.parametrize("shape", ["one layer", "both ways", "packed"])
@EACH_CELL
def test_what_a_step_finds_decides_what_the_step_before_may_find(cell: str, shape: str) -> None:
    problem = gated(cell, shape)
    rounding, cotangents = red_model(cell, "float64"), random_cotangents(problem)
    output = np.asarray(forward(problem, rounding).output.midpoint, np.float64)
    of_input = np.asarray(backward(problem, rounding, cotangents).input.midpoint, np.float64)
    sound = backward_forced(problem, rounding, cotangents, output, of_input)
    row, last = 1, problem.steps - 1
    of_input[row, last, : len(GATES[cell]) * 4] += 0.5
    moved = backward_forced(problem, rounding, cotangents, output, of_input)
    changed = (sound.input.midpoint != moved.input.midpoint).any(-1)
    carries = cell in (LSTM, GRU)  # c and the blend hand on to every earlier step
    assert changed[row].tolist() == [carries] * (last - 1) + [True, False]
    assert not changed[[0, 2]].any()
    assert (np.abs(of_input[row, last] - moved.input.midpoint[row, last]) > moved.input.radius[row, last]).any()
    assert (sound.parameters["weight_hh_l0"].midpoint != moved.parameters["weight_hh_l0"].midpoint).any()


def test_other_weights_of_the_input_are_refused() -> None:
    problem, rounding = gated("gru", "one layer"), red_model("gru", "float64")
    other = replace(problem, parameters={**problem.parameters, "weight_ih_l0": problem.parameters["weight_ih_l0"] * 2})
    with pytest.raises(ValueError, match="an identity"):
        backward_forced(other, rounding, {}, np.zeros((3, 4, 1, 4)), np.zeros(problem.input.shape))


def test_fewer_inputs_than_gates_are_refused() -> None:
    with pytest.raises(ValueError, match="12 gates need as many inputs, not 3"):
        identity_weights(shaped_problem("gru"))
