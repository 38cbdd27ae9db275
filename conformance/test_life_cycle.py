"""Chapter I: a module that was called before, and changed."""

from conformance.harness.api import (
    CHANGES,
    LSTM_CELL,
    ONE_STEP,
    SINGLE_STEP,
    assert_gradients_within,
    assert_lived,
    assert_within,
    cases,
    clause,
    differentiate_change,
    from_inputs,
    losses,
    observe_change,
    observe_covering_lives,
    observe_life,
)
from reference.histories import CONVERSIONS, EXPORT, OPERATIONS
from reference.problem import GRU, LSTM, RNN_TANH
from strategies.large import NOT_LAYERS, SELDOM, far_out

WAYS = tuple(CHANGES)
LARGE = far_out(NOT_LAYERS, steps=(1, 2), dtype=losses.WIDE, dropout=False, **SELDOM)
SHORT = losses.short("float32") | {"dtype": losses.WIDE, "dropout": False, "share": 2}


@clause("I", given={"": cases(short=True, packed=None, projection=None)} | LARGE, single_step={"": SINGLE_STEP})
def test_changed_weights_are_those_of_the_next_call(case, cell):
    for seen in observe_change(case.on(cell), WAYS[case.pick % len(WAYS)]):
        for after in seen.after:
            assert_within(after, from_inputs)


@clause(
    "I",
    given={"": cases(packed=None, projection=None, **SHORT)} | LARGE,
    single_step={"": cases(**SHORT | ONE_STEP)},
)
def test_changed_weights_are_those_of_the_next_backward_pass(case, cell):
    problem = case.on(cell)
    change, first_too = WAYS[case.pick % len(WAYS)], case.pick // len(WAYS) % 2 == 0
    for seen in differentiate_change(problem, losses.loss(case, problem), change, first_too):
        assert_gradients_within(seen)


LIVED = {"dropout": False, "memory": "contiguous", "input_size": (1, 2, 3), "hidden_size": (1, 2, 3), "share": 12}
OFTEN = [name for name in OPERATIONS if name != EXPORT]
SHALLOW = {"steps": (1, 2), "num_layers": (1, 2)}
FRACTIONS = {name: {"fill": ("uniform", "normal")} for name in CONVERSIONS}
"""Numbers that a conversion rounds."""
MODULE = SHALLOW | LIVED | {"packed": None, "projection": None}
OF_MODULES = {name: cases(history=(name,), **MODULE | FRACTIONS.get(name, {})) for name in OFTEN}
OF_CELLS = {name: cases(history=(name,), **LIVED | ONE_STEP | FRACTIONS.get(name, {})) for name in OFTEN}
EXPORTED = cases(history=(EXPORT,), **SHALLOW | LIVED | {"share": 20})


def is_its_weights(case, cell):
    problem = case.on(cell)
    for seen in observe_life(problem, losses.loss(case, problem), case.history, case.pick):
        assert_lived(seen)


@clause("I", given=OF_MODULES, single_step=OF_CELLS)
def test_module_is_its_weights_after(case, cell):
    is_its_weights(case, cell)


@clause("I", on=(RNN_TANH, LSTM, GRU), given=EXPORTED)
def test_module_is_its_weights_after_its_export(case, cell):
    is_its_weights(case, cell)


@clause("I", on=(LSTM, LSTM_CELL))
def test_module_is_its_weights_after_any_two_operations(cell):
    for seen in observe_covering_lives(cell):
        assert_lived(seen)
