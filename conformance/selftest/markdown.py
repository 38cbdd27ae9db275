"""Tables in markdown."""

from __future__ import annotations

from collections.abc import Sequence


def row(*cells: object) -> str:
    """A line of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def head(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """A table's head: texts to the left, figures to the right."""
    return [row(*left, *right), row(*["---"] * len(left), *["---:"] * len(right))]
