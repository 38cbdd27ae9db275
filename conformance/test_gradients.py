"""Chapter C, first part: gradients within the error bounds of back-propagation through time, and who gets one."""

from dataclasses import replace

from conformance.harness.api import (
    LSTM,
    SINGLE_STEP,
    assert_gradients_within,
    assert_nothing,
    assert_twice,
    cases,
    clause,
    differentiate,
    losses,
)
from strategies.large import NOT_LAYERS, far_out

SHORT = losses.short("float32") | {"dtype": losses.WIDE, "dropout": False}
SHORT_IN_16_BITS = losses.short("float16") | {"dtype": losses.NARROW, "dropout": False}
"""Errors of the forward pass grow with its steps and layers, and enter the gradients. In training, for cuDNN
differentiates nothing else."""

LONGER_IN_16_BITS = SHORT_IN_16_BITS | {"steps": range(1, 4), "num_layers": (1, 2)}
"""Where some bounds say nothing, and the others see what a short call does not have."""


def assert_all_within(case, cell):
    """The gradients of everything, from the results that `pick` chooses, lie within their bounds."""
    problem = case.on(cell)
    for seen in differentiate(problem, losses.loss(case, problem)):
        assert_gradients_within(seen)


@clause("C1", given=cases(**SHORT), single_step=SINGLE_STEP)
def test_gradients_lie_within_their_error_bound(case, cell):
    assert_all_within(case, cell)


@clause("C1", given=cases(packed=None, projection=None, **SHORT_IN_16_BITS))
def test_gradients_in_16_bits_lie_within_their_error_bound(case, cell):
    assert_all_within(losses.shortened(case), cell)


@clause("C1", given=cases(packed=None, projection=None, **LONGER_IN_16_BITS))
def test_gradients_in_16_bits_through_steps_and_layers_lie_within_their_error_bound(case, cell):
    assert_all_within(case, cell)


@clause("C1", given=cases(packed=None, projection=None, dropout=False, dtype=losses.WIDE))
def test_gradients_through_many_steps_and_layers_lie_within_their_error_bound(case, cell):
    assert_all_within(case, cell)


@clause("C1", given=cases(packed=True, **SHORT))
def test_gradients_of_packed_sequences_lie_within_their_error_bound(case, cell):
    assert_all_within(case, cell)


@clause("C1", on=(LSTM,), given=cases(projection=True, packed=None, **SHORT))
def test_gradients_with_a_projection_lie_within_their_error_bound(case, cell):
    assert_all_within(case, cell)


@clause("C1", given=cases(unbatched=True, projection=None, **SHORT))
def test_gradients_without_a_batch_lie_within_their_error_bound(case, cell):
    assert_all_within(case, cell)


@clause("C2", given=cases(packed=None, projection=None, **SHORT), single_step=SINGLE_STEP)
def test_only_what_requires_a_gradient_gets_one(case, cell):
    problem = case.on(cell)
    some = replace(losses.loss(case, problem), wanted=losses.some(case, problem))
    for seen in differentiate(problem, some):
        unasked = [name for name in seen.gradients if name not in some.wanted]
        assert_nothing(seen, "gradient", "not asked for", unasked)
        assert_gradients_within(seen, clause="C1")


@clause(
    "C2",
    given={"": cases(packed=None, dropout=False, projection=None)} | far_out(NOT_LAYERS, dropout=False),
    single_step={"": SINGLE_STEP},
)
def test_a_second_backward_pass_adds_the_same_gradients(case, cell):
    problem = case.on(cell)
    loss = losses.loss(case, problem)
    for seen in differentiate(problem, loss, later=(loss,)):
        for twice in seen.later_passes:
            assert_twice(twice, seen)
