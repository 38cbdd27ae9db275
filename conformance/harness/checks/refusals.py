"""Checks of invalid calls: refused by a usual exception, and nothing harmed."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import numpy as np

from conformance.clauses import REMARK
from conformance.harness.checks import case_record
from conformance.harness.checks.values import assert_returned
from conformance.harness.execution.observation import Refused
from conformance.harness.findings.rendering import one_line
from reference.invalid_calls import META, Spoil, read

USUAL = (TypeError, ValueError, RuntimeError, IndexError)
"""The exceptions of which a refusal is expected to be one."""

ACCEPTED = "accepted"

CHANGES, SPOILS = "changes ", "spoils the module"
"""The kinds of what a call harms; behind the first stands the name of what it changes."""

NOT_REFUSED = "is not refused"
"""The kind of a call that ends its process or returns no answer: which it does may hang on what lies in memory."""


def assert_refused(seen: Refused, spoil: str) -> None:
    """An invalid call is refused, changes nothing, and the valid call after it gives what it gave.

    A call that is accepted is a deviation if what it returns depends on what lies in free memory, or if some of what
    it was given has no influence; else it is a remark.
    """
    if seen.failure is not None and not seen.failure.ended_process:
        assert_returned(seen)  # the valid call before it
        return
    record, what = case_record.current(), read(spoil)
    record.checked(seen, 1, 0.0, 0.0)
    found = [(f"{CHANGES}{name}", f"the call changes {name}") for name in seen.changed]
    found += [(SPOILS, seen.works_after)] if seen.works_after else []
    found += [(NOT_REFUSED, line) for line in _harms(seen, what)]
    for kind, line in found:
        record.found(seen, what.place, kind, [one_line(line), f"spoilt: {spoil}"], failure=seen.failure)
    if not found:
        _remark(seen, what)


def _harms(seen: Refused, spoil: Spoil) -> list[str]:
    """What shows that a call gives no answer to what was asked; nothing where it is refused."""
    if seen.failure is not None:
        return [seen.failure.text]
    if seen.refusal is not None:
        return []
    if spoil.how in META and any(one.size for one in seen.returned):
        return [f"accepted, and returns numbers, though {spoil.argument} has none"]
    if seen.ignored:
        return [f"accepted, and elements {', '.join(seen.ignored[:3])} have no influence"]
    if seen.beside and not _same(*seen.beside):
        return ["accepted, and the results hang on what else lies in memory"]
    return []


def _same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def _is_usual(exception: str) -> bool:
    """Whether an exception of this name is a usual one, or of a built-in kind of it."""
    kind = getattr(builtins, exception, None)
    return isinstance(kind, type) and issubclass(kind, USUAL)


def _remark(seen: Refused, spoil: Spoil) -> None:
    """An invalid call that was accepted without harm, or refused by an unusual exception."""
    if seen.refusal is None:
        kind, line = ACCEPTED, "accepted, and everything given has an influence"
    elif not _is_usual(seen.refusal.exception):
        kind, line = seen.refusal.title, seen.refusal.text
    else:
        return
    lines = [one_line(line), f"spoilt: {spoil.place}{spoil.how}"]
    case_record.current().found(seen, spoil.aspect, kind, lines, severity=REMARK, clause="J2")
