"""Losses are defined for every pick, reach every result and support, and are cut as their calls are."""

import numpy as np
import pytest

from reference.formats import FORMATS
from reference.problem import GRU, LSTM, differentiable, results_of
from strategies import Case, losses

CASE = Case(2, 3, 2, 3, 4, True, fill="uniform", seed=3)
PICKS = range(200)


def of(pick, cell=LSTM, case=CASE):
    chosen = Case(**(vars(case) | {"pick": pick}))
    problem = chosen.on(cell)
    return problem, losses.loss(chosen, problem)


def test_pick_zero_is_every_result_everywhere():
    problem, loss = of(0)
    assert {name: values.shape for name, values in loss.cotangents.items()} == results_of(problem)
    assert all((values != 0).all() for values in loss.cotangents.values())
    assert loss.wanted == differentiable(problem)


@pytest.mark.parametrize(("cell", "subsets"), [(LSTM, 7), (GRU, 3), ("lstm_cell", 3), ("gru_cell", 1)])
def test_every_choice_of_results_occurs_and_none_is_empty(cell, subsets):
    case = CASE if not cell.endswith("_cell") else Case(2, 3, batch_size=2, fill="uniform")
    seen = {tuple(of(pick, cell, case)[1].cotangents) for pick in PICKS}
    assert len(seen) == subsets
    assert () not in seen


def test_cotangents_lie_everywhere_or_at_one_place_along_an_axis():
    shares = {float((of(pick)[1].cotangents.get("output", np.ones(1)) != 0).mean()) for pick in PICKS}
    assert shares == {1.0, 1 / 4, 1 / 3}  # everywhere; one step; one row, one unit


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("fill", ["subnormal", "large", "digital", "normal"])
def test_cotangents_are_numbers_of_the_dtype_and_not_too_small_to_be_seen(dtype, fill):
    _, loss = of(0, case=Case(2, 3, dtype=dtype, fill=fill, seed=1))
    for values in loss.cotangents.values():
        assert FORMATS[dtype].holds(values)
        assert (values == 0).all() or np.abs(values).max() > 1e-3


def test_some_chooses_each_tensor_at_times_never_all_of_them_and_with_pick_0_the_input_alone():
    problem = CASE.on(LSTM)
    assert losses.some(CASE, problem) == ("input",)
    chosen = [losses.some(Case(**(vars(CASE) | {"pick": pick})), problem) for pick in PICKS]
    assert {name for names in chosen for name in names} == set(differentiable(problem))
    assert all(set(names) != set(differentiable(problem)) for names in chosen)


def test_a_loss_before_a_step_is_zero_from_that_step_on():
    _, loss = of(0)
    until = losses.at(loss, before=2)
    assert (until.cotangents["output"][:, :2] == loss.cotangents["output"][:, :2]).all()
    assert not until.cotangents["output"][:, 2:].any()
    assert not until.cotangents["h_n"].any()


def test_a_loss_in_a_row_is_zero_in_other_rows():
    _, loss = of(0)
    for name, values in losses.at(loss, row=1).cotangents.items():
        rows = np.moveaxis(values, 0 if name == "output" else 2, 0)
        assert rows[1].all()
        assert not rows[[0, 2]].any()


def test_losses_in_some_rows_and_in_the_others_make_up_the_whole():
    _, loss = of(0)
    one, other = losses.at(loss, slice(2)), losses.at(loss, slice(2, None))
    for name, values in loss.cotangents.items():
        assert np.array_equal(one.cotangents[name] + other.cotangents[name], values)


@pytest.mark.parametrize("pick", range(0, 200, 7))
def test_another_loss_has_other_numbers(pick):
    case = Case(**(vars(CASE) | {"pick": pick}))
    problem = case.on(LSTM)
    loss, other = losses.loss(case, problem), losses.another(case, problem)
    assert loss.cotangents.keys() != other.cotangents.keys()
    for name in loss.cotangents.keys() & other.cotangents.keys():
        assert not np.array_equal(loss.cotangents[name], other.cotangents[name])


def test_the_losses_of_two_parts_make_up_the_whole():
    _, loss = of(0)
    first, later = losses.of_first_steps(loss, 1, {"h_0": np.ones(3)}), losses.of_later_steps(loss, 1)
    joined = np.concatenate([first.cotangents["output"], later.cotangents["output"]], 1)
    assert np.array_equal(joined, loss.cotangents["output"])
    assert np.array_equal(first.cotangents["h_n"], np.ones(3))
    assert np.array_equal(later.cotangents["h_n"], loss.cotangents["h_n"])


def test_a_shortened_case_is_shorter_in_16_bits_and_keeps_its_lengths_within():
    long = Case(2, 3, 3, 2, 9, lengths=(9, 4))
    wide, narrow = losses.shortened(long), losses.shortened(Case(**(vars(long) | {"dtype": "bfloat16"})))
    assert (wide.steps, wide.num_layers, wide.lengths) == (3, 2, (3, 3))
    assert (narrow.steps, narrow.num_layers, narrow.lengths) == (1, 1, (1, 1))
