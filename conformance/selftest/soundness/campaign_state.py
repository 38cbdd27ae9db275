"""The counts of a campaign: rows that add up across runs, kept in a JSON file while nothing they depend on changes.

Ratios are error / bound, the worst of a trial; above 1 is an excess.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from conformance.selftest import markdown
from conformance.selftest.soundness.state_file import StateFile, of_the_same_bounds

RESULTS, GRADIENTS = "results", "gradients"
"""The kinds of values that a campaign judges."""

BINS_PER_OCTAVE, OCTAVES = 4, 20
BINS = BINS_PER_OCTAVE * OCTAVES + 2
"""Ratios from 2^-20 to 1 in quarter octaves; the first bin holds all below, the last all above 1."""

EXCESSES_KEPT = 20
"""Of each row, and the worst: a defect found a thousand times would fill the file."""


def bin_of(ratio: float) -> int:
    """The bin that counts `ratio`."""
    if ratio <= 2.0**-OCTAVES:
        return 0
    return BINS - 1 if ratio > 1 else min(BINS - 2, 1 + int(BINS_PER_OCTAVE * (math.log2(ratio) + OCTAVES)))


def middle_of(place: int) -> float:
    """The ratio in the middle of a bin, 0 for the first."""
    return 0.0 if place == 0 else 2.0 ** ((place - 0.5) / BINS_PER_OCTAVE - OCTAVES)


@dataclass
class Worst:
    """The trial of a row with the largest ratio: its case line and kind, the result, and which layer alone."""

    ratio: float = -1.0
    line: str = ""
    kind: str = ""
    field: str = ""

    def __str__(self) -> str:
        return f"{self.ratio:.3g} {self.field} {self.line}" + (
            f" --kind {self.kind}" if self.kind != "ordinary" else ""
        )


@dataclass
class Row:
    """Counts of one cell, dtype, strain, mode, route and model. vacuous sums each trial's share of vacuous bounds."""

    cases: int = 0
    vacuous: float = 0.0
    excesses: int = 0
    worst: Worst = field(default_factory=Worst)
    bins: list[int] = field(default_factory=lambda: [0] * BINS)
    beyond: list[Worst] = field(default_factory=list)

    def count(self, seen: Worst, vacuous: float) -> None:
        """Adds a trial."""
        self.cases += 1
        self.vacuous += vacuous
        self.bins[bin_of(seen.ratio)] += 1
        if seen.ratio > self.worst.ratio:
            self.worst = seen
        if seen.ratio > 1:
            self.excesses += 1
            self._keep([seen])

    def add(self, other: Row) -> None:
        """Takes the counts of another run."""
        self.cases += other.cases
        self.vacuous += other.vacuous
        self.excesses += other.excesses
        self.bins = [a + b for a, b in zip(self.bins, other.bins, strict=True)]
        self.worst = max(self.worst, other.worst, key=lambda worst: worst.ratio)
        self._keep(other.beyond)

    def median(self) -> float:
        """The median ratio, to an eighth of an octave, of the cases in which anything was rounded; 0 without one."""
        rounded = self.bins[1:]
        below, half = 0, (sum(rounded) + 1) // 2
        for place, count in enumerate(rounded, 1):
            below += count
            if half and below >= half:
                return middle_of(place)
        return 0.0

    def _keep(self, more: Iterable[Worst]) -> None:
        self.beyond = sorted([*self.beyond, *more], key=lambda worst: -worst.ratio)[:EXCESSES_KEPT]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Row:
        beyond = [Worst(**one) for one in data["beyond"]]
        row = cls(**(data | {"worst": Worst(**data["worst"]), "beyond": beyond}))
        if len(row.bins) != BINS or sum(row.bins) != row.cases:
            raise ValueError("its bins do not add up")
        return row


@dataclass
class State(StateFile):
    """A campaign of results or gradients: how far it is, its rows, and refused calls."""

    FORMAT: ClassVar[object] = 2
    TERMS: ClassVar[tuple[str, ...]] = (*StateFile.TERMS, "of")

    of: str = RESULTS
    batches: int = 0
    trials: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    layouts: dict[str, int] = field(default_factory=dict)

    def row(self, *key: str) -> Row:
        """The row of a cell, dtype, strain (ordinary, adversary), mode, route and model."""
        return self.rows.setdefault(" ".join(key), Row())

    def add(self, other: State) -> None:
        """Takes what another run counted."""
        self.batches += other.batches
        self.trials += other.trials
        for key, row in other.rows.items():
            self.rows.setdefault(key, Row()).add(row)
        for word, cases in other.layouts.items():
            self.layouts[word] = self.layouts.get(word, 0) + cases
        for call, line in other.refused.items():
            self.refused.setdefault(call, line)

    def excesses(self, model: str) -> int:
        """How many comparisons exceeded a bound of the `sharp` or `union` model."""
        return sum(row.excesses for key, row in self.rows.items() if key.endswith(" " + model))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        return cls(**(data | {"rows": {key: Row.from_json(row) for key, row in data["rows"].items()}}))


def table(states: Iterable[State]) -> str:
    """What the states count, releases added up, as markdown. Raises StateError for other bounds."""
    states = of_the_same_bounds(states)
    total = State(states[0].sources, "", "", "", 0)
    for state in states:
        total.add(state)
    parts = (_runs(states), _layouts(total), _rows(total, "sharp"), _rows(total, "union"))
    return "\n\n".join("\n".join(lines) for lines in parts)


def _runs(states: Sequence[State]) -> list[str]:
    lines = markdown.head(["torch", "capability"], ["seed", "cases", "beyond sharp", "beyond union"])
    for one in states:
        counts = (one.trials, one.excesses("sharp"), one.excesses("union"))
        lines.append(markdown.row(one.torch, one.capability, one.seed, *(f"{count:,}" for count in counts)))
    return [*lines, "", f"{sum(one.trials for one in states):,} cases in all; bounds and cases `{states[0].sources}`."]


def _layouts(total: State) -> list[str]:
    shares = [f"{word} {cases / total.trials:.1%}" for word, cases in sorted(total.layouts.items())]
    return ["Shares of the cases: " + ", ".join(shares) + "."]


def _rows(total: State, model: str) -> list[str]:
    """A line for each cell, dtype, mode and route: all trials, then the health of the bounds on ordinary ones."""
    right = ["cases", "beyond", "worst", "ordinary cases", "worst", "median", "says nothing"]
    lines = markdown.head([f"{model} model: cell", "dtype", "mode", "route"], right)
    for key in sorted({key.replace(" adversary ", " ordinary ") for key in total.rows if key.endswith(" " + model)}):
        ordinary, both = total.rows.get(key, Row()), Row()
        both.add(ordinary)
        both.add(total.rows.get(key.replace(" ordinary ", " adversary "), Row()))
        cell, dtype, _, mode, route, _ = key.split()
        counts = (f"{both.cases:,}", f"{both.excesses:,}", f"{max(both.worst.ratio, 0):.3g}", f"{ordinary.cases:,}")
        health = (f"{max(ordinary.worst.ratio, 0):.3g}", f"{ordinary.median():.2g}")
        share = f"{ordinary.vacuous / max(ordinary.cases, 1):.1%}"
        lines.append(markdown.row(cell, dtype, mode, route, *counts, *health, share))
    return lines
