"""Invalid calls: what is spoilt in one argument of a valid call, and the word of a case line that stands for it.

    bad=h_0.layers+1    bad=input.dtype=int64    bad=weight_hh.columns-1    bad=hx.type=list
    bad=constructor.hidden_size.value=-1    bad=pack_padded_sequence.lengths.count+1

A place is an argument and one aspect of it, of a call of a module unless the constructor or a utility stands before it.
Sizes are up by one and down by one, before anything odder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

UP, DOWN = "+1", "-1"
BY_ONE = (UP, DOWN)
OTHER = "=other"
"""Another floating-point dtype than that of the call."""

DTYPES = (OTHER, "=int64", "=bool", "=complex64")
META = ("=meta",)
EMPTY = "=0"
"""An axis without elements."""

NO_TENSOR = ("=list", "=text", "=nothing")

CALLS: Mapping[str, tuple[str, ...]] = {
    "input.features": BY_ONE,
    "input.rank": BY_ONE,
    "input.rows": (EMPTY,),
    "input.steps": (EMPTY,),
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
    "batch_sizes.sum": BY_ONE,
    "batch_sizes.order": ("=rising",),
}
"""What can be spoilt in a call of a module, and how."""

CONSTRUCTOR = "constructor"

_SIZE = ("=0", "=-1", "=1.5", "=true", "=text", "=nothing", "=huge")
_FLAG = ("=text", "=nothing")

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "input_size": _SIZE,
    "hidden_size": _SIZE,
    "num_layers": tuple(how for how in _SIZE if how != "=huge"),
    "bias": _FLAG,
    "batch_first": _FLAG,
    "bidirectional": _FLAG,
    "dropout": ("=-0.5", "=1.5", "=nan", "=text", "=nothing"),
    "proj_size": ("=-1", "=hidden_size", "=1.5", "=text"),
    "nonlinearity": ("=sigmoid", "=nothing"),
    "device": ("=text", "=-1"),
    "dtype": ("=text", "=int64"),
}
"""What can be spoilt in a call of a constructor, and by which value; huge is 2**62."""

_LENGTHS: Mapping[str, tuple[str, ...]] = {
    "lengths.count": BY_ONE,
    "lengths.longest": (UP,),
    "lengths.shortest": ("=0", "=-1"),
    "lengths.dtype": ("=float32", "=bool"),
    "lengths.device": META,
    "lengths.type": ("=fractions", "=text", "=nothing"),
    "lengths.rank": BY_ONE,
}
_BATCH_SIZES: Mapping[str, tuple[str, ...]] = {
    "batch_sizes.sum": BY_ONE,
    "batch_sizes.order": ("=rising",),
    "batch_sizes.dtype": ("=int32", "=float32"),
    "batch_sizes.type": ("=list",),
}
_SEQUENCES: Mapping[str, tuple[str, ...]] = {
    "sequences.count": ("=0",),
    "sequences.features": (UP,),
    "sequences.dtype": (OTHER,),
    "sequences.type": ("=text", "=nothing"),
}

UTILITIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pack_padded_sequence": {"input.type": NO_TENSOR, "lengths.order": ("=rising",), **_LENGTHS},
    "pad_packed_sequence": {
        "sequence.type": NO_TENSOR,
        "total_length.value": ("=short", "=-1"),
        "total_length.type": ("=fractions", "=text"),
        "padding_value.type": ("=text", "=nothing"),
        **_BATCH_SIZES,
    },
    "pack_sequence": {"sequences.order": ("=rising",), **_SEQUENCES},
    "pad_sequence": {"padding_value.type": ("=text", "=nothing"), "padding_side.value": ("=up",), **_SEQUENCES},
    "unpad_sequence": {
        "padded_sequences.type": NO_TENSOR,
        **{place: hows for place, hows in _LENGTHS.items() if place not in ("lengths.type", "lengths.rank")},
    },
    "unpack_sequence": {"packed_sequences.type": NO_TENSOR, **_BATCH_SIZES},
}
"""What can be spoilt in a call of each function that pads or packs, and how."""

PLACES: Mapping[str, tuple[str, ...]] = {
    **CALLS,
    **{f"{CONSTRUCTOR}.{name}.value": hows for name, hows in ARGUMENTS.items()},
    **{f"{utility}.{place}": hows for utility, places in UTILITIES.items() for place, hows in places.items()},
}
"""What can be spoilt, and how."""


@dataclass(frozen=True)
class Spoil:
    """What is spoilt: an argument, an aspect of it, and how, `+1`, `-1` or `=value`.

    called: the constructor, or a utility; "" for a module
    """

    argument: str
    aspect: str
    how: str
    called: str = ""

    @property
    def place(self) -> str:
        """`h_0.layers`"""
        return ".".join(part for part in (self.called, self.argument, self.aspect) if part)

    @property
    def by(self) -> int:
        """By how much a size differs from the right one."""
        return int(self.how)

    @property
    def value(self) -> str:
        """What stands there in place of the right thing."""
        return self.how.removeprefix("=")

    def dtype_in(self, dtype: str) -> str:
        """The dtype that stands in place of that of the call."""
        return self.value if self.how != OTHER else "float32" if dtype == "float64" else "float64"


def spoils(place: str) -> tuple[str, ...]:
    """The words that spoil this place, as a case has them."""
    return tuple(place + how for how in PLACES[place])


MOST_LISTED = 12
"""The places that are named, the nearest first, where there is none of a name: a line with all of them is cut."""


def read(text: str) -> Spoil:
    """What a word of a case line says is spoilt. Raises ValueError, which gives the nearest accepted values."""
    match = re.fullmatch(r"(?:(\w+)\.)?(\w+)\.([a-z]+)([+=-].*)?", text)
    called, argument, aspect, how = match.groups(default="") if match else ("", "", "", "")
    spoil = Spoil(argument, aspect, how, called)
    if spoil.place not in PLACES:
        nearest = get_close_matches(spoil.place or text, PLACES, MOST_LISTED) or [*PLACES][:MOST_LISTED]
        raise ValueError(f"no such place; one of {', '.join(nearest)}, or of {len(PLACES) - len(nearest)} others")
    if spoil.how not in PLACES[spoil.place]:
        raise ValueError(f"{spoil.place} is spoilt by one of " + ", ".join(spoils(spoil.place)))
    return spoil
