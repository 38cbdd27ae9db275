"""What the numbers out of their bounds have in common: repeated, zero, not a number, or of a lower precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from conformance.harness.localiser.evidence import ENOUGH, Arrays, Balls, bits, inside, significant_bits
from reference.ball import Ball
from reference.formats import FLOAT32, FORMATS, Format
from reference.problem import Problem

Masks = Mapping[str, np.ndarray]

AXES: Mapping[str, Mapping[str, int]] = {
    "row": {"output": 0, "h_n": 2, "c_n": 2},
    "step": {"output": 1},
    "direction": {"output": 2, "h_n": 1, "c_n": 1},
    "unit": {"output": 3, "h_n": 3, "c_n": 3},
    "layer": {"h_n": 0, "c_n": 0},
}
"""The axes of results, by what they count."""

MOST_REPEATS = 3


def same_number(values: Arrays, wrong: Masks) -> Iterator[str]:
    """All of the numbers out of their bounds are NaN, inf or 0."""
    numbers = np.concatenate([values[name][mask] for name, mask in wrong.items()])
    count = f"all {numbers.size} numbers" if numbers.size > 1 else "the number"
    for words, holds in (("NaN", np.isnan(numbers)), ("infinite", np.isinf(numbers)), ("0", numbers == 0)):
        if holds.all():
            yield f"{count} out of bounds {'are' if numbers.size > 1 else 'is'} {words}"


def repeats(values: Arrays, documented: Balls, wrong: Masks) -> Iterator[str]:
    """A row, step, direction, unit or layer that is wrong equals another one to the bit."""
    for what, axes in AXES.items():
        if any(mask.any() for name, mask in wrong.items() if name not in axes):
            continue
        there = {name: axis for name, axis in axes.items() if name in values}
        fronted = {name: _fronted(axis, values[name]) for name, axis in there.items()}
        sizes = {len(numbers) for numbers in fronted.values()}
        if len(sizes) != 1:
            continue
        (size,) = sizes
        out = {name: _fronted(axis, wrong[name]) for name, axis in there.items()}
        broken = [k for k in range(size) if any(mask[k].any() for mask in out.values())]
        if not 0 < len(broken) <= MOST_REPEATS or len(broken) == size:
            continue
        pairs = [(k, _twin(k, size, fronted)) for k in broken]
        balls = {name: documented[name].rearranged(partial(_fronted, axis)) for name, axis in there.items()}
        told = sum(_told(k, fronted, balls, out) for k in broken)
        if all(twin is not None for _, twin in pairs) and told >= ENOUGH:
            of = "" if len(there) == len(values) else f" of {' and '.join(there)}"
            yield ", ".join(f"{what} {k}{of} equals {what} {twin}" for k, twin in pairs)


def _fronted(axis: int, values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values, axis, 0)


def _twin(k: int, size: int, values: Arrays) -> int | None:
    """The nearest place whose numbers are those of place k, the one before it first."""
    others = sorted((j for j in range(size) if j != k), key=lambda j: (abs(j - k), j))
    return next((j for j in others if all((v[j] == v[k]).all() for v in values.values())), None)


def _told(k: int, values: Arrays, documented: Balls, wrong: Masks) -> float:
    """The bits that say that place k repeats another and is not near by chance."""
    numbers = {name: v[k] for name, v in values.items()}
    right, out = {name: ball[k] for name, ball in documented.items()}, {name: mask[k] for name, mask in wrong.items()}
    same = {
        name: Ball(v, right[name].rounding.unit_roundoff * np.abs(v), right[name].rounding)
        for name, v in numbers.items()
    }
    return bits(numbers, same, right, out)


FEWEST_NUMBERS = 3
"""How many numbers of a lower precision are no chance."""

SPARE_BITS = 3
"""How many of the last bits of a number may be zero if it was rounded to these bits."""


def lower_precision(
    values: Arrays, documented: Balls, wrong: Masks, problem: Problem, enclosed: Callable[[Format], Balls]
) -> Iterator[str]:
    """All numbers are those of a lower precision, and lie within its bounds. enclosed: gives these.

    Of data whose sums are exact, few bits say nothing.
    """
    own = FORMATS[problem.dtype]
    numbers = np.unique(np.abs(np.concatenate([values[name][mask] for name, mask in wrong.items()])))
    for format in sorted(FORMATS.values(), key=lambda format: -format.precision):
        if format.precision >= own.precision or (problem.granule and format is not FLOAT32):
            continue
        rounded = significant_bits(numbers) >= format.precision - SPARE_BITS
        if rounded.sum() >= FEWEST_NUMBERS and all(format.holds(v) for v in values.values()):
            balls = enclosed(format)
            if all(
                (inside(v, balls[name]) & _tells(balls[name], documented[name])).all() for name, v in values.items()
            ):
                yield f"every number is one of {format.name}, and within the bounds of {format.name}"


def _tells(ball: Ball, documented: Ball) -> np.ndarray:
    """Where a bound is finite, unless that of the documented result is not either."""
    return np.isfinite(ball.radius) | ~np.isfinite(documented.radius)
