"""A family of cases contains the cases it draws, draws every permitted value, and shrinks to the simplest case."""

from collections.abc import Callable
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis.errors import NoSuchExample

from reference.problem import LSTM
from strategies import Case, axes, cases, parse
from strategies.families import FEWEST_CASES, FIELDS, SINGLE_STEP
from strategies.testing import draws, order, smallest
from strategies.values import FILLS

examples = settings(deadline=None)

any_case = cases().strategy()


def reaches(family, field, value):
    """Whether `family` draws a case whose `field` is `value`."""
    try:
        return bool(smallest(family.strategy(), lambda case: getattr(case, field) == value))
    except NoSuchExample:
        return False


# Families

FAMILIES: list[tuple[dict[str, object], Callable[[Case], bool]]] = [
    ({}, lambda case: True),
    ({"bidirectional": True}, lambda case: case.bidirectional),
    ({"num_layers": range(2, 4)}, lambda case: case.num_layers in (2, 3)),
    ({"dtype": ("float64", "bfloat16")}, lambda case: case.dtype in ("float64", "bfloat16")),
    ({"fill": "zeros", "steps": (1, 5)}, lambda case: case.fill == "zeros" and case.steps in (1, 5)),
    ({"batch_first": True}, lambda case: "bf" in case.layout),
    ({"batch_first": False}, lambda case: "bf" not in case.layout),
    ({"bias": True}, lambda case: "nobias" not in case.layout),
    ({"bias": False}, lambda case: "nobias" in case.layout),
    ({"hx": True}, lambda case: "nohx" not in case.layout),
    ({"hx": False}, lambda case: "nohx" in case.layout),
    (
        {"batch_first": True, "bias": True, "hx": False},
        lambda case: {"bf", "nohx"} <= set(case.layout) and "nobias" not in case.layout,
    ),
    ({"unbatched": True}, lambda case: "unb" in case.layout and case.batch_size == 1),
    ({"unbatched": False, "dropout": True}, lambda case: "unb" not in case.layout and "drop" in case.layout),
    ({"unbatched": True, "packed": False}, lambda case: "unb" in case.layout),
    ({"memory": ("sliced", "expanded")}, lambda case: case.memory in ("sliced", "expanded")),
    ({"layout": ((), ("bf", "nohx"))}, lambda case: case.layout in ((), ("bf", "nohx"))),
    ({"short": True}, lambda case: case.steps <= (2 if case.dtype == "bfloat16" else 5)),
    (
        {"short": True, "packed": True, "dtype": "bfloat16"},
        lambda case: case.packed and case.dtype == "bfloat16" and max(case.lengths) <= 2,
    ),
    ({"seed": 7, "pick": 9}, lambda case: (case.seed, case.pick) == (7, 9)),
]

for_each_family = pytest.mark.parametrize(
    ("pinned", "belongs"), FAMILIES, ids=[" ".join(f"{k}={v}" for k, v in pinned.items()) for pinned, _ in FAMILIES]
)


@for_each_family
def test_family_draws_cases_that_belong_to_it(pinned, belongs):
    family = cases(**pinned)

    @settings(deadline=None, database=None, max_examples=30)
    @given(family.strategy())
    def every_draw(case):
        assert belongs(case)
        assert case in family

    every_draw()


@for_each_family
def test_family_holds_exactly_the_cases_that_belong_to_it(pinned, belongs):
    family = cases(**pinned)

    @settings(deadline=None, database=None, max_examples=30)
    @given(any_case)
    def every_case(case):
        assert (case in family) == belongs(case)

    every_case()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("num_layers", range(2, 5)),
        ("dtype", ("bfloat16", "float64")),
        ("fill", FILLS),
        ("layout", ((), ("bf",), ("bf", "nohx"))),
        ("hidden_size", (64, 4096)),
        ("device", ("cpu", "cuda:1")),
        ("bidirectional", (True, False)),
    ],
)
def test_family_draws_every_value_that_is_permitted(field, values):
    family = cases(**{field: values})
    assert [value for value in values if not reaches(family, field, value)] == []


def test_every_field_of_a_case_can_be_drawn_and_pinned():
    assert {field.name for field in fields(Case)} == {*FIELDS, "proj_size", "lengths", "weights", "spoil", "history"}


@pytest.mark.parametrize("name", ["hidden", "cell", "bidirectionl", "Bias", "proj_size"])
def test_unknown_field_raises_type_error_naming_the_fields(name):
    with pytest.raises(TypeError) as caught:
        cases(**{name: 1})
    assert repr(name) in str(caught.value)
    assert all(field in str(caught.value) for field in (*FIELDS, "batch_first", "bias", "hx"))


@examples
@given(cases(projection=True, packed=True).strategy())
def test_drawn_projection_and_lengths_are_valid_and_go_through_the_line(case):
    assert len(case.lengths) == case.batch_size
    assert max(case.lengths) == case.steps
    assert min(case.lengths) >= 1
    assert case.proj_size in (range(1, case.hidden_size) if case.hidden_size > 1 else (0,))
    assert parse(case.line(LSTM)) == (case, LSTM)


def test_projection_and_lengths_are_absent_unless_asked_for():
    assert Case(hidden_size=3, proj_size=2) not in cases()
    assert Case(steps=2, batch_size=2, lengths=(1, 2)) not in cases()
    assert Case(steps=2, batch_size=2, lengths=(1, 2)) in cases(packed=True)
    assert Case() not in cases(packed=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_short_cases_have_every_number_of_steps_that_is_short(dtype):
    steps = {case.steps for case in draws(cases(short=True, dtype=dtype).strategy(), 300)}
    assert steps == set(range(1, 1 + Case(dtype=dtype).most_steps))


@pytest.mark.parametrize("pinned", [{"short": False}, {"short": True, "steps": 3}, {"short": True, "steps": None}])
def test_short_is_true_and_stands_in_place_of_steps(pinned):
    with pytest.raises(TypeError, match="short=True"):
        cases(**pinned)


@pytest.mark.parametrize("layout", [(), ("bf",), ("bf", "nohx")])
def test_layout_may_be_pinned_to_one_value(layout):
    assert smallest(cases(layout=layout).strategy()).layout == layout


@pytest.mark.parametrize(("name", "value"), [("batch_first", 1), ("bias", 0), ("hx", "no"), ("batch_first", (True,))])
def test_words_are_pinned_to_true_or_false_and_nothing_else(name, value):
    with pytest.raises(TypeError, match=name):
        cases(**{name: value})


def test_layout_and_its_words_are_not_pinned_both():
    with pytest.raises(TypeError, match="layout"):
        cases(batch_first=True, layout=(("nobias",), ("bf", "nobias")))


# Consistency of fields


@pytest.mark.parametrize("more", [{"batch_size": 2}, {"ends": 8}, {"batch_size": 3, "ends": 1, "steps": 2}], ids=str)
def test_drawn_case_of_several_rows_or_with_lengths_drops_the_word_of_unbatched_calls_alone(more):
    case = Case.drawn(layout=axes.LAYOUT_WORDS, **more)
    assert case.layout == tuple(word for word in axes.LAYOUT_WORDS if word != "unb")


def test_drawn_case_of_a_single_padded_row_keeps_every_word():
    assert Case.drawn(layout=axes.LAYOUT_WORDS).layout == axes.LAYOUT_WORDS


def lengths_drawn(rows, steps):
    """The lengths of `rows` rows, the longest `steps`, for 199 choice numbers."""
    return [Case.drawn(ends=ends, batch_size=rows, steps=steps).lengths for ends in range(1, 200)]


@pytest.mark.parametrize("steps", [1, 2, 3, 12])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_drawn_lengths_are_equal_or_sorted_or_unsorted(rows, steps):
    every = lengths_drawn(rows, steps)
    assert all(len(lengths) == rows and min(lengths) >= 1 and max(lengths) == steps for lengths in every)
    orders = {"equal"} if rows == 1 or steps == 1 else {"equal", "sorted", "unsorted"}
    assert {order(lengths) for lengths in every} == orders


@pytest.mark.parametrize("steps", [2, 3, 12])
@pytest.mark.parametrize("rows", [2, 5])
def test_every_row_is_the_longest_in_some_drawn_lengths_and_shorter_in_others(rows, steps):
    for lengths_of_a_row in zip(*lengths_drawn(rows, steps), strict=True):
        assert max(lengths_of_a_row) == steps > min(lengths_of_a_row)


@pytest.mark.parametrize("hidden_size", [2, 3, 7])
def test_drawn_projections_are_all_that_are_smaller_than_the_hidden_size(hidden_size):
    drawn_sizes = {Case.drawn(narrowing=n, hidden_size=hidden_size).proj_size for n in range(1, 20)}
    assert drawn_sizes == set(range(1, hidden_size))


def test_unit_without_company_has_no_projection():
    assert Case.drawn(narrowing=1, hidden_size=1) == Case()


# Shrinking


WITH_SIZES = [
    (lambda case: True, "v1 i1 h1 t1 float32 fill=dyadic"),
    (lambda case: case.hidden_size >= 3, "v1 i1 h3 t1 float32 fill=dyadic"),
    (lambda case: case.hidden_size >= 6, "v1 i1 h7 t1 float32 fill=dyadic"),
    (lambda case: case.input_size > 17, "v1 i31 h1 t1 float32 fill=dyadic"),
    (lambda case: case.bidirectional, "v1 i1 h1 t1 bi float32 fill=dyadic"),
    (lambda case: case.steps >= 4 and case.batch_size >= 2, "v1 i1 h1 t4 n2 float32 fill=dyadic"),
    (lambda case: case.num_layers == 3, "v1 i1 h1 t1 l3 float32 fill=dyadic"),
]
WITH_A_VALUE = [
    (lambda case: case.dtype == "bfloat16", "v1 i1 h1 t1 bfloat16 fill=dyadic"),
    (lambda case: case.fill == "zeros", "v1 i1 h1 t1 float32 fill=zeros"),
    (lambda case: case.fill == "digital", "v1 i1 h1 t1 float32 fill=digital"),
    (lambda case: case.seed >= 100, "v1 i1 h1 t1 float32 fill=dyadic seed=100"),
    (lambda case: case.pick >= 3, "v1 i1 h1 t1 float32 fill=dyadic pick=3"),
]
WITH_A_WORD = [
    (lambda case, word=word: word in case.layout, f"v1 i1 h1 t1 {word} float32 fill=dyadic")
    for word in axes.LAYOUT_WORDS
]
WITH_A_MEMORY = [
    (lambda case, memory=memory: case.memory == memory, f"v1 i1 h1 t1 float32 mem={memory} fill=dyadic")
    for memory in axes.MEMORY[1:]
]
WITH_LENGTHS = [
    (lambda case: case.packed, "v1 i1 h1 t1, float32 fill=dyadic"),
    (lambda case: order(case.lengths) == "equal" and case.batch_size > 1, "v1 i1 h1 t1,1 float32 fill=dyadic"),
    (lambda case: order(case.lengths) == "unsorted", "v1 i1 h1 t1,2 float32 fill=dyadic"),
]
WITH_A_PROJECTION = [
    (lambda case: case.proj_size == 1, "v1 i1 h2 p1 t1 float32 fill=dyadic"),
    (lambda case: case.proj_size == case.hidden_size - 1 > 0, "v1 i1 h2 p1 t1 float32 fill=dyadic"),
]
WITH_TWO_THINGS = [
    (lambda case: case.memory == "expanded" and case.batch_size > 1, "v1 i1 h1 t1 n2 float32 mem=expanded fill=dyadic"),
    (lambda case: {"nohx", "unb"} <= {*case.layout}, "v1 i1 h1 t1 nohx unb float32 fill=dyadic"),
    (lambda case: case.packed and case.projection, "v1 i1 h2 p1 t1, float32 fill=dyadic"),
]
ONLY_WITH = [
    *WITH_SIZES,
    *WITH_A_VALUE,
    *WITH_A_WORD,
    *WITH_A_MEMORY,
    *WITH_LENGTHS,
    *WITH_A_PROJECTION,
    *WITH_TWO_THINGS,
]
"""Conditions under which a case fails, and the line of the smallest case that meets each."""


@pytest.mark.parametrize(("condition", "line"), ONLY_WITH, ids=[line for _, line in ONLY_WITH])
def test_failing_case_shrinks_to_the_simplest_that_fails(condition, line):
    assert smallest(cases(packed=None, projection=None).strategy(), condition).line() == line


def test_family_shrinks_to_the_first_permitted_value():
    family = cases(steps=range(3, 9), dtype=("bfloat16", "float32"), hx=False, fill=("zeros", "dyadic"))
    assert smallest(family.strategy()).line() == "v1 i1 h1 t3 nohx bfloat16 fill=zeros"


@pytest.mark.parametrize(
    ("family", "line"),
    [
        (cases(packed=True), "v1 i1 h1 t1, float32 fill=dyadic"),
        (cases(unbatched=True), "v1 i1 h1 t1 unb float32 fill=dyadic"),
        (cases(dropout=True, bidirectional=True), "v1 i1 h1 t1 bi drop float32 fill=dyadic"),
        (cases(memory=("offset", "sliced")), "v1 i1 h1 t1 float32 mem=offset fill=dyadic"),
        (SINGLE_STEP, "v1 i1 h1 t1 float32 fill=dyadic"),
    ],
    ids=["packed", "unbatched", "dropout", "memory", "single step"],
)
def test_case_that_always_fails_shrinks_to_the_simplest_of_its_family(family, line):
    assert smallest(family.strategy()).line() == line


@pytest.mark.parametrize("pinned", [{"batch_size": (1, 2)}, {"batch_size": 2}, {"packed": True}, {"packed": None}])
def test_unbatched_cases_are_not_pinned_to_more_rows_or_lengths(pinned):
    with pytest.raises(TypeError, match="single padded row"):
        cases(unbatched=True, **pinned)


def test_projected_cases_all_have_a_projection():
    assert all(case.projection for case in draws(cases(projection=True).strategy(), 300))


def test_packed_and_projected_cases_are_hardly_ever_drawn_twice():
    assert len(set(draws(cases(packed=True, projection=True).strategy(), 1000))) >= 970


def test_lengths_in_any_order_sorted_and_equal_shrink_to_two_rows_of_two_steps():
    family = cases(packed=True, batch_size=2, steps=range(2, 6)).strategy()
    for order_of, line in (("unsorted", "t1,2"), ("sorted", "t2,1"), ("equal", "t2,2")):
        found = smallest(family, lambda case, wanted=order_of: order(case.lengths) == wanted)
        assert found.line() == f"v1 i1 h1 {line} float32 fill=dyadic"


def test_family_says_how_many_cases_a_property_draws_at_least():
    assert cases(share=20).least == FEWEST_CASES
    assert cases(share=20, least=6).least == 6
