"""Layers, directions and time: what `forward` and `forward_forced` promise, against equations worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from reference import ball, network
from reference.formats import FORMATS
from reference.network import Enclosure, forward, forward_forced
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem
from reference.roundings import Rounding, model

CELLS = pytest.mark.parametrize("cell", GATES)
DTYPES = pytest.mark.parametrize("dtype", FORMATS)
MODELS = pytest.mark.parametrize("capability", ["AVX2", "AVX512"], ids=["measured", "union"])
SIDES = pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])


def _rounding(cell: str, dtype: str = "float32", capability: str = "AVX2") -> Rounding:
    return model(cell, dtype, "cpu", capability, "2.13", "torch.nn").red


def _problem(
    cell: str,
    dtype: str = "float32",
    num_layers: int = 1,
    steps: int = 4,
    bidirectional: bool = False,
    bias: bool = True,
    batch_size: int = 2,
) -> Problem:
    """Random numbers between -1 and 1 everywhere, as `dtype` stores them."""
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


def _seen(problem: Problem, rounding: Rounding) -> np.ndarray:
    """An output that an implementation could have returned: the midpoints, stored."""
    return rounding.format.round(forward(problem, rounding).output.midpoint)


def _balls(enclosure: Enclosure) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Midpoints and radii by name."""
    named = {"output": enclosure.output, "h_n": enclosure.h_n, "c_n": enclosure.c_n}
    return {name: (ball.midpoint, ball.radius) for name, ball in named.items() if ball is not None}


def _assert_equal(one: Enclosure, other: Enclosure) -> None:
    """Equal but for the order in which a matrix product is summed."""
    first, second = _balls(one), _balls(other)
    assert first.keys() == second.keys()
    for name in first:
        for kind, a, b in zip(("midpoint", "radius"), first[name], second[name], strict=True):
            np.testing.assert_allclose(
                a.astype(float),
                b.astype(float),
                rtol=1e-13,
                atol=1e-15 * (kind == "midpoint"),
                err_msg=f"{name} {kind}",
            )


@MODELS
@SIDES
@DTYPES
@CELLS
def test_forced_through_a_single_step_is_the_same_as_not_forced(
    cell: str, dtype: str, bidirectional: bool, capability: str
) -> None:
    problem, rounding = _problem(cell, dtype, steps=1, bidirectional=bidirectional), _rounding(cell, dtype, capability)
    _assert_equal(forward(problem, rounding), forward_forced(problem, rounding, _seen(problem, rounding)))


@SIDES
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@CELLS
def test_forced_through_its_own_midpoints_has_the_same_midpoints_and_no_larger_radii(
    cell: str, dtype: str, bidirectional: bool
) -> None:
    problem, rounding = _problem(cell, dtype, bidirectional=bidirectional), _rounding(cell, dtype)
    free = forward(problem, rounding)
    forced = forward_forced(problem, rounding, free.output.midpoint)
    pairs = zip(_balls(forced).values(), _balls(free).values(), strict=True)
    for (midpoint, radius), (free_midpoint, free_radius) in pairs:
        np.testing.assert_allclose(midpoint, free_midpoint, rtol=1e-13, atol=1e-15)
        assert (radius <= free_radius * (1 + 1e-13)).all()
    assert (forced.output.radius < free.output.radius).any()


@CELLS
def test_a_forced_step_depends_on_the_given_state_before_it_alone(cell: str) -> None:
    problem, rounding = _problem(cell, bidirectional=True), _rounding(cell)
    seen = _seen(problem, rounding)
    elsewhere = seen.copy()
    elsewhere[:, 1, 0] += 0.5
    elsewhere[:, 1, 1] -= 0.5
    first, second = (forward_forced(problem, rounding, states).output.midpoint for states in (seen, elsewhere))
    changed = (first != second).any((0, 3))
    later = [True, cell == LSTM]  # an LSTM's own c goes on
    np.testing.assert_array_equal(changed[:, 0], [False, False, *later])
    np.testing.assert_array_equal(changed[:, 1], [True, False, False, False])


def _reversed_alone(problem: Problem) -> Problem:
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


@pytest.mark.parametrize("forced", [False, True], ids=["full", "forced"])
@MODELS
@DTYPES
@CELLS
def test_the_reverse_direction_is_the_forward_direction_on_flipped_input(
    cell: str, dtype: str, capability: str, forced: bool
) -> None:
    problem, rounding = _problem(cell, dtype, bidirectional=True), _rounding(cell, dtype, capability)
    alone = _reversed_alone(problem)
    both_ways, one_way = forward(problem, rounding), forward(alone, rounding)
    if forced:
        seen = _seen(problem, rounding)
        both_ways = forward_forced(problem, rounding, seen)
        one_way = forward_forced(alone, rounding, seen[:, ::-1, 1:])
    assert one_way.output.midpoint.shape == (2, 4, 1, 4)
    turned = Enclosure(
        both_ways.output[:, ::-1, 1:],
        both_ways.h_n[:, 1:],
        None if both_ways.c_n is None else both_ways.c_n[:, 1:],
    )
    _assert_equal(turned, one_way)


@MODELS
@DTYPES
@CELLS
def test_the_forward_direction_does_not_see_the_reverse_one(cell: str, dtype: str, capability: str) -> None:
    problem, rounding = _problem(cell, dtype, bidirectional=True), _rounding(cell, dtype, capability)
    alone = replace(
        problem,
        architecture=replace(problem.architecture, bidirectional=False),
        h_0=problem.state("h_0")[:, :1],
        c_0=None if problem.c_0 is None else problem.c_0[:, :1],
    )
    both_ways = forward(problem, rounding)
    c_n = None if both_ways.c_n is None else both_ways.c_n[:, :1]
    _assert_equal(Enclosure(both_ways.output[:, :, :1], both_ways.h_n[:, :1], c_n), forward(alone, rounding))


@SIDES
@CELLS
def test_a_stack_has_the_midpoints_of_its_layers_one_after_the_other(cell: str, bidirectional: bool) -> None:
    problem, rounding = _problem(cell, num_layers=3, bidirectional=bidirectional), _rounding(cell)
    whole, below = forward(problem, rounding), problem.input
    for layer in range(3):
        alone = forward(problem.layer(layer, below), rounding)
        np.testing.assert_array_equal(alone.h_n.midpoint[0], whole.h_n.midpoint[layer])
        if alone.c_n is not None and whole.c_n is not None:
            np.testing.assert_array_equal(alone.c_n.midpoint[0], whole.c_n.midpoint[layer])
        assert (alone.h_n.radius[0] <= whole.h_n.radius[layer]).all()
        below = alone.output.midpoint.reshape(2, 4, -1)
    np.testing.assert_array_equal(alone.output.midpoint, whole.output.midpoint)


@pytest.mark.parametrize("forced", [False, True], ids=["full", "forced"])
@SIDES
@CELLS
def test_the_last_states_are_the_output_at_the_end_of_each_direction(
    cell: str, bidirectional: bool, forced: bool
) -> None:
    problem, rounding = _problem(cell, bidirectional=bidirectional), _rounding(cell)
    enclosure = forward_forced(problem, rounding, _seen(problem, rounding)) if forced else forward(problem, rounding)
    for direction in range(problem.architecture.directions):
        last = enclosure.output[:, -1 if direction == 0 else 0, direction]
        np.testing.assert_array_equal(enclosure.h_n.midpoint[0, direction], last.midpoint)
        np.testing.assert_array_equal(enclosure.h_n.radius[0, direction], last.radius)


@MODELS
@CELLS
def test_rows_of_a_batch_do_not_meet(cell: str, capability: str) -> None:
    problem, rounding = _problem(cell, num_layers=2, bidirectional=True), _rounding(cell, capability=capability)
    c_0 = problem.c_0
    whole = forward(problem, rounding)
    for row in range(2):
        one = np.s_[row : row + 1]
        alone = replace(
            problem,
            input=problem.input[one],
            h_0=problem.state("h_0")[:, :, one],
            c_0=None if c_0 is None else c_0[:, :, one],
        )
        c_n = None if whole.c_n is None else whole.c_n[:, :, one]
        _assert_equal(Enclosure(whole.output[one], whole.h_n[:, :, one], c_n), forward(alone, rounding))


@CELLS
def test_states_that_are_left_out_are_zeros(cell: str) -> None:
    problem, rounding = _problem(cell, num_layers=2, bidirectional=True), _rounding(cell)
    zeros = np.zeros((2, 2, 2, 4))
    given = forward(replace(problem, h_0=zeros, c_0=zeros if cell == LSTM else None), rounding)
    _assert_equal(given, forward(replace(problem, h_0=None, c_0=None), rounding))


@CELLS
def test_biases_that_are_left_out_are_zeros_and_no_summands(cell: str) -> None:
    problem, rounding = _problem(cell, bias=False), _rounding(cell)
    with_zeros = _problem(cell)
    for name in with_zeros.architecture.parameter_shapes():
        kept = problem.parameters[name] if name in problem.parameters else np.zeros(len(GATES[cell]) * 4)
        with_zeros = replace(with_zeros, parameters={**with_zeros.parameters, name: kept})
    with_zeros = replace(with_zeros, input=problem.input, h_0=problem.h_0, c_0=problem.c_0)
    without, given = forward(problem, rounding), forward(with_zeros, rounding)
    np.testing.assert_array_equal(without.output.midpoint, given.output.midpoint)
    dead = given.output.radius == 0
    assert (dead | (without.output.radius < given.output.radius)).all()
    assert not dead.all()


def _without_weights(problem: Problem, **biases: float) -> Problem:
    """The same problem with all weights zero, and the biases b_ih of the named gates alone."""
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
@DTYPES
def test_a_gru_without_weights_halves_its_state(dtype: str, bidirectional: bool) -> None:
    problem = _without_weights(_problem(GRU, dtype, bidirectional=bidirectional))
    enclosure = forward(problem, _rounding(GRU, dtype))
    np.testing.assert_array_equal(enclosure.h_n.midpoint, problem.state("h_0") / 16)
    np.testing.assert_array_equal(enclosure.output.midpoint[:, 0, 0], problem.state("h_0")[0, 0] / 2)


@SIDES
@DTYPES
def test_an_lstm_without_weights_halves_its_cell_state(dtype: str, bidirectional: bool) -> None:
    problem = _without_weights(_problem(LSTM, dtype, bidirectional=bidirectional))
    enclosure = forward(problem, _rounding(LSTM, dtype))
    assert enclosure.c_n is not None
    np.testing.assert_array_equal(enclosure.c_n.midpoint, problem.state("c_0") / 16)
    working = enclosure.c_n.midpoint.dtype
    np.testing.assert_array_equal(enclosure.h_n.midpoint, np.tanh((problem.state("c_0") / 16).astype(working)) / 2)


@DTYPES
def test_a_gru_without_weights_ends_where_its_bias_says(dtype: str) -> None:
    problem = _without_weights(_problem(GRU, dtype), z=-1000.0, n=0.5)
    np.testing.assert_allclose(forward(problem, _rounding(GRU, dtype)).h_n.midpoint.astype(float), math.tanh(0.5))


@DTYPES
def test_a_gru_with_a_full_update_gate_keeps_its_state(dtype: str) -> None:
    problem = _without_weights(_problem(GRU, dtype), z=1000.0, n=0.5)
    np.testing.assert_array_equal(forward(problem, _rounding(GRU, dtype)).h_n.midpoint, problem.state("h_0"))


@DTYPES
def test_an_lstm_that_forgets_nothing_counts_its_steps(dtype: str) -> None:
    problem = _without_weights(_problem(LSTM, dtype), i=1000.0, f=1000.0, g=1000.0, o=1000.0)
    enclosure = forward(problem, _rounding(LSTM, dtype))
    assert enclosure.c_n is not None
    np.testing.assert_allclose(enclosure.c_n.midpoint.astype(float), problem.state("c_0") + 4, rtol=1e-15)


@DTYPES
def test_an_lstm_whose_gates_are_closed_returns_nothing(dtype: str) -> None:
    problem = _without_weights(_problem(LSTM, dtype), i=-1000.0, f=1000.0, g=1000.0, o=-1000.0)
    enclosure = forward(problem, _rounding(LSTM, dtype))
    assert enclosure.c_n is not None
    np.testing.assert_array_equal(enclosure.c_n.midpoint, problem.state("c_0"))
    np.testing.assert_allclose(enclosure.h_n.midpoint.astype(float), 0, atol=1e-300)


@pytest.mark.parametrize(("cell", "expected"), [(RNN_TANH, math.tanh(0.75)), (RNN_RELU, 0.75)])
@DTYPES
def test_an_rnn_without_weights_returns_the_function_of_its_bias(cell: str, expected: float, dtype: str) -> None:
    enclosure = forward(_without_weights(_problem(cell, dtype), h=0.75), _rounding(cell, dtype))
    np.testing.assert_allclose(enclosure.output.midpoint.astype(float), expected, rtol=1e-15)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _rnn_unit(x: float, h: float, c: float, w: Callable[[str, int], float]) -> tuple[float, float]:
    return math.tanh(w("weight_ih", 0) * x + w("bias_ih", 0) + w("weight_hh", 0) * h + w("bias_hh", 0)), c


def _relu_unit(x: float, h: float, c: float, w: Callable[[str, int], float]) -> tuple[float, float]:
    return max(0.0, w("weight_ih", 0) * x + w("bias_ih", 0) + w("weight_hh", 0) * h + w("bias_hh", 0)), c


def _lstm_unit(x: float, h: float, c: float, w: Callable[[str, int], float]) -> tuple[float, float]:
    i, f, g, o = (w("weight_ih", k) * x + w("bias_ih", k) + w("weight_hh", k) * h + w("bias_hh", k) for k in range(4))
    c = _sigmoid(f) * c + _sigmoid(i) * math.tanh(g)
    return _sigmoid(o) * math.tanh(c), c


def _gru_unit(x: float, h: float, c: float, w: Callable[[str, int], float]) -> tuple[float, float]:
    r, z = (
        _sigmoid(w("weight_ih", k) * x + w("bias_ih", k) + w("weight_hh", k) * h + w("bias_hh", k)) for k in range(2)
    )
    n = math.tanh(w("weight_ih", 2) * x + w("bias_ih", 2) + r * (w("weight_hh", 2) * h + w("bias_hh", 2)))
    return (1 - z) * n + z * h, c


UNITS = {RNN_TANH: _rnn_unit, RNN_RELU: _relu_unit, LSTM: _lstm_unit, GRU: _gru_unit}


@DTYPES
@CELLS
def test_a_single_unit_follows_the_documented_equations(cell: str, dtype: str) -> None:
    rng, store = np.random.default_rng(3), FORMATS[dtype].round
    a = Architecture(cell, 1, 1)
    parameters = {name: store(rng.uniform(-2, 2, shape)) for name, shape in a.parameter_shapes().items()}
    x, h, c = store(rng.uniform(-2, 2, 5)), 0.5, -0.75
    h_0, c_0 = np.full((1, 1, 1, 1), h), np.full((1, 1, 1, 1), c) if cell == LSTM else None
    enclosure = forward(Problem(a, dtype, "cpu", parameters, x.reshape(1, 5, 1), h_0, c_0), _rounding(cell, dtype))
    for t in range(5):
        h, c = UNITS[cell](x[t], h, c, lambda name, gate: float(parameters[name + "_l0"].reshape(-1)[gate]))
        assert float(enclosure.output.midpoint[0, t, 0, 0]) == pytest.approx(h, rel=1e-13, abs=1e-15)
    if enclosure.c_n is not None:
        assert float(enclosure.c_n.midpoint[0, 0, 0, 0]) == pytest.approx(c, rel=1e-13)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@MODELS
@CELLS
def test_an_input_that_is_no_number_silences_its_row_from_its_step_on(cell: str, capability: str, value: float) -> None:
    problem, rounding = _problem(cell, num_layers=2), _rounding(cell, capability=capability)
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
@MODELS
@CELLS
def test_a_seen_state_that_is_no_number_silences_the_step_after_it(cell: str, capability: str, value: float) -> None:
    problem, rounding = _problem(cell, bidirectional=True), _rounding(cell, capability=capability)
    seen = _seen(problem, rounding)
    seen[1, 1, :, 0] = value
    known = np.isfinite(forward_forced(problem, rounding, seen).output.radius)
    assert known[0].all()
    after = [False, cell != LSTM]  # an LSTM's own c goes on
    np.testing.assert_array_equal(known[1, :, 0].all(-1), [True, True, *after])
    np.testing.assert_array_equal(known[1, :, 1].all(-1), [False, True, True, True])


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@DTYPES
def test_a_relu_network_says_nothing_once_its_states_may_overflow(dtype: str) -> None:
    a, steps = Architecture(RNN_RELU, 1, 1, bias=False), 9
    growth = 2.0 ** ((FORMATS[dtype].max_exponent + 1) // 8)
    parameters = {"weight_ih_l0": np.zeros((1, 1)), "weight_hh_l0": np.full((1, 1), growth)}
    problem = Problem(a, dtype, "cpu", parameters, np.zeros((1, steps, 1)), np.ones((1, 1, 1, 1)))
    output = forward(problem, _rounding(RNN_RELU, dtype)).output
    known = np.isfinite(output.radius[0, :, 0, 0])
    assert known[:7].all()
    assert not known[7:].any()
    np.testing.assert_array_equal(output.midpoint[0, :7, 0, 0], growth ** np.arange(1.0, 8.0))


@DTYPES
@CELLS
def test_states_carried_wider_than_returned_widen_every_forced_step_but_the_first(cell: str, dtype: str) -> None:
    problem, union = _problem(cell, dtype, bidirectional=True), _rounding(cell, dtype, "AVX512")
    seen = 1 + np.abs(_seen(problem, union))
    problem = replace(problem, parameters={name: np.abs(values) for name, values in problem.parameters.items()})
    wider = forward_forced(problem, union, seen).output
    not_wider = forward_forced(problem, replace(union, wider_states=False), seen).output
    np.testing.assert_array_equal(wider.midpoint, not_wider.midpoint)
    for direction, first in ((0, 0), (1, 3)):
        grown = wider.radius[:, :, direction] > not_wider.radius[:, :, direction]
        np.testing.assert_array_equal(grown.any((0, 2)), np.arange(4) != first)


@pytest.mark.parametrize("forced", [False, True], ids=["full", "forced"])
@CELLS
def test_slack_multiplies_the_final_radii_once_and_hardly_those_within(cell: str, forced: bool) -> None:
    problem, rounding = _problem(cell, num_layers=1 if forced else 2), _rounding(cell)
    seen = _seen(problem, rounding)
    results = []
    for slack in (1.0, 4.0):
        slackened = replace(rounding, slack=slack)
        results.append(forward_forced(problem, slackened, seen) if forced else forward(problem, slackened))
    for (_, radius), (_, four_times) in zip(_balls(results[0]).values(), _balls(results[1]).values(), strict=True):
        assert (four_times >= 4 * radius * (1 - 1e-12)).all()
        assert (four_times <= 4 * radius * (1 + 2.0**-6) ** 8).all()  # four functions one after the other, twice


def _plain_step(cell: str, x: np.ndarray, h: np.ndarray, c: np.ndarray, w: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """One step as anyone would write it, in the type of its arguments. w: weight_ih, weight_hh, bias_ih, bias_hh."""
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


@MODELS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@CELLS
def test_a_plain_implementation_lies_inside_its_bounds_in_both_modes(cell: str, dtype: str, capability: str) -> None:
    problem, rounding = _problem(cell, dtype, steps=12, batch_size=20), _rounding(cell, dtype, capability)
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


@DTYPES
@SIDES
@CELLS
def test_everything_has_its_documented_shape(cell: str, bidirectional: bool, dtype: str) -> None:
    problem, rounding = _problem(cell, dtype, num_layers=2, bidirectional=bidirectional), _rounding(cell, dtype)
    directions = 2 if bidirectional else 1
    for midpoint, radius in _balls(forward(problem, rounding)).values():
        assert midpoint.dtype == rounding.working_type
        assert midpoint.shape == radius.shape
        assert midpoint.shape in ((2, 4, directions, 4), (2, directions, 2, 4))
    assert ("c_n" in _balls(forward(problem, rounding))) == (cell == LSTM)


# Large batches, in blocks of rows


def _in_blocks(monkeypatch: pytest.MonkeyPatch, problem: Problem, rows: int) -> None:
    """Has `forward_forced` judge so many rows of `problem` together."""
    a = problem.architecture
    per_row = problem.steps * a.directions * len(GATES[a.cell]) * a.hidden_size
    monkeypatch.setattr(network, "ELEMENTS_AT_ONCE", rows * per_row)


def _product_in_order(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x @ weight.T, every sum in one order; that of a library depends on how many rows there are."""
    terms = x.reshape(x.shape[0], -1, 1, x.shape[-1]) * weight[:, None]
    total = terms[..., 0]
    for feature in range(1, x.shape[-1]):
        total = total + terms[..., feature]
    return total.reshape(*x.shape[:-1], weight.shape[-2])


@pytest.fixture
def sums_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ball, "_product", _product_in_order)


def _assert_bit_for_bit(one: Enclosure, other: Enclosure) -> None:
    for name, (midpoint, radius) in _balls(one).items():
        other_midpoint, other_radius = _balls(other)[name]
        np.testing.assert_array_equal(midpoint, other_midpoint, err_msg=f"{name} midpoint", strict=True)
        np.testing.assert_array_equal(radius, other_radius, err_msg=f"{name} radius", strict=True)
        assert getattr(one, name).overflows == getattr(other, name).overflows
    assert _balls(one).keys() == _balls(other).keys()


@pytest.mark.usefixtures("sums_in_order")
@MODELS
@SIDES
@DTYPES
@CELLS
def test_a_batch_in_blocks_is_bit_for_bit_as_in_one(
    monkeypatch: pytest.MonkeyPatch, cell: str, dtype: str, bidirectional: bool, capability: str
) -> None:
    problem, rounding = (
        _problem(cell, dtype, bidirectional=bidirectional, batch_size=5),
        _rounding(cell, dtype, capability),
    )
    seen = _seen(problem, rounding)
    whole = forward_forced(problem, rounding, seen)
    for rows in (1, 2, 4):
        _in_blocks(monkeypatch, problem, rows)
        _assert_bit_for_bit(forward_forced(problem, rounding, seen), whole)


@DTYPES
@CELLS
def test_a_batch_in_blocks_is_as_in_one_whatever_the_order_of_sums(
    monkeypatch: pytest.MonkeyPatch, cell: str, dtype: str
) -> None:
    problem, rounding = _problem(cell, dtype, bidirectional=True, batch_size=5), _rounding(cell, dtype)
    seen = _seen(problem, rounding)
    whole = forward_forced(problem, rounding, seen)
    _in_blocks(monkeypatch, problem, 2)
    _assert_equal(forward_forced(problem, rounding, seen), whole)


SILENCED = {"not a number": np.nan, "infinite": np.inf, "overflows": 1.0}
"""An element of the input, in shares of the largest number of the dtype."""


@pytest.mark.usefixtures("sums_in_order")
@pytest.mark.parametrize("share", SILENCED.values(), ids=list(SILENCED))
@MODELS
@DTYPES
@CELLS
def test_a_row_that_says_nothing_leaves_a_batch_in_blocks_bit_for_bit_as_in_one(
    monkeypatch: pytest.MonkeyPatch, cell: str, dtype: str, capability: str, share: float
) -> None:
    problem, rounding = _problem(cell, dtype, bidirectional=True, batch_size=5), _rounding(cell, dtype, capability)
    seen = _seen(problem, rounding)
    clean = forward_forced(problem, rounding, seen).output
    x = problem.input.copy()
    x[3, 1] = share * FORMATS[dtype].largest
    problem = replace(problem, input=x)
    whole = forward_forced(problem, rounding, seen)
    others = [0, 1, 2, 4]
    assert np.isinf(whole.output.radius[3]).any()
    np.testing.assert_array_equal(whole.output.radius[others], clean.radius[others])
    for rows in (1, 2, 4):
        _in_blocks(monkeypatch, problem, rows)
        _assert_bit_for_bit(forward_forced(problem, rounding, seen), whole)


@pytest.mark.usefixtures("sums_in_order")
@MODELS
@CELLS
def test_a_seen_state_that_is_no_number_leaves_a_batch_in_blocks_bit_for_bit_as_in_one(
    monkeypatch: pytest.MonkeyPatch, cell: str, capability: str
) -> None:
    problem, rounding = _problem(cell, bidirectional=True, batch_size=5), _rounding(cell, capability=capability)
    seen = _seen(problem, rounding)
    seen[2, 1] = np.nan
    whole = forward_forced(problem, rounding, seen)
    _in_blocks(monkeypatch, problem, 2)
    _assert_bit_for_bit(forward_forced(problem, rounding, seen), whole)


def _eighths(values: np.ndarray) -> np.ndarray:
    return np.rint(8 * values) / 8


@pytest.mark.usefixtures("sums_in_order")
@DTYPES
@CELLS
def test_exact_sums_stay_exact_in_blocks(monkeypatch: pytest.MonkeyPatch, cell: str, dtype: str) -> None:
    problem, rounding = _problem(cell, dtype, steps=1, batch_size=5), _rounding(cell, dtype)
    rough = replace(
        problem,
        parameters={name: _eighths(values) for name, values in problem.parameters.items()},
        input=_eighths(problem.input),
        h_0=_eighths(problem.state("h_0")),
        c_0=None if problem.c_0 is None else _eighths(problem.c_0),
    )
    problem = replace(rough, granule=2.0**-3)
    seen = _seen(problem, rounding)
    whole = forward_forced(problem, rounding, seen)
    assert (whole.output.radius < forward_forced(rough, rounding, seen).output.radius).any()
    _in_blocks(monkeypatch, problem, 2)
    _assert_bit_for_bit(forward_forced(problem, rounding, seen), whole)


@pytest.mark.parametrize(
    ("elements", "blocks"),
    [
        (1, [1] * 5),
        (95, [1] * 5),
        (96, [1] * 5),
        (2 * 96, [2, 2, 1]),
        (3 * 96 - 1, [2, 2, 1]),
        (4 * 96, [4, 1]),
        (480, [5]),
    ],
)
def test_as_many_rows_are_judged_together_as_have_no_more_elements(
    monkeypatch: pytest.MonkeyPatch, elements: int, blocks: list[int]
) -> None:
    problem, rounding = _problem(GRU, bidirectional=True, batch_size=5), _rounding(GRU)
    seen, judged, together = _seen(problem, rounding), network._forced, []

    def spied(part: Problem, rounding: Rounding, output: np.ndarray) -> Enclosure:
        together.append(part.batch_size)
        return judged(part, rounding, output)

    monkeypatch.setattr(network, "_forced", spied)
    monkeypatch.setattr(
        network, "ELEMENTS_AT_ONCE", elements
    )  # a row has 4 steps of 2 directions of 3 gates of 4 units
    forward_forced(problem, rounding, seen)
    assert together == blocks


@pytest.mark.parametrize("forced", [False, True], ids=["full", "forced"])
@pytest.mark.parametrize("lengths", [None, (2, 4, 1, 3, 4)], ids=["padded", "packed"])
@SIDES
@CELLS
def test_rows_of_a_problem_are_enclosed_as_they_are_among_the_others(
    cell: str, bidirectional: bool, lengths: tuple[int, ...] | None, forced: bool
) -> None:
    problem, rounding = _problem(cell, bidirectional=bidirectional, batch_size=5), _rounding(cell)
    problem = replace(problem, lengths=lengths)
    chosen = [3, 0, 2]
    rows = problem.rows(chosen)
    whole = forward(problem, rounding)
    alone = forward(rows, rounding)
    if forced:
        seen = rounding.format.round(whole.output.midpoint)
        whole = forward_forced(problem, rounding, seen)
        alone = forward_forced(rows, rounding, seen[chosen, : rows.steps])
    c_n = None if whole.c_n is None else whole.c_n[:, :, chosen]
    _assert_equal(Enclosure(whole.output[chosen, : rows.steps], whole.h_n[:, :, chosen], c_n), alone)


@CELLS
def test_a_packed_batch_is_judged_whole_however_large(monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    problem, rounding = _problem(cell, bidirectional=True, batch_size=5), _rounding(cell)
    problem = replace(problem, lengths=(2, 4, 1, 3, 4))
    seen = _seen(problem, rounding)
    whole = forward_forced(problem, rounding, seen)
    monkeypatch.setattr(network, "ELEMENTS_AT_ONCE", 1)
    _assert_equal(forward_forced(problem, rounding, seen), whole)
