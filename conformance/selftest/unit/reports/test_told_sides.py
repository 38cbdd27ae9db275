"""The words beside the two values of a comparison say which call each is of."""

import pytest

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.checks.values import number
from conformance.harness.property import properties
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.unit.reports.test_other_kinds import AROUND
from strategies import parse

SETTINGS = {
    "computes-something-else-in-anomaly-mode": "anomaly_mode",
    "computes-something-else-outside-of-the-main-thread": "another_thread",
    "computes-something-else-after-a-fork": "fork",
}

CALLS = {
    "adds-1/16-to-the-initial-states-from-the-second-call-on": (
        "test_same_call_gives_the_same_again",
        "gru_cell i1 h1",
        "the first time: h_n",
    ),
    "takes-h_n-of-the-reverse-direction-from-its-output-at-the-last-time-step": (
        "test_backward_half_of_the_first_output_is_the_backward_state",
        "rnn_tanh i1 h1 t2 bi",
        "the same call: h_n",
    ),
}
"""A property that shows a fault, the sizes of its case, and what stands before the value that was wanted."""


def found_of(name, test, line, of_results=False):
    """What a property finds first in a case, in anything or in results alone."""
    case, cell = parse(f"v1 {line} float32 fill=dyadic")
    fault = next(fault for fault in faults() if fault.name == name)
    tested = next(one for one in properties() if one.name == test)
    with session.nested(Session(fault.subject)) as here:
        found = found_by(here, tested, cell, case)
        return next(one for one in found if not of_results or one.finding.field in one.seen.results)


@pytest.mark.parametrize("name", SETTINGS)
def test_value_of_the_plain_call_is_called_so(name):
    found = found_of(name, f"{AROUND}[{SETTINGS[name]}]", "lstm i1 h1 t1", of_results=True)
    element, plain = found.finding.element, found.seen.results[found.finding.field].values
    assert element.wanted in plain
    assert element.got not in plain
    got, _, wanted = found.finding.lines[0].partition("   plainly, not with ")
    assert got.endswith(f"got {number(element.got)}")
    assert wanted.endswith(number(element.wanted))


@pytest.mark.parametrize(
    ("name", "test", "line", "words"),
    [
        (
            "halves-the-gradient-of-recurrent-weights-in-the-second-backward-pass-of-a-graph",
            "test_a_second_backward_pass_adds_the_same_gradients",
            "rnn_tanh i1 h1 t1",
            "2 times {} of one pass",
        ),
        (
            "clips-the-gradient-of-a-step's-input-to-1/8",
            "test_gradients_grow_with_the_loss_by_powers_of_two",
            "lstm i1 h1 t1 pick=7",
            "256 times {} of the loss alone",
        ),
    ],
)
def test_multiple_of_a_gradient_is_told_as_the_documented_value(name, test, line, words):
    finding = found_of(name, test, line).finding
    factor = float(words.split(" ")[0])
    documented = f"   documented {number(finding.element.wanted)}   "
    assert documented + words.format(f"{finding.element.wanted / factor:.9g}") in finding.lines[0]


@pytest.mark.parametrize("name", CALLS)
def test_value_that_was_wanted_says_of_which_call_it_is(name):
    test, line, words = CALLS[name]
    assert f"   {words}, " in found_of(name, test, line).finding.lines[0]
