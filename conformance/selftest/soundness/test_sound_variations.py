"""Sound variations pass: no property of their values finds anything in them."""

import pytest

from conformance.clauses import RED
from conformance.harness.findings.recorder import Finding
from conformance.harness.property import properties
from conformance.selftest.faults.catalogue import ALL
from conformance.selftest.soundness.sound_variations import variations
from conformance.selftest.trial import FEW, findings_by

JUDGED = ("B1", "B2", "E1")
"""The clauses that error bounds decide, and the one whose bitwise part binds torch.nn alone."""

GRADIENTS = ("test_gradients_lie_within_their_error_bound", "test_gradients_in_16_bits_lie_within_their_error_bound")
"""Of gradients two properties: the others have the same bounds."""


JUDGED_QUICKLY = ("B1", "B2")
"""What a variation is judged by in the fast tier, beside gradients: the clauses that the derived bounds are about."""

each_variation = pytest.mark.parametrize("variation", variations(), ids=lambda variation: variation.name)


def is_cheap(tested):
    """Whether no case of a property has a size far out: variations compute every product in turn, in Python."""
    return all(cases is None or cases.share == 1 for _, cases in tested.families)


def red_findings(judged, clauses, effort):
    """The text of what the properties of these clauses, and those of gradients, find red in a subject."""
    gradients = [tested for tested in properties() if tested.name in GRADIENTS]
    assert len(gradients) == len(GRADIENTS)
    found: list[Finding] = []
    for tested in properties():
        if tested.clause.id in clauses and is_cheap(tested):
            found += findings_by(tested, judged, ALL, 0, effort)
    for tested in gradients:
        found += findings_by(tested, judged, ALL, 0, effort)
    return [finding.text() for finding in found if finding.severity == RED]


@each_variation
def test_sound_variation_passes_a_few_cases(variation):
    assert red_findings(variation.subject, JUDGED_QUICKLY, FEW) == []


def test_variation_that_keeps_a_workspace_for_each_length_takes_no_more_memory_later():
    (tested,) = (tested for tested in properties() if tested.clause.id == "D5")
    (keeping,) = (one for one in variations() if one.name == "keeps-a-workspace-for-each-length")
    assert list(findings_by(tested, keeping.subject, ALL, 0)) == []


@pytest.mark.thorough(reason="20 cases of each property, those of structure too")
@each_variation
def test_sound_variation_passes(variation):
    assert red_findings(variation.subject, JUDGED, "smoke") == []
