"""Gradients: what `backward` promises, against slopes, closed forms, identities and 50 digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest

from reference import second_opinion
from reference.backward import Gradients, backward, distance_from_kinks
from reference.ball import Ball
from reference.formats import FLOAT32, FORMATS, Format
from reference.network import forward
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem
from reference.roundings import Rounding, model

CELLS = pytest.mark.parametrize("cell", GATES)
DTYPES = pytest.mark.parametrize("dtype", FORMATS)
MODELS = pytest.mark.parametrize("capability", ["AVX2", "AVX512"], ids=["measured", "union"])

Cotangents = dict[str, np.ndarray]


def _rounding(cell: str, dtype: str = "float64", capability: str = "AVX2") -> Rounding:
    return model(cell, dtype, "cpu", capability, "2.13", "torch.nn").red


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
EVERY = pytest.mark.parametrize(
    ("cell", "shape"),
    [(cell, shape) for cell in GATES for shape in SHAPES] + [(LSTM, shape) for shape in PROJECTED],
)


def _problem(
    cell: str,
    shape: str = "one layer",
    dtype: str = "float64",
    seed: int = 7,
    sizes: tuple[int, int] = (3, 4),
    batch_size: int = 3,
) -> Problem:
    """Random numbers between -1 and 1 with few enough bits that sums of them and small dyadic steps are exact."""
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


def _cotangents(problem: Problem, names: tuple[str, ...] = ("output", "h_n", "c_n"), seed: int = 0) -> Cotangents:
    """Multiples of 1/16 up to 1 for each named result that the cell has."""
    rng, enclosure = np.random.default_rng(seed), forward(problem, _rounding(problem.architecture.cell))
    results = {name: getattr(enclosure, name) for name in names}
    return {name: rng.integers(-16, 17, ball.midpoint.shape) / 16 for name, ball in results.items() if ball is not None}


def _balls(gradients: Gradients) -> dict[str, Ball]:
    """All gradients by name."""
    states = {"h_0": gradients.h_0} | ({} if gradients.c_0 is None else {"c_0": gradients.c_0})
    return {"input": gradients.input} | states | dict(gradients.parameters)


def _gradients(problem: Problem, cotangents: Cotangents, capability: str = "AVX2") -> dict[str, Ball]:
    return _balls(backward(problem, _rounding(problem.architecture.cell, problem.dtype, capability), cotangents))


def _assert_close(a: Ball, b: Ball, name: str) -> None:
    """Equal but for the order in which a matrix product is summed."""
    for kind, atol in (("midpoint", 1e-15), ("radius", 0)):
        one, other = (np.asarray(getattr(ball, kind), float) for ball in (a, b))
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=atol, err_msg=f"{name} {kind}")


# Slopes


def _loss(problem: Problem, cotangents: Cotangents) -> np.floating:
    """The loss whose gradients with respect to the results are `cotangents`; nothing comes from padding."""
    enclosure = forward(problem, _rounding(problem.architecture.cell))
    return sum((getattr(enclosure, name).midpoint * given).sum() for name, given in cotangents.items())


def _moved(problem: Problem, step: float, directions: Cotangents) -> Problem:
    """The problem with `step` times a direction added to each tensor that is named."""

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
    """The gradients of the named tensors, along a random direction, are a central difference of the loss."""
    rng = np.random.default_rng(1)
    directions = {name: rng.integers(-8, 9, gradients[name].midpoint.shape) / 8 for name in names}
    step = 2.0**-20
    ahead, behind = (_loss(_moved(problem, s, directions), cotangents) for s in (step, -step))
    products = [gradients[name].midpoint * direction for name, direction in directions.items()]
    size = sum(np.abs(p).sum() for p in products)
    assert abs((ahead - behind) / (2 * step) - sum(p.sum() for p in products)) <= 1e-8 * size, names


@EVERY
def test_every_gradient_is_the_slope_of_the_loss(cell: str, shape: str) -> None:
    problem = _problem(cell, shape)
    cotangents = _cotangents(problem)
    gradients = _gradients(problem, cotangents)
    for name in gradients:
        _assert_slope(problem, cotangents, gradients, [name])


@EVERY
def test_gradients_are_slopes_whatever_the_loss_depends_on(cell: str, shape: str) -> None:
    problem = _problem(cell, shape)
    results = ("output", "h_n", "c_n") if cell == LSTM else ("output", "h_n")
    for count in range(1, len(results)):
        for names in combinations(results, count):
            cotangents = _cotangents(problem, names)
            gradients = _gradients(problem, cotangents)
            _assert_slope(problem, cotangents, gradients, list(gradients))


# Closed forms: one unit, one step


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


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
    gradients = {name.removesuffix("_l0"): ball for name, ball in _gradients(problem, cotangents).items()}
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
    shapes = {"output": (1, 1, 1, 1), "h_n": (1, 1, 1, 1), "c_n": (1, 1, 1, 1)}
    return {name: np.full(shapes[name], value) for name, value in values.items()}


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
    i, f, g, o, c_0 = _sigmoid(zi), _sigmoid(zf), math.tanh(zg), _sigmoid(zo), 0.75
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
    assert float(_gradients(problem, cotangents)["c_0"].midpoint.item()) == pytest.approx(dc * f, rel=1e-13)


def test_a_single_gru_unit_has_the_gradients_of_its_gates() -> None:
    problem, h, dh = _unit(GRU), -0.75, 0.5
    (ir, iz, i_n), (hr, hz, hn) = _sums(problem)
    r, z = _sigmoid(ir + hr), _sigmoid(iz + hz)
    n = math.tanh(i_n + r * hn)
    dn = dh * (1 - z) * (1 - n**2)
    dr, dz = dn * hn * r * (1 - r), dh * (h - n) * z * (1 - z)
    _assert_gradients(problem, _given(h_n=dh), [dr, dz, dn], [dr, dz, dn * r], dh * z)


@DTYPES
def test_exact_operands_leave_one_rounding_in_each_gradient_of_a_relu_unit(dtype: str) -> None:
    a, state = Architecture(RNN_RELU, 1, 1, bias=False), np.full((1, 1, 1, 1), 0.25)
    parameters = {"weight_ih_l0": np.full((1, 1), 0.75), "weight_hh_l0": np.full((1, 1), 0.5)}
    problem = Problem(a, dtype, "cpu", parameters, np.full((1, 1, 1), 0.625), state)
    rounding = _rounding(RNN_RELU, dtype)
    for name, exact in {"input": 0.75, "h_0": 0.5, "weight_ih_l0": 0.625, "weight_hh_l0": 0.25}.items():
        ball = _gradients(problem, _given(output=1.0))[name]
        stored = {"input": 1, "h_0": 1}.get(name, 2) if rounding.stored else 0  # the sum over one step is stored twice
        floors = rounding.floor + rounding.flushed_operands * 2
        once = exact * (rounding.accumulation + stored * rounding.unit_roundoff) * rounding.slack
        assert float(ball.midpoint.item()) == exact
        assert once <= ball.radius.item() <= once * (1 + 3 * rounding.accumulation) + 2 * floors


# Identities


@pytest.mark.parametrize("shape", ["one layer", "a stack both ways", "a packed stack both ways", "a projection"])
@CELLS
def test_scaling_the_input_is_scaling_its_weights(cell: str, shape: str) -> None:
    problem = _problem(cell, shape if cell == LSTM or shape in SHAPES else "one layer")
    gradients = _gradients(problem, _cotangents(problem))
    of_weights = sum(
        (problem.parameters[name] * gradients[name].midpoint).sum()
        for name in gradients
        if name.startswith("weight_ih_l0")
    )
    of_input = (problem.input * gradients["input"].midpoint).sum()
    assert float(of_weights) == pytest.approx(float(of_input), rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("shape", ["one layer", "a stack both ways", "a packed stack both ways"])
def test_a_relu_network_without_biases_is_homogeneous(shape: str) -> None:
    problem = _problem(RNN_RELU, shape)
    kept = {name: values for name, values in problem.parameters.items() if name.startswith("weight")}
    problem = replace(problem, architecture=replace(problem.architecture, bias=False), parameters=kept)
    cotangents = _cotangents(problem)
    gradients = _gradients(problem, cotangents)
    scaled = (problem.input * gradients["input"].midpoint).sum()
    scaled += (problem.state("h_0") * gradients["h_0"].midpoint).sum()
    assert float(scaled) == pytest.approx(float(_loss(problem, cotangents)), rel=1e-13, abs=1e-13)


@MODELS
@DTYPES
@CELLS
def test_both_biases_have_the_same_gradient_but_for_the_new_gate_of_a_gru(
    cell: str, dtype: str, capability: str
) -> None:
    problem = _problem(cell, "a stack both ways", dtype)
    gradients = _gradients(problem, _cotangents(problem), capability)
    for name in [name for name in gradients if name.startswith("bias_ih")]:
        one, other = gradients[name], gradients[name.replace("_ih", "_hh")]
        same = np.s_[: 2 * problem.architecture.hidden_size] if cell == GRU else np.s_[:]
        np.testing.assert_array_equal(one.midpoint[same], other.midpoint[same])
        np.testing.assert_array_equal(one.radius[same], other.radius[same])
        if cell == GRU:
            assert (one.midpoint != other.midpoint).any()


# 50 digits


def _small(k: int, dtype: str) -> tuple[Problem, Cotangents]:
    """The k-th of many small problems: every cell, shape and dtype in turn, sizes and results at random."""
    rng, cell = np.random.default_rng(k), list(GATES)[k % 4]
    shapes = [*SHAPES, *PROJECTED] if cell == LSTM else list(SHAPES)
    shape = shapes[rng.integers(len(shapes))]
    sizes = int(rng.integers(1, 4)), int(rng.integers(1, 4)) if shape not in PROJECTED else 4
    batch_size = len(lengths) if (lengths := {**SHAPES, **PROJECTED}[shape].get("lengths")) else 1 + k % 2
    problem = _problem(cell, shape, dtype, k, sizes, batch_size)
    results = [name for name in ("output", "h_n", "c_n") if rng.integers(2)] or ["output"]
    return problem, _cotangents(problem, tuple(results), k)


def _allowed(rounding: Rounding) -> float:
    """How large the error of a midpoint may be, in units of its radius.

    The reference rounds in its working type as an implementation does in the format, its functions off by 8 units.
    """
    working = float(np.finfo(rounding.working_type).eps) / 2
    functions = 8 / min(rounding.tanh, rounding.sigmoid) / rounding.unit_roundoff
    return working * max(1 / min(rounding.unit_roundoff, rounding.accumulation), functions)


@DTYPES
def test_midpoints_agree_with_50_digits(dtype: str) -> None:
    for k in range(100):
        problem, cotangents = _small(k, dtype)
        rounding = _rounding(problem.architecture.cell, dtype)
        exact = second_opinion.gradients(problem, cotangents)
        for name, ball in _balls(backward(problem, rounding, cotangents)).items():
            assert exact[name].shape == ball.midpoint.shape
            for midpoint, radius, value in zip(ball.midpoint.flat, ball.radius.flat, exact[name].flat, strict=True):
                assert radius >= 0
                error = float(abs(second_opinion.number(midpoint) - value))
                assert error <= _allowed(rounding) * radius, (k, name)


# Radii


def _coarser(rounding: Rounding, precision: int) -> Rounding:
    """The same model with fewer bits, but as wide a range."""
    format = Format(f"{precision} bits", precision, rounding.format.min_exponent, rounding.format.max_exponent)
    return replace(rounding, format=format, accumulation=format.unit_roundoff)


@MODELS
@EVERY
def test_radii_grow_with_the_unit_roundoff(cell: str, shape: str, capability: str) -> None:
    problem = _problem(cell, shape, "float32")
    cotangents = _cotangents(problem)
    radii: list[dict[str, np.ndarray]] = []
    for precision in (24, 20, 12, 8):
        rounding = _coarser(_rounding(cell, "float32", capability), precision)
        found = _balls(backward(problem, rounding, cotangents))
        radii.append({name: ball.radius for name, ball in found.items()})
    for finer, coarser in pairwise(radii):
        for name, radius in finer.items():
            assert (radius >= 0).all()
            assert (radius <= coarser[name]).all()
            assert radius.max() < coarser[name].max()


@DTYPES
@EVERY
def test_the_union_is_nowhere_narrower_than_the_measured_model(cell: str, shape: str, dtype: str) -> None:
    problem = _problem(cell, shape, dtype)
    cotangents = _cotangents(problem)
    measured, union = (_gradients(problem, cotangents, capability) for capability in ("AVX2", "AVX512"))
    for name, ball in measured.items():
        np.testing.assert_array_equal(ball.midpoint, union[name].midpoint)
        assert (ball.radius <= union[name].radius).all()


@DTYPES
@CELLS
def test_everything_has_the_shape_of_what_it_is_the_gradient_of(cell: str, dtype: str) -> None:
    problem = _problem(cell, "a stack both ways", dtype)
    gradients = backward(problem, _rounding(cell, dtype), _cotangents(problem))
    assert gradients.input.midpoint.shape == problem.input.shape
    assert gradients.h_0.midpoint.shape == problem.state("h_0").shape
    assert (gradients.c_0 is None) == (cell != LSTM)
    if gradients.c_0 is not None:
        assert gradients.c_0.midpoint.shape == problem.state("c_0").shape
    shapes = {name: ball.midpoint.shape for name, ball in gradients.parameters.items()}
    assert list(shapes.items()) == list(problem.architecture.parameter_shapes().items())
    for ball in _balls(gradients).values():
        assert ball.midpoint.shape == ball.radius.shape
        assert ball.midpoint.dtype == ball.rounding.working_type


@MODELS
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@CELLS
def test_the_reverse_direction_is_the_forward_direction_on_flipped_input(
    cell: str, dtype: str, capability: str
) -> None:
    problem = _problem(cell, "both ways", dtype)
    given = _cotangents(problem)
    given["output"][:, :, 0] = 0
    for name in given.keys() - {"output"}:
        given[name][:, 0] = 0
    alone = replace(
        problem,
        architecture=replace(problem.architecture, bidirectional=False),
        parameters={k.removesuffix("_reverse"): v for k, v in problem.parameters.items() if k.endswith("_reverse")},
        input=problem.input[:, ::-1],
        h_0=problem.state("h_0")[:, 1:],
        c_0=None if problem.c_0 is None else problem.c_0[:, 1:],
    )
    flipped = {name: v[:, ::-1, 1:] if name == "output" else v[:, 1:] for name, v in given.items()}
    both_ways, one_way = _gradients(problem, given, capability), _gradients(alone, flipped, capability)
    for name, ball in one_way.items():
        turned = {"input": (name, np.s_[:, ::-1]), "h_0": (name, np.s_[:, 1:]), "c_0": (name, np.s_[:, 1:])}
        other, part = turned.get(name, (f"{name}_reverse", np.s_[:]))
        _assert_close(both_ways[other][part], ball, name)


@MODELS
@CELLS
def test_rows_of_a_batch_meet_in_the_gradients_of_parameters_alone(cell: str, capability: str) -> None:
    problem = _problem(cell, "a packed stack both ways", "float32")
    given = _cotangents(problem)
    whole = _gradients(problem, given, capability)
    for row, length in enumerate(problem.lengths or ()):
        one = problem.rows([row])
        own = {n: v[[row], :length] if n == "output" else v[:, :, [row]] for n, v in given.items()}
        alone = _gradients(one, own, capability)
        _assert_close(whole["input"][[row], :length], alone["input"], "input")
        _assert_close(whole["h_0"][:, :, [row]], alone["h_0"], "h_0")


# Nothing


def _assert_nothing(ball: Ball, message: str = "") -> None:
    np.testing.assert_array_equal(ball.midpoint, 0, err_msg=message)
    np.testing.assert_array_equal(ball.radius, 0, err_msg=message)


@MODELS
@DTYPES
@EVERY
def test_a_loss_that_depends_on_nothing_has_no_gradients(cell: str, shape: str, dtype: str, capability: str) -> None:
    problem = _problem(cell, shape, dtype)
    for cotangents in ({}, {name: 0 * values for name, values in _cotangents(problem).items()}):
        for name, ball in _gradients(problem, cotangents, capability).items():
            _assert_nothing(ball, name)


@MODELS
@DTYPES
@CELLS
def test_padding_has_no_gradient_and_none_comes_from_it(cell: str, dtype: str, capability: str) -> None:
    problem = _problem(cell, "a packed stack both ways", dtype)
    cotangents = _cotangents(problem)
    gradients = _gradients(problem, cotangents, capability)
    ended = np.arange(problem.steps) >= np.array(problem.lengths)[:, None]
    _assert_nothing(gradients["input"][ended])
    assert (gradients["input"].radius[~ended] > 0).any()
    poisoned = {**cotangents, "output": np.where(ended[:, :, None, None], np.nan, cotangents["output"])}
    padding = np.where(ended[..., None], np.nan, problem.input)
    for name, ball in _gradients(replace(problem, input=padding), poisoned, capability).items():
        np.testing.assert_array_equal(ball.midpoint, gradients[name].midpoint)
        np.testing.assert_array_equal(ball.radius, gradients[name].radius)


@MODELS
@DTYPES
@CELLS
def test_steps_that_the_loss_does_not_see_have_no_gradient(cell: str, dtype: str, capability: str) -> None:
    problem = _problem(cell, "both ways", dtype)
    for direction, unseen in ((0, np.s_[:, 2:]), (1, np.s_[:, :1])):
        output = np.zeros((3, 4, 2, 4))
        output[:, 1, direction] = 0.5
        gradients = _gradients(problem, {"output": output}, capability)
        _assert_nothing(gradients["input"][unseen])
        assert gradients["input"].radius.any((0, 2)).sum() == (2, 3)[direction]
        _assert_nothing(gradients["h_0"][:, 1 - direction])
        for name in problem.parameters:
            if name.endswith("_reverse") is (direction == 0):
                _assert_nothing(gradients[name], name)


@MODELS
@DTYPES
def test_a_relu_that_is_not_decided_may_pass_all_or_nothing(dtype: str, capability: str) -> None:
    a = Architecture(RNN_RELU, 1, 1)
    parameters = {name: np.full(shape, 0.75) for name, shape in a.parameter_shapes().items()}
    parameters["bias_ih_l0"] = np.full(1, -0.75)
    problem = Problem(a, dtype, "cpu", parameters, np.full((1, 1, 1), 1.0), np.full((1, 1, 1, 1), -1.0))
    ball = _gradients(problem, {"output": np.full((1, 1, 1, 1), -0.5)}, capability)["bias_hh_l0"]
    for passed in (0.0, -0.5):
        assert abs(passed - ball.midpoint.item()) <= ball.radius.item() <= 0.52


# What says nothing, and what cannot be asked


@pytest.mark.parametrize("value", [np.nan, np.inf])
@MODELS
@CELLS
def test_an_input_that_is_no_number_silences_its_row_and_all_parameters(
    cell: str, capability: str, value: float
) -> None:
    problem = _problem(cell, "a stack of three", "float32")
    x = problem.input.copy()
    x[1, 2, 0] = value
    cotangents = _cotangents(problem)
    gradients = _gradients(replace(problem, input=x), cotangents, capability)
    for name, axis in (("input", 0), ("h_0", 2)):
        known = np.moveaxis(np.isfinite(gradients[name].radius), axis, 0)
        assert not known[1].any()
        assert known[[0, 2]].all()
    clean = _gradients(problem, cotangents, capability)["input"]
    np.testing.assert_array_equal(gradients["input"].radius[[0, 2]], clean.radius[[0, 2]])
    for name in problem.parameters:
        assert np.isposinf(gradients[name].radius).all()
        assert np.isfinite(gradients[name].midpoint).all()


@MODELS
@CELLS
def test_gradients_that_may_overflow_say_nothing(cell: str, capability: str) -> None:
    problem = _problem(cell, dtype="float16")
    top = FORMATS["float16"].largest
    gradients = _gradients(problem, {"output": np.full((3, 4, 1, 4), top)}, capability)
    assert np.isposinf(gradients["input"].radius).any()
    assert np.isfinite(gradients["input"].midpoint).all()


@MODELS
@DTYPES
def test_a_row_that_would_overflow_after_its_end_stays_known(dtype: str, capability: str) -> None:
    a, steps = Architecture(RNN_RELU, 1, 1, bias=False), 9
    growth = 2.0 ** ((FORMATS[dtype].max_exponent + 1) // 8)
    parameters = {"weight_ih_l0": np.zeros((1, 1)), "weight_hh_l0": np.full((1, 1), growth)}
    h_0 = np.array([1.0, 0.0]).reshape(1, 1, 2, 1)
    problem = Problem(a, dtype, "cpu", parameters, np.zeros((2, steps, 1)), h_0, lengths=(2, steps))
    output = np.zeros((2, steps, 1, 1))
    output[0, 1] = 1.0
    gradients = _gradients(problem, {"output": output}, capability)
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
        _gradients(_problem(cell), {name: np.zeros(shape)})
    for word in words:
        assert word in str(refused.value)


# A plain implementation, every operation rounded

Rounded = Callable[[np.ndarray], np.ndarray]


class Plain:
    """One layer in one direction as anyone would write it, forward and backward, each result stored by `r`."""

    def __init__(self, problem: Problem, r: Rounded, other_forms: bool) -> None:
        self.r, self.other_forms, self.cell = r, other_forms, problem.architecture.cell
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self.w_ih, self.w_hh, self.b_ih, self.b_hh = (problem.parameters[f"{name}_l0"] for name in names)
        self.problem = problem

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """a @ b, summed from left to right."""
        total = self.r(a[..., :, :1] * b[..., :1, :])
        for k in range(1, a.shape[-1]):
            total = self.r(total + self.r(a[..., :, k : k + 1] * b[..., k : k + 1, :]))
        return total

    def tanh_slope(self, y: np.ndarray) -> np.ndarray:
        r = self.r
        return r(r(1 - y) * r(1 + y)) if self.other_forms else r(1 - r(y * y))

    def sigmoid(self, z: np.ndarray) -> np.ndarray:
        return self.r(1 / (1 + np.exp(-z)))

    def times(self, *factors: np.ndarray) -> np.ndarray:
        """From left to right, or from right to left."""
        first, *others = reversed(factors) if self.other_forms else factors
        for other in others:
            first = self.r(first * other)
        return first

    def sigmoid_slope(self, y: np.ndarray) -> np.ndarray:
        return self.times(y, self.r(1 - y))

    def forward(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
        """h', c' and what the backward step needs."""
        r = self.r
        gi, gh = r(self.product(x, self.w_ih.T) + self.b_ih), r(self.product(h, self.w_hh.T) + self.b_hh)
        if self.cell == GRU:
            (ir, iz, i_n), (hr, hz, a) = np.split(gi, 3, -1), np.split(gh, 3, -1)
            gate, z = self.sigmoid(r(ir + hr)), self.sigmoid(r(iz + hz))
            n = r(np.tanh(r(i_n + r(gate * a))))
            new = r(r(r(1 - z) * n) + r(z * h)) if self.other_forms else r(r(r(h - n) * z) + n)
            return new, c, gate, z, n, a, h
        s = r(gi + gh)
        if self.cell == LSTM:
            i, f, g, o = np.split(s, 4, -1)
            i, f, g, o = self.sigmoid(i), self.sigmoid(f), r(np.tanh(g)), self.sigmoid(o)
            new_c = r(r(f * c) + r(i * g))
            tanh_c = r(np.tanh(new_c))
            return r(o * tanh_c), new_c, i, f, g, o, c, tanh_c
        h = r(np.tanh(s)) if self.cell == RNN_TANH else np.maximum(s, 0)
        return h, c, h

    def backward(self, dh: np.ndarray, dc: np.ndarray, kept: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Gradients of W_ih x + b_ih, W_hh h + b_hh, h (except through W_hh) and c."""
        r, times = self.r, self.times
        if self.cell == GRU:
            gate, z, n, a, h = kept
            dn = r(dh * r(1 - z)) if self.other_forms else r(dh - r(dh * z))
            dz = r(r(dh * h) - r(dh * n)) if self.other_forms else r(dh * r(h - n))
            dn = times(dn, self.tanh_slope(n))
            dz, dr = times(dz, self.sigmoid_slope(z)), times(dn, a, self.sigmoid_slope(gate))
            return np.concatenate([dr, dz, dn], -1), np.concatenate([dr, dz, r(dn * gate)], -1), r(dh * z), dc
        if self.cell == LSTM:
            i, f, g, o, c, tanh_c = kept
            dc = r(dc + times(dh, o, self.tanh_slope(tanh_c)))
            gates = [
                times(dc, g, self.sigmoid_slope(i)),
                times(dc, c, self.sigmoid_slope(f)),
                times(dc, i, self.tanh_slope(g)),
                times(dh, tanh_c, self.sigmoid_slope(o)),
            ]
            dz = np.concatenate(gates, -1)
            return dz, dz, np.zeros_like(dh), r(dc * f)
        (h,) = kept
        dz = times(dh, self.tanh_slope(h)) if self.cell == RNN_TANH else np.where(h > 0, dh, 0)
        return dz, dz, np.zeros_like(dh), dc

    def gradients(self, cotangents: Cotangents) -> dict[str, np.ndarray]:
        """All gradients, of a loss that depends on output, h_n and c_n."""
        problem, r = self.problem, self.r
        h, c = (problem.state(name)[0, 0] for name in ("h_0", "c_0" if self.cell == LSTM else "h_0"))
        before, kept = [], []
        for t in range(problem.steps):
            before.append(h)
            h, c, *more = self.forward(problem.input[:, t], h, c)
            kept.append(tuple(more))
        dh, dc = cotangents["h_n"][0, 0], cotangents["c_n"][0, 0] if self.cell == LSTM else np.zeros_like(h)
        found = {name: np.zeros_like(values) for name, values in problem.parameters.items()}
        dx = []
        for t in reversed(range(problem.steps)):
            dh = r(cotangents["output"][:, t, 0] + dh)
            ih, hh, beside, dc = self.backward(dh, dc, kept[t])
            dx.append(self.product(ih, self.w_ih))
            dh = r(self.product(hh, self.w_hh) + beside)
            ones = np.ones((1, len(dh)))
            for name, more in {
                "weight_ih_l0": self.product(ih.T, problem.input[:, t]),
                "weight_hh_l0": self.product(hh.T, before[t]),
                "bias_ih_l0": self.product(ones, ih)[0],
                "bias_hh_l0": self.product(ones, hh)[0],
            }.items():
                found[name] = r(found[name] + more)
        states = {"h_0": dh[None, None]} | ({"c_0": dc[None, None]} if self.cell == LSTM else {})
        return {"input": np.stack(dx[::-1], 1), **states, **found}


@pytest.mark.parametrize("other_forms", [False, True])
@pytest.mark.parametrize(
    ("dtype", "capability"), [("float32", "AVX2"), *((dtype, "AVX512") for dtype in ("float32", "float16", "bfloat16"))]
)
@CELLS
def test_a_plain_implementation_lies_inside_its_bounds(
    cell: str, dtype: str, capability: str, other_forms: bool
) -> None:
    for seed in range(10):
        problem = _problem(cell, dtype=dtype, seed=seed)
        cotangents = _cotangents(problem, seed=seed)
        found = Plain(problem, FORMATS[dtype].round, other_forms).gradients(cotangents)
        balls = _gradients(problem, cotangents, capability)
        assert found.keys() == balls.keys()
        for name, ball in balls.items():
            assert (np.abs(found[name] - ball.midpoint) <= ball.radius).all(), name


def test_distance_from_kinks_is_that_of_the_nearest_pre_activation():
    numbers = {"weight_ih_l0": [[1.0]], "weight_hh_l0": [[0.5]], "bias_ih_l0": [0.25], "bias_hh_l0": [-0.125]}
    parameters = {name: np.array(values) for name, values in numbers.items()}
    x, h_0 = np.array([[[2.0], [-1.0]]]), np.array([[[[1.0]]]])
    rectified, smooth = (
        Problem(Architecture(cell, 1, 1), "float64", "cpu", parameters, x, h_0) for cell in (RNN_RELU, RNN_TANH)
    )
    exact = model(RNN_RELU, "float64", "cpu", "", "", "").red
    first = 2 + 0.5 + 0.125
    assert distance_from_kinks(rectified, exact) == abs(-1 + first / 2 + 0.125)
    assert distance_from_kinks(smooth, exact) == math.inf
