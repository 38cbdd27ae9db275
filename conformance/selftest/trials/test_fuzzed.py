"""No fuzzed input ends in anything but what is documented, and one that does is told."""

import pytest

from conformance.selftest.trials import fuzzed
from conformance.selftest.trials.fuzzed import ACCEPTED, REFUSED, UNEXPLAINED, Outcome, tried
from strategies import CaseError


def raising(error):
    def look():
        raise error

    return look


@pytest.mark.parametrize(
    "count", [30, pytest.param(1000, marks=pytest.mark.thorough(reason="a thousand inputs, no whole programs"))]
)
def test_every_input_is_explained(count):
    told = [one for one in fuzzed.trials(count, seed=7) if one[2].name == UNEXPLAINED]
    assert told == []


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KeyError("a"), "KeyError: 'a'"),
        (CaseError("two\nlines; leave one out"), "more than one line"),
        (CaseError("\x1b[31m; leave it out"), "characters that do not print"),
        (CaseError("no"), "no remedy"),
        (CaseError("; " + "x" * 2000), "2002 characters"),
    ],
)
def test_what_is_not_documented_is_unexplained(error, why):
    outcome = tried(raising(error))
    assert outcome.name == UNEXPLAINED
    assert why in outcome.why


def test_what_is_documented_is_explained():
    assert tried(raising(CaseError("no such word; leave it out"))) == Outcome(REFUSED)
    assert tried(lambda: ACCEPTED) == Outcome(ACCEPTED)


def test_same_seed_draws_the_same_inputs():
    strategy, _, _ = fuzzed.KINDS["case lines"]
    assert fuzzed.drawn(strategy, 10, 3) == fuzzed.drawn(strategy, 10, 3) != fuzzed.drawn(strategy, 10, 4)
