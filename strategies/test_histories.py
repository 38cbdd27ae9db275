"""Histories in case lines and in families of cases."""

import pytest

from reference.histories import BEFORE, OPERATIONS, beginning
from strategies import Case, parse
from strategies.families import MOST_LATER, cases
from strategies.testing import draws


@pytest.mark.parametrize("name", OPERATIONS)
def test_word_is_read_as_it_is_written(name):
    case, cell = parse(f"v1 lstm i2 h2 t2 float32 do={name},half fill=normal seed=3")
    assert case.history == (name, "half")
    assert case.line(cell) == f"v1 lstm i2 h2 t2 float32 do={name},half fill=normal seed=3"


def test_family_draws_histories_that_begin_with_its_operation_and_what_that_takes_back():
    family = cases(history=("untie",))
    drawn = draws(family.strategy(), 50)
    assert {case.history[:2] for case in drawn} == {(BEFORE["untie"], "untie")}
    assert max(len(case.history) for case in drawn) > 2
    assert all(len(case.history) <= 2 + 2 * MOST_LATER for case in drawn)
    assert all(case in family for case in drawn)


def test_families_without_histories_take_no_case_that_has_one():
    case = Case(history=beginning("half"))
    assert case not in cases()
    assert case in cases(history=("half",))
    assert case not in cases(history=("double",))
