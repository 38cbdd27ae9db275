"""The rounding model that judges each call, and how the models relate to each other."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from reference import roundings
from reference.formats import FLOAT64, FORMATS
from reference.problem import GATES, GRU, LSTM, RNN_TANH
from reference.roundings import MEASURED_RELEASES, Accuracy, Judgement, Rounding, at_accuracy, lacks_wider_type, model

EVERYWHERE = [(cell, dtype) for cell in GATES for dtype in FORMATS]
HALVES = ("float16", "bfloat16")


def _on(
    cell: str = LSTM,
    dtype: str = "float32",
    device: str = "cpu",
    capability: str = "AVX2",
    release: str = "2.13",
    subject: str = "torch.nn",
) -> Judgement:
    return model(cell, dtype, device, capability, release, subject)


def _union(cell: str, dtype: str) -> Rounding:
    return _on(cell, dtype, capability="AVX512").red


@pytest.mark.parametrize("release", MEASURED_RELEASES)
@pytest.mark.parametrize(("cell", "dtype"), EVERYWHERE)
def test_measured_kernels_are_judged_by_their_own_constants_alone(cell: str, dtype: str, release: str) -> None:
    judgement = _on(cell, dtype, release=release)
    assert judgement.amber is None
    assert judgement.red.provenance.startswith("measured")
    assert judgement.red.format is FORMATS[dtype]


@pytest.mark.parametrize(
    "elsewhere",
    [{"device": "cuda"}, {"capability": "AVX512"}, {"capability": ""}, {"release": "2.99"}, {"subject": "my.module"}],
    ids=str,
)
@pytest.mark.parametrize(("cell", "dtype"), EVERYWHERE)
def test_anywhere_else_the_union_is_red_and_the_measured_kernels_are_amber(
    cell: str, dtype: str, elsewhere: dict[str, str]
) -> None:
    judgement = _on(cell, dtype, **elsewhere)
    assert judgement.red.provenance.startswith("union")
    assert judgement.amber is not None
    assert judgement.amber.provenance.startswith("measured")
    assert judgement.red.format is judgement.amber.format is FORMATS[dtype]


@pytest.mark.parametrize("release", [*MEASURED_RELEASES, "2.99"])
@pytest.mark.parametrize(("cell", "dtype"), EVERYWHERE)
def test_the_union_allows_whatever_a_measured_kernel_may_do(cell: str, dtype: str, release: str) -> None:
    union, measured = _union(cell, dtype), _on(cell, dtype, release=release, subject="my.module").amber
    assert measured is not None
    for field in fields(Rounding):
        if field.name not in ("format", "provenance"):
            assert getattr(union, field.name) >= getattr(measured, field.name), field.name


@pytest.mark.parametrize(("cell", "dtype"), EVERYWHERE)
def test_only_the_union_allows_biases_added_first_and_states_carried_wider(cell: str, dtype: str) -> None:
    union, measured = _union(cell, dtype), _on(cell, dtype).red
    assert union.fused_biases
    assert union.wider_states
    assert not measured.fused_biases
    assert not measured.wider_states


@pytest.mark.parametrize(("cell", "dtype"), EVERYWHERE)
def test_the_union_is_one_for_all_cells_and_releases(cell: str, dtype: str) -> None:
    everywhere = [_on(cell, dtype, capability="AVX512", release=release).red for release in (*MEASURED_RELEASES, "9.9")]
    assert set(everywhere) == {_union(LSTM, dtype)}


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(KeyError, match="float8"):
        _on(dtype="float8")


@pytest.mark.parametrize(("cell", "dtype"), EVERYWHERE)
def test_only_lstm_has_the_constants_of_onednn(cell: str, dtype: str) -> None:
    rounding = _on(cell, dtype).red
    assert (rounding.sigmoid == 8) == ((cell, dtype) == (LSTM, "float32"))
    flushing = cell == LSTM and dtype in ("float32", "bfloat16")
    assert rounding.sigmoid_floor == rounding.floor * (2 if flushing else 1)


@pytest.mark.parametrize("dtype", FORMATS)
def test_16_bit_types_store_every_operation_and_accumulate_in_float32(dtype: str) -> None:
    rounding = _on(RNN_TANH, dtype).red
    assert rounding.stored == (dtype in HALVES)
    assert rounding.accumulation == (2.0**-24 if dtype in HALVES else FORMATS[dtype].unit_roundoff)


def test_bfloat16_accumulates_in_itself_unless_float32_was_measured() -> None:
    accumulation = {release: _on(GRU, "bfloat16", release=release).red.accumulation for release in MEASURED_RELEASES}
    assert accumulation == {"2.0": 2.0**-8, "2.6": 2.0**-24, "2.13": 2.0**-24, "2.15": 2.0**-24}
    assert _on(GRU, "float16", release="2.0").red.accumulation == 2.0**-24
    assert {_union(GRU, dtype).accumulation for dtype in HALVES} == {2.0**-8, 2.0**-11}


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_floor_is_the_smallest_number_that_kernels_keep(dtype: str) -> None:
    expected = {"float64": 2.0**-1022, "float32": 2.0**-126, "float16": 2.0**-24, "bfloat16": 2.0**-126}
    assert _on(GRU, dtype).red.floor == expected[dtype]
    assert _union(GRU, dtype).sigmoid_floor == 2 * expected[dtype]


@pytest.mark.parametrize("dtype", FORMATS)
def test_only_bfloat16_products_may_read_subnormal_operands_as_zero(dtype: str) -> None:
    for rounding in (_on(GRU, dtype).red, _union(GRU, dtype)):
        assert rounding.flushed_operands == (2.0**-126 if dtype == "bfloat16" else 0)


@pytest.mark.parametrize("dtype", FORMATS)
def test_midpoints_are_computed_wider_than_the_format(dtype: str) -> None:
    rounding = _on(GRU, dtype).red
    wider = np.finfo(rounding.working_type).eps < 2 * rounding.unit_roundoff
    assert wider or (dtype == "float64" and lacks_wider_type() and rounding.slack > 2)
    assert rounding.unit_roundoff == FORMATS[dtype].unit_roundoff


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_slack_covers_products_of_two_errors_and_little_else(dtype: str) -> None:
    if FORMATS[dtype] is FLOAT64 and lacks_wider_type():
        pytest.skip("here the slack covers the reference's own rounding too")
    assert _on(GRU, dtype).red.slack == 1 + (2.0**-6 if dtype in HALVES else 2.0**-9)


@pytest.mark.parametrize(("cell", "dtype"), EVERYWHERE)
def test_where_nothing_is_wider_than_float64_its_own_model_is_doubled_and_no_other_changes(
    monkeypatch: pytest.MonkeyPatch, cell: str, dtype: str
) -> None:
    usual = _on(cell, dtype, capability="AVX512")
    monkeypatch.setattr(roundings, "WIDEST", np.float64)
    assert lacks_wider_type()
    narrow = _on(cell, dtype, capability="AVX512")
    assert usual.amber is not None
    assert narrow.amber is not None
    for one, other in ((usual.red, narrow.red), (usual.amber, narrow.amber)):
        slack = 2 * (1 + 2.0**-9) if dtype == "float64" else one.slack
        assert other == replace(one, slack=slack)
        assert other.working_type is np.float64


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="this platform's long double is no wider than float64")
def test_float64_is_judged_in_long_double_where_it_is_wider() -> None:
    assert not lacks_wider_type()
    assert _on(GRU, "float64").red.working_type is np.longdouble
    assert {_on(GRU, dtype).red.working_type for dtype in ("float32", *HALVES)} == {np.float64}


def test_stated_accuracy_takes_the_place_of_what_it_is_about():
    union = model(LSTM, "float32", "cpu", "", "", "mine").red
    stated = at_accuracy(union, Accuracy(tanh=(3.0, 0.0), sigmoid=(0.0, 2e-8), accumulation=2.0))
    assert (stated.tanh, stated.tanh_floor) == (3.0, union.tanh_floor)
    assert (stated.sigmoid, stated.sigmoid_slope, stated.sigmoid_floor) == (0.0, 0.0, 2e-8)
    assert stated.accumulation == 2 * union.unit_roundoff
    assert replace(at_accuracy(union, Accuracy()), provenance=union.provenance) == union
    assert str(Accuracy((3.0, 1e-9), (0.0, 2e-8), 2.0)) == "tanh 3 u and 1e-09, sigmoid 2e-08, sums 2 u"
