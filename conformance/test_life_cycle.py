"""Chapter I: a module that was called before, and changed."""

from conformance.harness.api import (
    CHANGES,
    ONE_STEP,
    SINGLE_STEP,
    assert_gradients_within,
    assert_within,
    cases,
    clause,
    differentiate_change,
    from_inputs,
    losses,
    observe_change,
)
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
