"""The axes that a case varies along, and what is present of them on this machine.

Devices and dtypes are strings, read when a case is drawn: which devices exist is not known at import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from hypothesis import strategies as st

from strategies.values import FILLS

DTYPES = ("float32", "float64", "float16", "bfloat16")
LAYOUT_WORDS = ("bf", "nobias", "nohx")
LAYOUTS = tuple(words for count in range(4) for words in combinations(LAYOUT_WORDS, count))
FILLS_BY_WEIGHT = [kind for kind in FILLS for _ in range(1 if kind in ("zeros", "large", "subnormal") else 3)]

SMALL = (1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5)
SIMD_EDGES = (7, 8, 9, 15, 16, 17)
WIDE = (31, 32, 33)


@dataclass
class Axes:
    """What this run draws from: dtypes and devices, the simplest first."""

    dtypes: tuple[str, ...] = DTYPES
    devices: tuple[str, ...] = ("cpu",)


present = Axes()
"""The axes in force; a run sets them before it draws."""


def sizes(wide: bool = True) -> st.SearchStrategy[int]:
    """Mostly 1 to 5, at times around a SIMD width; shrinks to 1."""
    return st.sampled_from(SMALL + SIMD_EDGES + (WIDE if wide else ()))


def counts(largest: int) -> st.SearchStrategy[int]:
    """1 to `largest`, the smaller ones oftener; shrinks to 1."""
    return st.sampled_from([n for n in range(1, largest + 1) for _ in range(1 + (n <= 3))])


def layouts(permitted: Sequence[tuple[str, ...]] = LAYOUTS) -> st.SearchStrategy[tuple[str, ...]]:
    """One of `permitted`, the rarer the more words it has; shrinks to the fewest."""
    return st.sampled_from([words for words in sorted(permitted, key=len) for _ in range(4 - len(words))])


def fills() -> st.SearchStrategy[str]:
    """A fill, the telling ones oftener; shrinks to dyadic."""
    return st.sampled_from(FILLS_BY_WEIGHT)


def dtypes() -> st.SearchStrategy[str]:
    """A dtype that the run has; shrinks to the first."""
    return st.integers(0, 11).map(lambda n: present.dtypes[n % len(present.dtypes)])


def devices() -> st.SearchStrategy[str]:
    """A device that the run has; shrinks to the first."""
    return st.integers(0, 11).map(lambda n: present.devices[n % len(present.devices)])
