"""What calls may leave behind in memory.

A call whose results were let go has nothing to keep that an earlier call of the same sizes has not kept already.
"""

from __future__ import annotations

from conformance.harness.checks import case_record
from conformance.harness.execution.observation import InLaps

FIRST_LAPS = 2
"""Laps in which caches may fill, and the allocator finds its sizes."""

MOST_PER_CALL = 2**13
"""Bytes that a later lap may add for each of its calls. Sound modules added at most 500, in releases from 2.0 to
2.15; an output takes 27,000."""


def assert_no_more_memory(seen: InLaps) -> None:
    """Laps after the first two add at most `MOST_PER_CALL` for each call. Where none was measured nothing is judged."""
    later = seen.laps[FIRST_LAPS:]
    if not later:
        return
    case = case_record.current()
    case.checked(seen, len(later), 0.0, 0.0)
    calls = len(later) * seen.calls
    if sum(later) > calls * MOST_PER_CALL:
        added = ", ".join(f"{lap / 1e6:.1f}" for lap in seen.laps)
        allowed = f"allowed {MOST_PER_CALL / 1e3:.0f} kB a call"
        lines = [
            f"memory, laps of {seen.calls} calls:  added {added} MB",
            f"laps {FIRST_LAPS + 1} to {len(seen.laps)}:  {sum(later) / calls / 1e3:.3g} kB a call   {allowed}",
        ]
        case.found(seen, "memory", "grows", lines)
