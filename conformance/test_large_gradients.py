"""Chapter C at sizes as users have them: one size far out, the others small, and real configurations."""

from dataclasses import replace

from conformance import relations
from conformance.harness.api import (
    LSTM,
    assert_gradients_unchanged,
    assert_gradients_within,
    cases,
    clause,
    differentiate,
    differentiate_layers,
    from_own_gradients,
    losses,
)
from strategies.families import ONE_STEP
from strategies.large import (
    EVERY_SIZE,
    NOT_LAYERS,
    NOT_STEPS,
    OF_ONE_STEP,
    OFTEN,
    SEQUENCES,
    WIDTHS,
    far_out,
    past_65535,
)
from strategies.real import real_cases
from strategies.values import INITIAL

TRAINING = {"dropout": False, "dtype": losses.WIDE}
SHORT = {"dropout": False, "steps": (1, 2)}
GATES_AS_INPUTS = {"dropout": False, "num_layers": 1, "hidden_size": (1, 2, 3, 4), "input_size": 32}
"""Enough inputs for the gates of both directions."""

CONTRACTING = {"dropout": False, "dtype": losses.WIDE, "fill": INITIAL}
"""Weights with which bounds hardly grow from step to step."""

PACKED = {
    "packed_rows": cases(far="batch_size", packed=True, **TRAINING),
    "packed_steps": cases(far="steps", packed=True, **CONTRACTING),
}


PAST_65535 = {
    f"past_65535_{name}": family
    for name, family in past_65535(bidirectional=False, batch_first=False, **TRAINING).items()
}

PROJECTED = {"projected_units": cases(far="hidden_size", projection=True, **TRAINING | SHORT)}


def all_lie_within(case, cell):
    """The gradients of everything lie within their bounds, from the inputs of the call."""
    problem = case.on(cell)
    for seen in differentiate(problem, losses.loss(case, problem)):
        assert_gradients_within(seen)


@clause(
    "C1",
    given=far_out(NOT_STEPS, steps=(1, 2), **TRAINING)
    | far_out(WIDTHS, steps=(1, 2), **OFTEN, **TRAINING)
    | far_out({"steps": "steps"}, **CONTRACTING)
    | PACKED
    | PAST_65535,
    single_step=far_out(OF_ONE_STEP, **TRAINING | ONE_STEP)
    | {"past_65535_rows_by_many_units": PAST_65535["past_65535_rows_by_many_units"]},
)
def test_gradients_of_a_large_call_lie_within_their_error_bound(case, cell):
    all_lie_within(case, cell)


@clause("C1", on=(LSTM,), given=PROJECTED)
def test_gradients_of_a_large_projected_call_lie_within_their_error_bound(case, cell):
    all_lie_within(case, cell)


@clause("C1", given=far_out(NOT_LAYERS, dtype=losses.NARROW, num_layers=1, **SHORT))
def test_gradients_of_one_row_of_a_large_call_in_16_bits_lie_within_their_error_bound(case, cell):
    problem = case.on(cell)
    loss = losses.at(losses.loss(case, problem), row=case.row)
    for seen in differentiate(problem, loss):
        assert_gradients_within(seen)


def every_step_lies_within(case, cell):
    """Each step lies within its bound, from the subject's own gradient of the step after it."""
    problem = relations.gates_as_inputs(case.on(cell))
    for seen in differentiate(problem, losses.loss(case, problem)):
        assert_gradients_within(seen, from_own_gradients)


IN_16_BITS = {"steps_in_bfloat16": cases(far="steps", packed=None, dtype="bfloat16", **GATES_AS_INPUTS)}
"""One in four of the others are in bfloat16, and seldom the one that has the longest sequence of a run."""


@clause("C1", given=far_out(SEQUENCES, packed=None, **GATES_AS_INPUTS) | IN_16_BITS)
def test_gradients_of_every_step_of_a_large_call_lie_within_their_error_bound(case, cell):
    every_step_lies_within(case, cell)


@clause("C1", given=real_cases(gates_as_inputs=True))
def test_gradients_of_every_step_of_a_real_configuration_lie_within_their_error_bound(case, cell):
    every_step_lies_within(case, cell)


DEEP = {"layers": EVERY_SIZE["layers"]}


@clause("C1", given=far_out(DEEP, **SHORT))
def test_gradients_of_each_layer_of_a_deep_stack_lie_within_their_error_bound(case, cell):
    problem = case.on(cell)
    for seen in differentiate_layers(problem, losses.loss(case, problem)):
        for layer in seen.layers:
            assert_gradients_within(layer)


@clause("E1", given={"": cases(dropout=False, num_layers=(2, 3))} | far_out(DEEP, **SHORT))
def test_gradients_of_a_stack_are_those_of_the_composition_of_its_layers(case, cell):
    problem = case.on(cell)
    for seen in differentiate_layers(problem, losses.loss(replace(case, pick=0), problem)):
        assert_gradients_unchanged(seen, seen.composition, "of the composition of its layers")
