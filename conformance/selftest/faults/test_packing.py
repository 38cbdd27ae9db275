"""The implementations that faults of packing are seeded into are sound."""

from dataclasses import replace

import pytest

from conformance.selftest.faults.test_faults import FIRST, SEEDS
from conformance.selftest.implementations.packing import Packing, packing_subject
from conformance.selftest.implementations.plain import subject
from conformance.selftest.implementations.refusing_packing import RefusingPacking
from conformance.selftest.trial import findings
from reference.problem import RNN_TANH

MORE = [pytest.param(seed, marks=pytest.mark.thorough(reason="four more seeds")) for seed in SEEDS[1:]]


@pytest.mark.parametrize("seed", [FIRST, *MORE])
def test_plain_packing_passes_the_seeds_of_the_faults(seed):
    found = findings(packing_subject("plain-packing", Packing()), ("E4",), (RNN_TANH,), seed)
    assert [finding.text() for finding in found] == []


def test_packing_that_refuses_passes_the_calls_of_the_faults_of_refusals():
    refusing = replace(subject("refusing-packing"), packing=RefusingPacking())
    found = findings(refusing, ("J1", "J2"), (RNN_TANH,), FIRST)
    assert [finding.text() for finding in found if finding.subject == refusing.name] == []
