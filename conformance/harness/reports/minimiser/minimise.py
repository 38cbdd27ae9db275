"""The simplest numbers that still show a finding, judged by the property and the bounds that found it.

After Hypothesis has shrunk the sizes of a case, its numbers are still drawn ones. Here they become zeros, ones, small
integers and short fractions, tensor by tensor and then element by element; then sizes and flags are reduced once more.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

import numpy as np

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.failure import TIMED_OUT
from conformance.harness.execution.routes import ROUTES
from conformance.harness.findings.recorder import Element
from conformance.harness.property import Property
from conformance.harness.reports.minimiser.edited_case import EditedCase, Key
from conformance.harness.reports.minimiser.one_row import in_one_row
from conformance.harness.reports.minimiser.simpler import (
    REDUCTIONS,
    cost_of_case,
    cost_of_numbers,
    has_long_numbers,
    simpler_numbers,
)
from conformance.harness.session import Session
from strategies import Case

SECONDS = 20.0
"""The longest time that is spent on a finding."""

DEADLY_TRIES = 24
"""So many calls are tried of a finding whose call ends its process."""

NEAR, FAR_OUT = 2.0, 1000.0
"""Errors below so many bounds are kept as large as they are; one of so many bounds is as telling as a larger one."""

IN_TURN = ("gradient", "h_0", "c_0", "input", "weight", "bias")
"""What is simplified first: cotangents, states, the input, weights, biases."""

UNTOUCHED_FILLS = ("digital",)
"""Kinds of numbers on which a claim rests as a whole."""


def minimised(
    here: Session, tested: Property, cell: str, case: Case | None, found: Found, seconds: float = SECONDS
) -> Found:
    """The same finding, with its evidence, in the simplest case that was reached in so many seconds; of a property that
    draws no case, in one row.

    The finding keeps its case line; `simplified` says which sizes are left, and is "" where nothing is simpler. An
    interruption keeps the best so far.
    """
    finding, family = found.finding, tested.cases(cell)
    hangs = finding.failure is not None and finding.failure.kind == TIMED_OUT
    if case is None:
        return in_one_row(here, tested, found)
    if family is None or hangs or set(UNTOUCHED_FILLS) & set(family.pinned.get("fill", ())):
        return found._replace(finding=tested.explained(here, finding, case))
    search = _Search(here, tested, cell, found, EditedCase.of(case, finding.case), time.perf_counter() + seconds)
    with suppress(_OutOfTime, KeyboardInterrupt):
        search.run()
    return search.told()


class _OutOfTime(Exception):
    """The search took as long as it may."""


class _Search:
    """The search for the simplest case.

    best, found  the simplest so far, and what the property finds in it
    others       the same of searches that are over
    """

    def __init__(
        self, here: Session, tested: Property, cell: str, found: Found, case: EditedCase, deadline: float
    ) -> None:
        route = found.finding.route
        self.tested, self.cell, self.deadline = tested, cell, deadline
        self.narrow, self.wide = here.aside((route,) if route in ROUTES else ()), here.aside()
        self.given, self.found, self.best = found, found, case
        self.others: list[tuple[EditedCase, Found]] = []
        ratio = _ratio(found.finding.element)
        self.least = max(min(ratio / 4, FAR_OUT), min(ratio, NEAR))
        self.tries_left = DEADLY_TRIES if found.finding.ended_process else -1

    def run(self) -> None:
        """Tries what is simpler until nothing is. Raises _OutOfTime."""
        if not self.takes(self.best):
            self.narrow = self.wide  # the property compares several routes
            if not self.takes(self.best):
                return
        start = self.best, self.found
        self.reduce_sizes()
        self.simplify()
        if has_long_numbers(self.best):  # the sizes that are gone may be what short numbers need
            self.others.append((self.best, self.found))
            self.best, self.found = start
            self.simplify()

    def simplify(self) -> None:
        """Numbers and sizes become simpler in turn. Raises _OutOfTime."""
        cost = float("inf")
        while (now := cost_of_case(self.best)) < cost:
            cost = now
            self.simplify_tensors()
            self.reduce_sizes()
            self.simplify_elements()

    def told(self) -> Found:
        """What the property finds in the best case, under the line of the given one."""
        reached = [(self.best, self.found), *self.others]
        self.best, self.found = min(reached, key=lambda one: (has_long_numbers(one[0]), cost_of_case(one[0])))
        found = self.found if self.changed() else self.given
        finding = self.tested.explained(self.wide, found.finding, self.best)
        left = self.best.line(self.cell) if self.changed() else ""
        return found._replace(finding=replace(finding, kernels=self.given.finding.kernels, simplified=left))

    def changed(self) -> bool:
        """Whether the best case is another than the one given."""
        return bool(self.best.edits) or self.best.line(self.cell) != self.best.before

    def takes(self, case: EditedCase) -> bool:
        """Whether the finding is in a case too, which then is the best. Raises _OutOfTime."""
        self.look_at_the_clock()
        if not self.tries_left:
            raise _OutOfTime
        self.tries_left -= 1
        case = replace(case, asked={})
        record = self.tested.record(self.narrow, self.cell, case)
        if record.elements and record.vacuous >= record.elements:
            return False
        same = next((one for one in record.findings if self.is_same(one)), None)
        if same is not None:
            self.best, self.found = case, same
        return same is not None

    def look_at_the_clock(self) -> None:
        """Raises _OutOfTime if the time is over."""
        if time.perf_counter() > self.deadline:
            raise _OutOfTime

    def is_same(self, one: Found) -> bool:
        """Whether a finding is the given one, and about as telling."""
        new, old = one.finding, self.given.finding
        if (new.signature, new.severity) != (old.signature, old.severity) or self.narrow.known_as(new, self.best):
            return False
        if new.element is None or old.element is None:
            return True
        finite = np.isfinite(new.element.got) or not np.isfinite(old.element.got)
        return bool(finite) and _ratio(new.element) >= self.least

    def in_turn(self) -> list[Key]:
        """The tensors in the order in which they are simplified, the last layer and direction first."""

        def rank(key: Key) -> int:
            return next((place for place, word in enumerate(IN_TURN) if key[0].startswith(word)), len(IN_TURN))

        return sorted(sorted(self.best.asked, reverse=True), key=rank)

    def simplify_tensors(self) -> None:
        """Whole tensors become simpler."""
        for key in self.in_turn():
            for numbers in simpler_numbers(self.best.asked.get(key, np.zeros(0))):
                if self.tries(key, numbers):
                    break

    def simplify_elements(self) -> None:
        """Parts of tensors become zeros, large parts first; then single elements become simpler.

        The last come first: what is left then stands where smaller sizes keep it.
        """
        for key in self.in_turn():
            size = self.best.asked[key].size if key in self.best.asked else 0
            part = size // 2
            while part > 1:
                for start in reversed(range(0, size, part)):
                    self.tries_part(key, slice(start, start + part), np.zeros(1))
                part //= 2
            for place in reversed(range(size)):
                number = self.best.asked[key].reshape(-1)[place : place + 1]
                any(self.tries_part(key, slice(place, place + 1), simpler) for simpler in simpler_numbers(number))

    def tries_part(self, key: Key, part: slice, numbers: np.ndarray) -> bool:
        """Whether some elements of a tensor may have these numbers."""
        self.look_at_the_clock()
        changed = self.best.asked[key].copy()
        changed.reshape(-1)[part] = numbers
        return self.tries(key, changed)

    def tries(self, key: Key, numbers: np.ndarray) -> bool:
        """Whether a tensor may have these numbers, if they are simpler than those that it has."""
        self.look_at_the_clock()
        before = self.best.asked[key]
        if before.shape != numbers.shape or cost_of_numbers(numbers) >= cost_of_numbers(before):
            return False
        return self.takes(replace(self.best, edits={**self.best.edits, key: numbers}))

    def reduce_sizes(self) -> None:
        """Sizes and flags become smaller, each as long as it may."""
        for smaller in REDUCTIONS:
            while any(self.tested.fits(case, self.cell) and self.takes(case) for case in smaller(self.best)):
                pass


def _ratio(element: Element | None) -> float:
    """By how many bounds an element is off; inf where no error is allowed."""
    if element is None or not element.allowed > 0 or not np.isfinite(element.got):
        return float("inf")
    return abs(element.got - element.wanted) / element.allowed
