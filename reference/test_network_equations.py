"""Values of `forward`: the midpoints follow the documented equations, evaluated by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from reference.formats import FORMATS
from reference.network import forward
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem
from reference.testing.models import EACH_CELL, EACH_DTYPE, red_model
from reference.testing.networks import SIDES, assert_equal, random_problem, scalar_sigmoid

# Omitted arguments


@EACH_CELL
def test_states_that_are_left_out_are_zeros(cell: str) -> None:
    problem, rounding = random_problem(cell, num_layers=2, bidirectional=True), red_model(cell)
    zeros = np.zeros((2, 2, 2, 4))
    given = forward(replace(problem, h_0=zeros, c_0=zeros if cell == LSTM else None), rounding)
    assert_equal(given, forward(replace(problem, h_0=None, c_0=None), rounding))


@EACH_CELL
def test_biases_that_are_left_out_are_zeros_and_no_summands(cell: str) -> None:
    problem, rounding = random_problem(cell, bias=False), red_model(cell)
    with_zeros = random_problem(cell)
    for name in with_zeros.architecture.parameter_shapes():
        kept = problem.parameters[name] if name in problem.parameters else np.zeros(len(GATES[cell]) * 4)
        with_zeros = replace(with_zeros, parameters={**with_zeros.parameters, name: kept})
    with_zeros = replace(with_zeros, input=problem.input, h_0=problem.h_0, c_0=problem.c_0)
    without, given = forward(problem, rounding), forward(with_zeros, rounding)
    np.testing.assert_array_equal(without.output.midpoint, given.output.midpoint)
    dead = given.output.radius == 0
    assert (dead | (without.output.radius < given.output.radius)).all()
    assert not dead.all()


# Without weights


def _without_weights(problem: Problem, **biases: float) -> Problem:
    """The same problem with all parameters zero except the biases b_ih of the named gates."""
    gates = GATES[problem.architecture.cell]
    bias_ih = np.repeat([biases.get(gate, 0.0) for gate in gates], problem.architecture.hidden_size)
    return replace(
        problem,
        parameters={
            name: bias_ih if name.startswith("bias_ih") else np.zeros(values.shape)
            for name, values in problem.parameters.items()
        },
    )


@SIDES
@EACH_DTYPE
def test_a_gru_without_weights_halves_its_state(dtype: str, bidirectional: bool) -> None:
    problem = _without_weights(random_problem(GRU, dtype, bidirectional=bidirectional))
    enclosure = forward(problem, red_model(GRU, dtype))
    np.testing.assert_array_equal(enclosure.h_n.midpoint, problem.state("h_0") / 16)
    np.testing.assert_array_equal(enclosure.output.midpoint[:, 0, 0], problem.state("h_0")[0, 0] / 2)


@SIDES
@EACH_DTYPE
def test_an_lstm_without_weights_halves_its_cell_state(dtype: str, bidirectional: bool) -> None:
    problem = _without_weights(random_problem(LSTM, dtype, bidirectional=bidirectional))
    enclosure = forward(problem, red_model(LSTM, dtype))
    assert enclosure.c_n is not None
    np.testing.assert_array_equal(enclosure.c_n.midpoint, problem.state("c_0") / 16)
    working = enclosure.c_n.midpoint.dtype
    np.testing.assert_array_equal(enclosure.h_n.midpoint, np.tanh((problem.state("c_0") / 16).astype(working)) / 2)


@EACH_DTYPE
def test_a_gru_without_weights_ends_where_its_bias_says(dtype: str) -> None:
    problem = _without_weights(random_problem(GRU, dtype), z=-1000.0, n=0.5)
    np.testing.assert_allclose(forward(problem, red_model(GRU, dtype)).h_n.midpoint.astype(float), math.tanh(0.5))


@EACH_DTYPE
def test_a_gru_with_a_full_update_gate_keeps_its_state(dtype: str) -> None:
    problem = _without_weights(random_problem(GRU, dtype), z=1000.0, n=0.5)
    np.testing.assert_array_equal(forward(problem, red_model(GRU, dtype)).h_n.midpoint, problem.state("h_0"))


@EACH_DTYPE
def test_an_lstm_that_forgets_nothing_counts_its_steps(dtype: str) -> None:
    problem = _without_weights(random_problem(LSTM, dtype), i=1000.0, f=1000.0, g=1000.0, o=1000.0)
    enclosure = forward(problem, red_model(LSTM, dtype))
    assert enclosure.c_n is not None
    np.testing.assert_allclose(enclosure.c_n.midpoint.astype(float), problem.state("c_0") + 4, rtol=1e-15)


@EACH_DTYPE
def test_an_lstm_whose_gates_are_closed_returns_nothing(dtype: str) -> None:
    problem = _without_weights(random_problem(LSTM, dtype), i=-1000.0, f=1000.0, g=1000.0, o=-1000.0)
    enclosure = forward(problem, red_model(LSTM, dtype))
    assert enclosure.c_n is not None
    np.testing.assert_array_equal(enclosure.c_n.midpoint, problem.state("c_0"))
    np.testing.assert_allclose(enclosure.h_n.midpoint.astype(float), 0, atol=1e-300)


@pytest.mark.parametrize(("cell", "expected"), [(RNN_TANH, math.tanh(0.75)), (RNN_RELU, 0.75)])
@EACH_DTYPE
def test_an_rnn_without_weights_returns_the_function_of_its_bias(cell: str, expected: float, dtype: str) -> None:
    enclosure = forward(_without_weights(random_problem(cell, dtype), h=0.75), red_model(cell, dtype))
    np.testing.assert_allclose(enclosure.output.midpoint.astype(float), expected, rtol=1e-15)


# One unit


def _rnn_unit(x: float, h: float, c: float, w: Callable[[str, int], float]) -> tuple[float, float]:
    return math.tanh(w("weight_ih", 0) * x + w("bias_ih", 0) + w("weight_hh", 0) * h + w("bias_hh", 0)), c


def _relu_unit(x: float, h: float, c: float, w: Callable[[str, int], float]) -> tuple[float, float]:
    return max(0.0, w("weight_ih", 0) * x + w("bias_ih", 0) + w("weight_hh", 0) * h + w("bias_hh", 0)), c


def _lstm_unit(x: float, h: float, c: float, w: Callable[[str, int], float]) -> tuple[float, float]:
    i, f, g, o = (w("weight_ih", k) * x + w("bias_ih", k) + w("weight_hh", k) * h + w("bias_hh", k) for k in range(4))
    c = scalar_sigmoid(f) * c + scalar_sigmoid(i) * math.tanh(g)
    return scalar_sigmoid(o) * math.tanh(c), c


def _gru_unit(x: float, h: float, c: float, w: Callable[[str, int], float]) -> tuple[float, float]:
    r, z = (
        scalar_sigmoid(w("weight_ih", k) * x + w("bias_ih", k) + w("weight_hh", k) * h + w("bias_hh", k))
        for k in range(2)
    )
    n = math.tanh(w("weight_ih", 2) * x + w("bias_ih", 2) + r * (w("weight_hh", 2) * h + w("bias_hh", 2)))
    return (1 - z) * n + z * h, c


UNITS = {RNN_TANH: _rnn_unit, RNN_RELU: _relu_unit, LSTM: _lstm_unit, GRU: _gru_unit}


@EACH_DTYPE
@EACH_CELL
def test_a_single_unit_follows_the_documented_equations(cell: str, dtype: str) -> None:
    rng, store = np.random.default_rng(3), FORMATS[dtype].round
    a = Architecture(cell, 1, 1)
    parameters = {name: store(rng.uniform(-2, 2, shape)) for name, shape in a.parameter_shapes().items()}
    x, h, c = store(rng.uniform(-2, 2, 5)), 0.5, -0.75
    h_0, c_0 = np.full((1, 1, 1, 1), h), np.full((1, 1, 1, 1), c) if cell == LSTM else None
    enclosure = forward(Problem(a, dtype, "cpu", parameters, x.reshape(1, 5, 1), h_0, c_0), red_model(cell, dtype))
    for t in range(5):
        h, c = UNITS[cell](x[t], h, c, lambda name, gate: float(parameters[name + "_l0"].reshape(-1)[gate]))
        assert float(enclosure.output.midpoint[0, t, 0, 0]) == pytest.approx(h, rel=1e-13, abs=1e-15)
    if enclosure.c_n is not None:
        assert float(enclosure.c_n.midpoint[0, 0, 0, 0]) == pytest.approx(c, rel=1e-13)
