"""Chapter C, third part: several backward passes over one graph, and several calls of a module before the first."""

from conformance.harness.api import (
    ONE_STEP,
    assert_gradients_add_up,
    assert_gradients_within,
    cases,
    clause,
    differentiate,
    differentiate_parts,
    losses,
)
from strategies.large import NOT_STEPS, SELDOM, far_out
from strategies.values import INITIAL

SHORT = losses.short("float32") | {"dtype": losses.WIDE, "dropout": False, "share": 4}
SEVERAL_ROWS = {"batch_size": range(2, 6)}
LARGE = {"dtype": losses.WIDE, "dropout": False, **SELDOM}
FAR = far_out(NOT_STEPS, steps=(1, 2), **LARGE) | far_out({"steps": "steps"}, fill=INITIAL, **LARGE)


@clause(
    "C1",
    given={"": cases(packed=None, projection=None, **SHORT)} | FAR,
    single_step={"": cases(**SHORT | ONE_STEP)},
)
def test_gradients_of_two_losses_of_one_graph_add_up_within_their_error_bounds(case, cell):
    problem = case.on(cell)
    for seen in differentiate(problem, losses.loss(case, problem), later=(losses.another(case, problem),)):
        assert_gradients_within(seen)
        assert_gradients_add_up(seen)


ORDERS = {
    "in_one_pass": lambda loss, first: (loss,),
    "in_turn": lambda loss, first: (losses.at(loss, first), losses.at(loss, slice(first.stop, None))),
    "last_call_first": lambda loss, first: (losses.at(loss, slice(first.stop, None)), losses.at(loss, first)),
}
"""The losses of the passes after two calls, of a loss of all rows and the rows that the first call takes."""


@clause(
    "C1",
    given=cases(packed=None, projection=None, **SHORT | SEVERAL_ROWS),
    single_step=cases(**SHORT | ONE_STEP | SEVERAL_ROWS),
    each=ORDERS,
)
def test_gradients_of_two_calls_lie_within_their_error_bounds(case, cell, passes):
    problem = case.on(cell)
    first = 1 + case.pick % (problem.batch_size - 1)
    loss, *later = passes(losses.loss(case, problem), slice(first))
    for seen in differentiate_parts(problem, first, loss, tuple(later)):
        assert_gradients_within(seen)
        assert_gradients_add_up(seen)
