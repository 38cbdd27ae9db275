"""Every seeded fault: `Plain` or `Packing` broken in one place, and the clauses that each breaks."""

from __future__ import annotations

from conformance.selftest.faults import (
    calls,
    gradients,
    gradients_in_part,
    graphs,
    large_calls,
    large_gradients,
    layouts,
    memory,
    packing,
    results,
    second_derivatives,
    sizes,
    surroundings,
    values,
)
from conformance.selftest.faults.fault import ALL, Fault
from conformance.selftest.faults.life_cycle import copies, documentation, parameters, stale
from conformance.selftest.faults.refusals import accepted, constructors, harmful, utilities

__all__ = ["ALL", "faults"]

_THEMES = (
    values.FAULTS,
    results.FAULTS,
    gradients.FAULTS,
    gradients_in_part.FAULTS,
    large_gradients.FAULTS,
    large_calls.FAULTS,
    graphs.FAULTS,
    calls.FAULTS,
    sizes.FAULTS,
    layouts.FAULTS,
    stale.FAULTS,
    copies.FAULTS,
    parameters.FAULTS,
    documentation.FAULTS,
    surroundings.FAULTS,
    memory.FAULTS,
    second_derivatives.FAULTS,
    packing.FAULTS,
    accepted.FAULTS,
    harmful.FAULTS,
    constructors.FAULTS,
    utilities.FAULTS,
)


def faults() -> tuple[Fault, ...]:
    """All seeded faults, always in the same order."""
    return tuple(fault for theme in _THEMES for fault in theme)
