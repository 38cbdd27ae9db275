"""The properties of a problem, and the fields that its rows, steps and layers inherit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from reference.problem import GRU, LSTM, Architecture, Loss, Problem
from reference.testing.models import EACH_CELL

ROWS, STEPS = 4, 5


def _counted(*shape: int, start: int = 0) -> np.ndarray:
    """An array with a different number at every index."""
    return np.arange(start, start + math.prod(shape), dtype=np.float64).reshape(shape)


def _problem(cell: str = LSTM, lengths: tuple[int, ...] | None = None) -> Problem:
    """Two layers in both directions; all numbers of inputs and states differ."""
    a = Architecture(cell, 3, 4, 2, bidirectional=True, dropout=0.5)
    return Problem(
        a,
        "float32",
        "cpu",
        parameters={name: np.zeros(shape) for name, shape in a.parameter_shapes().items()},
        input=_counted(ROWS, STEPS, 3),
        h_0=_counted(2, 2, ROWS, 4, start=1000),
        c_0=_counted(2, 2, ROWS, 4, start=2000) if cell == LSTM else None,
        lengths=lengths,
        training=False,
        memory="sliced",
        case="v1",
    )


@pytest.mark.parametrize("chosen", [[0], [2, 3], [3, 0], [1, 1, 1], range(1, 3), range(ROWS)], ids=str)
@EACH_CELL
def test_rows_are_the_chosen_rows_in_the_chosen_order(cell: str, chosen: list[int]) -> None:
    whole = _problem(cell)
    part = whole.rows(chosen)
    assert (part.batch_size, part.steps) == (len(chosen), STEPS)
    assert part.lengths is None
    for place, row in enumerate(chosen):
        np.testing.assert_array_equal(part.input[place], whole.input[row])
        for name in ("h_0", "c_0") if cell == LSTM else ("h_0",):
            np.testing.assert_array_equal(part.state(name)[:, :, place], whole.state(name)[:, :, row])
    assert (part.c_0 is None) == (cell != LSTM)


@pytest.mark.parametrize(
    ("chosen", "lengths"),
    [
        ([0], (2,)),
        ([1], (5,)),
        ([0, 2], (2, 3)),
        ([2, 0, 3], (3, 2, 1)),
        ([3], (1,)),
        ([3, 1], (1, 5)),
        ([2, 2], (3, 3)),
    ],
    ids=str,
)
def test_rows_of_a_packed_batch_keep_their_lengths_and_end_with_the_longest(
    chosen: list[int], lengths: tuple[int, ...]
) -> None:
    whole = _problem(lengths=(2, 5, 3, 1))
    part = whole.rows(chosen)
    assert part.lengths == lengths
    assert part.steps == max(lengths)
    np.testing.assert_array_equal(part.input, whole.input[chosen, : max(lengths)])
    np.testing.assert_array_equal(part.state("c_0"), whole.state("c_0")[:, :, chosen])


@pytest.mark.parametrize("lengths", [None, (2, 5, 3, 1)], ids=["padded", "packed"])
@EACH_CELL
def test_rows_of_a_call_without_states_are_a_call_without_states(cell: str, lengths: tuple[int, ...] | None) -> None:
    part = replace(_problem(cell, lengths), h_0=None, c_0=None).rows([2, 0])
    assert part.h_0 is None
    assert part.c_0 is None
    np.testing.assert_array_equal(part.state("h_0"), np.zeros((2, 2, 2, 4)))


def test_rows_change_nothing_of_the_call_but_its_batch() -> None:
    whole = replace(_problem(GRU), relation="mirrored", granule=0.5)
    part = whole.rows([1])
    for field in ("architecture", "dtype", "device", "unbatched", "training", "memory", "case", "relation", "granule"):
        assert getattr(part, field) == getattr(whole, field), field
    assert part.parameters is whole.parameters


def test_rows_of_rows_are_rows() -> None:
    twice, once = _problem().rows([3, 1, 0]).rows([2, 0]), _problem().rows([0, 3])
    np.testing.assert_array_equal(twice.input, once.input)
    np.testing.assert_array_equal(twice.state("h_0"), once.state("h_0"))


def test_the_loss_of_rows_is_theirs_in_the_shape_of_their_call() -> None:
    output, h_n = _counted(ROWS, STEPS, 2, 4), _counted(2, 2, ROWS, 4)
    whole = Loss({"output": output, "h_n": h_n}, ("input", "h_0"), memory="sliced")
    part = whole.rows(range(2, 4), steps=3)
    np.testing.assert_array_equal(part.cotangents["output"], output[2:, :3])
    np.testing.assert_array_equal(part.cotangents["h_n"], h_n[:, :, 2:])
    assert (part.wanted, part.memory) == (whole.wanted, whole.memory)


def test_a_layer_alone_has_no_dropout_and_the_mode_and_memory_of_the_whole() -> None:
    whole = _problem()
    below = np.zeros((ROWS, STEPS, 8))
    layer = whole.layer(1, below)
    assert layer.architecture == replace(whole.architecture, input_size=8, num_layers=1, dropout=0.0)
    assert (layer.training, layer.memory, layer.unbatched) == (False, "sliced", False)
    np.testing.assert_array_equal(layer.state("c_0"), whole.state("c_0")[1:])


def test_a_step_alone_has_the_mode_and_memory_of_the_whole_and_the_states_it_is_given() -> None:
    whole = replace(_problem(), unbatched=True)
    h_0 = np.ones((2, 2, ROWS, 4))
    step = whole.step(3, h_0)
    np.testing.assert_array_equal(step.input, whole.input[:, 3:4])
    assert step.h_0 is h_0
    assert step.c_0 is None
    assert (step.training, step.memory, step.unbatched) == (False, "sliced", True)


def test_a_call_is_a_padded_batch_in_training_from_contiguous_memory_unless_it_says_otherwise() -> None:
    problem = Problem(Architecture(GRU, 1, 1), "float32", "cpu", {}, np.zeros((1, 1, 1)))
    assert (problem.lengths, problem.unbatched, problem.training, problem.memory) == (None, False, True, "contiguous")
    assert problem.architecture.dropout == 0
    assert not problem.architecture.single_step


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_and_batch_first_leave_names_and_shapes_of_parameters_alone(dropout: float) -> None:
    plain = Architecture(LSTM, 3, 4, 2, bidirectional=True, proj_size=2)
    other = replace(plain, dropout=dropout, batch_first=True)
    assert other.parameter_shapes() == plain.parameter_shapes()
    assert other.name == plain.name == LSTM
