"""`forward_forced` computes large batches in blocks of rows; the enclosures equal those of the undivided batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference import ball, network
from reference.formats import FORMATS
from reference.network import Enclosure, forward_forced
from reference.problem import GATES, GRU, Problem
from reference.roundings import Rounding
from reference.testing.models import EACH_CAPABILITY, EACH_CELL, EACH_DTYPE, red_model
from reference.testing.networks import SIDES, assert_equal, possible_output, random_problem, results_by_name


def _in_blocks(monkeypatch: pytest.MonkeyPatch, problem: Problem, rows: int) -> None:
    """Makes `forward_forced` compute `rows` rows of `problem` together."""
    a = problem.architecture
    per_row = problem.steps * a.directions * len(GATES[a.cell]) * a.hidden_size
    monkeypatch.setattr(network, "ELEMENTS_AT_ONCE", rows * per_row)


def _product_in_order(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x @ weight.T with a fixed order of summation; a library's order depends on the number of rows."""
    terms = x.reshape(x.shape[0], -1, 1, x.shape[-1]) * weight[:, None]
    total = terms[..., 0]
    for feature in range(1, x.shape[-1]):
        total = total + terms[..., feature]
    return total.reshape(*x.shape[:-1], weight.shape[-2])


@pytest.fixture
def sums_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ball, "_product", _product_in_order)


def _assert_bit_for_bit(one: Enclosure, other: Enclosure) -> None:
    first, second = results_by_name(one), results_by_name(other)
    assert first.keys() == second.keys()
    for name in first:
        for kind in ("midpoint", "radius"):
            values, others = getattr(first[name], kind), getattr(second[name], kind)
            np.testing.assert_array_equal(values, others, err_msg=f"{name} {kind}", strict=True)
        assert first[name].overflows == second[name].overflows


@pytest.mark.usefixtures("sums_in_order")
@EACH_CAPABILITY
@SIDES
@EACH_DTYPE
@EACH_CELL
def test_a_batch_in_blocks_is_bit_for_bit_as_in_one(
    monkeypatch: pytest.MonkeyPatch, cell: str, dtype: str, bidirectional: bool, capability: str
) -> None:
    problem = random_problem(cell, dtype, bidirectional=bidirectional, batch_size=5)
    rounding = red_model(cell, dtype, capability)
    seen = possible_output(problem, rounding)
    whole = forward_forced(problem, rounding, seen)
    for rows in (1, 2, 4):
        _in_blocks(monkeypatch, problem, rows)
        _assert_bit_for_bit(forward_forced(problem, rounding, seen), whole)


@EACH_DTYPE
@EACH_CELL
def test_a_batch_in_blocks_is_as_in_one_whatever_the_order_of_sums(
    monkeypatch: pytest.MonkeyPatch, cell: str, dtype: str
) -> None:
    problem, rounding = random_problem(cell, dtype, bidirectional=True, batch_size=5), red_model(cell, dtype)
    seen = possible_output(problem, rounding)
    whole = forward_forced(problem, rounding, seen)
    _in_blocks(monkeypatch, problem, 2)
    assert_equal(forward_forced(problem, rounding, seen), whole)


SILENCED = {"not a number": np.nan, "infinite": np.inf, "overflows": 1.0}
"""An element of the input, as a multiple of the largest number of the dtype."""


@pytest.mark.usefixtures("sums_in_order")
@pytest.mark.parametrize("share", SILENCED.values(), ids=list(SILENCED))
@EACH_CAPABILITY
@EACH_DTYPE
@EACH_CELL
def test_a_vacuous_row_leaves_a_batch_in_blocks_bit_for_bit_as_undivided(
    monkeypatch: pytest.MonkeyPatch, cell: str, dtype: str, capability: str, share: float
) -> None:
    problem = random_problem(cell, dtype, bidirectional=True, batch_size=5)
    rounding = red_model(cell, dtype, capability)
    seen = possible_output(problem, rounding)
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
@EACH_CAPABILITY
@EACH_CELL
def test_a_seen_state_that_is_no_number_leaves_a_batch_in_blocks_bit_for_bit_as_in_one(
    monkeypatch: pytest.MonkeyPatch, cell: str, capability: str
) -> None:
    problem, rounding = random_problem(cell, bidirectional=True, batch_size=5), red_model(cell, capability=capability)
    seen = possible_output(problem, rounding)
    seen[2, 1] = np.nan
    whole = forward_forced(problem, rounding, seen)
    _in_blocks(monkeypatch, problem, 2)
    _assert_bit_for_bit(forward_forced(problem, rounding, seen), whole)


def _eighths(values: np.ndarray) -> np.ndarray:
    return np.rint(8 * values) / 8


@pytest.mark.usefixtures("sums_in_order")
@EACH_DTYPE
@EACH_CELL
def test_exact_sums_stay_exact_in_blocks(monkeypatch: pytest.MonkeyPatch, cell: str, dtype: str) -> None:
    problem, rounding = random_problem(cell, dtype, steps=1, batch_size=5), red_model(cell, dtype)
    rough = replace(
        problem,
        parameters={name: _eighths(values) for name, values in problem.parameters.items()},
        input=_eighths(problem.input),
        h_0=_eighths(problem.state("h_0")),
        c_0=None if problem.c_0 is None else _eighths(problem.c_0),
    )
    problem = replace(rough, granule=2.0**-3)
    seen = possible_output(problem, rounding)
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
    problem, rounding = random_problem(GRU, bidirectional=True, batch_size=5), red_model(GRU)
    seen, judged, together = possible_output(problem, rounding), network._forced, []

    def spied(part: Problem, rounding: Rounding, output: np.ndarray) -> Enclosure:
        together.append(part.batch_size)
        return judged(part, rounding, output)

    monkeypatch.setattr(network, "_forced", spied)
    # a row has 4 steps, 2 directions, 3 gates and 4 units
    monkeypatch.setattr(network, "ELEMENTS_AT_ONCE", elements)
    forward_forced(problem, rounding, seen)
    assert together == blocks


@EACH_CELL
def test_a_packed_batch_is_judged_whole_however_large(monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    problem, rounding = random_problem(cell, bidirectional=True, batch_size=5), red_model(cell)
    problem = replace(problem, lengths=(2, 4, 1, 3, 4))
    seen = possible_output(problem, rounding)
    whole = forward_forced(problem, rounding, seen)
    monkeypatch.setattr(network, "ELEMENTS_AT_ONCE", 1)
    assert_equal(forward_forced(problem, rounding, seen), whole)
