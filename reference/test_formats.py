"""The constants of each format, and that it rounds as IEEE 754 specifies."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from reference.formats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS, Format


def _each(*formats: Format) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("format", formats, ids=[format.name for format in formats])


ALL = _each(*FORMATS.values())
KNOWN_TO_NUMPY = _each(FLOAT64, FLOAT32, FLOAT16)
NARROWER_THAN_THE_ARGUMENT = _each(FLOAT32, FLOAT16, BFLOAT16)


def _bfloat16(bits: int | np.ndarray) -> np.ndarray:
    """The numbers that the 16-bit patterns stand for; bfloat16 is the upper half of float32."""
    return (np.asarray(bits, np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)


def _rounded(x: float, format: Format) -> float:
    """x rounded in exact arithmetic to the nearest multiple of the last place, ties to even as in Python's round."""
    exponent = max(math.frexp(x)[1] - 1, format.min_exponent)
    last_place = Fraction(2) ** (exponent - format.precision + 1)
    nearest = round(Fraction(x) / last_place) * last_place
    return math.copysign(math.inf if abs(nearest) > Fraction(format.largest) else float(abs(nearest)), x)


def _all_scales(format: Format, count: int = 3000) -> np.ndarray:
    """Numbers of every size, from below the smallest subnormal to beyond the largest, as far as float64 reaches."""
    rng = np.random.default_rng(1)
    low, high = format.min_exponent - format.precision - 1, format.max_exponent + 2
    with np.errstate(over="ignore"):
        values = rng.uniform(-1, 1, count) * np.exp2(rng.integers(low, high, count).astype(float))
    return values[np.isfinite(values)]


@KNOWN_TO_NUMPY
def test_constants_are_those_of_numpy(format: Format) -> None:
    info = np.finfo(format.name)
    assert format.unit_roundoff == float(info.eps) / 2
    assert format.smallest_normal == float(info.smallest_normal)
    assert format.smallest_subnormal == float(info.smallest_subnormal)
    assert format.largest == float(info.max)


def test_constants_of_bfloat16_are_those_of_its_bit_patterns() -> None:
    assert 1 + 2 * BFLOAT16.unit_roundoff == _bfloat16(0x3F81)
    assert BFLOAT16.smallest_subnormal == _bfloat16(0x0001)
    assert BFLOAT16.smallest_normal == _bfloat16(0x0080)
    assert BFLOAT16.largest == _bfloat16(0x7F7F)


def test_every_finite_bit_pattern_of_bfloat16_stays_as_it_is() -> None:
    numbers = _bfloat16(np.concatenate([np.arange(0x7F80), np.arange(0x8000, 0xFF80)]))
    assert np.isfinite(numbers).all()
    np.testing.assert_array_equal(BFLOAT16.round(numbers), numbers)


def test_half_of_the_lower_bits_decides_the_rounding_of_float32_to_bfloat16() -> None:
    bits = np.random.default_rng(0).integers(0, 0x7F800000, 100_000, np.uint32)
    to_even = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    expected = _bfloat16(to_even >> np.uint32(16))
    np.testing.assert_array_equal(BFLOAT16.round(bits.view(np.float32)), expected)


@KNOWN_TO_NUMPY
def test_rounding_is_the_cast_of_numpy(format: Format) -> None:
    values = _all_scales(format)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(format.round(values), values.astype(format.name).astype(np.float64))


@ALL
def test_rounding_is_that_of_exact_arithmetic(format: Format) -> None:
    values = _all_scales(format)
    np.testing.assert_array_equal(format.round(values), [_rounded(x, format) for x in values])


@NARROWER_THAN_THE_ARGUMENT
def test_a_tie_goes_to_the_even_neighbour(format: Format) -> None:
    last_place = 2 * format.unit_roundoff
    ties = 1 + last_place * np.array([0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(format.round(ties), 1 + last_place * np.array([0, 2, 2, 4]))
    np.testing.assert_array_equal(format.round(-ties), -format.round(ties))
    just_off = np.nextafter(ties, [2, 0, 2, 0])
    np.testing.assert_array_equal(format.round(just_off), 1 + last_place * np.array([1, 1, 3, 3]))


@ALL
def test_subnormals_have_a_fixed_distance(format: Format) -> None:
    tiny = format.smallest_subnormal
    assert format.holds(tiny * np.array([0, 1, 2, 3, 5, 7]))
    assert format.smallest_normal == tiny / (2 * format.unit_roundoff)


@NARROWER_THAN_THE_ARGUMENT
def test_between_subnormals_ties_go_to_even_too(format: Format) -> None:
    tiny = format.smallest_subnormal
    np.testing.assert_array_equal(format.round(tiny * np.array([0.5, 0.75, 1.5, 2.5])), tiny * np.array([0, 1, 2, 2]))


@NARROWER_THAN_THE_ARGUMENT
def test_beyond_the_largest_number_lies_infinity(format: Format) -> None:
    halfway = 2.0**format.max_exponent * (2 - format.unit_roundoff)
    assert format.round(np.nextafter(halfway, 0)) == format.largest
    assert format.round(np.array(halfway)) == np.inf
    assert format.round(np.array(-halfway)) == -np.inf


@ALL
def test_what_is_no_finite_number_stays_what_it_is(format: Format) -> None:
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0])
    rounded = format.round(special)
    np.testing.assert_array_equal(rounded, special)
    np.testing.assert_array_equal(np.signbit(rounded), np.signbit(special))


@ALL
def test_rounding_errs_by_the_unit_roundoff_at_most(format: Format) -> None:
    values = _all_scales(format)
    values = values[np.abs(values) <= format.largest]
    allowed = np.maximum(format.unit_roundoff * np.abs(values), format.smallest_subnormal / 2)
    assert np.all(np.abs(format.round(values) - values) <= allowed)


@ALL
def test_rounding_keeps_order_and_rounds_once(format: Format) -> None:
    values = np.sort(_all_scales(format))
    rounded = format.round(values)
    assert np.all(rounded[1:] >= rounded[:-1])
    np.testing.assert_array_equal(format.round(rounded), rounded)


@ALL
def test_any_shape_is_rounded(format: Format) -> None:
    assert format.round(np.full((2, 0, 3), 0.1)).shape == (2, 0, 3)
    assert format.round(np.full((2, 1, 3), 0.1)).shape == (2, 1, 3)
    assert format.round(np.array(0.1)).shape == ()


@NARROWER_THAN_THE_ARGUMENT
def test_a_format_holds_its_numbers_and_no_others(format: Format) -> None:
    numbers = np.append(format.round(_all_scales(format)), [format.largest, np.nan, np.inf])
    assert format.holds(numbers)
    for foreign in (1 + format.unit_roundoff, format.smallest_subnormal / 2, 2 * format.largest):
        assert not format.holds(np.append(numbers, foreign))
