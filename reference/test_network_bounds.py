"""Radii of both modes: their size, where they are vacuous, and that a plain implementation lies inside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference.formats import FORMATS
from reference.network import forward, forward_forced
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem
from reference.testing.models import EACH_CAPABILITY, EACH_CELL, EACH_DTYPE, red_model
from reference.testing.networks import SIDES, possible_output, random_problem, results_by_name

# Vacuous bounds


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@EACH_CAPABILITY
@EACH_CELL
def test_an_input_that_is_no_number_silences_its_row_from_its_step_on(cell: str, capability: str, value: float) -> None:
    problem, rounding = random_problem(cell, num_layers=2), red_model(cell, capability=capability)
    x = problem.input.copy()
    x[1, 2, 0] = value
    enclosure = forward(replace(problem, input=x), rounding)
    known = np.isfinite(enclosure.output.radius)
    assert known[0].all()
    assert known[1, :2].all()
    assert not known[1, 2:].any()
    assert np.isposinf(enclosure.h_n.radius[:, :, 1]).all()
    assert np.isfinite(enclosure.output.midpoint).all()
    clean = forward(problem, rounding).output
    np.testing.assert_array_equal(enclosure.output.midpoint[known], clean.midpoint[known])
    np.testing.assert_array_equal(enclosure.output.radius[known], clean.radius[known])


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@EACH_CAPABILITY
@EACH_CELL
def test_a_seen_state_that_is_no_number_silences_the_step_after_it(cell: str, capability: str, value: float) -> None:
    problem, rounding = random_problem(cell, bidirectional=True), red_model(cell, capability=capability)
    seen = possible_output(problem, rounding)
    seen[1, 1, :, 0] = value
    known = np.isfinite(forward_forced(problem, rounding, seen).output.radius)
    assert known[0].all()
    after = [False, cell != LSTM]  # an LSTM carries its own c on
    np.testing.assert_array_equal(known[1, :, 0].all(-1), [True, True, *after])
    np.testing.assert_array_equal(known[1, :, 1].all(-1), [False, True, True, True])


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@EACH_DTYPE
def test_a_relu_network_is_vacuous_once_its_states_may_overflow(dtype: str) -> None:
    a, steps = Architecture(RNN_RELU, 1, 1, bias=False), 9
    growth = 2.0 ** ((FORMATS[dtype].max_exponent + 1) // 8)
    parameters = {"weight_ih_l0": np.zeros((1, 1)), "weight_hh_l0": np.full((1, 1), growth)}
    problem = Problem(a, dtype, "cpu", parameters, np.zeros((1, steps, 1)), np.ones((1, 1, 1, 1)))
    output = forward(problem, red_model(RNN_RELU, dtype)).output
    known = np.isfinite(output.radius[0, :, 0, 0])
    assert known[:7].all()
    assert not known[7:].any()
    np.testing.assert_array_equal(output.midpoint[0, :7, 0, 0], growth ** np.arange(1.0, 8.0))


# The size of radii


@SIDES
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@EACH_CELL
def test_forced_through_its_own_midpoints_has_the_same_midpoints_and_no_larger_radii(
    cell: str, dtype: str, bidirectional: bool
) -> None:
    problem, rounding = random_problem(cell, dtype, bidirectional=bidirectional), red_model(cell, dtype)
    free = forward(problem, rounding)
    forced = forward_forced(problem, rounding, free.output.midpoint)
    for one, other in zip(results_by_name(forced).values(), results_by_name(free).values(), strict=True):
        np.testing.assert_allclose(one.midpoint, other.midpoint, rtol=1e-13, atol=1e-15)
        assert (one.radius <= other.radius * (1 + 1e-13)).all()
    assert (forced.output.radius < free.output.radius).any()


@EACH_DTYPE
@EACH_CELL
def test_states_carried_wider_than_returned_widen_every_forced_step_but_the_first(cell: str, dtype: str) -> None:
    problem, union = random_problem(cell, dtype, bidirectional=True), red_model(cell, dtype, "AVX512")
    seen = 1 + np.abs(possible_output(problem, union))
    problem = replace(problem, parameters={name: np.abs(values) for name, values in problem.parameters.items()})
    wider = forward_forced(problem, union, seen).output
    not_wider = forward_forced(problem, replace(union, wider_states=False), seen).output
    np.testing.assert_array_equal(wider.midpoint, not_wider.midpoint)
    for direction, first in ((0, 0), (1, 3)):
        grown = wider.radius[:, :, direction] > not_wider.radius[:, :, direction]
        np.testing.assert_array_equal(grown.any((0, 2)), np.arange(4) != first)


@pytest.mark.parametrize("forced", [False, True], ids=["full", "forced"])
@EACH_CELL
def test_slack_multiplies_the_final_radii_once_and_hardly_those_within(cell: str, forced: bool) -> None:
    problem, rounding = random_problem(cell, num_layers=1 if forced else 2), red_model(cell)
    seen = possible_output(problem, rounding)
    results = []
    for slack in (1.0, 4.0):
        slackened = replace(rounding, slack=slack)
        results.append(forward_forced(problem, slackened, seen) if forced else forward(problem, slackened))
    for once, four_times in zip(
        results_by_name(results[0]).values(), results_by_name(results[1]).values(), strict=True
    ):
        assert (four_times.radius >= 4 * once.radius * (1 - 1e-12)).all()
        grown = (1 + 2.0**-6) ** 8  # four functions one after the other, twice
        assert (four_times.radius <= 4 * once.radius * grown).all()


def _plain_step(cell: str, x: np.ndarray, h: np.ndarray, c: np.ndarray, w: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """A straightforward step in the type of its arguments. w: weight_ih, weight_hh, bias_ih, bias_hh."""
    one = x.dtype.type(1)
    gi, gh = x @ w[0].T + w[2], h @ w[1].T + w[3]
    if cell == LSTM:
        i, f, g, o = np.split(gi + gh, 4, -1)
        c = c * (one / (one + np.exp(-f))) + np.tanh(g) * (one / (one + np.exp(-i)))
        return np.tanh(c) * (one / (one + np.exp(-o))), c
    if cell == GRU:
        (r, z, n), (hr, hz, hn) = np.split(gi, 3, -1), np.split(gh, 3, -1)
        r, z = one / (one + np.exp(-r - hr)), one / (one + np.exp(-z - hz))
        n = np.tanh(n + r * hn)
        return (h - n) * z + n, c
    return (np.tanh(gi + gh) if cell == RNN_TANH else np.maximum(gi + gh, 0)), c


@EACH_CAPABILITY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@EACH_CELL
def test_a_plain_implementation_lies_inside_its_bounds_in_both_modes(cell: str, dtype: str, capability: str) -> None:
    problem, rounding = random_problem(cell, dtype, steps=12, batch_size=20), red_model(cell, dtype, capability)
    weights = [
        problem.parameters[f"{name}_l0"].astype(dtype) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    h, c = (problem.state(name)[0, 0].astype(dtype) for name in ("h_0", "h_0" if cell != LSTM else "c_0"))
    output = []
    for t in range(12):
        h, c = _plain_step(cell, problem.input[:, t].astype(dtype), h, c, weights)
        output.append(h)
    seen = np.stack(output, 1)[:, :, None]
    assert seen.dtype == dtype
    for enclosure in (forward(problem, rounding), forward_forced(problem, rounding, seen.astype(np.float64))):
        ball = enclosure.output
        assert (np.abs(seen - ball.midpoint) <= ball.radius).all()
        assert ball.radius.max() < 1
        if enclosure.c_n is not None:
            assert (np.abs(c - enclosure.c_n.midpoint[0, 0]) <= enclosure.c_n.radius[0, 0]).all()
