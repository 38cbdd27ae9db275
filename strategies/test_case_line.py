"""Cases and their lines correspond one to one; an invalid line is refused with one line that gives the remedy."""

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.formats import FORMATS
from reference.problem import GRU, LSTM, RNN_RELU
from strategies import Case, CaseError, axes, cases, parse
from strategies.case import CELLS

examples = settings(deadline=None)

any_case = cases(packed=None).strategy()
MODULES = CELLS[:4]
any_cell = st.sampled_from(MODULES)
cell_or_none = st.sampled_from(("", *MODULES))


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
        (
            Case(layout=("nohx", "unb", "drop"), memory="sliced", fill="digital"),
            "gru_cell",
            "v1 gru_cell i1 h1 t1 nohx unb drop float32 mem=sliced fill=digital",
        ),
        (
            Case(hidden_size=3, proj_size=2, batch_size=2, steps=3, lengths=(3, 1), memory="expanded"),
            LSTM,
            "v1 lstm i1 h3 p2 t3,1 float32 mem=expanded fill=uniform",
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
        ("v1 t2,2", Case(steps=2, batch_size=2, lengths=(2, 2)), ""),
        ("v1 mem=contiguous", Case(), ""),
        ("v1 drop mem=offset unb t5", Case(steps=5, layout=("unb", "drop"), memory="offset"), ""),
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
    assert parse("v1 drop unb nohx bf")[0].layout == ("bf", "nohx", "unb", "drop")
    assert parse("v1 nohx bf") == parse("v1 bf nohx")


# Invalid lines


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


SIZE = "sizes such as i3 h4 p2 l2 n2 t5"
WHOLE = "must be a whole number up to 4294967295"

MALFORMED = [
    *[(word, "input_size must be between 1 and 131072") for word in ("i0", "i131073", "i00", "i99999999999999999999")],
    *[("h0", "hidden_size must be between"), ("t0", "steps must be between")],
    *[("l0", "num_layers must be between"), ("n131073", "batch_size must be between")],
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
        ("unb drop unb", "layout"),
        ("mem=offset bi mem=offset", "memory"),
    ],
)
def test_word_that_sets_a_field_again_is_named(words, twice):
    with pytest.raises(CaseError) as caught:
        parse(f"v1 {words}")
    assert (
        str(caught.value) == f"word 4 of the case line, {words.split()[-1]!r}: {twice} is given already; leave it out"
    )


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


@pytest.mark.parametrize("word", ["i٣", "i\uff13", "seed=٣", "pick=३", "cuda:٣"])
def test_digits_of_other_scripts_are_refused(word):
    with pytest.raises(CaseError):
        parse(f"v1 {word}")


@pytest.mark.parametrize(
    ("start", "remedy"), [("i", "must be between 1 and 131072"), ("seed=", WHOLE), ("pick=", WHOLE)]
)
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


# Words that contradict each other


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("v1 gru h3 p2", "only lstm has a projection"),
        ("v1 lstm h3 p3", "smaller than hidden_size"),
        ("v1 t3,1 n2", "t3,1 sets rows and steps; leave out n"),
        ("v1 t3,0", "steps must be between 1 and"),
        ("v1 t3,,1", "not a word of a case"),
    ],
)
def test_projection_and_lengths_that_cannot_be_are_refused(line, remedy):
    with pytest.raises(CaseError, match=remedy):
        parse(line)


@pytest.mark.parametrize("cell", ["", "gru", "gru_cell"])
@pytest.mark.parametrize("words", ["unb n2", "n5 unb mem=expanded"])
def test_unbatched_call_takes_a_single_row(cell, words):
    with pytest.raises(CaseError, match=r"^unb takes a single padded row: leave out n and lengths$"):
        parse(f"v1 {cell} {words}")


@pytest.mark.parametrize("words", ["unb t3,", "t3,1 unb", "t2,2 drop unb", "bf unb t1,"])
def test_unbatched_call_takes_no_lengths(words):
    with pytest.raises(CaseError, match=r"^unb takes a single padded row: leave out n and lengths$"):
        parse(f"v1 lstm {words}")


@pytest.mark.parametrize("words", ["t2", "l2", "bi", "bf", "t1,"])
def test_single_step_takes_one_padded_step_of_one_layer_and_direction(words):
    with pytest.raises(CaseError, match="gru_cell takes one padded step"):
        parse(f"v1 gru_cell {words}")


def test_sizes_that_together_cannot_be_computed_are_refused():
    with pytest.raises(CaseError, match="use smaller sizes"):
        parse("v1 i4096 h4096 t4096 n4096")


# Any text at all

NEARLY_A_WORD = st.one_of(
    st.sampled_from([*MODULES, "v1", "bi", *axes.LAYOUT_WORDS, *FORMATS, "cpu", "cuda:1", "fill=ramp", "seed=1", "i3"]),
    st.sampled_from(["t3,1", "t2,", "p2", "h3", "n2", "mem=sliced", "mem=expanded"]),
    st.from_regex(r"[a-zA-Z]?[0-9.+-]{0,6}", fullmatch=True),
    st.builds("{}={}".format, st.sampled_from(["fill", "seed", "pick", "mem"]), st.text(max_size=4) | st.integers()),
    st.text(max_size=4),
)


def is_read_or_refused(line):
    """Whether `line` is a case that its own line reproduces, or raises CaseError in one printable line."""
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
