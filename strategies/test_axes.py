"""The axes draw only what they promise, reach all of it, and ask for the axes in force at each draw."""

from collections import Counter

import pytest

from strategies import Axes, axes, cases
from strategies.testing import draws, smallest
from strategies.values import FILLS


def test_sizes_are_the_small_ones_the_simd_edges_and_where_permitted_the_wide_ones():
    assert set(draws(axes.input_sizes())) == {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33}
    assert set(draws(axes.hidden_sizes())) == set(axes.SIZES)


@pytest.mark.parametrize("largest", [1, 3, 5, 12])
def test_counts_are_one_to_the_largest(largest):
    assert set(draws(axes.counts(largest))) == set(range(1, largest + 1))


def test_layouts_are_all_sets_of_words_each_once_and_in_order():
    assert len(axes.LAYOUTS) == len(set(axes.LAYOUTS)) == 2 ** len(axes.LAYOUT_WORDS)
    assert all(words == tuple(word for word in axes.LAYOUT_WORDS if word in words) for words in axes.LAYOUTS)
    assert set(draws(axes.layouts(), 2000)) == set(axes.LAYOUTS)


def test_memories_are_all_there_and_contiguous_ones_weigh_more():
    memories = Counter(draws(axes.memories()))
    assert memories.keys() == set(axes.MEMORY)
    assert len(axes.MEMORY) == len(set(axes.MEMORY))
    assert max(memories, key=memories.__getitem__) == "contiguous"


@pytest.mark.parametrize("permitted", [(False,), (True,), (False, True)])
def test_extensions_are_absent_or_present_as_is_permitted(permitted):
    numbers = draws(axes.extensions(permitted))
    assert {number > 0 for number in numbers} == set(permitted)
    assert min(numbers) >= 0


def test_layouts_draw_the_permitted_ones_alone():
    permitted = [("bf", "nohx"), ("nohx",)]
    assert set(draws(axes.layouts(permitted))) == set(permitted)


def test_fills_are_all_there_and_the_telling_ones_weigh_more():
    assert set(draws(axes.fills())) == set(FILLS)
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
        (axes.dtypes(Axes), "float32"),
        (axes.devices(Axes), "cpu"),
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


def test_dtypes_and_devices_shrink_to_the_first_that_is_present():
    present = Axes(("bfloat16", "float32"), ("cuda:1", "cpu"))
    assert smallest(axes.dtypes(lambda: present)) == "bfloat16"
    assert smallest(axes.devices(lambda: present)) == "cuda:1"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_dtype_and_device_that_is_present_is_drawn(count):
    present = Axes(axes.DTYPES[:count], tuple(f"cuda:{n}" for n in range(count)))
    assert set(draws(axes.dtypes(lambda: present))) == set(present.dtypes)
    assert set(draws(axes.devices(lambda: present))) == set(present.devices)


def test_permitted_dtypes_are_drawn_if_the_run_has_them_and_otherwise_all_the_same():
    present = Axes(("float32", "float16"))
    assert set(draws(axes.dtypes(lambda: present, ("float16", "bfloat16")))) == {"float16"}
    assert set(draws(axes.dtypes(lambda: present, ("float64", "bfloat16")))) == {"float64", "bfloat16"}


def test_axes_in_force_are_read_when_a_case_is_drawn():
    in_force = Axes()
    made_before = cases().strategy(lambda: in_force)
    in_force = Axes(("float64",), ("cuda", "cuda:1"))
    after = draws(made_before, 100)
    assert {case.dtype for case in after} == {"float64"}
    assert {case.device for case in after} == {"cuda", "cuda:1"}


def test_pinned_dtypes_follow_the_axes_in_force_too():
    family = cases(dtype=("float64", "float16"))
    assert {case.dtype for case in draws(family.strategy(lambda: Axes(("float16",))), 50)} == {"float16"}
