"""Candidates as sentences."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 4
"""How many candidates are named."""

MOST_NAMES = 3
"""How many rows or tensors are named."""

NOT_TOLD_APART = "the case does not tell these apart"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def sentence(equal: str, candidates: Sequence[str]) -> list[str]:
    """`equal` and what it is equal to; several candidates are named beside each other, the simplest first."""
    if not candidates:
        return []
    named, more = list(candidates[:MOST]), len(candidates) - MOST
    text = f"{equal} {', or '.join(named)}" + (f", or {more} more" if more > 0 else "")
    return [f"{text}; {NOT_TOLD_APART}" if len(candidates) > 1 else text]


def few(names: Sequence[str]) -> str:
    """At most `MOST_NAMES` of them, and how many more."""
    return listed(names if len(names) <= MOST_NAMES else [*names[:MOST_NAMES], f"{len(names) - MOST_NAMES} more"])
