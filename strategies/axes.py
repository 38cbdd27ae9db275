"""The axes that a case varies along: a strategy for each of its fields.

dtypes and devices depend on the machine and on the run, so their strategies are handed a function that returns the
axes in force. It is called whenever a case is drawn, because neither is known at import.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from hypothesis import strategies as st

from strategies.values import FILLS, INITIAL

DTYPES = ("float32", "float64", "float16", "bfloat16")
LAYOUT_WORDS = ("bf", "nobias", "nohx", "unb", "drop")
LAYOUTS = tuple(words for count in range(6) for words in combinations(LAYOUT_WORDS, count))
RARER_FILLS = ("zeros", "large", "subnormal", "digital")
FILLS_BY_WEIGHT = [kind for kind in FILLS for _ in range(1 if kind in RARER_FILLS else 3)]

MEMORY = ("contiguous", "transposed", "sliced", "expanded", "guarded", "offset")
"""Memory layouts of inputs and states.

contiguous  row-major, as the allocator returns it
transposed  the axes are stored in reverse order
sliced      every second element of a larger buffer
expanded    one row of the batch, repeated with stride 0
guarded     surrounded by NaN in a larger buffer
offset      contiguous, one element past the address that the allocator returns
"""

MEMORY_OF_ITS_OWN = tuple(name for name in MEMORY if name != "expanded")
"""Memory in which no two rows are the same numbers."""

SIZES = (1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)
"""Values of input_size and hidden_size, repeated by weight: mostly small, some next to a SIMD width."""

SIZES_ABOVE_1 = SIZES[3:]


def _counts(largest: int) -> tuple[int, ...]:
    """1 to `largest`, with double weight on 1 to 3."""
    return tuple(n for n in range(1, largest + 1) for _ in range(1 + (n <= 3)))


LAYERS, ROWS, STEPS = _counts(3), _counts(5), _counts(12)
USUAL = {"input_size": SIZES, "hidden_size": SIZES[1:], "num_layers": LAYERS, "batch_size": ROWS, "steps": STEPS}
"""Values of each size where it varies, repeated by weight."""

FEWEST_SHORT = 2
"""The largest number of steps of a short case, whatever its dtype."""

FAR = {
    "batch_size": (65, 1024),
    "steps": (101, 1000),
    "hidden_size": (257, 2048),
    "input_size": (257, 2048),
    "num_layers": (7, 12),
}
"""Fields that can be far out: most drawn values lie between these two, evenly on a logarithmic scale."""

NEAR = {
    "input_size": (1, 2, 3),
    "hidden_size": (1, 2, 3, 4),
    "num_layers": (1, 1, 2),
    "batch_size": (1, 2, 3, 3),
    "steps": (1, 2, 3, 4, 5),
    "fill": ("dyadic", *[INITIAL] * 5, "uniform"),
}
"""The other fields of a case in which one is far out. No two are equal, see below."""

MOST_NUMBERS = {"smoke": 2**20, "default": 3 * 2**21, "ci": 3 * 2**21, "deep": 2**26}
"""The largest `Case.numbers` of a case with a field far out, by effort."""


@dataclass
class Axes:
    """What a run draws from.

    dtypes, devices  the simplest first: names such as "float32" and "cuda:1"
    most_numbers     the largest `Case.numbers` of a case with a field far out
    most_seconds     the processor seconds that a drawn case at a model's sizes may be estimated to take
    """

    dtypes: tuple[str, ...] = DTYPES
    devices: tuple[str, ...] = ("cpu",)
    most_numbers: int = MOST_NUMBERS["smoke"]
    most_seconds: float = math.inf


AxesInForce = Callable[[], Axes]
"""Returns the axes in force when a case is drawn."""


# Hypothesis copies drawn values between equal strategies, and then draws the same cases repeatedly. No two fields of a
# case therefore have the same strategy.


def input_sizes() -> st.SearchStrategy[int]:
    """One of `SIZES`; shrinks to 1."""
    return st.sampled_from(SIZES)


def hidden_sizes() -> st.SearchStrategy[int]:
    """One of `SIZES`, with less weight on 1; shrinks to 1."""
    return st.sampled_from(SIZES[1:])


def counts(largest: int) -> st.SearchStrategy[int]:
    """1 to `largest`, with double weight on 1 to 3; shrinks to 1."""
    return st.sampled_from(_counts(largest))


def far(name: str) -> st.SearchStrategy[int]:
    """A value of a field of `FAR`, mostly above its lower end; shrinks to 1, one by one."""
    least, largest = FAR[name]
    draws = 32 * largest

    def value(n: int) -> int:
        if n < largest:
            return n + 1
        return round(least * (largest / least) ** ((n - largest) / (draws - largest - 1)))

    return st.sampled_from(range(draws)).map(value)


def layouts(permitted: Sequence[tuple[str, ...]] = LAYOUTS) -> st.SearchStrategy[tuple[str, ...]]:
    """One of `permitted`, with less weight on those of more words; shrinks word by word.

    Layouts are sorted as binary numbers with one digit for each word, because Hypothesis shrinks an index by trying
    smaller numbers and fewer digits, not every index.
    """
    in_order = sorted(permitted, key=lambda words: [word in words for word in reversed(LAYOUT_WORDS)])
    return st.sampled_from([*in_order, *(words for words in in_order for _ in range(4 - 2 * len(words)))])


def memories() -> st.SearchStrategy[str]:
    """One of `MEMORY`, contiguous in three of eight cases; shrinks to contiguous."""
    return st.sampled_from([*MEMORY, *MEMORY[:1] * 2])


def fills() -> st.SearchStrategy[str]:
    """One of `FILLS`, with less weight on `RARER_FILLS`; shrinks to dyadic."""
    return st.sampled_from(FILLS_BY_WEIGHT)


def dtypes(axes: AxesInForce, permitted: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """One of the run's dtypes that are `permitted` (empty: all of them); shrinks to the first.

    If the run has none of the permitted dtypes, any permitted one is drawn.
    """

    def chosen(n: int) -> str:
        present = axes().dtypes
        names = [name for name in permitted if name in present] or permitted or present
        return names[n % len(names)]

    return st.sampled_from(range(12)).map(chosen)


def devices(axes: AxesInForce) -> st.SearchStrategy[str]:
    """One of the run's devices; shrinks to the first."""

    def chosen(n: int) -> str:
        present = axes().devices
        return present[n % len(present)]

    return st.sampled_from(range(13)).map(chosen)


def seeds() -> st.SearchStrategy[int]:
    """0 to 65,535; shrinks to 0."""
    return st.integers(0, 2**16 - 1)


def extensions(present: Sequence[bool], most: int = 2**15) -> st.SearchStrategy[int]:
    """The choice number of an extension for `Case.drawn`: 0 if absent, else 1 to `most` - 1. Shrinks to the smallest.

    present  the permitted values: absent (False), present (True), or both, then with equal weight
    """
    chosen = range(1, most)
    if True not in present:
        return st.just(0)
    return st.sampled_from(chosen) if False not in present else st.just(0) | st.sampled_from(chosen)


def picks() -> st.SearchStrategy[int]:
    """0 to 65,535; shrinks to 0."""
    return st.sampled_from(range(2**16))
