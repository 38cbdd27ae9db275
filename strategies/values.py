"""Numbers for a case: a fill's kind and a seed, nothing else, so that a line of text brings them back.

Every value is a hash of the seed, the tensor's name and its index, each axis apart. A smaller size therefore crops
the data instead of reshuffling it, no two gates, directions, layers or biases look alike, and no release of NumPy
changes them.
"""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np

from reference.formats import FLOAT32, FORMATS, Format

FILLS = ("dyadic", "integers", "ramp", "uniform", "normal", "onehot", "large", "subnormal", "zeros", "digital")
"""Kinds of data, the most readable first."""

GRANULES = {"dyadic": 2.0**-3, "integers": 1.0, "onehot": 2.0**-3, "zeros": 1.0}
"""Fills whose numbers are all multiples of a power of two, so that short sums of their products are exact."""

WEIGHT, INPUT_BIAS, HIDDEN_BIAS, INPUT, STATE = "weight", "bias_ih", "bias_hh", "input", "state"
"""Roles; the documentation adds one bias to W_ih x, the other to W_hh h."""


def digit(format: Format) -> float:
    """A number whose multiples, unless they are 0, have a tanh and a sigmoid that are exactly -1, 0 or 1.

    exp(745) is beyond float64 and exp(104) beyond float32, in which 16-bit types compute it or overflow earlier.
    """
    return 1024.0 if format.precision > FLOAT32.precision else 128.0


LARGEST_KEPT = 64
"""Index tables of longer axes are made anew each time."""

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def fill(kind: str, role: str, name: str, seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers of `shape` that `dtype` stores exactly, as float64.

    kind is one of `FILLS`; the role sets the scale; name keeps tensors apart. Raises
    KeyError for an unknown kind or dtype.
    """
    bits = _hashes(name, seed, shape)
    return FORMATS[dtype].round(_KINDS[kind](bits, role, FORMATS[dtype]))


def _mix(h: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@cache
def _index_table(shape: tuple[int, ...]) -> np.ndarray:
    """64 bits for each index of `shape`, one axis mixed in after the other."""
    h = np.zeros((1,) * len(shape), np.uint64)
    for axis, size in enumerate(shape):
        index = np.arange(1, size + 1, dtype=np.uint64).reshape((1,) * axis + (size,) + (1,) * (len(shape) - axis - 1))
        h = _mix(h ^ (index * np.uint64(_GOLDEN)))
    return h


def _hashes(name: str, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """64 random bits for each index of the tensor `name`; index tables are kept at power-of-two sizes and cropped."""
    start = (zlib.crc32(name.encode()) * _GOLDEN + seed * 0xD1342543DE82EF95) & _MASK
    rounded_up = tuple(1 << (size - 1).bit_length() for size in shape)
    if max(rounded_up, default=1) > LARGEST_KEPT:
        return _mix(_index_table.__wrapped__(shape) ^ np.uint64(start))
    return _mix(_index_table(rounded_up)[tuple(map(slice, shape))] ^ np.uint64(start))


def _unit(bits: np.ndarray) -> np.ndarray:
    """Uniform in (-1, 1), never zero: an odd multiple of 2**-24, so that even float32 keeps it exactly."""
    return ((bits >> np.uint64(40)).astype(np.float64) * 2 + 1) * 2.0**-24 - 1


def _whole(bits: np.ndarray, count: int) -> np.ndarray:
    """One of 0 .. count - 1."""
    return ((bits >> np.uint64(32)) % np.uint64(count)).astype(np.float64)


def _zeros(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    return np.zeros(bits.shape)


def _onehot(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Inputs and states with a single 1 along their features, where the hash is largest; dyadic weights."""
    if role not in (INPUT, STATE):
        return _dyadic(bits, role, format)
    return (bits == bits.max(-1, keepdims=True)).astype(np.float64)


def _integers(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    return _whole(bits, 5) - 2


def _dyadic(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Multiples of 1/8 up to 1, without zero: few bits, so that products are exact."""
    steps = _whole(bits, 16) - 8
    return (steps + (steps >= 0)) / 8


def _ramp(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Grows along every axis at a rate of its own, folded into (-1, 1): smooth, and nowhere symmetric."""
    first = float(_unit(bits.reshape(-1)[:1])[0]) if bits.size else 0.0
    total = np.full((1,) * bits.ndim, first)
    for axis, size in enumerate(bits.shape):
        rate = (0.293, 0.437, 0.171, 0.619)[axis % 4]
        total = total + rate * np.arange(size).reshape((1,) * axis + (size,) + (1,) * (bits.ndim - axis - 1))
    return np.mod(total + 1, 2) - 1


def _uniform(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    return _unit(bits) * (0.5 if role == WEIGHT else 1.0)


def _normal(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Nearly normal: the sum of four independent uniforms, exact in float64 everywhere."""
    total = sum(_unit(_mix(bits + np.uint64(k * _GOLDEN & _MASK))) for k in range(1, 5))
    return np.asarray(total) * (0.5 if role == WEIGHT else 0.9)


def _large(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Scales from 1/4 to 32 side by side: saturated gates beside live ones."""
    return np.ldexp(_unit(bits), _whole(_mix(bits), 8).astype(np.int32) - 2)


def _subnormal(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Inputs, states and biases around the smallest normal number; ordinary weights."""
    if role == WEIGHT:
        return _uniform(bits, role, format)
    return np.ldexp(_unit(bits), _whole(_mix(bits), 8).astype(np.int32) - 5) * format.smallest_normal


def _digital(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Data that leaves every gate open or shut and a tanh at -1, 0 or 1, so that nothing is rounded anywhere.

    Inputs and states are -1, 0 or 1, the input's biases odd multiples of `digit`, all other parameters 0 or twice it,
    of either sign. Sums of up to 120 products are exact in every dtype and within its range.
    """
    sign = _whole(bits, 3) - 1
    if role in (INPUT, STATE):
        return sign
    return digit(format) * (2 * _whole(bits, 4) - 3 if role == INPUT_BIAS else 2 * sign)


_KINDS = {
    "digital": _digital,
    "zeros": _zeros,
    "onehot": _onehot,
    "integers": _integers,
    "dyadic": _dyadic,
    "ramp": _ramp,
    "uniform": _uniform,
    "normal": _normal,
    "large": _large,
    "subnormal": _subnormal,
}
