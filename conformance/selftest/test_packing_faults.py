"""The implementation that faults of packing are seeded into is sound."""

import pytest

from conformance.selftest.plain_packing import Packing, packing_subject
from conformance.selftest.test_faults import SEEDS
from conformance.selftest.trial import findings
from reference.problem import RNN_TANH


@pytest.mark.parametrize("seed", SEEDS)
def test_plain_packing_passes_the_seeds_of_the_faults(seed):
    found = findings(packing_subject("plain-packing", Packing()), ("E4",), (RNN_TANH,), seed)
    assert [finding.text() for finding in found] == []
