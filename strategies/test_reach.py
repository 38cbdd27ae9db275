"""Within a few thousand draws the cases reach every value of every axis, and every pair of values of two axes."""

from collections import Counter
from functools import cache
from itertools import combinations, product

import pytest

from strategies import Case, axes, cases
from strategies.families import SINGLE_STEP
from strategies.testing import draws, order
from strategies.values import FILLS


def hundred(family, with_seed):
    """A hundred cases. Hypothesis varies earlier draws within a run, so many seeds reach more than a long run."""
    return draws(family.strategy(), 100, with_seed)


@cache
def hundred_of_all(with_seed):
    return hundred(cases(packed=None, projection=None), with_seed)


def thousands(count):
    """`count` thousand cases, packed or padded, with a projection or without; the same in every run."""
    return [case for with_seed in range(10 * count) for case in hundred_of_all(with_seed)]


def narrowing(case):
    """The class of proj_size: "none" without a projection, "1", "between", or "all but 1" of hidden_size.

    With a hidden_size of 2 the class is "1".
    """
    if not case.projection:
        return "none"
    if case.proj_size == 1:
        return "1"
    return "all but 1" if case.proj_size == case.hidden_size - 1 else "between"


# Every value


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("num_layers", {1, 2, 3}),
        ("batch_size", {1, 2, 3, 4, 5}),
        ("steps", set(range(1, 13))),
        ("bidirectional", {False, True}),
        ("dtype", {"float64", "float32", "float16", "bfloat16"}),
        ("device", {"cpu"}),
        ("fill", set(FILLS)),
        ("memory", set(axes.MEMORY)),
    ],
)
def test_a_thousand_cases_reach_every_value_of(field, values):
    assert {getattr(case, field) for case in thousands(1)} == values


@pytest.mark.parametrize("field", ["input_size", "hidden_size"])
def test_a_thousand_cases_are_mostly_small_with_simd_edges_and_wide_ones_among_them(field):
    sizes = Counter(getattr(case, field) for case in thousands(1))
    assert sum(sizes[n] for n in range(1, 6)) > 400
    assert sizes.keys() >= {7, 8, 9, 15, 16, 17, 31, 32, 33}


@pytest.mark.parametrize("field", ["seed", "pick"])
def test_a_thousand_cases_bring_many_different_values_of(field):
    values = {getattr(case, field) for case in thousands(1)}
    assert len(values) > 50
    assert values <= set(range(2**16))


def test_a_thousand_cases_reach_every_dtype_with_one_and_two_directions_and_one_and_more_layers():
    reached = {(case.dtype, case.bidirectional, case.num_layers > 1) for case in thousands(1)}
    assert len(reached) == 4 * 2 * 2


@pytest.mark.parametrize("word", axes.LAYOUT_WORDS)
def test_a_thousand_cases_have_each_layout_word_alone_and_beside_others(word):
    having = [case.layout for case in thousands(1) if word in case.layout]
    assert (word,) in having
    assert any(len(layout) > 1 for layout in having)


def test_four_thousand_cases_reach_every_layout():
    assert {case.layout for case in thousands(4)} == set(axes.LAYOUTS)


def test_a_thousand_cases_are_padded_and_packed_with_equal_sorted_and_unsorted_lengths():
    orders = Counter(order(case.lengths) for case in thousands(1) if case.batch_size > 1)
    assert orders.keys() == {"padded", "equal", "sorted", "unsorted"}
    assert min(orders.values()) > 30


def test_a_thousand_cases_have_equal_lengths_of_one_row_and_of_more_of_one_step_and_of_more():
    equal = [case for case in thousands(1) if order(case.lengths) == "equal"]
    assert {(case.batch_size > 1, case.steps > 1) for case in equal} == set(product((False, True), repeat=2))


def test_a_thousand_cases_have_projections_to_one_feature_to_all_but_one_and_between():
    wide = Counter(narrowing(case) for case in thousands(1) if case.hidden_size > 3)
    assert wide.keys() == {"none", "1", "all but 1", "between"}
    assert any((case.hidden_size, case.proj_size) == (2, 1) for case in thousands(1))


def test_four_hundred_unbatched_cases_reach_every_memory_dtype_and_fill():
    family = cases(unbatched=True)
    unbatched = [case for with_seed in range(4) for case in hundred(family, with_seed)]
    assert {case.memory for case in unbatched} == set(axes.MEMORY)
    assert {case.dtype for case in unbatched} == set(axes.DTYPES)
    assert {case.fill for case in unbatched} == set(FILLS)


def test_five_hundred_cases_of_a_single_step_reach_every_dtype_memory_fill_and_layout_word_that_it_has():
    single = [case for with_seed in range(5) for case in hundred(SINGLE_STEP, with_seed)]
    assert {case.dtype for case in single} == set(axes.DTYPES)
    assert {case.memory for case in single} == set(axes.MEMORY)
    assert {case.fill for case in single} == set(FILLS)
    assert {word for case in single for word in case.layout} == set(axes.LAYOUT_WORDS) - {"bf"}
    assert {(case.batch_size > 1, case.input_size > 1, case.hidden_size > 1) for case in single} == set(
        product((False, True), repeat=3)
    )


# Every pair of values

SIZE_FIELDS = ("num_layers", "batch_size", "steps", "input_size", "hidden_size")

AXES = {
    "dtype": axes.DTYPES,
    "memory": axes.MEMORY,
    "fill": FILLS,
    "lengths": ("padded", "equal", "sorted", "unsorted"),
    "projection": ("none", "1", "between", "all but 1"),
    "bidirectional": (False, True),
    **dict.fromkeys(axes.LAYOUT_WORDS, (False, True)),
    **dict.fromkeys(SIZE_FIELDS, ("1", "more")),
}
"""The axes, and the classes of values that are distinguished."""


def choice(case):
    """The class of values that a case has on each of `AXES`."""
    own = {name: getattr(case, name) for name in ("dtype", "memory", "fill", "bidirectional")}
    words = {word: word in case.layout for word in axes.LAYOUT_WORDS}
    sizes = {name: "1" if getattr(case, name) == 1 else "more" for name in SIZE_FIELDS}
    return {**own, "lengths": order(case.lengths), "projection": narrowing(case), **words, **sizes}


def pairs_met(choices):
    """The number of `choices` with each pair of values of two axes; a choice maps axes to values."""
    return Counter(frozenset(pair) for one in choices for pair in combinations(one.items(), 2))


def all_pairs(values_by_axis):
    """Every pair of values of two different axes."""
    sides = [[(axis, value) for value in values] for axis, values in values_by_axis.items()]
    return {frozenset(pair) for one, other in combinations(sides, 2) for pair in product(one, other)}


IMPOSSIBLE = {
    frozenset(pair)
    for pair in [
        (("unb", True), ("batch_size", "more")),
        *((("unb", True), ("lengths", lengths)) for lengths in ("equal", "sorted", "unsorted")),
        *(
            ((size, "1"), ("lengths", lengths))
            for size in ("batch_size", "steps")
            for lengths in ("sorted", "unsorted")
        ),
        *((("hidden_size", "1"), ("projection", size)) for size in ("1", "between", "all but 1")),
    ]
}
"""An unbatched call is one padded row; unequal lengths need two rows and two steps; a projection needs two units."""


def test_pairs_are_counted_whatever_the_order_of_the_axes():
    met = pairs_met([{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3, "c": 3}])
    assert met[frozenset({("a", 1), ("b", 2)})] == 2
    assert met[frozenset({("b", 3), ("c", 3)})] == 1
    assert len(met) == 4
    assert all_pairs({"a": (1,), "b": (2, 3), "c": (3,)}) == met.keys() | {frozenset({("b", 2), ("c", 3)})}


def test_every_case_has_a_value_of_each_axis():
    chosen = choice(Case())
    assert chosen.keys() == AXES.keys()
    assert all(chosen[axis] in values for axis, values in AXES.items())


def test_four_thousand_cases_meet_every_pair_of_values_that_can_be():
    met = pairs_met(map(choice, thousands(4)))
    assert all_pairs(AXES) - met.keys() == IMPOSSIBLE
    assert met.keys() <= all_pairs(AXES)
