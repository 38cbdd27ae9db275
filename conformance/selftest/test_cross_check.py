"""The reference agrees with a second one, scalar and of 50 digits, and their comparison would see it if it did not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis
import numpy as np
import pytest

import reference
from conformance.selftest.cross_check import (
    CAPABILITIES,
    COMBINATIONS,
    MODES,
    RADIUS,
    SMALL,
    Comparison,
    apart,
    compare,
    main,
    midpoint_allowed,
    rounding_of,
    shaken,
)
from reference.formats import FORMATS
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH, Problem
from reference.roundings import Rounding
from reference.testing import mpmath_reference
from strategies import Case, parse

CASES = 25
"""For each cell, rounding model and mode; the command compares as many as asked for."""


@pytest.mark.parametrize(("cell", "model", "mode"), COMBINATIONS)
@hypothesis.settings(max_examples=CASES, deadline=None)
@hypothesis.given(case=SMALL.strategy())
def test_values_and_bounds_agree_with_50_digits(case: Case, cell: str, model: str, mode: str) -> None:
    rounding = rounding_of(model, cell, case.dtype)
    found = compare(case.on(cell), rounding, mode, case.pick)
    assert found.numbers > 0
    assert found.midpoint <= midpoint_allowed(rounding)
    assert found.radius <= RADIUS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", CAPABILITIES)
def test_both_references_know_the_same_numbers_where_float16_overflows(model: str, mode: str) -> None:
    rounding, total = rounding_of(model, RNN_RELU, "float16"), Comparison()
    for seed in range(4):
        case, _ = parse(f"v1 i4 h4 l2 t4 bi float16 fill=large seed={seed}")
        total.add(compare(case.on(RNN_RELU), rounding, mode, seed))
    assert 0 < total.vacuous < total.numbers
    assert total.agrees(rounding)


def test_both_references_say_nothing_of_what_an_overflow_is_multiplied_by_zero() -> None:
    case, _ = parse("v1 i4 h4 t3 bi nobias nohx float16 fill=digital seed=1275")
    found = compare(case.on(RNN_RELU), rounding_of("union", RNN_RELU, "float16"), "full")
    assert found.vacuous
    assert found.agrees(rounding_of("union", RNN_RELU, "float16"))


def test_numbers_are_read_without_rounding() -> None:
    fine = np.longdouble(1) + np.finfo(np.longdouble).eps
    assert mpmath_reference.number(fine) - 1 == mpmath_reference.number(np.finfo(np.longdouble).eps) > 0
    smallest = np.finfo(np.longdouble).smallest_subnormal
    for x in (smallest, np.finfo(np.longdouble).max, np.float64(5e-324), np.float64(0.1), np.float64(0)):
        assert mpmath_reference.number(x) * 2 == mpmath_reference.number(-x) * -2
        assert (mpmath_reference.number(x) == 0) == (x == 0)
    assert mpmath_reference.number(np.float64(5e-324)) == mpmath_reference.mp.mpf(2) ** -1074
    assert mpmath_reference.mp.isinf(mpmath_reference.number(np.inf))
    assert mpmath_reference.mp.isnan(mpmath_reference.number(np.nan))


ANY = tuple(FORMATS)
HALVES = ("float16", "bfloat16")

FIELDS = {
    "accumulation": (tuple(GATES), ANY),
    "tanh": ((RNN_TANH, LSTM, GRU), ANY),
    "sigmoid": ((LSTM, GRU), ANY),
    "sigmoid_slope": ((LSTM, GRU), ("float32", "float64")),
    "fused_biases": (tuple(GATES), HALVES),
    "wider_states": (tuple(GATES), ANY),
    "stored": (tuple(GATES), HALVES),
    "slack": (tuple(GATES), ANY),
}
"""Fields of a rounding model, with the cells and dtypes whose bounds depend on them for ordinary numbers."""

FLOORS = {
    "floor": (tuple(GATES), ANY),
    "flushed_operands": (tuple(GATES), ("bfloat16",)),
    "sigmoid_floor": ((LSTM, GRU), ANY),
}
"""The same for fields that matter where everything underflows."""


def _combined(fields: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> list[tuple[str, str, str]]:
    return [(field, cell, dtype) for field, (cells, dtypes) in fields.items() for cell in cells for dtype in dtypes]


def _positive(cell: str, dtype: str) -> Problem:
    """Two layers in both directions without a negative number: no unit of a relu is dead."""
    problem = replace(parse("v1 i2 h2 l2 t3 bi fill=dyadic")[0], dtype=dtype).on(cell)
    return replace(
        problem,
        parameters={name: np.abs(values) for name, values in problem.parameters.items()},
        input=np.abs(problem.input),
        h_0=np.abs(problem.state("h_0")),
        c_0=np.abs(problem.state("c_0")) if cell == LSTM else None,
    )


def _vanishing(cell: str, dtype: str) -> Problem:
    """One step on inputs and states of 1; gates f and z underflow to zero, all else is zero: the bounds are floors."""
    problem = parse("v1 i2 h2 t1 bi")[0].on(cell)
    closed = [gate in ("f", "z") for gate in GATES[cell] for _ in range(2)]
    return replace(
        problem,
        dtype=dtype,
        parameters={
            name: np.where(closed, -768.0, 0.0) if name.startswith("bias") else np.zeros(values.shape)
            for name, values in problem.parameters.items()
        },
        input=np.ones(problem.input.shape),
        h_0=np.ones((1, 2, 1, 2)),
        c_0=np.ones((1, 2, 1, 2)) if cell == LSTM else None,
    )


def _slipped(rounding: Rounding, field: str) -> Rounding:
    value = getattr(rounding, field)
    changed: dict[str, Any] = {field: not value if isinstance(value, bool) else value * 1.001}
    return replace(rounding, **changed)


@pytest.mark.parametrize(("field", "cell", "dtype"), _combined(FIELDS))
def test_a_slip_in_a_rounding_constant_shows(field: str, cell: str, dtype: str) -> None:
    problem, rounding = _positive(cell, dtype).layer(0, np.ones((1, 3, 2))), rounding_of("union", cell, dtype)
    seen = shaken(reference.forward(problem, rounding).output.midpoint, rounding.format, 0)
    slipped = mpmath_reference.forward_forced(problem, _slipped(rounding, field), seen)
    assert apart(reference.forward_forced(problem, rounding, seen), slipped).radius > RADIUS


@pytest.mark.parametrize(("field", "cell", "dtype"), _combined(FLOORS))
def test_a_slip_in_an_underflow_constant_shows(field: str, cell: str, dtype: str) -> None:
    problem, rounding = _vanishing(cell, dtype), rounding_of("union", cell, dtype)
    slipped = mpmath_reference.forward(problem, _slipped(rounding, field))
    assert apart(reference.forward(problem, rounding), slipped).radius > RADIUS


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("cell", GATES)
def test_a_single_wrong_parameter_shows(cell: str, dtype: str) -> None:
    problem, rounding = _positive(cell, dtype), rounding_of("measured", cell, dtype)
    first = reference.forward(problem, rounding)
    for name, values in problem.parameters.items():
        wrong = values.copy()
        wrong.flat[-1] *= 1.0001
        slipped = mpmath_reference.forward(replace(problem, parameters={**problem.parameters, name: wrong}), rounding)
        assert apart(first, slipped).midpoint > midpoint_allowed(rounding), name


def test_a_number_that_only_one_reference_knows_is_infinitely_far() -> None:
    problem, rounding = _positive(RNN_RELU, "float32"), rounding_of("measured", RNN_RELU, "float32")
    unknown = replace(problem, input=np.full(problem.input.shape, np.inf))
    known, vacuous = (reference.forward(p, rounding) for p in (problem, unknown))
    assert apart(vacuous, mpmath_reference.forward(unknown, rounding)).midpoint == 0
    assert apart(known, mpmath_reference.forward(unknown, rounding)).midpoint == np.inf
    assert apart(vacuous, mpmath_reference.forward(problem, rounding)).midpoint == np.inf


@pytest.mark.parametrize("dtype", FORMATS)
def test_what_was_seen_is_shaken_by_a_unit_in_the_last_place_at_most(dtype: str) -> None:
    format = FORMATS[dtype]
    values = format.round(np.array([0.0, 1.0, -1.5, 0.3, format.smallest_subnormal, format.smallest_normal] * 20))
    seen = shaken(values, format, 0)
    assert format.holds(seen)
    unit = np.maximum(2 * format.unit_roundoff * np.abs(values), format.smallest_subnormal)
    assert np.all(np.abs(seen - values) <= unit)
    assert (seen < values).any()
    assert (seen > values).any()
    assert (seen == values).any()


def test_the_command_prints_one_line_and_repeats_itself(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for _ in range(2):
        assert main(["--cases", "20", "--seed", "3"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert printed[0].startswith("20 cases, ")
    assert printed[0].endswith("; agrees\n")
    assert printed[0].count("\n") == 1


def test_the_command_names_the_first_case_that_disagrees(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mpmath_reference.Rules, "tanh", lambda rules, z: rules.relu(z))
    assert main(["--cases", "20"]) == 1
    assert "DISAGREES first on v1 " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--cases", "0"], "--cases"),
        (["--cases", "many"], "--cases"),
        (["--seed", "-1"], "--seed"),
        (["--sed"], "--sed"),
    ],
)
def test_the_command_answers_bad_arguments_in_one_line(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert word in said
    assert said.count("\n") == 1
