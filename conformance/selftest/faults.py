"""Every seeded fault: `Plain` or `Packing` broken in one place, and the clauses that each breaks."""

from __future__ import annotations

from conformance.selftest import (
    faults_gradients,
    faults_of_calls,
    faults_of_results,
    faults_of_sizes,
    faults_of_some_gradients,
    faults_of_values,
    faults_packing,
    faults_second_derivatives,
)
from conformance.selftest.seeding import ALL, Fault

__all__ = ["ALL", "faults"]

_THEMES = (
    faults_of_values.FAULTS,
    faults_of_results.FAULTS,
    faults_gradients.FAULTS,
    faults_of_some_gradients.FAULTS,
    faults_of_calls.FAULTS,
    faults_of_sizes.FAULTS,
    faults_second_derivatives.FAULTS,
    faults_packing.FAULTS,
)


def faults() -> tuple[Fault, ...]:
    """All of them, always in the same order."""
    return tuple(fault for theme in _THEMES for fault in theme)
