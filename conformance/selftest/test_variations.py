"""Sound variations pass: no property of their values finds anything in them."""

import pytest

from conformance.clauses import RED
from conformance.harness.property import properties
from conformance.selftest.faults import ALL
from conformance.selftest.trial import findings, findings_by
from conformance.selftest.variations import variations

JUDGED = ("B1", "B2", "E1")
"""The clauses that error bounds decide, and the one whose bitwise part binds torch.nn alone."""

GRADIENTS = ("test_gradients_lie_within_their_error_bound", "test_gradients_in_16_bits_lie_within_their_error_bound")
"""Of gradients two properties: the others have the same bounds."""


@pytest.mark.parametrize("variation", variations(), ids=lambda variation: variation.name)
def test_sound_variation_passes(variation):
    gradients = [tested for tested in properties() if tested.name in GRADIENTS]
    assert len(gradients) == len(GRADIENTS)
    found = [*findings(variation.subject, JUDGED, ALL, seed=0)]
    for tested in gradients:
        found += findings_by(tested, variation.subject, ALL, seed=0)
    assert [finding.text() for finding in found if finding.severity == RED] == []
