"""A comparison in words: a line for each kind of change, and below it what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from conformance.comparing.drift import Drift
from conformance.comparing.files import HandedOver
from conformance.comparing.sides import Place
from conformance.comparing.timing import PAIRS, Times
from conformance.comparing.verdicts import Changed, Comparison, Headroom
from conformance.harness.cells import CELL_NAMES
from conformance.harness.findings.recorder import Key
from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import one_line

MOST_LINES = 12
"""So many changes of a kind are told; the rest is counted."""

WIDTH = 200


@dataclass(frozen=True)
class Outcome:
    """All that a comparison of two interpreters found.

    control    the old one with itself: its differences are false flags
    weights    the cells whose initial weights of one seed changed
    masks      the cells whose dropout masks of one seed changed
    control_times  of the old side beside itself
    waived     ids of known deviations that were waived
    """

    control: Comparison
    real: Comparison
    weights: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    control_times: tuple[Times, ...] = ()
    times: tuple[Times, ...] = ()
    files: tuple[HandedOver, ...] = ()
    drifts: tuple[Drift, ...] = ()
    waived: frozenset[str] = frozenset()

    @property
    def unwaived(self) -> list[Changed]:
        """The new deviations that count."""
        return [one for one in self.real.new.values() if one.finding.known not in self.waived]

    @property
    def lost(self) -> Mapping[tuple[str, str, str], Headroom]:
        """The losses of headroom that count."""
        return self.real.lost

    @property
    def slower(self) -> list[Times]:
        return [one for one in self.times if one.is_slower]

    @property
    def lost_files(self) -> list[HandedOver]:
        return [one for one in self.files if one.is_lost]

    @property
    def false_flags(self) -> int:
        """Differences of the old side from itself."""
        return self.control.differing + sum(one.is_slower for one in self.control_times)


def told(outcome: Outcome) -> Iterator[str]:
    """The whole comparison, line by line."""
    real = outcome.real
    yield _false_flags(outcome)
    yield from verdicts(outcome)
    yield from _bits(real)
    yield from _drifts(outcome.drifts)
    yield from headroom(real)
    yield from _streams(outcome)
    yield from _kernels(real)
    yield from _warnings(real)
    yield from _times(outcome.times)
    yield from _files(outcome.files)


def _false_flags(outcome: Outcome) -> str:
    asked = outcome.control.cases + len(outcome.control_times)
    rate = 100 * outcome.false_flags / asked if asked else 0.0
    return line("false flags", f"{outcome.false_flags} of {asked} ({rate:.2g} %), the old one compared with itself")


def verdicts(outcome: Outcome) -> Iterator[str]:
    """The deviations that came and went."""
    real = outcome.real
    waived = len(real.new) - len(outcome.unwaived)
    of_these = f", {waived} of them waived" if waived else ""
    yield line("verdicts", f"{counted(len(real.new), 'new deviation')}{of_these}, {len(real.fixed)} fixed")
    yield from several([f"new {_change(key, one)}" for key, one in real.new.items()])
    yield from several([f"fixed {_change(key, one)}" for key, one in real.fixed.items()])


def _change(key: Key, one: Changed) -> str:
    clause, name, kind, cell = key
    known = f", known as {one.finding.known}" if one.finding.known else ""
    return f"{one.finding.severity} {clause} {_cell(cell)} {name} {kind}{known}: {one.line}"


def _bits(real: Comparison) -> Iterator[str]:
    where = "all inside their bounds" if not real.beyond else f"{real.beyond} of them with a new deviation"
    if not real.cases_with_bits:
        yield line("bits", f"the same in all {real.cases} cases")
        return
    yield line("bits", f"changed in {real.cases_with_bits} of {real.cases} cases, {where}")
    yield from several([f"{count:5}  {place_of(place)}" for place, count in real.bits.most_common()])


def _drifts(drifts: Sequence[Drift]) -> Iterator[str]:
    """How training goes on: of interest where bits changed."""
    if not drifts:
        return
    outside = [one for one in drifts if not one.is_inside]
    yield line(
        "training",
        f"{len(drifts) - len(outside)} of {len(drifts)} configurations inside the spread of ten "
        "runs whose weights were changed by a rounding",
    )
    yield from several(
        [
            one.cannot or f"weights differ by {one.new:.2g}, in the ten runs by {one.spread:.2g}: {one.label}"
            for one in drifts
            if one.new or one.cannot
        ]
    )


def headroom(real: Comparison) -> Iterator[str]:
    """The groups of cases whose worst error / bound grew too much."""
    both = [one for one in real.headroom.values() if one.old or one.new]
    worst = f"worst error/bound {max((one.old for one in both), default=0):.2g} before, "
    worst += f"{max((one.new for one in both), default=0):.2g} now"
    yield line("headroom", f"lost in {len(real.lost)} of {len(both)} groups of cases; {worst}")
    yield from several(
        [
            f"{clause} {_cell(cell)} {dtype}: {one.old:.2g} became {one.new:.2g}: {one.line}"
            for (clause, cell, dtype), one in real.lost.items()
        ]
    )


def _streams(outcome: Outcome) -> Iterator[str]:
    for name, cells in (("initial weights", outcome.weights), ("dropout masks", outcome.masks)):
        other = "others for the same seed: " + ", ".join(CELL_NAMES[cell] for cell in cells)
        yield line(name, other if cells else "the same for the same seed")


def _kernels(real: Comparison) -> Iterator[str]:
    changed = real.changed_kernels
    yield line("kernels", f"others in {len(changed)} of {len(real.kernels)} places")
    yield from several(
        [
            f"{place_of(at)}: {'+'.join(sorted(old))} became {'+'.join(sorted(new))}"
            for at, (old, new) in changed.items()
        ]
    )


def _warnings(real: Comparison) -> Iterator[str]:
    new, gone = _by_text(real.warnings_new), _by_text(real.warnings_gone)
    yield line("warnings", f"{len(new)} new, {len(gone)} gone")
    yield from several([f"new {text} ({count} cases)" for text, count in new.items()])
    yield from several([f"gone {text} ({count} cases)" for text, count in gone.items()])


def _by_text(warnings: Mapping[tuple[Place, str], int]) -> Counter[str]:
    found = Counter[str]()
    for (_, text), count in warnings.items():
        found[text] += count
    return found


def _times(times: Sequence[Times]) -> Iterator[str]:
    measured = sorted((one for one in times if not one.cannot), key=lambda one: -one.ratio)
    slower = [one for one in measured if one.is_slower]
    yield line("time", f"{len(slower)} of {len(measured)} configurations slower, in {PAIRS} pairs each")
    yield from several([f"{one.ratio:5.2f} times  {one.label}" for one in measured])
    yield from several([f"cannot {one.label}: {one.cannot}" for one in times if one.cannot])


def _files(files: Sequence[HandedOver]) -> Iterator[str]:
    lost = [one for one in files if one.is_lost]
    written = [one for one in files if not one.not_written]
    yield line("files", f"{len(written) - len(lost)} of {len(written)} of the old one's load and give its results")
    yield from several([f"{one.module} {one.form}: {one.trouble}" for one in lost])
    unwritten = [one for one in files if one.not_written]
    yield from several([f"{one.module} {one.form} not written: {one.not_written}" for one in unwritten])


def _cell(name: str) -> str:
    return CELL_NAMES.get(name, name)


def place_of(place: Place) -> str:
    """A cell, dtype and route in words."""
    cell, dtype, route = place
    return " ".join(filter(None, (_cell(cell) if cell else "", dtype, route))) or "no module"


def line(name: str, text: str) -> str:
    """A kind of change behind its name."""
    return f"{name:<16}{one_line(text, WIDTH)}"


def several(lines: Sequence[str]) -> Iterator[str]:
    """The first of many changes of a kind, below its line."""
    yield from (" " * 16 + one_line(line, WIDTH) for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield " " * 16 + f"and {len(lines) - MOST_LINES} more"
