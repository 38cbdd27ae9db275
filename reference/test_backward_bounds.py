"""Radii of gradients: their size, and that a plain implementation that rounds every operation lies inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from reference.backward import backward
from reference.formats import FORMATS, Format
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem
from reference.roundings import Rounding
from reference.testing.gradients import (
    EACH_CELL_AND_SHAPE,
    Cotangents,
    balls_of,
    gradients_by_name,
    random_cotangents,
    shaped_problem,
)
from reference.testing.models import EACH_CAPABILITY, EACH_CELL, EACH_DTYPE, red_model

# The size of radii


@EACH_DTYPE
def test_exact_operands_leave_one_rounding_in_each_gradient_of_a_relu_unit(dtype: str) -> None:
    a, state = Architecture(RNN_RELU, 1, 1, bias=False), np.full((1, 1, 1, 1), 0.25)
    parameters = {"weight_ih_l0": np.full((1, 1), 0.75), "weight_hh_l0": np.full((1, 1), 0.5)}
    problem = Problem(a, dtype, "cpu", parameters, np.full((1, 1, 1), 0.625), state)
    rounding = red_model(RNN_RELU, dtype)
    for name, exact in {"input": 0.75, "h_0": 0.5, "weight_ih_l0": 0.625, "weight_hh_l0": 0.25}.items():
        ball = gradients_by_name(problem, {"output": np.ones((1, 1, 1, 1))})[name]
        stored = {"input": 1, "h_0": 1}.get(name, 2) if rounding.stored else 0  # the sum over one step is stored twice
        floors = rounding.floor + rounding.flushed_operands * 2
        once = exact * (rounding.accumulation + stored * rounding.unit_roundoff) * rounding.slack
        assert float(ball.midpoint.item()) == exact
        assert once <= ball.radius.item() <= once * (1 + 3 * rounding.accumulation) + 2 * floors


def _coarser(rounding: Rounding, precision: int) -> Rounding:
    """The same model with fewer bits and the same range."""
    format = Format(f"{precision} bits", precision, rounding.format.min_exponent, rounding.format.max_exponent)
    return replace(rounding, format=format, accumulation=format.unit_roundoff)


@EACH_CAPABILITY
@EACH_CELL_AND_SHAPE
def test_radii_grow_with_the_unit_roundoff(cell: str, shape: str, capability: str) -> None:
    problem = shaped_problem(cell, shape, "float32")
    cotangents = random_cotangents(problem)
    radii: list[dict[str, np.ndarray]] = []
    for precision in (24, 20, 12, 8):
        rounding = _coarser(red_model(cell, "float32", capability), precision)
        found = balls_of(backward(problem, rounding, cotangents))
        radii.append({name: ball.radius for name, ball in found.items()})
    for finer, coarser in pairwise(radii):
        for name, radius in finer.items():
            assert (radius >= 0).all()
            assert (radius <= coarser[name]).all()
            assert radius.max() < coarser[name].max()


@EACH_DTYPE
@EACH_CELL_AND_SHAPE
def test_the_union_is_nowhere_narrower_than_the_measured_model(cell: str, shape: str, dtype: str) -> None:
    problem = shaped_problem(cell, shape, dtype)
    cotangents = random_cotangents(problem)
    measured, union = (gradients_by_name(problem, cotangents, capability) for capability in ("AVX2", "AVX512"))
    for name, ball in measured.items():
        np.testing.assert_array_equal(ball.midpoint, union[name].midpoint)
        assert (ball.radius <= union[name].radius).all()


@EACH_CAPABILITY
@EACH_DTYPE
def test_a_relu_that_is_not_decided_may_pass_all_or_nothing(dtype: str, capability: str) -> None:
    a = Architecture(RNN_RELU, 1, 1)
    parameters = {name: np.full(shape, 0.75) for name, shape in a.parameter_shapes().items()}
    parameters["bias_ih_l0"] = np.full(1, -0.75)
    problem = Problem(a, dtype, "cpu", parameters, np.full((1, 1, 1), 1.0), np.full((1, 1, 1, 1), -1.0))
    ball = gradients_by_name(problem, {"output": np.full((1, 1, 1, 1), -0.5)}, capability)["bias_hh_l0"]
    for passed in (0.0, -0.5):
        assert abs(passed - ball.midpoint.item()) <= ball.radius.item() <= 0.52


# A plain implementation, every operation rounded

Rounded = Callable[[np.ndarray], np.ndarray]


class Plain:
    """A straightforward implementation of one layer in one direction, forward and backward; `r` rounds each result."""

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
        """The sum from left to right, or from right to left."""
        first, *others = reversed(factors) if self.other_forms else factors
        for other in others:
            first = self.r(first * other)
        return first

    def sigmoid_slope(self, y: np.ndarray) -> np.ndarray:
        return self.times(y, self.r(1 - y))

    def forward(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
        """h', c' and the values that the backward step needs."""
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
        """Gradients with respect to W_ih x + b_ih, W_hh h + b_hh, h (except through W_hh) and c."""
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
        """All gradients of a loss that depends on output, h_n and c_n."""
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
@EACH_CELL
def test_a_plain_implementation_lies_inside_its_bounds(
    cell: str, dtype: str, capability: str, other_forms: bool
) -> None:
    for seed in range(10):
        problem = shaped_problem(cell, dtype=dtype, seed=seed)
        cotangents = random_cotangents(problem, seed=seed)
        found = Plain(problem, FORMATS[dtype].round, other_forms).gradients(cotangents)
        balls = gradients_by_name(problem, cotangents, capability)
        assert found.keys() == balls.keys()
        for name, ball in balls.items():
            assert (np.abs(found[name] - ball.midpoint) <= ball.radius).all(), name
