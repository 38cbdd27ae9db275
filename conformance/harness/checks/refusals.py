"""Checks of invalid calls: refused by a usual exception, and nothing harmed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conformance.clauses import REMARK
from conformance.harness.checks import case_record
from conformance.harness.execution.observation import Refused
from conformance.harness.findings.rendering import one_line
from strategies.invalid_calls import read

USUAL = ("TypeError", "ValueError", "RuntimeError", "IndexError")
"""The exceptions that a refusal is expected to be."""

ACCEPTED = "accepted"


def assert_refused(seen: Refused, spoil: str, elsewhere: Sequence[Refused]) -> None:
    """An invalid call is refused, changes nothing, and the valid call after it gives what it gave.

    elsewhere: the same calls in processes whose memory is filled in other ways. A call that is accepted is a deviation
    if what it returns depends on that, or if some of what it was given has no influence; else it is a remark.
    """
    record, place = case_record.current(), read(spoil).place
    record.checked(seen, 1, 0.0, 0.0)
    found = [(f"changes {name}", f"the call changes {name}") for name in seen.changed]
    found += [("spoils the module", seen.works_after)] if seen.works_after else []
    if seen.refusal is None:
        found += _harms(seen, elsewhere)
    for kind, line in found:
        record.found(seen, place, kind, [one_line(line), f"spoilt: {spoil}"])
    if not found:
        _remark(seen, place, spoil)


def _harms(seen: Refused, elsewhere: Sequence[Refused]) -> list[tuple[str, str]]:
    """What shows that an invalid call which was accepted gives no answer to what was asked."""
    if any(not _same(seen, other) for other in elsewhere):
        return [("reads memory of others", "accepted, and the results hang on what else lies in memory")]
    if seen.ignored:
        return [("is in part ignored", f"accepted, and elements {', '.join(seen.ignored[:3])} have no influence")]
    return []


def _same(seen: Refused, other: Refused) -> bool:
    return len(seen.returned) == len(other.returned) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(seen.returned, other.returned, strict=True)
    )


def _remark(seen: Refused, place: str, spoil: str) -> None:
    """An invalid call that was accepted without harm, or refused by an unusual exception."""
    if seen.refusal is None:
        kind, line = ACCEPTED, "accepted, and everything given has an influence"
    elif seen.refusal.exception not in USUAL:
        kind, line = seen.refusal.title, seen.refusal.text
    else:
        return
    case_record.current().found(seen, place, kind, [one_line(line), f"spoilt: {spoil}"], severity=REMARK, clause="J2")
