"""What is wrong with an invalid call is said in words, of every place and in every way."""

import pytest

from conformance.harness.execution.requests.invalid.call import parameter_spoilt
from conformance.harness.execution.requests.invalid.words import wrong_in
from reference.invalid_calls import CONSTRUCTOR, PLACES, read, spoils
from strategies import parse

EVERY = [word for place in PLACES for word in spoils(place)]

SAID = {
    "c_0.layers+1": "c_0 has shape (3, 2, 1), valid is (2, 2, 1)",
    "h_0.rank-1": "h_0 has shape (2, 1) beside input of (3, 2, 1), valid is (2, 2, 1)",
    "input.steps=0": "input has shape (0, 2, 1), valid is (3, 2, 1)",
    "weight_hh.columns-1": "weight_hh_l0 has shape (4, 0), valid is (4, 1)",
    "input.dtype=other": "input is float64, valid is float32",
    "bias_ih.device=meta": "bias_ih_l0 is on the device 'meta', valid is 'cpu'",
    "hx.count-1": "hx is a tuple (h_0,), valid is a tuple (h_0, c_0)",
    "input.type=nothing": "input is None, valid is a tensor",
    "constructor.hidden_size.value=-1": "hidden_size is -1, valid is 1",
    "constructor.nonlinearity.value=sigmoid": "nonlinearity is 'sigmoid', valid is 'tanh' or 'relu'",
    "batch_sizes.order=rising": "batch_sizes is [2, 1, 2], valid is [2, 2, 1]",
    "pack_padded_sequence.lengths.longest+1": "lengths is [4, 2], valid is [3, 2]",
    "pack_padded_sequence.lengths.order=rising": "lengths is [1, 3] with enforce_sorted=True, valid is one that falls",
    "unpack_sequence.batch_sizes.type=list": "batch_sizes is a list, valid is [2, 2, 1]",
}


def wrong(word):
    spoil = read(word)
    packs = spoil.argument == "batch_sizes" or spoil.called not in ("", CONSTRUCTOR)
    case, cell = parse(f"v1 lstm i1 h1 {'t3,2' if packs else 'l2 n2 t3'} float32 fill=integers bad={word}")
    problem = case.on(cell)
    return wrong_in(problem, spoil, parameter_spoilt(list(problem.parameters), spoil, 0) if not spoil.called else "")


@pytest.mark.parametrize("word", EVERY)
def test_every_way_to_spoil_a_call_is_said_beside_what_is_valid(word):
    said, argument = wrong(word), read(word).argument
    assert said.startswith(argument), said
    given, _, valid = said.partition(", valid ")
    assert given.split(" is ")[-1] != valid.removeprefix("is ")


@pytest.mark.parametrize("word", SAID)
def test_words_are_those_of_a_reader(word):
    assert wrong(word) == SAID[word]
