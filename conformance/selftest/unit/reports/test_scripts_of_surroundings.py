"""Scripts of surroundings compare the value that the finding names, however its numbers were simplified."""

from dataclasses import replace

import pytest
import torch

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.property import properties
from conformance.harness.reports.minimiser.minimise import minimised
from conformance.harness.reports.scripts.script import WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.implementations.plain import Plain, subject
from conformance.selftest.unit.reports.test_scripts import MOST_LINES, ended, in_place_of_torch_nn
from strategies import parse

AROUND = "test_call_and_its_gradients_are_the_same_with[another_default_dtype]"
LARGE = "test_large_call_and_its_gradients_are_the_same_whatever_is_set_around_it[rows]"
BOUNDS = "test_call_and_its_gradients_lie_within_their_bounds_with[several_threads]"


class Scales(Plain):
    """Scales its input where the default dtype is float64."""

    def run(self, sequence, states, layer, direction):
        is_wide = torch.get_default_dtype() == torch.float64
        return super().run(sequence * (1 + 2**-4) if is_wide else sequence, states, layer, direction)


class Shifts(Plain):
    """Is wrong with one thread and with several."""

    def run(self, sequence, states, layer, direction):
        return super().run(sequence + 2**-4, states, layer, direction)


def found_in(kind, test, line):
    """What a property finds of a subject in a case, in its simplest form, told of torch.nn."""
    case, cell = parse(f"v1 {line} float32 fill=dyadic")
    tested = next(one for one in properties() if one.name == test)
    with session.nested(Session(subject("around", kind))) as here:
        found = [minimised(here, tested, cell, case, one) for one in found_by(here, tested, cell, case)]
    return [one._replace(finding=replace(one.finding, subject=TORCH_NN)) for one in found]


@pytest.mark.parametrize(
    ("test", "line"),
    [(AROUND, "lstm i1 h1 t1"), (AROUND, "gru i1 h1 t1,2 mem=sliced"), (LARGE, "rnn_tanh i1 h1 t1 n2 bf")],
)
def test_script_of_each_value_exits_with_10_on_the_fault_and_with_0_on_a_sound_build(test, line):
    found = found_in(Scales, test, line)
    fields = {one.finding.field for one in found}
    assert {"gradient of input", "gradient of h_0", "h_n"} <= fields
    for one in found:
        text = script(one)
        assert f": {one.finding.field} differs with another default dtype" in text.splitlines()[0]
        assert len(text.splitlines()) <= MOST_LINES
        with in_place_of_torch_nn(subject("around", Scales)):
            assert ended(text)[0] == WITH_DEFECT, text
        assert ended(text)[0] == WITHOUT_DEFECT, text


def test_call_that_is_wrong_plainly_too_is_no_finding_of_its_surroundings():
    assert not found_in(Shifts, BOUNDS, "rnn_tanh i1 h1 t1")
