"""A case and its line are the same thing; a family holds what it draws; a problem has the documented numbers."""

import shlex
from collections.abc import Callable
from dataclasses import fields, replace
from random import Random

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from reference.formats import FORMATS
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH
from strategies import Case, CaseError, axes, cases, parse
from strategies.case import CELLS, FIELDS, SINGLE_STEP
from strategies.values import FILLS

GATES = {RNN_TANH: 1, RNN_RELU: 1, LSTM: 4, GRU: 3}

examples = settings(deadline=None)

any_case = cases().strategy()
MODULES, SINGLE_STEPS = CELLS[:4], CELLS[4:]
any_cell = st.sampled_from(MODULES)
cell_or_none = st.sampled_from(("", *MODULES))


@pytest.fixture(autouse=True, scope="module")
def every_dtype_is_present():
    """Whatever this run's device and release can do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(axes.present, "dtypes", axes.DTYPES)
        patch.setattr(axes.present, "devices", ("cpu",))
        yield


def smallest(family, condition=lambda case: True):
    few = settings(database=None, deadline=None, max_examples=2000, phases=[Phase.generate, Phase.shrink])
    return find(family.strategy(), condition, settings=few, random=Random(0))


def reaches(family, field, value):
    """Whether `family` draws a case whose `field` is `value`."""
    try:
        return bool(smallest(family, lambda case: getattr(case, field) == value))
    except NoSuchExample:
        return False


# One line, both ways


@examples
@given(any_case, cell_or_none)
def test_line_brings_back_the_case_and_the_cell(case, cell):
    assert parse(case.line(cell)) == (case, cell)


@examples
@given(any_case, cell_or_none, st.randoms(use_true_random=False))
def test_words_may_stand_in_any_order(case, cell, random):
    version, *words = case.line(cell).split()
    random.shuffle(words)
    assert parse(" ".join([version, *words])) == (case, cell)


@examples
@given(any_case, any_cell)
def test_line_needs_no_quoting_in_a_shell(case, cell):
    line = case.line(cell)
    assert all(shlex.quote(word) == word for word in line.split(" "))
    assert line.isascii()


@pytest.mark.parametrize(
    ("case", "cell", "line"),
    [
        (Case(), "", "v1 i1 h1 t1 float32 fill=uniform"),
        (Case(fill="dyadic"), LSTM, "v1 lstm i1 h1 t1 float32 fill=dyadic"),
        (Case(device="cuda:1", pick=3), GRU, "v1 gru i1 h1 t1 float32 cuda:1 fill=uniform pick=3"),
        (
            Case(3, 4, 2, 5, 6, True, ("bf", "nobias", "nohx"), "bfloat16", "cuda", "large", 7, 8),
            RNN_RELU,
            "v1 rnn_relu i3 h4 t6 l2 n5 bi bf nobias nohx bfloat16 cuda fill=large seed=7 pick=8",
        ),
    ],
)
def test_line_leaves_defaults_out(case, cell, line):
    assert case.line(cell) == line


@pytest.mark.parametrize(
    ("line", "case", "cell"),
    [
        ("v1", Case(), ""),
        ("v1 gru", Case(), GRU),
        ("v1 seed=4294967295 pick=4294967295", Case(seed=2**32 - 1, pick=2**32 - 1), ""),
        ("v1 i4096 h1 t4096 l1 n1", Case(4096, 1, 1, 1, 4096), ""),
        ("v1 xpu:0", Case(device="xpu:0"), ""),
        ("v1 lstm h3 p2", Case(hidden_size=3, proj_size=2), LSTM),
        ("v1 t3,1,2", Case(steps=3, batch_size=3, lengths=(3, 1, 2)), ""),
        ("v1 t3,", Case(steps=3, lengths=(3,)), ""),
        ("  v1\tlstm \n h2  ", Case(hidden_size=2), LSTM),
        (
            "v1 lstm i3 h4 l2 n2 t3 bi bf nobias float16 cpu fill=dyadic seed=7 pick=2",
            Case(3, 4, 2, 2, 3, True, ("bf", "nobias"), "float16", "cpu", "dyadic", 7, 2),
            LSTM,
        ),
    ],
)
def test_what_a_line_leaves_out_has_its_default(line, case, cell):
    assert parse(line) == (case, cell)


def test_layout_words_have_one_order_whatever_the_line_says():
    assert parse("v1 nohx bf nobias")[0].layout == ("bf", "nobias", "nohx")
    assert parse("v1 nohx bf") == parse("v1 bf nohx")


# Lines that are none


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("", ""),
        (" \t\n", ""),
        ("lstm v1 i1", "lstm"),
        ("v2 lstm i1", "v2"),
        ("V1 lstm", "V1"),
        ("v1lstm", "v1lstm"),
        ("v1, lstm", "v1,"),
        ("'v1", "'v1"),
        ("\x00v1", "\x00v1"),
        ("\ufeffv1", "\ufeffv1"),
        ("\uff561", "\uff561"),
        ("v¹", "v¹"),
    ],
)
def test_line_without_its_version_is_refused(line, first):
    with pytest.raises(CaseError) as caught:
        parse(line)
    assert f"begins with 'v1', this one with {first!r}" in str(caught.value)


SIZE = "i3 or h4 (size), likewise t, n, l"
WHOLE = "is a whole number up to 4294967295"

MALFORMED = [
    *[(word, "input_size lies between 1 and 4096") for word in ("i0", "i4097", "i00", "i99999999999999999999")],
    *[("h0", "hidden_size lies between"), ("t0", "steps lies between")],
    *[("l0", "num_layers lies between"), ("n4097", "batch_size lies between")],
    *[(word, "no such size; i is input_size, h is hidden_size, t is steps") for word in ("x1", "v1", "a0")],
    *[(word, SIZE) for word in ("i", "I3", "i-1", "i+1", "i1.5", "i1e3", "i1,", "3i", "3", "-1", "i=3", "ih3", "i_1")],
    *[(word, SIZE) for word in ("i²", "i½", "i①", "h³", "é3", "\u01313")],
    *[(word, "rnn_tanh, rnn_relu, lstm, gru") for word in ("LSTM", "rnn", "lstm,", "lstm_cells", "''", '"gru"')],
    *[(word, "bf, nobias, nohx") for word in ("nobia", "bidir", "batch_first", "packed", "BF", "bf=1", "--bf")],
    *[(word, "float64, float32, float16, bfloat16") for word in ("float", "Float32", "float8", "double", "torch.half")],
    *[(word, "cpu") for word in ("CPU", "cpu:", "cuda:x", "cuda:-1", "cuda:0:1", "tpu", "cuda0")],
    *[(word, "no such fill; one of dyadic, integers, ramp") for word in ("fill=nought", "fill=Dyadic", "fill=1")],
    *[(word, "fill=, seed=, pick=") for word in ("speed=1", "--seed=1", "size=3", "=", "seed", "fill", "mem")],
    *[(word, "no such memory; one of contiguous, transposed") for word in ("mem=upside", "mem=", "mem=Sliced")],
    *[(word, "seed " + WHOLE) for word in ("seed=1e3", "seed=4294967296", "seed=x", "seed=1_0", "seed=0x1", "seed=²")],
    *[(word, "pick " + WHOLE) for word in ("pick=1e3", "pick=4294967296", "pick=None", "pick=½", "pick=一")],
    *[(word, "not a word of a case") for word in ("\x00", "bi\x07", "\x1b[31mbi", "bi\u200b", "\ud800", "\uff42i")],
]


@pytest.mark.parametrize(("word", "remedy"), MALFORMED, ids=[ascii(word) for word, _ in MALFORMED])
def test_malformed_word_is_named_with_its_place_and_what_would_do(word, remedy):
    with pytest.raises(CaseError) as caught:
        parse(f"v1 lstm {word} i1")
    assert str(caught.value).startswith(f"word 3 of the case line, {word!r}: ")
    assert remedy in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("words", "twice"),
    [
        ("i1 h2 i1", "input_size"),
        ("i1 h2 i3", "input_size"),
        ("bi t2 bi", "bidirectional"),
        ("lstm bi gru", "cell"),
        ("lstm bi lstm", "cell"),
        ("float32 bi float64", "dtype"),
        ("cpu bi cuda:0", "device"),
        ("fill=dyadic bi fill=zeros", "fill"),
        ("seed=1 pick=1 seed=2", "seed"),
        ("pick=0 bi pick=0", "pick"),
        ("bf nohx bf", "layout"),
    ],
)
def test_word_that_sets_a_field_again_is_named(words, twice):
    with pytest.raises(CaseError) as caught:
        parse(f"v1 {words}")
    assert str(caught.value) == f"word 4 of the case line, {words.split()[-1]!r}: {twice} is given already"


@pytest.mark.parametrize("start", ["", "x", "i", "v1", "cpu", "fill=", "seed="])
@pytest.mark.parametrize("letter", ["9", "x", "\x00", "é"])
def test_very_long_word_is_refused(start, letter):
    with pytest.raises(CaseError, match=r"^word 2 of the case line"):
        parse("v1 " + start + letter * 10_000)


def test_very_long_line_of_spaces_is_read():
    assert parse("v1" + " " * 1_000_000 + "bi") == (Case(bidirectional=True), "")


def test_case_error_is_a_value_error_without_a_cause():
    with pytest.raises(ValueError, match="word 2") as caught:
        parse("v1 i0")
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


NEARLY_A_WORD = st.one_of(
    st.sampled_from([*MODULES, "v1", "bi", *axes.LAYOUT_WORDS, *FORMATS, "cpu", "cuda:1", "fill=ramp", "seed=1", "i3"]),
    st.from_regex(r"[a-zA-Z]?[0-9.+-]{0,6}", fullmatch=True),
    st.builds("{}={}".format, st.sampled_from(["fill", "seed", "pick"]), st.text(max_size=4) | st.integers()),
    st.text(max_size=4),
)


def is_read_or_refused(line):
    """Whether `line` is a case that its own line brings back, or raises CaseError in one printable line."""
    try:
        case, cell = parse(line)
    except CaseError as error:
        return str(error).isprintable()
    return parse(case.line(cell)) == (case, cell)


@examples
@given(st.text())
def test_any_text_is_read_or_refused_with_a_case_error(text):
    assert is_read_or_refused(text)


@examples
@given(st.lists(NEARLY_A_WORD, max_size=5))
def test_any_near_miss_is_read_or_refused_with_a_case_error(words):
    assert is_read_or_refused(" ".join(["v1", *words]))


@examples
@given(any_case, cell_or_none, st.integers(0, 100), st.characters())
def test_any_slip_of_the_keyboard_is_read_or_refused_with_a_case_error(case, cell, place, character):
    line = case.line(cell)
    assert is_read_or_refused(line[:place] + character + line[place + 1 :])


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
    ({"memory": ("sliced", "expanded")}, lambda case: case.memory in ("sliced", "expanded")),
    ({"layout": ((), ("bf", "nohx"))}, lambda case: case.layout in ((), ("bf", "nohx"))),
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
    assert {field.name for field in fields(Case)} == {*FIELDS, "proj_size", "lengths"}


@pytest.mark.parametrize("name", ["hidden", "cell", "bidirectionl", "Bias", "proj_size"])
def test_unknown_field_raises_type_error_naming_the_fields(name):
    with pytest.raises(TypeError) as caught:
        cases(**{name: 1})
    assert repr(name) in str(caught.value)
    assert all(field in str(caught.value) for field in (*FIELDS, "batch_first", "bias", "hx"))


# Shrinking


@pytest.mark.parametrize(
    ("condition", "line"),
    [
        (lambda case: True, "v1 i1 h1 t1 float32 fill=dyadic"),
        (lambda case: case.hidden_size >= 3, "v1 i1 h3 t1 float32 fill=dyadic"),
        (lambda case: case.hidden_size >= 6, "v1 i1 h7 t1 float32 fill=dyadic"),
        (lambda case: case.input_size > 17, "v1 i31 h1 t1 float32 fill=dyadic"),
        (lambda case: case.bidirectional, "v1 i1 h1 t1 bi float32 fill=dyadic"),
        (lambda case: case.steps >= 4 and case.batch_size >= 2, "v1 i1 h1 t4 n2 float32 fill=dyadic"),
        (lambda case: case.num_layers == 3, "v1 i1 h1 t1 l3 float32 fill=dyadic"),
        (lambda case: "bf" in case.layout, "v1 i1 h1 t1 bf float32 fill=dyadic"),
        (lambda case: case.dtype == "bfloat16", "v1 i1 h1 t1 bfloat16 fill=dyadic"),
        (lambda case: case.fill == "zeros", "v1 i1 h1 t1 float32 fill=zeros"),
        (lambda case: case.seed >= 100, "v1 i1 h1 t1 float32 fill=dyadic seed=100"),
        (lambda case: case.pick >= 3, "v1 i1 h1 t1 float32 fill=dyadic pick=3"),
    ],
)
def test_failing_case_shrinks_to_the_simplest_that_fails(condition, line):
    assert smallest(cases(), condition).line() == line


def test_family_shrinks_to_the_first_permitted_value():
    family = cases(steps=range(3, 9), dtype=("bfloat16", "float32"), hx=False, fill=("zeros", "dyadic"))
    assert smallest(family).line() == "v1 i1 h1 t3 nohx bfloat16 fill=zeros"


# The problem that a case poses


def equal(left, right):
    """Whether two problems ask for the same numbers, whatever their architecture."""
    return (
        left.parameters.keys() == right.parameters.keys()
        and all(np.array_equal(left.parameters[name], right.parameters[name]) for name in left.parameters)
        and all(np.array_equal(getattr(left, name), getattr(right, name)) for name in ("input", "h_0", "c_0"))
    )


def test_parameters_have_the_documented_names_shapes_and_order():
    problem = parse("v1 i3 h4 l2 n2 t5 bi")[0].on(LSTM)
    documented = {
        "weight_ih_l0": (16, 3),
        "weight_hh_l0": (16, 4),
        "bias_ih_l0": (16,),
        "bias_hh_l0": (16,),
        "weight_ih_l0_reverse": (16, 3),
        "weight_hh_l0_reverse": (16, 4),
        "bias_ih_l0_reverse": (16,),
        "bias_hh_l0_reverse": (16,),
        "weight_ih_l1": (16, 8),
        "weight_hh_l1": (16, 4),
        "bias_ih_l1": (16,),
        "bias_hh_l1": (16,),
        "weight_ih_l1_reverse": (16, 8),
        "weight_hh_l1_reverse": (16, 4),
        "bias_ih_l1_reverse": (16,),
        "bias_hh_l1_reverse": (16,),
    }
    assert [(name, values.shape) for name, values in problem.parameters.items()] == list(documented.items())
    assert problem.input.shape == (2, 5, 3)
    assert problem.state("h_0").shape == problem.state("c_0").shape == (2, 2, 2, 4)


@examples
@given(any_case, any_cell)
def test_numbers_have_the_documented_shapes_and_are_exact_in_the_dtype(case, cell):
    problem = case.on(cell)
    directions = 1 + case.bidirectional
    rows = GATES[cell] * case.hidden_size
    for name, values in problem.parameters.items():
        below = case.input_size if "_l0" in name else directions * case.hidden_size
        features = {"weight_ih": (below,), "weight_hh": (case.hidden_size,)}.get(name[:9], ())
        assert values.shape == (rows, *features)
    assert len(problem.parameters) == case.num_layers * directions * (2 if "nobias" in case.layout else 4)
    assert problem.input.shape == (case.batch_size, case.steps, case.input_size)
    state = (case.num_layers, directions, case.batch_size, case.hidden_size)
    given_states = [values for values in (problem.h_0, problem.c_0) if values is not None]
    assert [values.shape for values in given_states] == [state] * len(given_states)
    everything = [problem.input, *problem.parameters.values(), *given_states]
    assert all(FORMATS[case.dtype].holds(values) for values in everything)


@examples
@given(any_case, any_cell)
def test_problem_carries_the_choices_of_its_case(case, cell):
    problem = case.on(cell)
    a = problem.architecture
    assert a.cell == cell
    for field in ("input_size", "hidden_size", "num_layers", "bidirectional"):
        assert getattr(a, field) == getattr(case, field)
    for field in ("dtype", "device", "batch_size", "steps"):
        assert getattr(problem, field) == getattr(case, field)
    assert a.batch_first == ("bf" in case.layout)
    assert a.bias == ("nobias" not in case.layout)
    assert parse(problem.case) == (case, cell)
    assert problem.relation == ""


@pytest.mark.parametrize("cell", MODULES)
def test_problem_is_drawn_again_from_its_line(cell):
    problem = Case(3, 4, 2, 2, 3, True, (), "bfloat16", fill="normal", seed=11).on(cell)
    again, named = parse(problem.case)
    assert equal(again.on(named), problem)


@pytest.mark.parametrize("cell", MODULES)
def test_cell_state_is_for_the_lstm_alone(cell):
    problem = Case().on(cell)
    assert problem.h_0 is not None
    assert (problem.c_0 is not None) == (cell == LSTM)


@pytest.mark.parametrize("cell", MODULES)
def test_nohx_gives_no_states_and_zeros_in_their_place(cell):
    problem = parse("v1 h4 l2 n3 bi nohx")[0].on(cell)
    assert problem.h_0 is None
    assert problem.c_0 is None
    assert np.array_equal(problem.state("h_0"), np.zeros((2, 2, 3, 4)))
    assert np.array_equal(problem.state("c_0"), np.zeros((2, 2, 3, 4)))


def test_states_that_are_given_are_the_problems_states():
    problem = parse("v1 h4 l2 n3 bi")[0].on(LSTM)
    assert problem.state("h_0") is problem.h_0
    assert problem.state("c_0") is problem.c_0
    assert not np.array_equal(problem.h_0, problem.c_0)


@pytest.mark.parametrize("cell", MODULES)
def test_nobias_has_no_biases_and_leaves_the_other_numbers_alone(cell):
    case = Case(3, 4, 2, 2, 3, True)
    with_biases, without = case.on(cell), replace(case, layout=("nobias",)).on(cell)
    kept = {name: values for name, values in with_biases.parameters.items() if not name.startswith("bias")}
    assert equal(without, replace(with_biases, parameters=kept))


@pytest.mark.parametrize("change", [{"layout": ("bf",)}, {"pick": 5}, {"device": "cuda"}])
def test_layout_pick_and_device_do_not_change_the_numbers(change):
    case = Case(3, 4, 2, 2, 3, True)
    assert equal(replace(case, **change).on(LSTM), case.on(LSTM))


@pytest.mark.parametrize("fill", [kind for kind in FILLS if kind != "zeros"])
def test_no_two_gates_directions_layers_or_kinds_of_parameter_look_alike(fill):
    problem = Case(8, 8, 3, 2, 2, True, fill=fill).on(LSTM)
    for kind in ("weight", "bias"):
        blocks = [
            block[:, :8].tobytes() if kind == "weight" else block.tobytes()
            for name, values in problem.parameters.items()
            if name.startswith(kind)
            for block in np.split(values, 4)
        ]
        assert len(set(blocks)) == len(blocks) == 3 * 2 * 2 * 4


@examples
@given(any_case, any_cell, st.data())
def test_layer_is_a_module_of_one_layer_with_its_own_parameters_and_states(case, cell, data):
    problem = case.on(cell)
    k = data.draw(st.integers(0, case.num_layers - 1))
    below = np.zeros((case.batch_size, case.steps, case.input_size if k == 0 else 8))
    layer = problem.layer(k, below)
    own = {name: values for name, values in problem.parameters.items() if f"_l{k}" in name}
    assert [name.replace("_l0", f"_l{k}") for name in layer.parameters] == list(own)
    assert all(layer.parameters[name.replace(f"_l{k}", "_l0")] is own[name] for name in own)
    assert layer.parameters.keys() == layer.architecture.parameter_shapes().keys()
    for name in ("h_0", "c_0"):
        whole, part = getattr(problem, name), getattr(layer, name)
        assert part is None if whole is None else np.array_equal(part, whole[[k]])
    assert layer.input is below
    assert layer.case == problem.case
    assert layer.relation == f"layer {k} alone"


def test_layer_reads_both_directions_of_the_layer_below():
    problem = parse("v1 i3 h4 l3 bi")[0].on(GRU)
    architectures = [problem.layer(k, problem.input).architecture for k in range(3)]
    assert [a.input_size for a in architectures] == [3, 8, 8]
    assert {(a.cell, a.hidden_size, a.num_layers, a.bidirectional) for a in architectures} == {(GRU, 4, 1, True)}


# A smaller case crops the numbers of a larger one

SMALL = Case(2, 3, 2, 2, 2)
LARGE = Case(4, 5, 3, 3, 4)


def crop(values, like):
    return values[tuple(map(slice, like.shape))]


def by_gate(values):
    return values.reshape(GATES[LSTM], -1, *values.shape[1:])


@pytest.mark.parametrize("fill", [kind for kind in FILLS if kind != "onehot"])
def test_smaller_case_crops_the_numbers_of_a_larger_one(fill):
    small, large = (replace(case, fill=fill).on(LSTM) for case in (SMALL, LARGE))
    for name, values in small.parameters.items():
        assert np.array_equal(by_gate(values), crop(by_gate(large.parameters[name]), by_gate(values))), name
    for name in ("input", "h_0", "c_0"):
        values = getattr(small, name)
        assert np.array_equal(values, crop(getattr(large, name), values)), name


def test_second_direction_leaves_the_numbers_of_the_first_alone():
    one, both = (replace(SMALL, bidirectional=bidirectional).on(LSTM) for bidirectional in (False, True))
    for name, values in one.parameters.items():
        assert np.array_equal(values, crop(both.parameters[name], values)), name
    for name in ("h_0", "c_0"):
        assert np.array_equal(one.state(name), both.state(name)[:, :1]), name


def test_smaller_case_crops_what_an_upper_layer_reads_of_each_direction():
    small, large = (replace(case, bidirectional=True).on(LSTM).parameters["weight_ih_l1"] for case in (SMALL, LARGE))
    apart = small.reshape(4, 3, 2, 3)
    assert np.array_equal(apart, crop(large.reshape(4, 5, 2, 5), apart))


@pytest.mark.parametrize("word", ["i٣", "i\uff13", "seed=٣", "pick=३", "cuda:٣"])
def test_digits_of_other_scripts_are_refused(word):
    with pytest.raises(CaseError):
        parse(f"v1 {word}")


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("v1 gru h3 p2", "only lstm has a projection"),
        ("v1 lstm h3 p3", "smaller than hidden_size"),
        ("v1 t3,1 n2", "t3,1 sets rows and steps; leave out n"),
        ("v1 t3,0", "steps lies between 1 and"),
        ("v1 t3,,1", "not a word of a case"),
    ],
)
def test_projection_and_lengths_that_cannot_be_are_refused(line, remedy):
    with pytest.raises(CaseError, match=remedy):
        parse(line)


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
    assert find(cases(packed=True).strategy(), lambda c: len(set(c.lengths)) > 1).lengths in [(2, 1), (1, 2)]


@given(SINGLE_STEP.strategy(), st.sampled_from(SINGLE_STEPS))
def test_single_step_is_a_module_of_one_layer_and_step_whose_parameters_have_no_ending(case, cell):
    assert parse(case.line(cell)) == (case, cell)
    problem, module = case.on(cell), case.on(cell.removesuffix("_cell"))
    assert (problem.architecture.name, problem.architecture.cell) == (cell, module.architecture.cell)
    assert {f"{name}_l0": values.shape for name, values in problem.parameters.items()} == {
        name: values.shape for name, values in module.parameters.items()
    }


@pytest.mark.parametrize("words", ["t2", "l2", "bi", "bf", "t1,"])
def test_single_step_takes_one_padded_step_of_one_layer_and_direction(words):
    with pytest.raises(CaseError, match="gru_cell takes one padded step"):
        parse(f"v1 gru_cell {words}")


def test_sizes_that_together_cannot_be_computed_are_refused():
    with pytest.raises(CaseError, match="make its sizes smaller"):
        parse("v1 i4096 h4096 t4096 n4096")


@pytest.mark.parametrize(("start", "remedy"), [("i", "lies between 1 and 4096"), ("seed=", WHOLE), ("pick=", WHOLE)])
def test_number_of_many_digits_is_refused_with_what_would_do(start, remedy):
    with pytest.raises(CaseError, match=remedy):
        parse(f"v1 {start}{'9' * 5000}")


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        *[(word, "no such fill; one of dyadic") for word in ("fill=", "fill=one-hot", "fill=dyadic,")],
        *[(word, WHOLE) for word in ("seed=", "seed=-1", "seed=1.5", "pick=+1", "pick=1,5")],
    ],
)
def test_setting_with_any_text_is_refused_with_what_would_do(word, remedy):
    with pytest.raises(CaseError, match=remedy):
        parse(f"v1 {word}")


@pytest.mark.parametrize("line", ["v1 " + "x" * 1_000_000, "x" * 1_000_000, "v2 " + "bi " * 1_000_000])
def test_refusal_of_a_very_long_line_stays_short(line):
    with pytest.raises(CaseError) as caught:
        parse(line)
    assert len(str(caught.value)) < 1000


def test_failure_without_states_shrinks_to_no_other_layout_word():
    assert smallest(cases(), lambda case: "nohx" in case.layout).layout == ("nohx",)


@pytest.mark.parametrize("layout", [(), ("bf",), ("bf", "nohx")])
def test_layout_may_be_pinned_to_one_value(layout):
    assert smallest(cases(layout=layout)).layout == layout


@pytest.mark.parametrize(("name", "value"), [("batch_first", 1), ("bias", 0), ("hx", "no"), ("batch_first", (True,))])
def test_words_are_pinned_to_true_or_false_and_nothing_else(name, value):
    with pytest.raises(TypeError, match=name):
        cases(**{name: value})


def test_layout_and_its_words_are_not_pinned_both():
    with pytest.raises(TypeError, match="layout"):
        cases(batch_first=True, layout=(("nobias",), ("bf", "nobias")))
