"""What shows that an invalid call ignores an argument: no other number in it changes any result."""

import pytest
import torch

from conformance.harness.execution.requests.invalid.harm import is_silent, may_be_silent

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


def test_saturated_argument_may_be_silent():
    given = torch.tensor([1024.0])
    assert may_be_silent(given, lambda: [torch.sigmoid(given)])
    assert not is_silent(given, lambda: [torch.sigmoid(given)])
    other = torch.tensor([1.0])
    assert not may_be_silent(other, lambda: [torch.sigmoid(other)])
    assert given.tolist() == [1024.0]
