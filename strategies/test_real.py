"""Real configurations keep layers and units, lose rows and steps to a run's limit, and are told from their lines."""

import pytest

from strategies import Axes, Case, parse
from strategies.axes import MOST_NUMBERS
from strategies.real import PART, REAL, in_full, real_cases, reduced
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


def test_deep_takes_all_but_the_largest_in_full():
    assert set(REAL) - set(in_full(MOST_NUMBERS["deep"] // PART)) <= {"language model"}
    assert "forecaster" in in_full(MOST_NUMBERS["smoke"] // PART)
    assert "language model" not in in_full(MOST_NUMBERS["default"])


def test_other_sizes_are_none_of_the_family():
    assert Case(7, 63, 2) not in real_cases()
