"""Sound variations pass: no property of their values finds anything in them."""

import pytest

from conformance.clauses import RED
from conformance.selftest.faults import ALL
from conformance.selftest.trial import findings
from conformance.selftest.variations import variations

JUDGED = ("B1", "B2", "E1")
"""The clauses that error bounds decide, and the one that a subject which computes wider is exempt from."""


@pytest.mark.parametrize("variation", variations(), ids=lambda variation: variation.name)
def test_sound_variation_passes(variation):
    found = findings(variation.subject, set(JUDGED) - set(variation.exempt), ALL, seed=0)
    assert [finding.text() for finding in found if finding.severity == RED] == []


def test_only_subjects_that_carry_more_than_they_return_are_exempt_and_only_from_the_stack_clause():
    assert {clause for variation in variations() for clause in variation.exempt} == {"E1"}
    assert sum(bool(variation.exempt) for variation in variations()) == 2
