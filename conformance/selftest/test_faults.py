"""Each seeded fault is caught, on a small case, by a property of the clause it breaks; sound subjects pass."""

import pytest

from conformance.clauses import CLAUSES, RED
from conformance.harness.subject import torch_nn
from conformance.selftest.faults import ALL, faults
from conformance.selftest.plain import subject
from conformance.selftest.trial import properties, trial
from strategies import parse

SEEDS = range(5)
SIZES = ("input_size", "hidden_size", "num_layers", "batch_size", "steps")


@pytest.mark.parametrize("fault", faults(), ids=lambda fault: fault.name)
def test_fault_is_caught_on_a_small_case_with_every_seed(fault):
    for seed in SEEDS:
        caught = [
            finding
            for finding in trial(fault.subject, fault.clauses, fault.cells, seed)
            if finding.clause in fault.clauses
        ]
        assert caught, f"seed {seed}: no property of {' or '.join(fault.clauses)} failed"
        drawn = [parse(finding.case)[0] for finding in caught if finding.case and finding.severity == RED]
        needed = dict(fault.needs)
        assert not drawn or any(all(getattr(case, size) <= needed.get(size, 3) for size in SIZES) for case in drawn), [
            finding.case for finding in caught
        ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sound", [subject("plain"), torch_nn()], ids=lambda sound: sound.name)
def test_sound_implementation_passes_the_same_seeds(sound, seed):
    found = trial(sound, tuple(CLAUSES), ALL, seed)
    assert [finding.text() for finding in found if finding.severity == "red"] == []


def test_every_clause_has_a_property_and_a_fault_that_breaks_it():
    assert {one.clause.id for one in properties()} == set(CLAUSES)
    assert {clause for fault in faults() for clause in fault.clauses} == set(CLAUSES)
