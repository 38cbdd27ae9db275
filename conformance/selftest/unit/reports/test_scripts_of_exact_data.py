"""Scripts of data in which nothing is rounded compare with the documented equations, never with the value itself."""

from dataclasses import replace

import pytest

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.recorder import Element
from conformance.harness.property import properties
from conformance.harness.reports.facts import facts
from conformance.harness.reports.scripts.pairs import pair
from conformance.harness.reports.scripts.script import WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.unit.reports.test_scripts import ended, in_place_of_torch_nn
from strategies import parse

EXACT = "test_gates_that_are_open_or_shut_give_exactly_what_the_equations_say"
TIMID = next(fault.subject for fault in faults() if fault.name == "a-tanh-that-never-reaches-one")


def found_in(line):
    """What the property finds in a case."""
    case, cell = parse(f"v1 {line} fill=digital")
    tested = next(one for one in properties() if one.name == EXACT)
    with session.nested(Session(TIMID)) as here:
        found = next(found_by(here, tested, cell, case))
    return found._replace(finding=replace(found.finding, subject=TORCH_NN))


@pytest.mark.parametrize(
    "line", ["rnn_tanh i1 h1 t1 float32", "rnn_tanh i2 h2 t3 n2 float64", "gru i2 h2 t2 l2 float32"]
)
def test_script_exits_with_10_on_the_fault_and_with_0_on_a_sound_build(line):
    text = script(found_in(line))
    with in_place_of_torch_nn(TIMID):
        code, printed = ended(text)
    assert code == WITH_DEFECT, printed
    code, printed = ended(text)
    assert code == WITHOUT_DEFECT, printed


def test_finding_names_the_exact_value_as_the_documented_one():
    found = found_in("rnn_tanh i1 h1 t1 float32")
    finding = found.finding
    assert (finding.kind, finding.element.other) == ("is not exact", "")
    wrong = facts(found, "").partition("## Which result is wrong")[2].partition("##")[0]
    assert "The documented equations" in wrong
    assert "two calls" not in wrong


def test_value_is_never_compared_with_itself():
    found = found_in("rnn_tanh i1 h1 t1 float32")
    place = {"layer": 0, "direction": 0, "row": 0, "step": 0, "unit": 0}
    element = Element("output", place, 0.5, 0.25, other="output", there=place)
    finding = replace(found.finding, kind="differs from output", element=element)
    assert pair(Found(finding, Observation(found.seen.problem, TORCH_NN, "grad"))) is None
