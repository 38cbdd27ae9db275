"""What is spoilt in a call: read from a word, and drawn where a family asks for it."""

import pytest

from reference.invalid_calls import PLACES, Spoil, read, spoils
from strategies import CaseError, cases, parse
from strategies.testing import draws

EVERY = [spoil for place in PLACES for spoil in spoils(place)]


@pytest.mark.parametrize("spoil", EVERY)
def test_word_is_read_as_it_is_written(spoil):
    found = read(spoil)
    assert found.place + found.how == spoil
    case, cell = parse(f"v1 lstm i2 h2 t2 bad={spoil}")
    assert case.spoil == spoil
    assert parse(case.line(cell)) == (case, cell)


def test_sizes_are_up_by_one_and_down_by_one_before_anything_odder():
    assert [(read(spoil).by) for spoil in spoils("h_0.layers")] == [1, -1]
    assert read("input.type=list") == Spoil("input", "type", "=list")
    assert read("input.type=list").value == "list"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nonsense", "no such place; one of input.features"),
        ("h_0.colour+1", "no such place"),
        ("h_0.layers+2", "h_0.layers is spoilt by one of h_0.layers+1, h_0.layers-1"),
        ("h_0.layers", "is spoilt by one of"),
        ("input.dtype=float8", "input.dtype=other"),
        ("", "no such place"),
    ],
)
def test_word_that_spoils_nothing_is_refused_with_what_is_accepted(word, said):
    with pytest.raises(CaseError, match="word 3 of the case line") as refused:
        parse(f"v1 lstm bad={word}")
    assert said in str(refused.value)


def test_valid_families_hold_no_invalid_call_and_draw_none():
    spoilt, _ = parse("v1 rnn_tanh i1 h1 t1 bad=input.features+1")
    valid, _ = parse("v1 rnn_tanh i1 h1 t1")
    family = cases(spoil=spoils("input.features"))
    assert spoilt in family
    assert spoilt not in cases()
    assert valid in cases()
    assert valid not in family
    assert {case.spoil for case in draws(cases().strategy(), 20)} == {""}
    assert {case.spoil for case in draws(family.strategy(), 50)} == set(spoils("input.features"))


def test_single_steps_may_be_spoilt():
    assert parse("v1 gru_cell i1 h1 t1 bad=input.rank-1")[0].spoil == "input.rank-1"


def test_place_that_there_is_not_is_answered_with_the_nearest_on_a_line_that_is_not_cut():
    with pytest.raises(ValueError, match=r"one of pack_sequence\.sequences") as refused:
        read("pack_sequence.sequence-dtype=other")
    assert len(str(refused.value)) < 500
