"""One size far out: mostly above its lower end, the others small, within a number of numbers, shrunk by value."""

import numpy as np
import pytest
from hypothesis import HealthCheck, find, settings

from strategies import Axes, Case, axes, cases, parse, values
from strategies.testing import draws

NO_DATABASE = settings(database=None, deadline=None, max_examples=2000, suppress_health_check=list(HealthCheck))
MUCH = Axes(most_numbers=2**40)


@pytest.mark.parametrize("name", axes.FAR)
def test_far_size_is_mostly_between_its_ends_and_reaches_both_halves(name):
    least, largest = axes.FAR[name]
    sizes = [getattr(case, name) for case in draws(cases(far=name).strategy(lambda: MUCH), 400)]
    assert sum(size >= least for size in sizes) > 0.75 * len(sizes)
    assert max(sizes) <= largest
    assert sum(size > np.sqrt(least * largest) for size in sizes) > 0.2 * len(sizes)


@pytest.mark.parametrize("name", axes.FAR)
def test_other_sizes_are_small(name):
    for case in draws(cases(far=name).strategy(lambda: MUCH), 100):
        assert all(getattr(case, other) <= 5 for other in axes.FAR if other != name)


@pytest.mark.parametrize("name", axes.FAR)
@pytest.mark.parametrize("wanted", [9, 11])
def test_far_size_shrinks_by_value(name, wanted):
    found = find(
        cases(far=name).strategy(lambda: MUCH), lambda case: getattr(case, name) >= wanted, settings=NO_DATABASE
    )
    assert getattr(found, name) == wanted
    assert all(getattr(found, other) == 1 for other in axes.FAR if other != name)


@pytest.mark.parametrize("name", axes.FAR)
def test_case_has_at_most_as_many_numbers_as_the_run_allows(name):
    few = Axes(most_numbers=5000)
    for case in draws(cases(far=name, projection=None, packed=None).strategy(lambda: few), 100):
        assert case.numbers() <= 5000
        assert case.proj_size < case.hidden_size
        assert parse(case.line("lstm")) == (case, "lstm") or case.proj_size == 0
        assert not case.lengths or (max(case.lengths), len(case.lengths)) == (case.steps, case.batch_size)


def test_case_that_fits_stays_as_it_is():
    case = Case(hidden_size=7)
    assert case.within(case.numbers(), "hidden_size") is case
    assert case.within(case.numbers() - 1, "hidden_size").hidden_size == 6


@pytest.mark.parametrize("wrong", ["rows", "proj_size"])
def test_unknown_far_size_is_refused(wrong):
    with pytest.raises(TypeError, match="one of batch_size"):
        cases(far=wrong)


def test_pinned_size_cannot_be_far():
    with pytest.raises(TypeError, match="not pinned"):
        cases(far="steps", steps=3)


def test_initial_numbers_are_those_of_a_fresh_module():
    shape = (4, 100, 50)
    weights = values.fill(values.INITIAL, values.WEIGHT, "weight_ih_l0", 3, shape, "float64")
    assert np.abs(weights).max() <= 0.1
    assert 0.057 < weights.std() < 0.058
    inputs = values.fill(values.INITIAL, values.INPUT, "input", 3, (2, 3, 4), "float64")
    assert 0.5 < np.abs(inputs).max() <= 1


def test_initial_is_a_word_of_a_case_line_and_is_not_drawn_at_small_sizes():
    assert parse("v1 lstm i1 h1 t1 float32 fill=initial")[0].fill == values.INITIAL
    assert values.INITIAL not in {case.fill for case in draws(cases().strategy(), 300)}
