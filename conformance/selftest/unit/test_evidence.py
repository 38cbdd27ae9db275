"""What is said of a finding that is shown: the equations by hand, the size that it needs, how often it comes."""

from dataclasses import replace

import pytest

from conformance.clauses import CLAUSES
from conformance.harness import evidence, session
from conformance.harness.checks import case_record
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings.recorder import Element, Evidence, Witness
from conformance.harness.findings.rendering import finding_text
from conformance.harness.property import Property, properties
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.unit.pytest_plugin.test_summary import FINDING
from reference.problem import GRU
from strategies import Case, cases, parse


def explained(fault, test, line):
    """What a property first finds in a seeded fault, with its evidence."""
    subject = next(one for one in faults() if one.name == fault).subject
    tested, (case, cell) = next(one for one in properties() if one.name == test), parse(line)
    with session.nested(Session(subject)) as here:
        return tested.explained(here, tested.record(here, cell, case).findings[0].finding, case)


RESULTS, GRADIENTS = "test_results_lie_within_their_error_bound", "test_gradients_lie_within_their_error_bound"


@pytest.mark.parametrize(
    ("fault", "test", "line"),
    [
        ("lstm-gates-read-as-figo", RESULTS, "v1 lstm i2 h2 t2 n2 bi float32"),
        ("computes-float64-in-float32", RESULTS, "v1 gru i2 h2 t2 l2 float64"),
        ("computes-float32-products-in-bfloat16", RESULTS, "v1 rnn_tanh i2 h2 t2 float32"),
        ("detaches-h_n", GRADIENTS, "v1 lstm i2 h2 t2 float32"),
        ("averages-the-gradient-of-the-input-over-rows", GRADIENTS, "v1 rnn_tanh i2 h2 t2 n2 float32"),
    ],
)
def test_equations_by_hand_side_with_the_reference(fault, test, line):
    finding = explained(fault, test, line)
    element, witness = finding.element, finding.evidence.witness
    assert witness.agrees
    assert not witness.from_returned
    assert abs(witness.value - element.wanted) <= element.allowed
    assert abs(witness.value - element.got) > element.allowed
    assert witness.working_error is not None
    assert witness.working_error < abs(witness.value - element.got)


def test_step_that_is_judged_from_the_state_before_it_has_a_witness_from_there():
    finding = explained(
        "step-9-sees-the-input-of-step-8",
        "test_every_step_of_every_layer_lies_within_its_error_bound",
        "v1 rnn_tanh i1 h1 t60 float32 fill=large seed=1",
    )
    assert finding.evidence.witness.agrees


def own(look, family=None, case=None):
    """What a property whose body calls `look` with the record, the case and an observation finds, with its evidence."""

    def body(case, cell):
        look(case_record.current(), case, Observation(case.on(cell), "torch.nn", "grad"))

    tested = Property(CLAUSES["B1"], "test_own", (((GRU,), family or cases()),), body)
    case = case or Case(steps=9, batch_size=5)
    with session.nested(Session(torch_nn())) as here:
        found = next(one for _ in range(20) for one in tested.record(here, GRU, case).findings)
        finding = tested.explained(here, found.finding, case)
        assert (here.recorder.tallies, here.recorder.kernels) == ({}, {})
    return finding


def test_size_that_a_finding_needs_is_named_beside_the_largest_that_passes():
    def look(record, case, seen):
        if case.steps >= 9:
            record.found(seen, "output", "is wrong", ["line"])

    finding = own(look)
    assert finding.evidence.least == (("steps", 9),)
    text = finding_text(finding, 80)
    assert "  input    5 rows, 9 steps: the smallest that fails; 8 steps pass\n" in text
    assert "rate" not in text


@pytest.mark.parametrize("family", [cases(steps=(1, 9)), cases(steps=9)])
def test_sizes_that_a_property_is_not_about_are_not_tried(family):
    asked = set()

    def look(record, case, seen):
        asked.add(case.steps)
        record.found(seen, "output", "is wrong", ["line"])

    assert own(look, family).evidence.least == ()
    assert asked == {9}


def test_finding_that_the_same_call_gives_now_and_then_says_how_often():
    calls = []

    def look(record, case, seen):
        calls.append(case)
        if len(calls) % 3 == 1:
            record.found(seen, "output", "is wrong", ["line"])

    finding = own(look)
    assert (finding.evidence.failing, finding.evidence.calls) == (3, 8)
    assert finding.evidence.least == (), "chance would decide which sizes fail"
    assert "  rate     in 3 calls of 8\n" in finding_text(finding, 80)


def test_few_calls_are_made_of_what_takes_long(monkeypatch):
    monkeypatch.setattr(evidence, "SECONDS", 0.0)
    calls = []

    def look(record, case, seen):
        calls.append(case)
        record.found(seen, "output", "is wrong", ["line"])

    assert own(look).evidence == Evidence(calls=2, failing=2)
    assert len(calls) == 2, "the one that found it, and one more"


def test_sound_subject_pays_nothing(monkeypatch):
    monkeypatch.setattr(evidence, "explained", lambda *_: pytest.fail("evidence of what is right"))
    tested = next(one for one in properties() if one.name == RESULTS)
    with session.nested(Session(torch_nn())):
        tested.check(GRU, Case())


ELEMENT = Element("output", {"layer": 0, "direction": 0, "row": 0, "step": 9, "unit": 0}, 0.5, 0.25, 1e-6)


@pytest.mark.parametrize(
    ("witness", "dtype", "said"),
    [
        (Witness(0.25, 1e-8), "float32", "float64; the same in float32 are off by 1e-08, got by 25,000,000 times that"),
        (Witness(0.25, 0.0), "float32", "float64; the same in float32 are off by 0"),
        (Witness(0.25, 0.2), "float32", "float64; the same in float32 are off by 0.2"),
        (Witness(0.25, None), "float16", "float64"),
        (Witness(0.25, 0.0), "float64", "float64"),
        (Witness(0.25, 1e-17), "float64", "float64; off by 1e-17, got by 2.5e+16 times that"),
        (Witness(0.25, None, True), "float16", "float64, from the state returned before"),
        (Witness(0.25, None, False, False), "float16", "float64, which are not the reference's: please report it"),
    ],
)
def test_finding_says_what_the_equations_by_hand_give_and_how_far_off_they_are(witness, dtype, said):
    finding = replace(FINDING, dtype=dtype, element=ELEMENT, evidence=Evidence(witness), lines=FINDING.lines[:1])
    lines = finding_text(finding, 80).splitlines()
    assert max(map(len, lines)) <= 80
    at = next(
        number for number, line in enumerate(lines) if line.startswith("    by hand     0.25           the equations")
    )
    assert lines[at - 1].startswith("    reference ")
    assert " ".join(" ".join(lines[at:-1]).split()).removeprefix("by hand 0.25 the equations in torch, ") == said
