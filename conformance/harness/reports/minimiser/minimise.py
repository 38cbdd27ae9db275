"""The simplest numbers that still show a finding, judged by the property and the bounds that found it.

After Hypothesis has shrunk the sizes of a case, its numbers are still drawn ones. Here they become zeros, ones, small
integers and short fractions, tensor by tensor and then element by element; then sizes and flags are reduced once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.failure import TIMED_OUT
from conformance.harness.execution.routes import ROUTES
from conformance.harness.findings.recorder import Element
from conformance.harness.property import Property
from conformance.harness.reports.calls.call_text import LONGEST
from conformance.harness.reports.minimiser.one_row import in_one_row
from conformance.harness.session import Session
from reference.problem import Problem
from strategies import Case, axes

SECONDS = 20.0
"""The longest time that is spent on a finding."""

DEADLY_TRIES = 24
"""So many calls are tried of a finding whose call ends its process."""

NEAR, FAR_OUT = 2.0, 1000.0
"""Errors below so many bounds are kept as large as they are; one of so many bounds is as telling as a larger one."""

GRIDS = (1.0, 0.5, 0.25, 0.125)
"""Numbers are rounded to multiples of these: every dtype stores them, and they are short in decimal."""

LARGEST_FRACTION = 10
"""Fractions from here on are not short; only whole numbers are."""

IN_TURN = ("gradient", "h_0", "c_0", "input", "weight", "bias")
"""What is simplified first: cotangents, states, the input, weights, biases."""

MOST_READ = 4096
"""The most numbers of a tensor whose texts are looked at: beyond, every second one or fewer."""

UNTOUCHED_FILLS = ("digital",)
"""Kinds of numbers on which a claim rests as a whole."""

Key = tuple[str, int]
"""The name of a tensor, and the seed of its numbers."""

Edits = Mapping[Key, np.ndarray]


@dataclass(frozen=True, eq=False)
class EditedCase(Case):
    """A case some of whose tensors have other numbers; a smaller size crops them.

    asked  every tensor that was asked for, with the numbers that it has
    before the line of the case that was changed
    """

    edits: Edits = field(default_factory=dict)
    asked: dict[Key, np.ndarray] = field(default_factory=dict)
    before: str = ""

    @classmethod
    def of(cls, case: Case, line: str) -> EditedCase:
        """A case that nothing is changed of yet."""
        return cls(**vars(case), before=line)

    def values_of(self, role: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
        key = (name, self.seed)
        numbers = self.edits.get(key, np.zeros(()))
        if numbers.ndim == len(shape) and all(
            asked <= there for asked, there in zip(shape, numbers.shape, strict=False)
        ):
            numbers = numbers[tuple(map(slice, shape))].copy()
        else:
            numbers = super().values_of(role, name, shape)
        if key not in self.asked or self.asked[key].size <= numbers.size:
            self.asked[key] = numbers
        return numbers

    def on(self, cell: str) -> Problem:
        problem = super().on(cell)
        return replace(problem, case=self.before, granule=_granule(problem) if self.edits else problem.granule)


def _granule(problem: Problem) -> float:
    """The largest of `GRIDS` that every number is a multiple of, else 0."""
    states = [state for state in (problem.h_0, problem.c_0) if state is not None]
    arrays = [problem.input, *states, *problem.parameters.values()]
    return next((grid for grid in GRIDS if not any((numbers % grid).any() for numbers in arrays)), 0.0)


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
        if _has_long(self.best):  # the sizes that are gone may be what short numbers need
            self.others.append((self.best, self.found))
            self.best, self.found = start
            self.simplify()

    def simplify(self) -> None:
        """Numbers and sizes become simpler in turn. Raises _OutOfTime."""
        cost = float("inf")
        while (now := _cost_of_case(self.best)) < cost:
            cost = now
            self.simplify_tensors()
            self.reduce_sizes()
            self.simplify_elements()

    def told(self) -> Found:
        """What the property finds in the best case, under the line of the given one."""
        reached = [(self.best, self.found), *self.others]
        self.best, self.found = min(reached, key=lambda one: (_has_long(one[0]), _cost_of_case(one[0])))
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
            for numbers in _simpler(self.best.asked.get(key, np.zeros(0))):
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
                any(self.tries_part(key, slice(place, place + 1), simpler) for simpler in _simpler(number))

    def tries_part(self, key: Key, part: slice, numbers: np.ndarray) -> bool:
        """Whether some elements of a tensor may have these numbers."""
        self.look_at_the_clock()
        changed = self.best.asked[key].copy()
        changed.reshape(-1)[part] = numbers
        return self.tries(key, changed)

    def tries(self, key: Key, numbers: np.ndarray) -> bool:
        """Whether a tensor may have these numbers, if they are simpler than those that it has."""
        self.look_at_the_clock()
        if self.best.asked[key].shape != numbers.shape or _cost(numbers) >= _cost(self.best.asked[key]):
            return False
        return self.takes(replace(self.best, edits={**self.best.edits, key: numbers}))

    def reduce_sizes(self) -> None:
        """Sizes and flags become smaller, each as long as it may."""
        for smaller in _REDUCTIONS:
            while any(self.tested.fits(case, self.cell) and self.takes(case) for case in smaller(self.best)):
                pass


def _ratio(element: Element | None) -> float:
    """By how many bounds an element is off; inf where no error is allowed."""
    if element is None or not element.allowed > 0 or not np.isfinite(element.got):
        return float("inf")
    return abs(element.got - element.wanted) / element.allowed


def _cost_of_case(case: EditedCase) -> float:
    """How much there is to read in a case: sizes, words and numbers."""
    return case.numbers() + len(case.line()) + sum(_cost(numbers) for numbers in case.asked.values())


def _has_long(case: EditedCase) -> bool:
    """Whether some number is longer than `LONGEST`."""
    return any(
        len(_text(one)) > LONGEST
        for numbers in case.asked.values()
        for one in numbers.reshape(-1)[:: 1 + numbers.size // MOST_READ].tolist()
    )


def _text(number: float) -> str:
    return repr(number).removesuffix(".0")


def _cost(numbers: np.ndarray) -> float:
    """How much there is to read in numbers: nothing in zeros, most in long ones. Of many, some tell."""
    some = numbers.reshape(-1)[:: 1 + numbers.size // MOST_READ]
    return sum(map(_cost_of, some.tolist())) * numbers.size / max(1, some.size)


def _cost_of(number: float) -> int:
    if number in (0.0, 1.0):
        return int(number)
    return len(_text(number)) + (number != -1)


def _simpler(numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Simpler numbers in the place of these, the simplest first."""
    yield np.zeros_like(numbers)
    yield np.ones_like(numbers)
    yield -np.ones_like(numbers)
    yield np.full_like(numbers, 2.0)
    yield np.full_like(numbers, 0.5)
    for grid in GRIDS:
        multiples = np.round(numbers / grid) * grid + 0.0  # no negative zero
        if grid == 1 or np.abs(multiples).max(initial=0.0) < LARGEST_FRACTION:
            yield multiples


def _sizes(name: str) -> Callable[[EditedCase], Iterator[EditedCase]]:
    """Smaller sizes of this name, the smallest first."""

    def smaller(case: EditedCase) -> Iterator[EditedCase]:
        size = getattr(case, name)
        for one in dict.fromkeys((1, size // 2, size - 1)):
            if 1 <= one < size:
                yield case.of_size(name, one)

    return smaller


def _flags(case: EditedCase) -> Iterator[EditedCase]:
    """The case with one feature less."""
    if case.weights is not None:
        yield replace(case, weights=None)
    if case.lengths:
        yield replace(case, lengths=())
    if case.bidirectional:
        yield replace(case, bidirectional=False)
    if case.memory != "contiguous":
        yield replace(case, memory="contiguous")
    if case.pick:
        yield replace(case, pick=0)
    for word in axes.LAYOUT_WORDS:
        if (word in case.layout) is (word not in LEFT_OUT):
            changed = set(case.layout) ^ {word}
            yield replace(case, layout=tuple(one for one in axes.LAYOUT_WORDS if one in changed))


LEFT_OUT = ("nobias", "nohx")
"""Words of a layout that leave tensors out: there is less to read with them."""

_REDUCTIONS = (
    *map(_sizes, ("num_layers", "batch_size", "steps", "hidden_size", "input_size", "proj_size")),
    _flags,
)
