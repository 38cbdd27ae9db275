"""Layers, directions, rows and steps: how a network in either mode relates to its parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference.network import Enclosure, forward, forward_forced
from reference.problem import LSTM
from reference.testing.models import EACH_CAPABILITY, EACH_CELL, EACH_DTYPE, red_model
from reference.testing.networks import (
    SIDES,
    assert_equal,
    possible_output,
    random_problem,
    results_by_name,
    reversed_alone,
)

# Both modes


@EACH_CAPABILITY
@SIDES
@EACH_DTYPE
@EACH_CELL
def test_forced_through_a_single_step_is_the_same_as_not_forced(
    cell: str, dtype: str, bidirectional: bool, capability: str
) -> None:
    problem = random_problem(cell, dtype, steps=1, bidirectional=bidirectional)
    rounding = red_model(cell, dtype, capability)
    assert_equal(forward(problem, rounding), forward_forced(problem, rounding, possible_output(problem, rounding)))


@EACH_CELL
def test_a_forced_step_depends_on_the_given_state_before_it_alone(cell: str) -> None:
    problem, rounding = random_problem(cell, bidirectional=True), red_model(cell)
    seen = possible_output(problem, rounding)
    elsewhere = seen.copy()
    elsewhere[:, 1, 0] += 0.5
    elsewhere[:, 1, 1] -= 0.5
    first, second = (forward_forced(problem, rounding, states).output.midpoint for states in (seen, elsewhere))
    changed = (first != second).any((0, 3))
    later = [True, cell == LSTM]  # an LSTM carries its own c on
    np.testing.assert_array_equal(changed[:, 0], [False, False, *later])
    np.testing.assert_array_equal(changed[:, 1], [True, False, False, False])


# Directions, layers and rows


@pytest.mark.parametrize("forced", [False, True], ids=["full", "forced"])
@EACH_CAPABILITY
@EACH_DTYPE
@EACH_CELL
def test_the_reverse_direction_is_the_forward_direction_on_flipped_input(
    cell: str, dtype: str, capability: str, forced: bool
) -> None:
    problem, rounding = random_problem(cell, dtype, bidirectional=True), red_model(cell, dtype, capability)
    alone = reversed_alone(problem)
    both_ways, one_way = forward(problem, rounding), forward(alone, rounding)
    if forced:
        seen = possible_output(problem, rounding)
        both_ways = forward_forced(problem, rounding, seen)
        one_way = forward_forced(alone, rounding, seen[:, ::-1, 1:])
    assert one_way.output.midpoint.shape == (2, 4, 1, 4)
    turned = Enclosure(
        both_ways.output[:, ::-1, 1:],
        both_ways.h_n[:, 1:],
        None if both_ways.c_n is None else both_ways.c_n[:, 1:],
    )
    assert_equal(turned, one_way)


@EACH_CAPABILITY
@EACH_DTYPE
@EACH_CELL
def test_the_forward_direction_does_not_see_the_reverse_one(cell: str, dtype: str, capability: str) -> None:
    problem, rounding = random_problem(cell, dtype, bidirectional=True), red_model(cell, dtype, capability)
    alone = replace(
        problem,
        architecture=replace(problem.architecture, bidirectional=False),
        h_0=problem.state("h_0")[:, :1],
        c_0=None if problem.c_0 is None else problem.c_0[:, :1],
    )
    both_ways = forward(problem, rounding)
    c_n = None if both_ways.c_n is None else both_ways.c_n[:, :1]
    assert_equal(Enclosure(both_ways.output[:, :, :1], both_ways.h_n[:, :1], c_n), forward(alone, rounding))


@SIDES
@EACH_CELL
def test_a_stack_has_the_midpoints_of_its_layers_one_after_the_other(cell: str, bidirectional: bool) -> None:
    problem, rounding = random_problem(cell, num_layers=3, bidirectional=bidirectional), red_model(cell)
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
@EACH_CELL
def test_the_last_states_are_the_output_at_the_end_of_each_direction(
    cell: str, bidirectional: bool, forced: bool
) -> None:
    problem, rounding = random_problem(cell, bidirectional=bidirectional), red_model(cell)
    seen = possible_output(problem, rounding)
    enclosure = forward_forced(problem, rounding, seen) if forced else forward(problem, rounding)
    for direction in range(problem.architecture.directions):
        last = enclosure.output[:, -1 if direction == 0 else 0, direction]
        np.testing.assert_array_equal(enclosure.h_n.midpoint[0, direction], last.midpoint)
        np.testing.assert_array_equal(enclosure.h_n.radius[0, direction], last.radius)


@EACH_CAPABILITY
@EACH_CELL
def test_rows_of_a_batch_do_not_meet(cell: str, capability: str) -> None:
    problem, rounding = random_problem(cell, num_layers=2, bidirectional=True), red_model(cell, capability=capability)
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
        assert_equal(Enclosure(whole.output[one], whole.h_n[:, :, one], c_n), forward(alone, rounding))


@pytest.mark.parametrize("forced", [False, True], ids=["full", "forced"])
@pytest.mark.parametrize("lengths", [None, (2, 4, 1, 3, 4)], ids=["padded", "packed"])
@SIDES
@EACH_CELL
def test_rows_of_a_problem_are_enclosed_as_they_are_among_the_others(
    cell: str, bidirectional: bool, lengths: tuple[int, ...] | None, forced: bool
) -> None:
    problem, rounding = random_problem(cell, bidirectional=bidirectional, batch_size=5), red_model(cell)
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
    assert_equal(Enclosure(whole.output[chosen, : rows.steps], whole.h_n[:, :, chosen], c_n), alone)


@EACH_DTYPE
@SIDES
@EACH_CELL
def test_everything_has_its_documented_shape(cell: str, bidirectional: bool, dtype: str) -> None:
    problem, rounding = random_problem(cell, dtype, num_layers=2, bidirectional=bidirectional), red_model(cell, dtype)
    directions = 2 if bidirectional else 1
    balls = results_by_name(forward(problem, rounding))
    for ball in balls.values():
        assert ball.midpoint.dtype == rounding.working_type
        assert ball.midpoint.shape == ball.radius.shape
        assert ball.midpoint.shape in ((2, 4, directions, 4), (2, directions, 2, 4))
    assert ("c_n" in balls) == (cell == LSTM)
