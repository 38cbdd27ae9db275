"""What two sides show of the same cases: verdicts, bits, bounds, kernels and warnings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.comparing.cases import Task
from conformance.comparing.sides import Look, Place, Side
from conformance.harness.findings.recorder import Finding, Key

LEAST_HEADROOM = 0.5
"""Headroom is not lost below this share of a bound."""

FEWER_TIMES = 2.0
"""Headroom is lost where the worst error / bound is so many times the old one."""


@dataclass(frozen=True)
class Changed:
    """A deviation that only one side shows, and the first case that shows it."""

    finding: Finding
    line: str


@dataclass
class Headroom:
    """The worst error / bound of a clause, cell and dtype over the same cases, on both sides."""

    old: float = 0.0
    new: float = 0.0
    line: str = ""

    @property
    def is_lost(self) -> bool:
        return self.new > LEAST_HEADROOM and self.new > FEWER_TIMES * self.old


@dataclass
class Comparison:
    """What differs over all cases.

    cases       looked at, and of these `differing` in anything at all
    new, fixed  deviations by signature and cell
    bits        in how many cases arrays differ, by clause, cell, dtype and route; `beyond` of them on the new side
                deviate too
    headroom    by clause, cell and dtype
    kernels     by place: those reached on both sides
    warnings    that only one side gives
    """

    cases: int = 0
    differing: int = 0
    new: dict[Key, Changed] = field(default_factory=dict)
    fixed: dict[Key, Changed] = field(default_factory=dict)
    bits: Counter[Place] = field(default_factory=Counter)
    cases_with_bits: int = 0
    beyond: int = 0
    headroom: dict[tuple[str, str, str], Headroom] = field(default_factory=lambda: defaultdict(Headroom))
    kernels: dict[Place, tuple[set[str], set[str]]] = field(default_factory=dict)
    warnings_new: Counter[tuple[Place, str]] = field(default_factory=Counter)
    warnings_gone: Counter[tuple[Place, str]] = field(default_factory=Counter)

    def add(self, task: Task, old: Look, new: Look) -> None:
        """Counts one case."""
        self.cases += 1
        places = _differing(old, new)
        came = [one for key, one in new.findings.items() if key not in old.findings]
        went = [one for key, one in old.findings.items() if key not in new.findings]
        for one in came:
            self.new.setdefault(one.key, Changed(one, task.line))
        for one in went:
            self.fixed.setdefault(one.key, Changed(one, task.line))
        self.bits.update(places)
        self.cases_with_bits += bool(places)
        self.beyond += bool(places and came)
        self._note_bounds(task, old, new)
        self._note_surroundings(old, new)
        self.differing += bool(places or came or went or old.seen.warnings != new.seen.warnings)

    def _note_bounds(self, task: Task, old: Look, new: Look) -> None:
        if not (old.compared and new.compared):
            return
        at = self.headroom[task.tested.clause.id, task.cell, task.dtype]
        at.old = max(at.old, old.worst)
        if new.worst > at.new:
            at.new, at.line = new.worst, task.line

    def _note_surroundings(self, old: Look, new: Look) -> None:
        for place in old.seen.kernels.keys() & new.seen.kernels.keys():
            before, after = self.kernels.setdefault(place, (set(), set()))
            before.update(old.seen.kernels[place])
            after.update(new.seen.kernels[place])
        self.warnings_new.update(new.seen.warnings - old.seen.warnings)
        self.warnings_gone.update(old.seen.warnings - new.seen.warnings)

    @property
    def lost(self) -> dict[tuple[str, str, str], Headroom]:
        """Where headroom is lost."""
        return {at: headroom for at, headroom in self.headroom.items() if headroom.is_lost}

    @property
    def changed_kernels(self) -> dict[Place, tuple[set[str], set[str]]]:
        """Where other kernels are reached."""
        return {place: both for place, both in sorted(self.kernels.items()) if both[0] != both[1]}


def _differing(old: Look, new: Look) -> set[Place]:
    """The places of arrays that differ in a bit, as far as both sides returned them in the same order."""
    ours, theirs = old.seen.bits, new.seen.bits
    if [one[:2] for one in ours] != [one[:2] for one in theirs]:
        return {place for place, name, value in {*ours} ^ {*theirs}}
    return {place for (place, _, value), (_, _, other) in zip(ours, theirs, strict=True) if value != other}


def compared(tasks: Iterable[Task], old: Side, again: Side, new: Side) -> tuple[Comparison, Comparison]:
    """The comparison of `old` with itself again, whose differences are false flags, and that with `new`."""
    control, real = Comparison(), Comparison()
    for task in tasks:
        first, second, third = (side.look(task.tested, task.cell, task.case) for side in (old, again, new))
        control.add(task, first, second)
        real.add(task, first, third)
    return control, real
