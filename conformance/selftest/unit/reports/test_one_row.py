"""A finding among the rows of a table is shown by its worst value alone, and left as it is where that shows nothing."""

from dataclasses import replace

import numpy as np
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
from conformance.selftest.unit.reports.test_scripts import MOST_LINES, assert_small, ended, in_place_of_torch_nn

BOUND = "test_every_16_bit_value_passes_one_unit_within_its_bound"
TANH = "computes-tanh-between-2^-7-and-2^-6-with-a-relative-error-of-1/32-in-16-bit-types"
SIGMOID = "computes-the-sigmoid-between-1-and-2-with-a-relative-error-of-1/32-in-16-bit-types"

LONGEST_LINE = 200
"""A table of values would stand on one line."""


def found_in(judged, test, cell):
    """What a property that draws no case finds of a subject, and the same in one row; both told of torch.nn."""
    tested = next(one for one in properties() if one.name == test)
    with session.nested(Session(judged, routes=("grad",))) as here:
        found = next(found_by(here, tested, cell, None))
        return found, minimised(here, tested, cell, None, found)


def told_of_pytorch(found):
    return found._replace(finding=replace(found.finding, subject=TORCH_NN))


@pytest.mark.parametrize(
    ("name", "test", "cell"),
    [
        (TANH, BOUND, "lstm"),
        (SIGMOID, BOUND, "gru"),
        (TANH, "test_tanh_of_every_16_bit_value_is_as_accurate_as_its_model", "rnn_tanh"),
        (SIGMOID, "test_sigmoid_of_every_16_bit_value_is_as_accurate_as_its_model", "lstm"),
    ],
)
def test_script_shows_one_value_of_a_table(name, test, cell):
    fault = next(fault for fault in faults() if fault.name == name)
    whole, least = found_in(fault.subject, test, cell)
    assert whole.seen.problem.batch_size > 2**15
    assert_small(name, least)
    assert f"it is row {whole.finding.element.where['row']} of the 6" in facts(told_of_pytorch(least), "")
    text = script(told_of_pytorch(least))
    assert len(text.splitlines()) <= MOST_LINES
    assert max(map(len, text.splitlines())) < LONGEST_LINE
    with in_place_of_torch_nn(fault.subject):
        code, printed = ended(text)
    assert code == WITH_DEFECT, printed
    assert ended(text)[0] == WITHOUT_DEFECT, text


class WorstInAnotherBinade(Plain):
    """Has a small error from 2^-7 to 2^-6 and a larger one from 1/2 to 1, in 16-bit types."""

    worst = 0.75

    def tanh(self, z):
        return self.off(torch.tanh(z), z)

    def sigmoid(self, z):
        return self.off(torch.sigmoid(z), z)

    def off(self, right, z):
        size = z.abs()
        near = torch.where((size >= 2**-7) & (size < 2**-6), 1 - 2**-5, 1.0)
        return right * torch.where((size >= 0.5) & (size < 1), self.worst, near).to(z.dtype)


class NaNInAnotherBinade(WorstInAnotherBinade):
    """The same, and NaN in place of the larger error."""

    worst = float("nan")


@pytest.mark.parametrize("kind", [WorstInAnotherBinade, NaNInAnotherBinade])
@pytest.mark.parametrize(
    ("test", "cell", "exact"),
    [
        ("test_tanh_of_every_16_bit_value_is_as_accurate_as_its_model", "rnn_tanh", np.tanh),
        ("test_sigmoid_of_every_16_bit_value_is_as_accurate_as_its_model", "lstm", lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_inaccurate_function_is_shown_by_its_worst_value(kind, test, cell, exact):
    whole, least = found_in(subject("worst", kind), test, cell)
    element = whole.finding.element
    assert 0.5 <= abs(whole.seen.problem.input[element.where["row"], 0, 0]) < 1
    assert element.wanted == pytest.approx(exact(whole.seen.problem.input[element.where["row"], 0, 0]))
    assert np.array_equal(
        (least.finding.element.got, least.finding.element.wanted), (element.got, element.wanted), True
    )
    off = "got is NaN" if np.isnan(element.got) else "off by "
    assert f" +- {element.allowed:.2g} allowed; {off}" in whole.finding.lines[0]


class ShiftsManyRows(Plain):
    """Shifts the input of calls of many rows."""

    def run(self, sequence, states, layer, direction):
        return super().run(sequence + 2**-4 if sequence.shape[1] > 1 else sequence, states, layer, direction)


def test_finding_that_one_row_does_not_show_keeps_its_table():
    whole, least = found_in(subject("many", ShiftsManyRows), BOUND, "gru")
    assert least is whole
