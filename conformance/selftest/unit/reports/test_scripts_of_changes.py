"""What a call changes is told with its values, and shown by the simplest numbers that still change."""

from dataclasses import replace

import pytest
import torch

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.property import properties
from conformance.harness.reports.facts import facts
from conformance.harness.reports.minimiser.minimise import minimised
from conformance.harness.reports.scripts.script import WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.implementations.plain import Plain, subject
from conformance.selftest.unit.reports.test_other_kinds import in_place_of_torch, shown
from conformance.selftest.unit.reports.test_scripts import ended, in_place_of_torch_nn
from strategies import parse

CHANGES = "test_call_changes_no_input_state_or_parameter_and_draws_no_random_number"


class WritesState(Plain):
    """Writes the last hidden state into the given one, and returns that."""

    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        with torch.no_grad():
            return output, h_n if hx is None else hx.copy_(h_n)


class Negates(Plain):
    """Negates its input in place at each call, so that two calls leave it as it was."""

    def forward(self, x, hx=None):
        result = super().forward(x, hx)
        with torch.no_grad():
            (x if isinstance(x, torch.Tensor) else x.data).neg_()
        return result


def found_in(kind, line):
    """What the property finds of a subject in a case, in its simplest form, told of torch.nn."""
    case, cell = parse(f"v1 {line} float32 fill=dyadic")
    tested = next(one for one in properties() if one.name == CHANGES)
    with session.nested(Session(subject("changes", kind))) as here:
        found = [minimised(here, tested, cell, case, one) for one in found_by(here, tested, cell, case)]
    return {one.finding.kind: one._replace(finding=replace(one.finding, subject=TORCH_NN)) for one in found}


@pytest.mark.parametrize(
    ("kind", "line", "told"),
    [
        (WritesState, "gru i1 h1 t1", "changes: h_0"),
        (Negates, "gru i1 h1 t1", "changes: input"),
        (WritesState, "rnn_tanh i2 h2 t2 n2 mem=sliced", "returns the memory of: h_0"),
    ],
)
def test_script_exits_with_10_on_the_fault_and_with_0_on_a_sound_build(kind, line, told):
    found = found_in(kind, line)
    text = script(found[told])
    with in_place_of_torch_nn(subject("changes", kind)):
        assert ended(text)[0] == WITH_DEFECT, text
    assert ended(text)[0] == WITHOUT_DEFECT, text


def test_finding_says_what_was_there_before_the_call_and_what_is_there_after_it():
    line = found_in(WritesState, "gru i1 h1 t1")["changes: h_0"].finding.lines[0]
    assert line.startswith("call, changes:  h_0   index [0, 0, 0] was ")
    was, now = (float(part.split(" ")[-1]) for part in line.split(", is "))
    assert was != now


@pytest.mark.parametrize(
    ("name", "line", "told", "printed"),
    [
        (
            "replaces-nan-by-zero-in-the-argument-of-pack_padded_sequence",
            "t2,3",
            "changes:  input   index [2, 0] was nan, is 0",
            "expected [((0, 2, 0), nan)]\ngot      [((0, 2, 0), 0.0)]\n",
        ),
        (
            "transposes-the-argument-of-unpad_sequence-in-place",
            "t2,",
            "changes:  padded_sequences   shape was (2, 1), is (1, 2)",
            "expected [((0,), (2, 1)), ((0, 1, 0), 2.0)]\ngot      [((0,), (1, 2)), ((0, 1, 0), None)]\n",
        ),
    ],
)
def test_packing_call_that_changes_its_argument_is_told_with_values(name, line, told, printed):
    fault = next(fault for fault in faults() if fault.name == name)
    test = "test_padding_and_packing_leave_their_arguments_alone"
    found = shown(fault.subject, ("E4",), test, f"v1 rnn_tanh i1 h1 {line} float32 fill=dyadic")
    assert told in found.finding.lines[0]
    assert told.split("   ")[1] in " ".join(facts(found, "").split())
    text = script(found)
    with in_place_of_torch(fault.subject):
        assert ended(text) == (WITH_DEFECT, printed)
