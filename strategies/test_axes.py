"""The axes draw only what they promise, reach all of it, and read what is present when they draw."""

from collections import Counter
from functools import cache
from random import Random

import pytest
from hypothesis import Phase, find, given, seed, settings

from strategies import axes, cases
from strategies.values import FILLS


@pytest.fixture(autouse=True, scope="module")
def every_dtype_is_present():
    """Whatever this run's device and release can do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(axes.present, "dtypes", axes.DTYPES)
        patch.setattr(axes.present, "devices", ("cpu",))
        yield


@pytest.fixture
def present(monkeypatch):
    """Sets what is present, for one test."""
    return lambda **axis: [monkeypatch.setattr(axes.present, name, values) for name, values in axis.items()]


def drawn(strategy, count=500, with_seed=0):
    """What `strategy` draws with a fixed seed: `count` examples, or all it has if they are fewer."""
    seen = []

    @seed(with_seed)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def collect(value):
        seen.append(value)

    collect()
    return seen


@cache
def thousand_cases():
    """A hundred of each of ten seeds: within one run Hypothesis varies what it has drawn, and so says less."""
    return [case for with_seed in range(10) for case in drawn(cases().strategy(), 100, with_seed)]


def simplest(strategy):
    return find(strategy, lambda value: True, settings=settings(database=None, deadline=None), random=Random(0))


def test_sizes_are_the_small_ones_the_simd_edges_and_where_permitted_the_wide_ones():
    assert set(drawn(axes.input_sizes())) == {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33}
    assert set(drawn(axes.hidden_sizes())) == set(axes.SIZES)


@pytest.mark.parametrize("largest", [1, 3, 5, 12])
def test_counts_are_one_to_the_largest(largest):
    assert set(drawn(axes.counts(largest))) == set(range(1, largest + 1))


def test_layouts_are_all_sets_of_words_each_once_and_in_order():
    assert len(axes.LAYOUTS) == len(set(axes.LAYOUTS)) == 2 ** len(axes.LAYOUT_WORDS)
    assert all(words == tuple(word for word in axes.LAYOUT_WORDS if word in words) for words in axes.LAYOUTS)
    assert set(drawn(axes.layouts(), 2000)) == set(axes.LAYOUTS)


def test_layouts_draw_the_permitted_ones_alone():
    permitted = [("bf", "nohx"), ("nohx",)]
    assert set(drawn(axes.layouts(permitted))) == set(permitted)


def test_fills_are_all_there_and_the_telling_ones_weigh_more():
    assert set(drawn(axes.fills())) == set(FILLS)
    weight = Counter(axes.FILLS_BY_WEIGHT)
    assert weight["dyadic"] > weight["zeros"] > 0


@pytest.mark.parametrize(
    ("strategy", "first"),
    [
        (axes.input_sizes(), 1),
        (axes.counts(12), 1),
        (axes.layouts(), ()),
        (axes.layouts([("bf", "nobias", "nohx"), ("nobias", "nohx"), ("bf",)]), ("bf",)),
        (axes.fills(), "dyadic"),
        (axes.dtypes(), "float32"),
        (axes.devices(), "cpu"),
    ],
    ids=["sizes", "counts", "layouts", "permitted layouts", "fills", "dtypes", "devices"],
)
def test_each_axis_shrinks_to_its_simplest_value(strategy, first):
    assert simplest(strategy) == first


def test_dtypes_and_devices_shrink_to_the_first_that_is_present(present):
    present(dtypes=("bfloat16", "float32"), devices=("cuda:1", "cpu"))
    assert simplest(axes.dtypes()) == "bfloat16"
    assert simplest(axes.devices()) == "cuda:1"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_dtype_and_device_that_is_present_is_drawn(present, count):
    devices = tuple(f"cuda:{n}" for n in range(count))
    present(dtypes=axes.DTYPES[:count], devices=devices)
    assert set(drawn(axes.dtypes())) == set(axes.DTYPES[:count])
    assert set(drawn(axes.devices())) == set(devices)


def test_what_is_present_is_read_when_a_case_is_drawn(present):
    made_before = cases().strategy()
    present(dtypes=("float64",), devices=("cuda", "cuda:1"))
    after = drawn(made_before, 100)
    assert {case.dtype for case in after} == {"float64"}
    assert {case.device for case in after} == {"cuda", "cuda:1"}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("num_layers", {1, 2, 3}),
        ("batch_size", {1, 2, 3, 4, 5}),
        ("steps", set(range(1, 13))),
        ("bidirectional", {False, True}),
        ("layout", set(axes.LAYOUTS)),
        ("dtype", {"float64", "float32", "float16", "bfloat16"}),
        ("device", {"cpu"}),
        ("fill", set(FILLS)),
        ("memory", set(axes.MEMORY)),
    ],
)
def test_a_thousand_cases_reach_every_value_of(field, values):
    assert {getattr(case, field) for case in thousand_cases()} == values


@pytest.mark.parametrize("field", ["input_size", "hidden_size"])
def test_a_thousand_cases_are_mostly_small_with_simd_edges_and_wide_ones_among_them(field):
    sizes = Counter(getattr(case, field) for case in thousand_cases())
    assert sum(sizes[n] for n in range(1, 6)) > 400
    assert sizes.keys() >= {7, 8, 9, 15, 16, 17, 31, 32, 33}


@pytest.mark.parametrize("field", ["seed", "pick"])
def test_a_thousand_cases_bring_many_different_values_of(field):
    values = {getattr(case, field) for case in thousand_cases()}
    assert len(values) > 50
    assert values <= set(range(2**16))


def test_a_thousand_cases_reach_every_dtype_with_one_and_two_directions_and_one_and_more_layers():
    reached = {(case.dtype, case.bidirectional, case.num_layers > 1) for case in thousand_cases()}
    assert len(reached) == 4 * 2 * 2
