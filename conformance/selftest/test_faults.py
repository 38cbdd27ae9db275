"""Each seeded fault is caught, on a small case, by a property of the clause it breaks; sound subjects pass."""

from functools import cache

import pytest

from conformance.clauses import CLAUSES, RED
from conformance.harness.cells import SINGLE_STEPS
from conformance.harness.known import SHIPPED, load
from conformance.harness.property import properties
from conformance.harness.subject import torch_nn
from conformance.selftest.faults import ALL, faults
from conformance.selftest.plain import subject
from conformance.selftest.trial import findings, findings_by
from strategies import parse

SEEDS = range(5)
SIZES = ("input_size", "hidden_size", "num_layers", "batch_size", "steps")


def is_small(finding, needs):
    """Whether the sizes of a finding's case are at most 3, or what its fault needs; what is never shrunk is small."""
    if finding.severity != RED or not finding.case:
        return True
    case, _ = parse(finding.case)
    return all(getattr(case, size) <= needs.get(size, 3) for size in SIZES)


@cache
def shown_by_a_sound_one(test, cell):
    """Signatures of a property's findings in a sound subject: operators of PyTorch lack ways to differentiate."""
    tested = next(one for one in properties() if one.name == test)
    sound = torch_nn() if tested.clause.binds else subject("plain")
    return {finding.signature for finding in findings_by(tested, sound, (cell,), 0)}


def tells(finding):
    """Whether a finding says anything of a fault: red, or one that a sound subject does not show."""
    return finding.severity == RED or finding.signature not in shown_by_a_sound_one(finding.test, finding.cell)


def draws_anything(clauses):
    """Whether a seed makes any difference to the properties of these clauses."""
    return any(tested.draws for tested in properties() if tested.clause.id in clauses)


@pytest.mark.parametrize("fault", faults(), ids=lambda fault: fault.name)
def test_fault_is_caught_on_a_small_case_with_every_seed(fault):
    def is_caught(finding):
        return finding.clause in fault.clauses and is_small(finding, dict(fault.needs))

    for seed in SEEDS if draws_anything(fault.clauses) else SEEDS[:1]:
        caught, enough = [], None if seed == SEEDS[0] else is_caught  # with one seed cases are shrunk to the end
        for finding in findings(fault.subject, fault.clauses, fault.cells, seed, fault.effort, enough=enough):
            if finding.clause in fault.clauses and tells(finding):
                caught.append(finding)
                if is_caught(finding):
                    break
        else:
            pytest.fail(f"seed {seed}: " + ("large: " + caught[0].case if caught else "not caught"))


SOUND = [(subject("plain"), seed) for seed in SEEDS] + [(torch_nn(), SEEDS[0])]  # the main job is torch.nn's own


@pytest.mark.parametrize(("sound", "seed"), SOUND, ids=lambda one: getattr(one, "name", one))
def test_sound_implementation_passes_the_same_seeds(sound, seed):
    known = load(SHIPPED)
    for tested in properties():
        if tested.draws or seed == SEEDS[0]:
            found = findings_by(tested, sound, ALL + SINGLE_STEPS, seed, known=known)
            assert [finding.text() for finding in found if finding.severity == RED and not finding.known] == []


@pytest.mark.parametrize("tested", properties(), ids=lambda tested: tested.name)
def test_property_fails_on_a_fault_of_its_clause(tested):
    broken = [fault for fault in faults() if tested.clause.id in fault.clauses]
    found = (
        one
        for fault in broken
        for one in findings_by(tested, fault.subject, fault.cells, 0, fault.effort, enough=lambda finding: True)
    )
    assert any(tells(one) for one in found)


def test_every_clause_has_a_property_and_a_fault_that_breaks_it():
    assert {one.clause.id for one in properties()} == set(CLAUSES)
    assert {clause for fault in faults() for clause in fault.clauses} == set(CLAUSES)
