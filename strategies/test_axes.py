"""The axes draw only what they promise, reach all of it, and read what is present when they draw."""

from collections import Counter

import pytest

from strategies import axes, cases
from strategies.conftest import drawn, smallest
from strategies.values import FILLS


@pytest.fixture
def present(monkeypatch):
    """Sets what is present, for one test."""
    return lambda **axis: [monkeypatch.setattr(axes.present, name, values) for name, values in axis.items()]


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


def test_memories_are_all_there_and_contiguous_ones_weigh_more():
    memories = Counter(drawn(axes.memories()))
    assert memories.keys() == set(axes.MEMORY)
    assert len(axes.MEMORY) == len(set(axes.MEMORY))
    assert max(memories, key=memories.__getitem__) == "contiguous"


@pytest.mark.parametrize("permitted", [(False,), (True,), (False, True)])
def test_extensions_are_absent_or_present_as_is_permitted(permitted):
    numbers = drawn(axes.extensions(permitted))
    assert {number > 0 for number in numbers} == set(permitted)
    assert min(numbers) >= 0


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
        (axes.memories(), "contiguous"),
        (axes.extensions((False, True)), 0),
        (axes.extensions((True,)), 1),
    ],
    ids=[
        "sizes",
        "counts",
        "layouts",
        "permitted layouts",
        "fills",
        "dtypes",
        "devices",
        "memories",
        "extensions",
        "an extension",
    ],
)
def test_each_axis_shrinks_to_its_simplest_value(strategy, first):
    assert smallest(strategy) == first


def test_dtypes_and_devices_shrink_to_the_first_that_is_present(present):
    present(dtypes=("bfloat16", "float32"), devices=("cuda:1", "cpu"))
    assert smallest(axes.dtypes()) == "bfloat16"
    assert smallest(axes.devices()) == "cuda:1"


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
