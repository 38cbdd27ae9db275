"""What the charts show: error / bound as distributions, times as ratios, in units of the drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from conformance.page.runs import Run
from conformance.results.document import Judged

BINS = 20
"""Of a distribution of error / bound from 0 to 1."""

FARTHEST = 4.0
"""The ratio of times at which a bar ends; its number says more."""

FEWEST_CALLS = 5
"""Rows of fewer timed calls are left out of ratios."""

SHORTEST_SECONDS = 1e-9
"""Rows of less time are left out of ratios: no clock tells so little."""


@dataclass(frozen=True)
class Distribution:
    """Error / bound of rows of clause, class and route in one dtype.

    heights  of the bins, the highest 1
    """

    rows: int
    heights: tuple[float, ...]
    median: float
    largest: float


@dataclass(frozen=True)
class Ratio:
    """Seconds per call beside those of another run: the median over rows of clause and route, and how far they reach.

    length  of the bar from 1, at most 1: negative where faster
    beside  the release of the other run
    """

    beside: str
    rows: int
    median: float
    least: float
    most: float

    @property
    def length(self) -> float:
        return max(-1.0, min(1.0, math.log(self.median) / math.log(FARTHEST)))


Where: TypeAlias = tuple[str, str]
"""A class and a dtype."""

Ratios: TypeAlias = dict[Where, Ratio]


def distribution(run: Run, dtype: str) -> Distribution | None:
    """The distribution of a dtype, or None where nothing in it was rounded."""
    worst = [one.worst for one in run.results.judged if one.dtype == dtype and one.worst > 0]
    if not worst:
        return None
    counts = [0] * BINS
    for one in worst:
        counts[min(BINS - 1, int(min(one, 1.0) * BINS))] += 1
    return Distribution(len(worst), tuple(count / max(counts) for count in counts), median(worst), max(worst))


def dtypes(runs: Sequence[Run]) -> list[str]:
    """Those of which anything was within a bound."""
    return list(dict.fromkeys(one.dtype for run in runs for one in run.results.judged if one.worst > 0))


def why_no_ratios(run: Run, beside: Run) -> str:
    """Why the times of two runs are not to be compared, or empty."""
    (ours, asked), (theirs, other) = ((one.results.environment, one.results.asked) for one in (run, beside))
    if not (ours.processor and theirs.processor):
        return "a processor is not named"
    pairs = {
        "processor": (ours.processor, theirs.processor),
        "subject": (asked.subject, other.subject),
        "effort": (asked.effort, other.effort),
        "seed": (asked.seed, other.seed),
        "suite": (run.results.suite, beside.results.suite),
    }
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return "; ".join(f"another {name}: {one or 'none'}, not {two or 'none'}" for name, (one, two) in differing.items())


def beside_oldest(runs: Sequence[Run]) -> list[Ratios]:
    """For each run its ratios beside the oldest that timed the class and dtype and may be compared."""
    found: list[Ratios] = []
    for place, run in enumerate(runs):
        older = [one for one in runs[:place] if not why_no_ratios(run, one)]
        found.append({where: ratio for one in reversed(older) for where, ratio in ratios(run, one).items()})
    return found


def timed(run: Run) -> set[Where]:
    """The classes and dtypes that a run timed."""
    return {(cell, dtype) for _, cell, dtype, _ in _seconds(run)}


def ratios(run: Run, beside: Run) -> Ratios:
    """The ratios of each class and dtype that both runs timed."""
    ours, theirs = _seconds(run), _seconds(beside)
    found: dict[Where, list[float]] = {}
    for place in ours.keys() & theirs.keys():
        _, cell, dtype, _ = place
        found.setdefault((cell, dtype), []).append(ours[place] / theirs[place])
    return {
        place: Ratio(beside.release, len(all_of), median(all_of), min(all_of), max(all_of))
        for place, all_of in found.items()
    }


def _seconds(run: Run) -> dict[tuple[str, str, str, str], float]:
    """Seconds per call of each clause, class, dtype and route."""
    return {_place(one): one.seconds / one.calls for one in run.results.judged if _is_timed(one)}


def _place(row: Judged) -> tuple[str, str, str, str]:
    return row.clause, row.cell, row.dtype, row.route


def _is_timed(row: Judged) -> bool:
    return bool(row.cell) and row.calls >= FEWEST_CALLS and row.seconds >= SHORTEST_SECONDS
