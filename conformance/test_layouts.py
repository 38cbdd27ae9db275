"""Chapters B and C: where parameters and cotangents lie in memory does not matter."""

from conformance.harness.api import (
    PARAMETER_MEMORY,
    SINGLE_STEP,
    assert_gradients_within,
    assert_within,
    cases,
    clause,
    differentiate,
    from_inputs,
    losses,
    observe,
)
from strategies.large import NOT_LAYERS, SELDOM, far_out, past_65535

SHORT = losses.short("float32") | {"dtype": losses.WIDE, "dropout": False}


LARGE = {"dtype": losses.WIDE, "dropout": False, **SELDOM}
FAR = far_out(NOT_LAYERS, steps=(1, 2), **LARGE)
EVERY_PRODUCT = past_65535(bidirectional=False, **LARGE)
PRODUCTS = {name: EVERY_PRODUCT[name] for name in ("rows_by_steps", "rows_by_many_units")}


def chosen(names, case):
    """The name that `pick` chooses."""
    return names[case.pick % len(names)]


@clause("B1", given={"": cases(short=True, projection=None)} | FAR, single_step={"": SINGLE_STEP})
def test_results_lie_within_their_error_bound_wherever_parameters_lie(case, cell):
    for seen in observe(case.on(cell), parameter_memory=chosen(PARAMETER_MEMORY, case)):
        assert_within(seen, from_inputs)


@clause("C1", given={"": cases(projection=None, **SHORT)} | FAR, single_step={"": SINGLE_STEP})
def test_gradients_lie_within_their_error_bound_wherever_parameters_lie(case, cell):
    problem = case.on(cell)
    memory = chosen(PARAMETER_MEMORY, case)
    for seen in differentiate(problem, losses.loss(case, problem), parameter_memory=memory):
        assert_gradients_within(seen)


@clause(
    "C1",
    given={"": cases(packed=None, projection=None, **SHORT)} | FAR | PRODUCTS,
    single_step={"": SINGLE_STEP},
)
def test_gradients_lie_within_their_error_bound_wherever_cotangents_lie(case, cell):
    problem = case.on(cell)
    loss = losses.laid_out(losses.loss(case, problem), chosen(losses.COTANGENT_MEMORY, case))
    for seen in differentiate(problem, loss):
        assert_gradients_within(seen)
