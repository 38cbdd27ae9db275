"""Midpoints of gradients, against differences of the loss, closed forms derived by hand, and the 50-digit reference."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from reference.backward import backward, distance_from_kinks
from reference.ball import Ball
from reference.formats import FLOAT32
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem
from reference.roundings import Rounding
from reference.testing import mpmath_reference
from reference.testing.gradients import (
    EACH_CELL_AND_SHAPE,
    PROJECTED,
    SHAPES,
    Cotangents,
    balls_of,
    gradients_by_name,
    loss_value,
    random_cotangents,
    shaped_problem,
)
from reference.testing.models import EACH_DTYPE, red_model
from reference.testing.networks import scalar_sigmoid

# Slopes


def _moved(problem: Problem, step: float, directions: Cotangents) -> Problem:
    """The problem with `step` times a direction added to each named tensor."""

    def moved(name: str, values: np.ndarray) -> np.ndarray:
        return values + step * directions[name] if name in directions else values

    return replace(
        problem,
        parameters={name: moved(name, values) for name, values in problem.parameters.items()},
        input=moved("input", problem.input),
        h_0=moved("h_0", problem.state("h_0")),
        c_0=moved("c_0", problem.state("c_0")) if problem.architecture.cell == LSTM else None,
    )


def _assert_slope(problem: Problem, cotangents: Cotangents, gradients: dict[str, Ball], names: list[str]) -> None:
    """Asserts that gradients along a random direction equal a central difference of the loss."""
    rng = np.random.default_rng(1)
    directions = {name: rng.integers(-8, 9, gradients[name].midpoint.shape) / 8 for name in names}
    step = 2.0**-20
    ahead, behind = (loss_value(_moved(problem, s, directions), cotangents) for s in (step, -step))
    products = [gradients[name].midpoint * direction for name, direction in directions.items()]
    size = sum(np.abs(p).sum() for p in products)
    assert abs((ahead - behind) / (2 * step) - sum(p.sum() for p in products)) <= 1e-8 * size, names


@EACH_CELL_AND_SHAPE
def test_every_gradient_is_the_slope_of_the_loss(cell: str, shape: str) -> None:
    problem = shaped_problem(cell, shape)
    cotangents = random_cotangents(problem)
    gradients = gradients_by_name(problem, cotangents)
    for name in gradients:
        _assert_slope(problem, cotangents, gradients, [name])


@EACH_CELL_AND_SHAPE
def test_gradients_are_slopes_whatever_the_loss_depends_on(cell: str, shape: str) -> None:
    problem = shaped_problem(cell, shape)
    results = ("output", "h_n", "c_n") if cell == LSTM else ("output", "h_n")
    for count in range(1, len(results)):
        for names in combinations(results, count):
            cotangents = random_cotangents(problem, names)
            gradients = gradients_by_name(problem, cotangents)
            _assert_slope(problem, cotangents, gradients, list(gradients))


# Closed forms: one unit, one step


def _unit(cell: str) -> Problem:
    rng = np.random.default_rng(5)
    a = Architecture(cell, 1, 1)
    parameters = {name: FLOAT32.round(rng.uniform(-2, 2, shape)) for name, shape in a.parameter_shapes().items()}
    state = np.full((1, 1, 1, 1), -0.75)
    return Problem(a, "float64", "cpu", parameters, np.full((1, 1, 1), 0.625), state, -state if cell == LSTM else None)


def _sums(problem: Problem) -> tuple[list[float], list[float]]:
    """W_ih x + b_ih and W_hh h + b_hh of each gate."""
    w = {name.removesuffix("_l0"): values.reshape(-1) for name, values in problem.parameters.items()}
    of_input = w["weight_ih"] * problem.input.item() + w["bias_ih"]
    return of_input.tolist(), (w["weight_hh"] * problem.state("h_0").item() + w["bias_hh"]).tolist()


def _assert_gradients(problem: Problem, cotangents: Cotangents, ih: list[float], hh: list[float], h: float) -> None:
    """ih, hh: gradients of both sums of each gate; h: of h_0, except through W_hh."""
    gradients = {name.removesuffix("_l0"): ball for name, ball in gradients_by_name(problem, cotangents).items()}
    w_ih, w_hh = (problem.parameters[f"{name}_l0"].reshape(-1) for name in ("weight_ih", "weight_hh"))
    expected = {
        "input": [float(np.dot(w_ih, ih))],
        "h_0": [float(np.dot(w_hh, hh)) + h],
        "weight_ih": [problem.input.item() * d for d in ih],
        "weight_hh": [problem.state("h_0").item() * d for d in hh],
        "bias_ih": ih,
        "bias_hh": hh,
    }
    for name, values in expected.items():
        assert gradients[name].midpoint.reshape(-1).astype(float).tolist() == pytest.approx(values, rel=1e-13), name


def _given(**values: float) -> Cotangents:
    return {name: np.full((1, 1, 1, 1), value) for name, value in values.items()}


def test_a_single_tanh_unit_has_the_gradients_of_tanh() -> None:
    problem = _unit(RNN_TANH)
    (ih,), (hh,) = _sums(problem)
    dz = (0.5 + 0.25) * (1 - math.tanh(ih + hh) ** 2)
    _assert_gradients(problem, _given(output=0.5, h_n=0.25), [dz], [dz], 0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_single_relu_unit_passes_all_or_nothing(sign: int) -> None:
    problem = _unit(RNN_RELU)
    bias = problem.parameters["bias_hh_l0"] + 8 * sign
    problem = replace(problem, parameters={**problem.parameters, "bias_hh_l0": bias})
    dz = 0.5 if sign > 0 else 0.0
    _assert_gradients(problem, _given(output=0.5), [dz], [dz], 0)


def test_a_single_lstm_unit_has_the_gradients_of_its_gates() -> None:
    problem = _unit(LSTM)
    zi, zf, zg, zo = (a + b for a, b in zip(*_sums(problem), strict=True))
    i, f, g, o, c_0 = scalar_sigmoid(zi), scalar_sigmoid(zf), math.tanh(zg), scalar_sigmoid(zo), 0.75
    tanh_c = math.tanh(f * c_0 + i * g)
    dh, dc = 0.5 - 0.125, -2.0
    dc += dh * o * (1 - tanh_c**2)
    dz = [
        dc * g * i * (1 - i),
        dc * c_0 * f * (1 - f),
        dc * i * (1 - g**2),
        dh * tanh_c * o * (1 - o),
    ]
    cotangents = _given(output=0.5, h_n=-0.125, c_n=-2.0)
    _assert_gradients(problem, cotangents, dz, dz, 0)
    assert float(gradients_by_name(problem, cotangents)["c_0"].midpoint.item()) == pytest.approx(dc * f, rel=1e-13)


def test_a_single_gru_unit_has_the_gradients_of_its_gates() -> None:
    problem, h, dh = _unit(GRU), -0.75, 0.5
    (ir, iz, i_n), (hr, hz, hn) = _sums(problem)
    r, z = scalar_sigmoid(ir + hr), scalar_sigmoid(iz + hz)
    n = math.tanh(i_n + r * hn)
    dn = dh * (1 - z) * (1 - n**2)
    dr, dz = dn * hn * r * (1 - r), dh * (h - n) * z * (1 - z)
    _assert_gradients(problem, _given(h_n=dh), [dr, dz, dn], [dr, dz, dn * r], dh * z)


# 50 digits


def _small(k: int, dtype: str) -> tuple[Problem, Cotangents]:
    """The k-th of many small problems: cells in turn; shapes, sizes and results at random."""
    rng, cell = np.random.default_rng(k), list(GATES)[k % 4]
    shapes = [*SHAPES, *PROJECTED] if cell == LSTM else list(SHAPES)
    shape = shapes[rng.integers(len(shapes))]
    sizes = int(rng.integers(1, 4)), int(rng.integers(1, 4)) if shape not in PROJECTED else 4
    batch_size = len(lengths) if (lengths := {**SHAPES, **PROJECTED}[shape].get("lengths")) else 1 + k % 2
    problem = shaped_problem(cell, shape, dtype, k, sizes, batch_size)
    results = [name for name in ("output", "h_n", "c_n") if rng.integers(2)] or ["output"]
    return problem, random_cotangents(problem, tuple(results), k)


def _allowed(rounding: Rounding) -> float:
    """The largest error of a midpoint, in units of its radius.

    The reference rounds in its working type as an implementation does in the format; its functions err by at most 8 u.
    """
    working = float(np.finfo(rounding.working_type).eps) / 2
    functions = 8 / min(rounding.tanh, rounding.sigmoid) / rounding.unit_roundoff
    return working * max(1 / min(rounding.unit_roundoff, rounding.accumulation), functions)


@EACH_DTYPE
def test_midpoints_agree_with_50_digits(dtype: str) -> None:
    for k in range(100):
        problem, cotangents = _small(k, dtype)
        rounding = red_model(problem.architecture.cell, dtype)
        exact = mpmath_reference.gradients(problem, cotangents)
        for name, ball in balls_of(backward(problem, rounding, cotangents)).items():
            assert exact[name].shape == ball.midpoint.shape
            for midpoint, radius, value in zip(ball.midpoint.flat, ball.radius.flat, exact[name].flat, strict=True):
                assert radius >= 0
                error = float(abs(mpmath_reference.number(midpoint) - value))
                assert error <= _allowed(rounding) * radius, (k, name)


# Kinks


def test_distance_from_kinks_is_that_of_the_nearest_pre_activation():
    numbers = {"weight_ih_l0": [[1.0]], "weight_hh_l0": [[0.5]], "bias_ih_l0": [0.25], "bias_hh_l0": [-0.125]}
    parameters = {name: np.array(values) for name, values in numbers.items()}
    x, h_0 = np.array([[[2.0], [-1.0]]]), np.array([[[[1.0]]]])
    rectified, smooth = (
        Problem(Architecture(cell, 1, 1), "float64", "cpu", parameters, x, h_0) for cell in (RNN_RELU, RNN_TANH)
    )
    rounding = red_model(RNN_RELU, "float64")
    first = 2 + 0.5 + 0.125
    assert distance_from_kinks(rectified, rounding) == abs(-1 + first / 2 + 0.125)
    assert distance_from_kinks(smooth, rounding) == math.inf
