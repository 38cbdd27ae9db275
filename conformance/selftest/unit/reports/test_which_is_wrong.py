"""Facts say which of two values is wrong, and what they are: of one call, of two, of one made again, or of parts."""

import pytest

from conformance.harness.reports.facts import which_is_wrong
from conformance.selftest.unit.reports.test_scripts_of_pairs import MORE, SHOWN, fault_named, found_in

KINDS = {
    "takes-h_n-of-the-reverse-direction-from-its-output-at-the-last-time-step": (
        "One of two results of the same call, which must be the same",
        "So the second is wrong.",
    ),
    "scales-the-output-of-layers-above-the-first-by-1-+-1/64": (
        "One of two calls, whose results must be the same",
        "So the first is wrong.",
    ),
    "adds-1/16-to-the-initial-states-from-the-second-call-on": (
        "One of two calls of the same module, which must return the same",
        "So the first is wrong.",
    ),
    "halves-the-gradient-of-recurrent-weights-in-the-second-backward-pass-of-a-graph": (
        "The second backward pass, or the first, of which it must add the same once more",
        "",
    ),
    "clips-the-gradient-of-a-step's-input-to-1/8": (
        "One of two backward passes: that of the loss, or that of a multiple of it",
        "So the first is wrong.",
    ),
    "subtracts-the-mean-over-the-batch-from-its-input": (
        "One of two calls of the same module, which must return the same",
        "the first is no number",
    ),
    "step-9-sees-the-input-of-step-8": (
        "The call's. The documented equations, computed in float64 with a bound on every rounding error, from the h",
        "no correct implementation is off by more",
    ),
    "averages-the-gradient-of-input-weights-over-the-batch": (
        "The gradient of the call, or the sum of those of its parts, which must be the same",
        "So the first is wrong.",
    ),
    "halves-the-gradient-of-b_hh": (
        "One of two gradients of the same call, which must be the same",
        "So the second is wrong.",
    ),
}
"""How the sentence begins, and what it says in the end."""

CASES = {name: (test, line) for name, test, line in reversed(MORE)} | SHOWN


@pytest.mark.parametrize("name", KINDS)
def test_facts_say_what_is_compared_and_which_is_wrong(name):
    told = which_is_wrong(found_in(fault_named(name).subject, *CASES[name]))
    begin, says = KINDS[name]
    assert told.startswith(begin), told
    assert says in told, told


def test_errors_that_are_alike_tell_nothing():
    found = found_in(
        fault_named("halves-its-input-in-place").subject, "test_same_call_gives_the_same_again", "gru i1 h1 t1"
    )
    assert which_is_wrong(found).endswith("That does not tell which is wrong.")
