"""Comparisons of what packing utilities return with the same done by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.harness.checks import case_record
from conformance.harness.execution.observation import PackingObservation


def assert_array(
    seen: PackingObservation, name: str, got: np.ndarray | None, wanted: np.ndarray, of: str = "by hand"
) -> None:
    """An array has the shape that was computed by hand, and equals it: NaN equal to NaN, +0 to -0.

    name says of what; got is None where the call returned no such thing. of: says what `wanted` is instead.
    """
    case = case_record.current()
    case.checked(seen, wanted.size, 0.0, 0.0)
    field, seen = f"{seen.utility}: {name}", replace(seen, wanted=wanted)
    shape = "nothing" if got is None else got.shape
    if got is None or got.shape != wanted.shape:
        case.found(seen, field, "shape", [f"{field}, shape:  got {shape}   {of} {wanted.shape}", seen.call])
        return
    wrong = np.argwhere(~((got == wanted) | (np.isnan(got) & np.isnan(wanted))))
    if len(wrong):
        first = tuple(int(i) for i in wrong[0])
        line = f"{field}, element {list(first)}:  got {_text(got[first])}   {of} {_text(wanted[first])}"
        case.found(seen, field, "differs", [line, f"{len(wrong)} of {got.size} elements are wrong", seen.call])


def _text(value: np.generic) -> str:
    """A number as text, an integer with all its digits."""
    return f"{value:.9g}" if value.dtype.kind == "f" else str(int(value))
