"""What a statement may say, and that what is drawn lies within it without being filtered."""

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from reference.problem import LSTM
from strategies import Axes, Case, cases
from strategies.real import real_cases
from strategies.stated import KEYS, Sizes, StatementError, read

STATEMENTS = {
    "multiple of 16": {"hidden_size": {"multiple_of": 16}},
    "multiple, from, to": {"input_size": {"multiple_of": 3, "min": 7, "max": 30}},
    "two sizes": {"hidden_size": (24, 8), "input_size": 5},
    "rows and steps": {"batch_size": {"max": 2}, "steps": {"min": 2, "max": 4}},
    "one layer": {"layers": 1, "bidirectional": False, "bias": True},
    "batch first": {"batch_first": True, "states": False, "unbatched": False, "dropout": False},
    "states": {"states": "required", "packed": False, "proj_size": False, "bidirectional": [True]},
    "names": {"dtypes": ["float32", "bfloat16"], "memory": ["contiguous", "offset"]},
}

FAMILIES = {
    "any": cases(),
    "packed": cases(packed=None, projection=None),
    "short": cases(short=True, unbatched=False),
    "small": cases(hidden_size=(1, 2, 3), steps=(1, 2)),
    "many units": cases(far="hidden_size"),
    "many steps": cases(far="steps"),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", STATEMENTS)
def test_every_case_that_is_drawn_lies_within_the_statement(name, family):
    stated = read(STATEMENTS[name])
    narrowed = stated.narrowed(FAMILIES[family], LSTM)
    if isinstance(narrowed, str):
        assert narrowed == stated.said(narrowed.partition(":")[0])
        return
    seen = []

    @hypothesis.settings(max_examples=12, database=None, suppress_health_check=list(HealthCheck))
    @hypothesis.seed(1)
    @hypothesis.given(narrowed.strategy(lambda: Axes(most_numbers=2**12)))
    def drawn(case):
        seen.append(case)
        assert case in narrowed
        assert stated.refusal(case.on(LSTM)) == ""

    drawn()
    assert len(set(seen)) > 3


def test_real_configurations_are_those_that_are_possible_with_other_words_of_a_layout():
    stated = read({"hidden_size": {"max": 64}, "layers": 1, "batch_first": True, "states": False})
    narrowed = stated.narrowed(real_cases(), LSTM)
    assert not isinstance(narrowed, str)
    case = hypothesis.find(narrowed.strategy(), lambda case: True)
    assert (case.input_size, case.hidden_size, case.layout) == (6, 16, ("bf", "nohx"))
    assert case in narrowed
    assert read({"layers": 9}).narrowed(real_cases(), LSTM) == "layers: 9"


def test_what_leaves_no_case_says_which_key_does():
    stated = read({"packed": False, "hidden_size": {"max": 64}, "layers": 1, "states": "required"})
    assert stated.narrowed(cases(packed=True), LSTM) == "packed: False"
    assert stated.narrowed(cases(far="hidden_size"), LSTM) == "hidden_size: max 64"
    assert stated.narrowed(cases(num_layers=(2, 3)), LSTM) == "layers: 1"
    assert stated.narrowed(cases(hx=False), LSTM) == "states: required"


def test_a_single_step_has_no_layers_directions_or_layouts_of_a_sequence():
    stated = read({"layers": 2, "bidirectional": True, "batch_first": True, "packed": False, "steps": {"min": 3}})
    family = cases(num_layers=1, steps=1, bidirectional=False, batch_first=False)
    assert not isinstance(stated.narrowed(family, "lstm_cell"), str)
    assert stated.refusal(Case().on("lstm_cell")) == ""
    assert stated.refusal(Case().on("lstm")) == "layers: 2"


def test_two_sizes_with_the_same_values_are_drawn_apart():
    narrowed = read({"input_size": (3, 5), "hidden_size": (3, 5)}).narrowed(cases(), LSTM)
    assert not isinstance(narrowed, str)
    assert narrowed.pinned["input_size"] != narrowed.pinned["hidden_size"]


@hypothesis.given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 40))
def test_sizes_are_the_multiples_between_two_limits(least, multiple_of, more):
    wanted = [size for size in range(1, 200) if least <= size <= least + more and size % multiple_of == 0]
    sizes = Sizes(least, least + more, multiple_of)
    assert [size for size in range(1, 200) if size in sizes] == wanted == list(sizes)
    for size in (1, 20, 100) if wanted else ():
        assert sizes.nearest(size) == max((one for one in wanted if one <= size), default=wanted[0])
    assert not wanted or not any(size in sizes for size in sizes.beyond())


WRONG = {
    "a list": (["packed"], "is a list; a dictionary is wanted, such as {'packed': False}"),
    "nothing": ({}, "is empty; leave it out, or state something"),
    "a misspelt key": ({"hiden_size": 3}, "has no key 'hiden_size'; the nearest is 'hidden_size'"),
    "a strange key": ({7: 3}, "has no key 7; it has " + ", ".join(KEYS)),
    "no number": ({"layers": "one"}, "'layers' is a number from 1 on, several of them, or a dictionary of"),
    "a flag as a size": ({"layers": True}, "'layers' is a number from 1 on"),
    "a limit that is none": ({"hidden_size": {"least": 3}}, "a dictionary of multiple_of, min, max; not {'least': 3}"),
    "no size": ({"hidden_size": {"min": 5, "max": 3}}, "'hidden_size': no size is min 5, max 3"),
    "a number as a flag": ({"bias": 1}, "'bias' is the value that it can have, True or False, or [False, True]; not 1"),
    "a text as a feature": (
        {"packed": "no"},
        "'packed' is True for what is possible and False for what is not; not 'no'",
    ),
    "states": ({"states": "sometimes"}, "'required' where they have to be; not 'sometimes'"),
    "a dtype": ({"dtypes": ["float8"]}, "'dtypes' lists some of float32, float64, float16, bfloat16; not ['float8']"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_statement_cannot_say_is_told_with_what_it_can(name):
    statement, told = WRONG[name]
    with pytest.raises(StatementError) as raised:
        read(statement)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
