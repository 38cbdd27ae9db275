"""What shows that an invalid call ignores an argument: no other number in it changes any result."""

import sys
import warnings

import pytest
import torch

from conformance.harness.execution.requests.invalid.harm import is_silent
from conformance.harness.execution.requests.invalid.state import changes, state

GIVEN = {
    "whole": torch.tensor([1, 2]),
    "flags": torch.tensor([True, False]),
    "complex": torch.tensor([1 + 2j, 3j]),
}


@pytest.mark.parametrize("dtype", GIVEN)
def test_argument_that_counts_is_not_silent_and_keeps_its_numbers(dtype):
    given = GIVEN[dtype].clone()
    real = given.dtype if given.is_complex() else torch.float32
    assert not is_silent(given, lambda: [given.to(real)])
    assert torch.equal(given, GIVEN[dtype])


@pytest.mark.parametrize("dtype", GIVEN)
def test_argument_that_does_not_count_is_silent(dtype):
    given = GIVEN[dtype].clone()
    assert is_silent(given, lambda: [torch.zeros(given.shape)])


def test_argument_is_silent_where_its_numbers_are_so_in_a_valid_call():
    given = torch.tensor([1024.0])
    spoilt = torch.tensor([True])
    assert is_silent(given, lambda: [torch.sigmoid(given + 1000)], spoilt)
    assert not is_silent(given, lambda: [torch.sigmoid(given)], spoilt)
    assert not is_silent(given, lambda: [torch.sigmoid(given)], spoilt.to(torch.complex64))
    assert given.tolist() == [1024.0]


@pytest.mark.parametrize("imports", [False, True])
def test_filters_that_an_import_sets_are_none_of_a_call(imports, monkeypatch):
    module = torch.nn.Linear(1, 1)
    before = state(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if imports:
            monkeypatch.setitem(sys.modules, "imported_by_an_operation", torch)
        assert changes(before, state(module)) == (() if imports else ("warnings.filters",))
