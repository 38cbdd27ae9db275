"""Sound variations pass: no property of their values finds anything in them."""

import pytest

from conformance.clauses import RED
from conformance.selftest.faults import ALL
from conformance.selftest.trial import findings
from conformance.selftest.variations import variations

JUDGED = ("B1", "B2", "E1")
"""The clauses that error bounds decide, and the one whose bitwise part binds torch.nn alone."""


@pytest.mark.parametrize("variation", variations(), ids=lambda variation: variation.name)
def test_sound_variation_passes(variation):
    found = findings(variation.subject, JUDGED, ALL, seed=0)
    assert [finding.text() for finding in found if finding.severity == RED] == []
