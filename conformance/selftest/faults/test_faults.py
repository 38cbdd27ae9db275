"""Each seeded fault is caught, on a small case, by a property of the clause it breaks; sound subjects pass."""

from dataclasses import replace

import pytest

from conformance.clauses import CLAUSES, RED
from conformance.harness.cells import SINGLE_STEPS
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings.known import SHIPPED, load
from conformance.harness.property import properties
from conformance.selftest.faults.catalogue import ALL, faults
from conformance.selftest.faults.caught_by import SIZES, findings_in, node_id, records, shows, tells
from conformance.selftest.implementations.plain import subject
from conformance.selftest.trial import FEW, findings_by
from strategies.axes import MOST_NUMBERS

SEEDS = range(5)
FIRST = SEEDS[0]

MOST_SHRUNK = 64
"""The largest size down to which the fast tier shrinks a case; that takes a second."""

ANY_SIZE = tuple((size, MOST_NUMBERS["smoke"]) for size in SIZES)

each_fault = pytest.mark.parametrize("fault", faults(), ids=lambda fault: fault.name)
each_property = pytest.mark.parametrize("tested", properties(), ids=lambda tested: tested.name)


def draws_anything(clauses):
    """Whether a seed makes any difference to the properties of these clauses."""
    return any(tested.draws for tested in properties() if tested.clause.id in clauses)


def assert_caught(fault, found, seed):
    """One of the findings is of a clause that the fault breaks, says something of it, and its case is small."""
    caught, is_enough = [], shows(fault)
    for finding in found:
        if finding.clause in fault.clauses and tells(finding):
            caught.append(finding)
            if is_enough(finding):
                return
    pytest.fail(f"seed {seed}: " + ("large: " + caught[0].case if caught else "not caught"))


@each_fault
def test_fault_is_caught_on_a_small_case(fault):
    """One that needs a large case is only caught here: making that small is left to the thorough tier."""
    small = fault if max(dict(fault.needs).values(), default=0) <= MOST_SHRUNK else replace(fault, needs=ANY_SIZE)
    assert_caught(small, findings_in(small, FIRST, shows(small)), FIRST)


@pytest.mark.thorough(reason="five seeds, the first of them shrunk to the end")
@each_fault
def test_fault_is_caught_on_a_small_case_with_every_seed(fault):
    for seed in SEEDS if draws_anything(fault.clauses) else SEEDS[:1]:
        enough = None if seed == FIRST else shows(fault)  # with one seed cases are shrunk to the end
        assert_caught(fault, findings_in(fault, seed, enough), seed)


def red_findings(tested, sound, seed, effort="smoke"):
    """The text of what a property finds red in a sound subject, but for known deviations."""
    found = findings_by(tested, sound, ALL + SINGLE_STEPS, seed, effort, known=load(SHIPPED))
    return [finding.text() for finding in found if finding.severity == RED and not finding.known]


@each_property
def test_sound_implementation_passes_a_few_cases(tested):
    assert red_findings(tested, subject("plain"), FIRST, FEW) == []


SOUND = [(subject("plain"), seed) for seed in SEEDS] + [(torch_nn(), FIRST)]


@pytest.mark.thorough(reason="every case of five seeds, and torch.nn, which the main job judges anyway")
@pytest.mark.parametrize(("sound", "seed"), SOUND, ids=lambda one: getattr(one, "name", one))
def test_sound_implementation_passes_the_same_seeds(sound, seed):
    for tested in properties():
        if tested.draws or seed == FIRST:
            assert red_findings(tested, sound, seed) == []


def unrecorded():
    """The first property of each name that is recorded for no fault: the others are seen to fail on their faults."""
    recorded = {node.partition("[")[0] for node in records().values()}
    first = {tested.name.partition("[")[0]: tested for tested in reversed(properties())}
    return [tested for name, tested in first.items() if name not in recorded]


@pytest.mark.parametrize("tested", unrecorded(), ids=lambda tested: tested.name)
def test_property_without_a_recorded_fault_fails_on_one_of_its_clause(tested):
    assert_fails(tested)


@pytest.mark.thorough(reason="each value of each property, also of those that are recorded for a fault")
@each_property
def test_property_fails_on_a_fault_of_its_clause(tested):
    assert_fails(tested)


def assert_fails(tested):
    """Some fault of the property's clause is shown by it; those that are recorded to be come first."""
    recorded, own = records(), {node_id((tested, cell)) for cell in tested.cells}
    broken = [fault for fault in faults() if tested.clause.id in fault.clauses]
    broken.sort(key=lambda fault: recorded.get(fault.name) not in own)
    found = (
        one
        for fault in broken
        for one in findings_by(tested, fault.subject, fault.cells, 0, fault.effort, enough=lambda finding: True)
    )
    assert any(tells(one) for one in found)


def test_every_clause_has_a_property_and_a_fault_that_breaks_it():
    assert {one.clause.id for one in properties()} == set(CLAUSES)
    assert {clause for fault in faults() for clause in fault.clauses} == set(CLAUSES)
