"""Floating-point formats: the numbers that a dtype can store, and their spacing.

Source: IEEE 754; bfloat16 is float32 with 8 significant bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Format:
    """A binary floating-point format with `precision` significant bits, the leading one included.

    Normal numbers lie between 2**min_exponent and just below 2**(max_exponent + 1).
    """

    name: str
    precision: int
    min_exponent: int
    max_exponent: int

    @cached_property
    def unit_roundoff(self) -> float:
        """Largest relative error of rounding to nearest."""
        return 2.0**-self.precision

    @property
    def smallest_normal(self) -> float:
        return 2.0**self.min_exponent

    @property
    def smallest_subnormal(self) -> float:
        return 2.0 ** (self.min_exponent - self.precision + 1)

    @cached_property
    def largest(self) -> float:
        return (2.0 - 2.0 ** (1 - self.precision)) * 2.0**self.max_exponent

    def round(self, values: np.ndarray) -> np.ndarray:
        """`values` (float64, any shape) rounded to the nearest number of this format, ties to even.

        Returns float64 of the same shape. Values beyond the largest number become inf.
        """
        values = np.asarray(values, np.float64)
        if self.name in ("float64", "float32", "float16"):
            with np.errstate(over="ignore"):
                return values.astype(self.name).astype(np.float64)
        _, exponent = np.frexp(values)
        quantum = np.ldexp(1.0, np.maximum(exponent, self.min_exponent + 1) - self.precision)
        rounded = np.rint(values / quantum) * quantum
        return np.where(np.abs(rounded) > self.largest, np.copysign(np.inf, values), rounded)

    def holds(self, values: np.ndarray) -> bool:
        """Whether this format stores each of `values` exactly; inf and NaN count as stored."""
        values = np.asarray(values, np.float64)
        return bool(np.all((self.round(values) == values) | np.isnan(values)))


FLOAT64 = Format("float64", 53, -1022, 1023)
FLOAT32 = Format("float32", 24, -126, 127)
FLOAT16 = Format("float16", 11, -14, 15)
BFLOAT16 = Format("bfloat16", 8, -126, 127)

FORMATS = {format.name: format for format in (FLOAT64, FLOAT32, FLOAT16, BFLOAT16)}
