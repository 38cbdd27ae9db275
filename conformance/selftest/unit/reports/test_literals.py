"""Literals are the arrays that they are of, short where numbers repeat, and no list in them is there twice."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from conformance.harness.reports.calls.call_text import WIDTH, assigned, literal

VALUES = st.sampled_from([0.0, -0.0, 1.0, -0.5, 0.1, 2.0**-30, 1e300])


def lists_in(value):
    """Every list of a nested list."""
    return [value, *(one for part in value for one in lists_in(part))] if isinstance(value, list) else []


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3).flatmap(
        lambda shape: st.lists(VALUES, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
            lambda numbers: np.array(numbers).reshape(shape)
        )
    )
)
def test_literal_is_the_array_and_shares_no_list(values):
    read = eval(literal(values))
    assert np.array_equal(np.array(read, float), values)
    assert np.array_equal(np.signbit(np.array(read, float)), np.signbit(values))
    lists = lists_in(read)
    assert len({id(one) for one in lists}) == len(lists)
    named: dict[str, Any] = {}
    exec(assigned("X", literal(values)), named)
    assert named["X"] == read


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.zeros((15, 5)), "[[0] * 5 for _ in range(15)]"),
        (np.eye(1, 18, 17).reshape(18, 1, 1), "[*[[[0]] for _ in range(17)], [[1]]]"),
        (np.array([[1.0, 2.0]]), "[[1, 2]]"),
        (np.zeros((1, 2)), "[[0, 0]]"),
    ],
)
def test_numbers_that_repeat_are_written_once(values, text):
    assert literal(values) == text


def test_long_literal_is_broken_into_lines():
    numbers = np.arange(100) / 4
    lines = assigned("X", literal(numbers)).splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= WIDTH
