"""The numbers of a case. They depend on the kind of fill and a seed alone, so a line of text reproduces them.

Every value is a hash of the seed, the tensor's name and its index along each axis. A smaller size therefore crops the
data and does not reshuffle it; gates, directions, layers and biases all differ; and the values are the same with every
release of NumPy.
"""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np

from reference.formats import FLOAT32, FORMATS, Format

FILLS = ("dyadic", "integers", "ramp", "uniform", "normal", "onehot", "large", "subnormal", "zeros", "digital")
"""The kinds of fill that cases of any size draw, the most readable numbers first."""

INITIAL = "initial"
"""Parameters as nn.RNN draws them, uniform within 1 / sqrt(hidden_size). Large cases draw it: the other kinds saturate
all gates from about 100 units on."""

EVERY_FILL = (*FILLS, INITIAL)

GRANULES = {"dyadic": 2.0**-3, "integers": 1.0, "onehot": 2.0**-3, "zeros": 1.0}
"""`Problem.granule` of each fill that has one: the power of two of which all its numbers are multiples."""

WEIGHT, INPUT_BIAS, HIDDEN_BIAS, INPUT, STATE = "weight", "bias_ih", "bias_hh", "input", "state"
"""The roles of tensors. In the documentation, INPUT_BIAS is added to W_ih x and HIDDEN_BIAS to W_hh h."""


def digit(format: Format) -> float:
    """A number whose nonzero multiples have a tanh and a sigmoid of exactly -1, 0 or 1.

    exp(745) overflows float64 and exp(104) overflows float32. 16-bit types compute exp in float32 or overflow earlier.
    """
    return 1024.0 if format.precision > FLOAT32.precision else 128.0


LARGEST_KEPT = 64
"""The longest axis of an index table that is cached."""

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def fill(kind: str, role: str, name: str, seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers that `dtype` stores exactly, as a float64 array of `shape`.

    kind  one of `EVERY_FILL`
    role  sets the scale: WEIGHT, INPUT_BIAS, HIDDEN_BIAS, INPUT or STATE
    name  of the tensor; tensors of different names have different numbers

    Raises KeyError for an unknown kind or dtype.
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
    """64 bits for each index of `shape`; the axes are mixed in one after the other."""
    h = np.zeros((1,) * len(shape), np.uint64)
    for axis, size in enumerate(shape):
        index = np.arange(1, size + 1, dtype=np.uint64).reshape((1,) * axis + (size,) + (1,) * (len(shape) - axis - 1))
        h = _mix(h ^ (index * np.uint64(_GOLDEN)))
    return h


def _hashes(name: str, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """64 random bits for each index of the tensor `name`. Index tables are cached at power-of-two sizes and cropped."""
    start = (zlib.crc32(name.encode()) * _GOLDEN + seed * 0xD1342543DE82EF95) & _MASK
    rounded_up = tuple(1 << (size - 1).bit_length() for size in shape)
    if max(rounded_up, default=1) > LARGEST_KEPT:
        return _mix(_index_table.__wrapped__(shape) ^ np.uint64(start))
    return _mix(_index_table(rounded_up)[tuple(map(slice, shape))] ^ np.uint64(start))


def _unit(bits: np.ndarray) -> np.ndarray:
    """Uniform in (-1, 1), never zero: odd multiples of 2**-24, which float32 stores exactly."""
    return ((bits >> np.uint64(40)).astype(np.float64) * 2 + 1) * 2.0**-24 - 1


def _whole(bits: np.ndarray, count: int) -> np.ndarray:
    """Integers from 0 to count - 1, as float64."""
    return ((bits >> np.uint64(32)) % np.uint64(count)).astype(np.float64)


def _zeros(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    return np.zeros(bits.shape)


def _onehot(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Inputs and states have a single 1 along their features, where the hash is largest; weights are dyadic."""
    if role not in (INPUT, STATE):
        return _dyadic(bits, role, format)
    return (bits == bits.max(-1, keepdims=True)).astype(np.float64)


def _integers(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    return _whole(bits, 5) - 2


def _dyadic(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Nonzero multiples of 1/8 in [-1, 1]: few bits, so products are exact."""
    steps = _whole(bits, 16) - 8
    return (steps + (steps >= 0)) / 8


def _ramp(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Grows along every axis at a different rate, folded into [-1, 1): smooth, without symmetries."""
    first = float(_unit(bits.reshape(-1)[:1])[0]) if bits.size else 0.0
    total = np.full((1,) * bits.ndim, first)
    for axis, size in enumerate(bits.shape):
        rate = (0.293, 0.437, 0.171, 0.619)[axis % 4]
        total = total + rate * np.arange(size).reshape((1,) * axis + (size,) + (1,) * (bits.ndim - axis - 1))
    return np.mod(total + 1, 2) - 1


def _uniform(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    return _unit(bits) * (0.5 if role == WEIGHT else 1.0)


def _initial(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Parameters have axes (gate, unit, ...), or (projected, unit) for a projection."""
    return _unit(bits) if role in (INPUT, STATE) else _unit(bits) / np.sqrt(bits.shape[1])


def _normal(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Nearly normal: the sum of four independent uniforms, exact in float64 on every platform."""
    total = sum(_unit(_mix(bits + np.uint64(k * _GOLDEN & _MASK))) for k in range(1, 5))
    return np.asarray(total) * (0.5 if role == WEIGHT else 0.9)


def _large(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Scales from 1/4 to 32 side by side, so some gates saturate and others do not."""
    return np.ldexp(_unit(bits), _whole(_mix(bits), 8).astype(np.int32) - 2)


def _subnormal(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Inputs, states and biases around the smallest normal number; weights as in uniform."""
    if role == WEIGHT:
        return _uniform(bits, role, format)
    return np.ldexp(_unit(bits), _whole(_mix(bits), 8).astype(np.int32) - 5) * format.smallest_normal


def _digital(bits: np.ndarray, role: str, format: Format) -> np.ndarray:
    """Data for which every gate is 0 or 1 and every tanh is -1, 0 or 1, so no operation rounds.

    Inputs and states are -1, 0 or 1. The input's biases are odd multiples of `digit`, all other parameters 0 or plus or
    minus twice `digit`. Sums of up to 120 products are exact and in range in every dtype, of thousands in float32 and
    float64.
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
    INITIAL: _initial,
    "normal": _normal,
    "large": _large,
    "subnormal": _subnormal,
}
