"""Chapters B to E at sizes as users have them: one size far out, the others small."""

import numpy as np

from conformance.harness.api import (
    FORWARD,
    GRU,
    LSTM,
    MEMORY_OF_ITS_OWN,
    REVERSE,
    RNN_TANH,
    assert_agree,
    assert_exact,
    assert_same,
    assert_same_or_agree,
    assert_unchanged,
    assert_within,
    cases,
    clause,
    from_inputs,
    from_own_states,
    is_exact,
    losses,
    observe,
    observe_layers,
    observe_poisoned,
)
from conformance.parts import (
    ALL,
    directions_agree,
    parts_in_time_agree,
    row_agrees,
    steps_of_the_cell_agree,
)
from strategies.families import ONE_STEP
from strategies.large import (
    EVERY_SIZE,
    NOT_LAYERS,
    NOT_UNITS,
    NOT_WIDTHS,
    OF_ONE_STEP,
    OFTEN,
    RARELY,
    SEQUENCES,
    UNITS,
    WIDTHS,
    far_out,
    past_65535,
)
from strategies.real import real_cases

UNROUNDED = {"fill": "digital", "bias": True}
"""Numbers of which error bounds stay narrow at any length; in 16 bits not where an LSTM's cell state counts on."""


def every_step_lies_within(case, cell):
    """Every step of every layer lies within its bound, from the subject's own state before it."""
    for seen in observe_layers(case.on(cell)):
        for layer in seen.layers:
            assert_within(layer, from_own_states)


@clause("B2", given=far_out(EVERY_SIZE) | far_out(UNITS, steps=(1, 2, 3), **OFTEN))
def test_every_step_of_a_large_call_lies_within_its_error_bound(case, cell):
    every_step_lies_within(case, cell)


@clause("B2", given=far_out(SEQUENCES, packed=True))
def test_every_step_of_a_large_packed_call_lies_within_its_error_bound(case, cell):
    every_step_lies_within(case, cell)


@clause("B2", on=(LSTM,), given={"units": cases(far="hidden_size", projection=True)})
def test_every_step_of_a_large_projected_call_lies_within_its_error_bound(case, cell):
    every_step_lies_within(case, cell)


@clause("B1", given=far_out(NOT_UNITS, steps=(1, 2)), single_step=far_out(OF_ONE_STEP, **ONE_STEP))
def test_results_of_a_large_call_lie_within_their_error_bound(case, cell):
    for seen in observe(case.on(cell)):
        assert_within(seen, from_inputs)


@clause("B2", given=past_65535())
def test_products_of_sizes_past_65535_lie_within_their_error_bound(case, cell):
    every_step_lies_within(case, cell)


@clause("B2", given=real_cases())
def test_every_step_of_a_real_configuration_lies_within_its_error_bound(case, cell):
    every_step_lies_within(case, cell)


@clause("D1", given=real_cases())
def test_forward_output_at_the_end_of_each_row_of_a_real_configuration_is_its_last_hidden_state(case, cell):
    lengths = case.lengths or (case.steps,) * case.batch_size
    for seen in observe(case.on(cell)):
        for row, length in enumerate(lengths):
            assert_same(seen, seen.output[row, length - 1, FORWARD], seen.h_n[-1, FORWARD, row])


@clause("D1", given=far_out(EVERY_SIZE, bidirectional=False))
def test_last_output_of_a_large_call_is_its_last_hidden_state(case, cell):
    for seen in observe(case.on(cell)):
        assert_same(seen, seen.output[:, -1, FORWARD], seen.h_n[-1, FORWARD])


@clause("D2", given=far_out(EVERY_SIZE, bidirectional=True))
def test_backward_half_of_the_first_output_of_a_large_call_is_the_backward_state(case, cell):
    for seen in observe(case.on(cell)):
        assert_same(seen, seen.output[:, 0, REVERSE], seen.h_n[-1, REVERSE])


@clause("E1", given=far_out({"layers": "num_layers"}, steps=(1, 2)))
def test_deep_stack_is_the_composition_of_its_layers(case, cell):
    for seen in observe_layers(case.on(cell)):
        (assert_same_or_agree if is_exact(seen) else assert_agree)(seen, seen.layers[-1], ("output", ALL, ALL))


@clause(
    "E2",
    given=far_out(NOT_LAYERS, bidirectional=True, num_layers=1, short=True, **RARELY)
    | far_out({"steps": "steps"}, bidirectional=True, num_layers=1, dtype=losses.WIDE, **UNROUNDED, **RARELY),
)
def test_large_bidirectional_call_is_a_forward_run_and_a_run_of_turned_rows(case, cell):
    directions_agree(case, cell)


@clause(
    "E2",
    given=far_out({"rows": "batch_size"}, short=True, **RARELY)
    | far_out(WIDTHS, batch_size=(2, 3), short=True, **RARELY),
)
def test_row_of_a_large_batch_is_that_row_alone(case, cell):
    row_agrees(case.on(cell), cell, case.row)


@clause(
    "E2",
    given=far_out(WIDTHS, bidirectional=False, steps=(2, 3), **RARELY)
    | far_out({"steps": "steps"}, bidirectional=False, dtype=losses.WIDE, **UNROUNDED, **RARELY),
)
def test_large_call_is_its_first_steps_and_the_rest_from_the_states_they_returned(case, cell):
    if case.steps > 1:
        parts_in_time_agree(case, cell)


@clause("E2", given=far_out(NOT_LAYERS, bidirectional=False, num_layers=1, short=True, **RARELY))
def test_large_module_is_a_loop_of_its_cell(case, cell):
    steps_of_the_cell_agree(case, cell)


@clause("E3", given={"rows": cases(far="batch_size", memory=MEMORY_OF_ITS_OWN)})
def test_rows_of_a_large_batch_do_not_depend_on_another_row(case, cell):
    thirds = [np.s_[first::3] for first in range(3)]
    for first, third in enumerate(thirds):
        relation = f"before rows {first}, {first + 3}, ... became NaN"
        for seen in observe_poisoned(case.on(cell), third, ALL):
            for poisoned in seen.poisoned:
                parts = [("output", others, others) for others in thirds if others is not third]
                assert_unchanged(seen, poisoned, *parts, relation=relation)


@clause(
    "F5",
    on=(RNN_TANH, GRU),
    given=far_out(NOT_WIDTHS, **UNROUNDED, **RARELY) | far_out(WIDTHS, dtype=losses.WIDE, **UNROUNDED, **RARELY),
)
def test_gates_of_a_large_call_that_are_open_or_shut_give_exactly_what_the_equations_say(case, cell):
    for seen in observe(case.on(cell)):
        assert_exact(seen, from_inputs)
