"""Chapter C, sixth clause: APIs of autograd that can differentiate a call, beside one backward pass."""

from conformance.clauses import AMBER
from conformance.harness.api import (
    AUTOGRAD_API_IDS,
    DOUBLE_BACKWARD,
    MODULES,
    SINGLE_STEPS,
    assert_gradients_within,
    assert_open,
    assert_second_derivatives_near,
    clause,
    differentiate_by,
    in_float64,
)

TWICE = 2
"""Forward mode multiplies in another order than back-propagation. Its bounds are not derived: those of
back-propagation are doubled, and what lies beyond is amber."""


@clause("C6", on=MODULES + SINGLE_STEPS, each=AUTOGRAD_API_IDS)
def test_every_dtype_and_kernel_can_be_differentiated_by(cell, api):
    calls, siblings = differentiate_by(cell, api)
    assert_open(api, calls, siblings)
    for seen in (one for one in calls if one.failure is None):
        wide = in_float64(seen) if seen.second is not None else None
        if wide is not None:
            assert_second_derivatives_near(seen, wide)
        for first in seen.first_derivatives:
            assert_gradients_within(first, times=1 if api == DOUBLE_BACKWARD else TWICE, clause="C1", severity=AMBER)
