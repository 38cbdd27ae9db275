"""Invalid calls: what is spoilt in one argument of a valid call, and the word of a case line that stands for it.

    bad=h_0.layers+1    bad=input.dtype=int64    bad=weight_hh.columns-1    bad=hx.type=list

A place is an argument and one aspect of it. Sizes are up by one and down by one, before anything odder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

UP, DOWN = "+1", "-1"
BY_ONE = (UP, DOWN)
OTHER = "=other"
"""Another floating-point dtype than that of the call."""

DTYPES = (OTHER, "=int64", "=bool", "=complex64")
META = ("=meta",)

PLACES: Mapping[str, tuple[str, ...]] = {
    "input.features": BY_ONE,
    "input.rank": BY_ONE,
    "input.dtype": DTYPES,
    "input.device": META,
    "input.type": ("=list", "=array", "=text", "=nothing"),
    "h_0.layers": BY_ONE,
    "h_0.rows": BY_ONE,
    "h_0.features": BY_ONE,
    "h_0.rank": BY_ONE,
    "h_0.dtype": DTYPES,
    "h_0.device": META,
    "c_0.layers": BY_ONE,
    "c_0.rows": BY_ONE,
    "c_0.features": BY_ONE,
    "c_0.rank": BY_ONE,
    "c_0.dtype": DTYPES,
    "c_0.device": META,
    "hx.count": BY_ONE,
    "hx.type": ("=tensor", "=list", "=text"),
    "weight_ih.rows": BY_ONE,
    "weight_ih.columns": BY_ONE,
    "weight_ih.dtype": DTYPES,
    "weight_ih.device": META,
    "weight_hh.rows": BY_ONE,
    "weight_hh.columns": BY_ONE,
    "weight_hh.dtype": DTYPES,
    "weight_hh.device": META,
    "bias_ih.rows": BY_ONE,
    "bias_ih.dtype": DTYPES,
    "bias_ih.device": META,
    "bias_hh.rows": BY_ONE,
    "bias_hh.dtype": DTYPES,
    "bias_hh.device": META,
}
"""What can be spoilt, and how."""


@dataclass(frozen=True)
class Spoil:
    """What is spoilt: an argument, an aspect of it, and how, `+1`, `-1` or `=value`."""

    argument: str
    aspect: str
    how: str

    @property
    def place(self) -> str:
        """`h_0.layers`"""
        return f"{self.argument}.{self.aspect}"

    @property
    def by(self) -> int:
        """By how much a size differs from the right one."""
        return int(self.how)

    @property
    def value(self) -> str:
        """What stands there in place of the right thing."""
        return self.how.removeprefix("=")


def spoils(place: str) -> tuple[str, ...]:
    """The words that spoil this place, as a case has them."""
    return tuple(place + how for how in PLACES[place])


def read(text: str) -> Spoil:
    """What a word of a case line says is spoilt. Raises ValueError, which gives the accepted values."""
    match = re.fullmatch(r"(\w+)\.(\w+)(.*)", text)
    spoil = Spoil(*match.groups()) if match else None
    if spoil is None or spoil.place not in PLACES:
        raise ValueError("no such place; one of " + ", ".join(PLACES))
    if spoil.how not in PLACES[spoil.place]:
        raise ValueError(f"{spoil.place} is spoilt by one of " + ", ".join(spoils(spoil.place)))
    return spoil
