"""What is counted of the cases that were looked at, as plain data that processes exchange as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

KNOWN = "known"
"""The outcome of a case whose deviation is a known one; the others are the severities."""


@dataclass(kw_only=True)
class Counts:
    """Cases, compared elements, the vacuous share of these, the worst error / bound of those within, and in how many
    cases something deviated, by severity or `KNOWN`."""

    cases: int = 0
    elements: int = 0
    vacuous: float = 0.0
    worst: float = 0.0
    found: dict[str, int] = field(default_factory=dict)

    def compared(self, elements: int, vacuous: float, ratio: float) -> None:
        """A comparison; `vacuous` is the vacuous share of its elements, `ratio` its worst error / bound."""
        self.elements += elements
        self.vacuous += vacuous * elements
        if ratio <= 1:
            self.worst = max(self.worst, ratio)

    def deviated(self, outcome: str, cases: int = 1) -> None:
        """So many cases in which something deviated with this outcome."""
        self.found[outcome] = self.found.get(outcome, 0) + cases

    def add_counts(self, other: Counts) -> None:
        self.cases += other.cases
        self.elements += other.elements
        self.vacuous += other.vacuous
        self.worst = max(self.worst, other.worst)
        for outcome, cases in other.found.items():
            self.deviated(outcome, cases)


@dataclass(kw_only=True)
class JudgedCounts(Counts):
    """Counts of one clause, cell, dtype and route; `calls` into the subject were timed, and took `seconds`."""

    calls: int = 0
    seconds: float = 0.0

    def add(self, other: JudgedCounts) -> None:
        self.add_counts(other)
        self.calls += other.calls
        self.seconds += other.seconds


@dataclass(kw_only=True)
class PropertyStats(Counts):
    """Counts of one property on one cell. A case is vacuous if none of its bounds can be broken.

    detectable_error is, for each dtype, the smallest relative error that one of the cases would have shown if it were
    in every result.
    """

    vacuous_cases: int = 0
    detectable_error: dict[str, float] = field(default_factory=dict)

    def seen(self, dtype: str, error: float) -> None:
        """A case of this dtype would have shown a relative error of this size."""
        self.detectable_error[dtype] = min(error, self.detectable_error.get(dtype, error))

    def add(self, other: PropertyStats) -> None:
        self.add_counts(other)
        self.vacuous_cases += other.vacuous_cases
        for dtype, error in other.detectable_error.items():
            self.seen(dtype, error)
