"""Identities between gradients, and with those of parts of a problem; which gradients are zero, and which vacuous."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference.backward import backward
from reference.ball import Ball
from reference.formats import FORMATS
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem
from reference.testing.balls import assert_close
from reference.testing.gradients import (
    EACH_CELL_AND_SHAPE,
    SHAPES,
    balls_of,
    gradients_by_name,
    loss_value,
    random_cotangents,
    shaped_problem,
)
from reference.testing.models import EACH_CAPABILITY, EACH_CELL, EACH_DTYPE, red_model
from reference.testing.networks import reversed_alone

# Identities


@pytest.mark.parametrize("shape", ["one layer", "a stack both ways", "a packed stack both ways", "a projection"])
@EACH_CELL
def test_scaling_the_input_is_scaling_its_weights(cell: str, shape: str) -> None:
    problem = shaped_problem(cell, shape if cell == LSTM or shape in SHAPES else "one layer")
    gradients = gradients_by_name(problem, random_cotangents(problem))
    of_weights = sum(
        (problem.parameters[name] * gradients[name].midpoint).sum()
        for name in gradients
        if name.startswith("weight_ih_l0")
    )
    of_input = (problem.input * gradients["input"].midpoint).sum()
    assert float(of_weights) == pytest.approx(float(of_input), rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("shape", ["one layer", "a stack both ways", "a packed stack both ways"])
def test_a_relu_network_without_biases_is_homogeneous(shape: str) -> None:
    problem = shaped_problem(RNN_RELU, shape)
    kept = {name: values for name, values in problem.parameters.items() if name.startswith("weight")}
    problem = replace(problem, architecture=replace(problem.architecture, bias=False), parameters=kept)
    cotangents = random_cotangents(problem)
    gradients = gradients_by_name(problem, cotangents)
    scaled = (problem.input * gradients["input"].midpoint).sum()
    scaled += (problem.state("h_0") * gradients["h_0"].midpoint).sum()
    assert float(scaled) == pytest.approx(float(loss_value(problem, cotangents)), rel=1e-13, abs=1e-13)


@EACH_CAPABILITY
@EACH_DTYPE
@EACH_CELL
def test_both_biases_have_the_same_gradient_but_for_the_new_gate_of_a_gru(
    cell: str, dtype: str, capability: str
) -> None:
    problem = shaped_problem(cell, "a stack both ways", dtype)
    gradients = gradients_by_name(problem, random_cotangents(problem), capability)
    for name in [name for name in gradients if name.startswith("bias_ih")]:
        one, other = gradients[name], gradients[name.replace("_ih", "_hh")]
        same = np.s_[: 2 * problem.architecture.hidden_size] if cell == GRU else np.s_[:]
        np.testing.assert_array_equal(one.midpoint[same], other.midpoint[same])
        np.testing.assert_array_equal(one.radius[same], other.radius[same])
        if cell == GRU:
            assert (one.midpoint != other.midpoint).any()


# Parts


@EACH_DTYPE
@EACH_CELL
def test_everything_has_the_shape_of_what_it_is_the_gradient_of(cell: str, dtype: str) -> None:
    problem = shaped_problem(cell, "a stack both ways", dtype)
    gradients = backward(problem, red_model(cell, dtype), random_cotangents(problem))
    assert gradients.input.midpoint.shape == problem.input.shape
    assert gradients.h_0.midpoint.shape == problem.state("h_0").shape
    assert (gradients.c_0 is None) == (cell != LSTM)
    if gradients.c_0 is not None:
        assert gradients.c_0.midpoint.shape == problem.state("c_0").shape
    shapes = {name: ball.midpoint.shape for name, ball in gradients.parameters.items()}
    assert list(shapes.items()) == list(problem.architecture.parameter_shapes().items())
    for ball in balls_of(gradients).values():
        assert ball.midpoint.shape == ball.radius.shape
        assert ball.midpoint.dtype == ball.rounding.working_type


@EACH_CAPABILITY
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@EACH_CELL
def test_the_reverse_direction_is_the_forward_direction_on_flipped_input(
    cell: str, dtype: str, capability: str
) -> None:
    problem = shaped_problem(cell, "both ways", dtype)
    given = random_cotangents(problem)
    given["output"][:, :, 0] = 0
    for name in given.keys() - {"output"}:
        given[name][:, 0] = 0
    alone = reversed_alone(problem)
    flipped = {name: v[:, ::-1, 1:] if name == "output" else v[:, 1:] for name, v in given.items()}
    both_ways, one_way = gradients_by_name(problem, given, capability), gradients_by_name(alone, flipped, capability)
    for name, ball in one_way.items():
        turned = {"input": (name, np.s_[:, ::-1]), "h_0": (name, np.s_[:, 1:]), "c_0": (name, np.s_[:, 1:])}
        other, part = turned.get(name, (f"{name}_reverse", np.s_[:]))
        assert_close(both_ways[other][part], ball, name, rtol=1e-12)


@EACH_CAPABILITY
@EACH_CELL
def test_rows_of_a_batch_meet_in_the_gradients_of_parameters_alone(cell: str, capability: str) -> None:
    problem = shaped_problem(cell, "a packed stack both ways", "float32")
    given = random_cotangents(problem)
    whole = gradients_by_name(problem, given, capability)
    for row, length in enumerate(problem.lengths or ()):
        one = problem.rows([row])
        own = {n: v[[row], :length] if n == "output" else v[:, :, [row]] for n, v in given.items()}
        alone = gradients_by_name(one, own, capability)
        assert_close(whole["input"][[row], :length], alone["input"], "input", rtol=1e-12)
        assert_close(whole["h_0"][:, :, [row]], alone["h_0"], "h_0", rtol=1e-12)


# Gradients that are zero


def _assert_exactly_zero(ball: Ball, message: str = "") -> None:
    np.testing.assert_array_equal(ball.midpoint, 0, err_msg=message)
    np.testing.assert_array_equal(ball.radius, 0, err_msg=message)


@EACH_CAPABILITY
@EACH_DTYPE
@EACH_CELL_AND_SHAPE
def test_a_loss_that_depends_on_nothing_has_no_gradients(cell: str, shape: str, dtype: str, capability: str) -> None:
    problem = shaped_problem(cell, shape, dtype)
    for cotangents in ({}, {name: 0 * values for name, values in random_cotangents(problem).items()}):
        for name, ball in gradients_by_name(problem, cotangents, capability).items():
            _assert_exactly_zero(ball, name)


@EACH_CAPABILITY
@EACH_DTYPE
@EACH_CELL
def test_padding_has_no_gradient_and_none_comes_from_it(cell: str, dtype: str, capability: str) -> None:
    problem = shaped_problem(cell, "a packed stack both ways", dtype)
    cotangents = random_cotangents(problem)
    gradients = gradients_by_name(problem, cotangents, capability)
    ended = np.arange(problem.steps) >= np.array(problem.lengths)[:, None]
    _assert_exactly_zero(gradients["input"][ended])
    assert (gradients["input"].radius[~ended] > 0).any()
    poisoned = {**cotangents, "output": np.where(ended[:, :, None, None], np.nan, cotangents["output"])}
    padding = np.where(ended[..., None], np.nan, problem.input)
    for name, ball in gradients_by_name(replace(problem, input=padding), poisoned, capability).items():
        np.testing.assert_array_equal(ball.midpoint, gradients[name].midpoint)
        np.testing.assert_array_equal(ball.radius, gradients[name].radius)


@EACH_CAPABILITY
@EACH_DTYPE
@EACH_CELL
def test_steps_that_the_loss_does_not_see_have_no_gradient(cell: str, dtype: str, capability: str) -> None:
    problem = shaped_problem(cell, "both ways", dtype)
    for direction, unseen in ((0, np.s_[:, 2:]), (1, np.s_[:, :1])):
        output = np.zeros((3, 4, 2, 4))
        output[:, 1, direction] = 0.5
        gradients = gradients_by_name(problem, {"output": output}, capability)
        _assert_exactly_zero(gradients["input"][unseen])
        assert gradients["input"].radius.any((0, 2)).sum() == (2, 3)[direction]
        _assert_exactly_zero(gradients["h_0"][:, 1 - direction])
        for name in problem.parameters:
            if name.endswith("_reverse") is (direction == 0):
                _assert_exactly_zero(gradients[name], name)


# Vacuous gradients, and refused cotangents


@pytest.mark.parametrize("value", [np.nan, np.inf])
@EACH_CAPABILITY
@EACH_CELL
def test_an_input_that_is_no_number_silences_its_row_and_all_parameters(
    cell: str, capability: str, value: float
) -> None:
    problem = shaped_problem(cell, "a stack of three", "float32")
    x = problem.input.copy()
    x[1, 2, 0] = value
    cotangents = random_cotangents(problem)
    gradients = gradients_by_name(replace(problem, input=x), cotangents, capability)
    for name, axis in (("input", 0), ("h_0", 2)):
        known = np.moveaxis(np.isfinite(gradients[name].radius), axis, 0)
        assert not known[1].any()
        assert known[[0, 2]].all()
    clean = gradients_by_name(problem, cotangents, capability)["input"]
    np.testing.assert_array_equal(gradients["input"].radius[[0, 2]], clean.radius[[0, 2]])
    for name in problem.parameters:
        assert np.isposinf(gradients[name].radius).all()
        assert np.isfinite(gradients[name].midpoint).all()


@EACH_CAPABILITY
@EACH_CELL
def test_gradients_that_may_overflow_are_vacuous(cell: str, capability: str) -> None:
    problem = shaped_problem(cell, dtype="float16")
    top = FORMATS["float16"].largest
    gradients = gradients_by_name(problem, {"output": np.full((3, 4, 1, 4), top)}, capability)
    assert np.isposinf(gradients["input"].radius).any()
    assert np.isfinite(gradients["input"].midpoint).all()


@EACH_CAPABILITY
@EACH_DTYPE
def test_a_row_that_would_overflow_after_its_end_stays_known(dtype: str, capability: str) -> None:
    a, steps = Architecture(RNN_RELU, 1, 1, bias=False), 9
    growth = 2.0 ** ((FORMATS[dtype].max_exponent + 1) // 8)
    parameters = {"weight_ih_l0": np.zeros((1, 1)), "weight_hh_l0": np.full((1, 1), growth)}
    h_0 = np.array([1.0, 0.0]).reshape(1, 1, 2, 1)
    problem = Problem(a, dtype, "cpu", parameters, np.zeros((2, steps, 1)), h_0, lengths=(2, steps))
    output = np.zeros((2, steps, 1, 1))
    output[0, 1] = 1.0
    gradients = gradients_by_name(problem, {"output": output}, capability)
    assert float(gradients["weight_hh_l0"].midpoint.item()) == 2 * growth
    for name, ball in gradients.items():
        assert np.isfinite(ball.radius).all(), name


@pytest.mark.parametrize(
    ("cell", "name", "shape", "words"),
    [
        (GRU, "c_n", (1, 1, 3, 4), ["c_n", "output, h_n"]),
        (LSTM, "c_0", (1, 1, 3, 4), ["c_0", "output, h_n, c_n"]),
        (RNN_TANH, "output", (3, 4, 4), ["output", "(3, 4, 4)", "(3, 4, 1, 4)"]),
    ],
)
def test_cotangents_of_another_name_or_shape_are_refused(
    cell: str, name: str, shape: tuple[int, ...], words: list[str]
) -> None:
    with pytest.raises(ValueError, match=words[0]) as refused:
        gradients_by_name(shaped_problem(cell), {name: np.zeros(shape)})
    for word in words:
        assert word in str(refused.value)
