"""What there is to read in a case, and what is simpler: other numbers, smaller sizes, fewer features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from conformance.harness.reports.calls.call_text import LONGEST
from conformance.harness.reports.minimiser.edited_case import GRIDS, EditedCase
from strategies import axes

LARGEST_FRACTION = 10
"""Fractions from here on are not short; only whole numbers are."""

MOST_READ = 4096
"""The most numbers of a tensor whose texts are looked at: beyond, every second one or fewer."""


def cost_of_case(case: EditedCase) -> float:
    """How much there is to read in a case: sizes, words and numbers."""
    return case.numbers() + len(case.line()) + sum(cost_of_numbers(numbers) for numbers in case.asked.values())


def has_long_numbers(case: EditedCase) -> bool:
    """Whether some number is longer than `LONGEST`."""
    return any(
        len(_text(one)) > LONGEST
        for numbers in case.asked.values()
        for one in numbers.reshape(-1)[:: 1 + numbers.size // MOST_READ].tolist()
    )


def _text(number: float) -> str:
    return repr(number).removesuffix(".0")


def cost_of_numbers(numbers: np.ndarray) -> float:
    """How much there is to read in numbers: nothing in zeros, most in long ones. Of many, some tell."""
    some = numbers.reshape(-1)[:: 1 + numbers.size // MOST_READ]
    return sum(map(_cost_of_one, some.tolist())) * numbers.size / max(1, some.size)


def _cost_of_one(number: float) -> int:
    if number in (0.0, 1.0):
        return int(number)
    return len(_text(number)) + (number != -1)


def simpler_numbers(numbers: np.ndarray) -> Iterator[np.ndarray]:
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

REDUCTIONS = (
    *map(_sizes, ("num_layers", "batch_size", "steps", "hidden_size", "input_size", "proj_size")),
    _flags,
)
