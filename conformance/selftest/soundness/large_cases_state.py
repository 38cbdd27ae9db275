"""The counts of a campaign over large cases, a row for each clause, axis and dtype."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from conformance.selftest import markdown
from conformance.selftest.soundness.state_file import StateFile, of_the_same_bounds

TOO_VACUOUS = 0.2
"""The share of bounds that say nothing from which on a row is flagged."""

LINES_KEPT = 20
"""Of findings: a defect found a thousand times would fill the file."""


@dataclass
class Row:
    """Counts of one clause, axis and dtype.

    vacuous   elements whose bound says nothing
    worst     the largest error / bound of an element within its bound
    beyond    cases with a finding
    """

    cases: int = 0
    elements: int = 0
    vacuous: float = 0.0
    worst: float = 0.0
    beyond: int = 0
    seconds: float = 0.0

    def add(self, other: Row) -> None:
        """Takes the counts of other cases."""
        self.cases += other.cases
        self.elements += other.elements
        self.vacuous += other.vacuous
        self.worst = max(self.worst, other.worst)
        self.beyond += other.beyond
        self.seconds += other.seconds

    @property
    def nothing_said(self) -> float:
        """The share of elements whose bound says nothing; all of a row that compared none."""
        return self.vacuous / self.elements if self.elements else 1.0

    @property
    def each(self) -> float:
        """Seconds per case."""
        return self.seconds / max(self.cases, 1)


@dataclass
class State(StateFile):
    """A campaign over large cases: how far it is, how many cases were differentiated, its rows and findings."""

    FORMAT: ClassVar[object] = "large cases 1"

    batches: int = 0
    differentiated: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        return cls(**(data | {"rows": {key: Row(**row) for key, row in data["rows"].items()}}))

    def row(self, *key: str) -> Row:
        """The row of a clause, axis and dtype."""
        return self.rows.setdefault(" ".join(key), Row())

    def add(self, other: State) -> None:
        self.batches += other.batches
        self.differentiated += other.differentiated
        for key, row in other.rows.items():
            self.row(key).add(row)
        self.findings = [*self.findings, *other.findings][:LINES_KEPT]

    def total(self) -> Row:
        """All rows together."""
        total = Row()
        for row in self.rows.values():
            total.add(row)
        return total


def table(states: Iterable[State]) -> str:
    """What the states count, releases added up, as markdown. Raises StateError for other bounds."""
    states = of_the_same_bounds(states)
    total = _together(states)
    parts = (_runs(states), _said(states, total), _rows(total), [f"    {line}" for line in total.findings])
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _together(states: Sequence[State]) -> State:
    """The counts of several states, releases added up."""
    total = State(states[0].sources, "", "", "", 0)
    for state in states:
        total.add(state)
    return total


def _runs(states: Sequence[State]) -> list[str]:
    lines = markdown.head(["torch", "capability"], ["seed", "cases", "of gradients", "beyond", "seconds per case"])
    for one in states:
        total = one.total()
        counts = (f"{count:,}" for count in (total.cases, one.differentiated, total.beyond))
        lines.append(markdown.row(one.torch, one.capability, one.seed, *counts, f"{total.each:.2f}"))
    return lines


def _said(states: Sequence[State], total: State) -> list[str]:
    """What all rows come to, and which rows say little: of each release, whose bounds differ."""
    counted = total.total()
    flagged = []
    for release in sorted({state.torch for state in states}):
        rows = _together([state for state in states if state.torch == release]).rows
        found = [f"{key} {row.nothing_said:.0%}" for key, row in sorted(rows.items()) if is_flagged(row)]
        flagged += [f"torch {release}: {', '.join(found)}"] if found else []
    return [
        f"{counted.cases:,} cases in all, {counted.each:.2f} seconds each; bounds and cases `{total.sources}`.",
        f"More than {TOO_VACUOUS:.0%} says nothing in: {'; '.join(flagged) or 'no row'}.",
    ]


def is_flagged(row: Row) -> bool:
    """Whether too many bounds of a row say nothing."""
    return row.nothing_said > TOO_VACUOUS


def _rows(total: State) -> list[str]:
    """A line for each clause, axis and dtype."""
    right = ["cases", "elements", "says nothing", "worst", "beyond", "seconds per case"]
    lines = markdown.head(["clause", "axis", "dtype"], right)
    for key, row in sorted(total.rows.items()):
        share = f"**{row.nothing_said:.1%}**" if is_flagged(row) else f"{row.nothing_said:.1%}"
        counts = (f"{row.cases:,}", f"{row.elements:,}", share, f"{row.worst:.3g}", f"{row.beyond:,}")
        lines.append(markdown.row(*key.split(), *counts, f"{row.each:.2f}"))
    return lines
