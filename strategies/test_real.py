"""Real configurations keep layers and units, lose rows and steps to a run's limit, and are told from their lines."""

from dataclasses import replace

import pytest

from reference import identity_weights
from reference.problem import GATES
from strategies import Axes, Case, parse
from strategies.axes import MOST_NUMBERS
from strategies.real import PART, REAL, gates_as_inputs, name_of, real_cases, reduced, that_fit
from strategies.testing import draws


def test_there_are_a_dozen():
    assert len(REAL) == 12
    assert all(case.line("lstm") and case.numbers() > 0 for case in REAL.values())


@pytest.mark.parametrize("name", REAL)
def test_reduced_case_keeps_layers_and_units(name):
    whole = REAL[name]
    found = reduced(whole, MOST_NUMBERS["default"])
    if found is not None:
        assert found.numbers() <= MOST_NUMBERS["default"]
        assert (found.num_layers, found.hidden_size) == (whole.num_layers, whole.hidden_size)
        assert parse(found.line("lstm")) == (found, "lstm")


@pytest.mark.parametrize("effort", ["smoke", "default", "deep"])
def test_drawn_cases_are_of_the_family_and_within_the_limit(effort):
    most = MOST_NUMBERS[effort]
    found = draws(real_cases().strategy(lambda: Axes(most_numbers=most)), 60)
    assert all(case.numbers() <= most and case in real_cases() for case in found)
    assert len({case.hidden_size for case in found}) >= 3


def in_full(effort):
    """The configurations that an effort takes as they are."""
    fitting = that_fit(MOST_NUMBERS[effort] // PART)
    return {name for name, full in map(name_of, fitting) if full}


def test_deep_takes_all_but_the_largest_in_full():
    assert set(REAL) - in_full("deep") <= {"language model"}
    assert "forecaster" in in_full("smoke")
    assert "language model" not in in_full("default")


@pytest.mark.parametrize("name", REAL)
def test_reduced_case_has_the_name_of_the_whole(name):
    assert name_of(REAL[name]) == (name, True)
    lengths = (1,) if REAL[name].lengths else ()
    assert name_of(replace(REAL[name], batch_size=1, steps=1, lengths=lengths, seed=3)) == (name, False)


@pytest.mark.parametrize("name", REAL)
def test_one_layer_with_an_input_for_every_gate_has_room_for_the_gates_of_every_cell(name):
    case = gates_as_inputs(REAL[name])
    assert case in real_cases(gates_as_inputs=True)
    small = gates_as_inputs(replace(case, hidden_size=2))
    assert all(identity_weights(replace(small, lengths=()).on(cell)) for cell in GATES)


def test_other_sizes_are_none_of_the_family():
    assert Case(7, 63, 2) not in real_cases()
