"""Chapter D: hidden states against outputs, their limits, and what a call leaves alone."""

import numpy as np

from conformance.harness.api import (
    FORWARD,
    GRU,
    LSTM,
    REVERSE,
    RNN_RELU,
    RNN_TANH,
    SINGLE_STEP,
    SINGLE_STEPS,
    allowed,
    assert_at_most,
    assert_different_where_disjoint,
    assert_no_more_memory,
    assert_not_negative,
    assert_nothing,
    assert_same,
    assert_signs_agree,
    assert_unchanged,
    cases,
    clause,
    from_inputs,
    limits,
    observe,
    observe_laps,
    observe_twice,
)

ALL = np.s_[:]


@clause("D1", given=cases(bidirectional=False, projection=None))
def test_last_output_is_the_last_hidden_state(case, cell):
    for seen in observe(case.on(cell)):
        assert_same(seen, seen.output[:, -1, FORWARD], seen.h_n[-1, FORWARD])


@clause("D1", given=cases(bidirectional=False, packed=True, projection=None))
def test_output_at_the_end_of_each_packed_row_is_its_last_hidden_state(case, cell):
    for seen in observe(case.on(cell)):
        for row, length in enumerate(case.lengths):
            assert_same(seen, seen.output[row, length - 1, FORWARD], seen.h_n[-1, FORWARD, row])


@clause("D2", given=cases(bidirectional=True, projection=None))
def test_forward_half_of_the_last_output_is_the_forward_state(case, cell):
    for seen in observe(case.on(cell)):
        assert_same(seen, seen.output[:, -1, FORWARD], seen.h_n[-1, FORWARD])


@clause("D2", given=cases(bidirectional=True, packed=True, projection=None))
def test_forward_half_at_the_end_of_each_packed_row_is_its_forward_state(case, cell):
    for seen in observe(case.on(cell)):
        for row, length in enumerate(case.lengths):
            assert_same(seen, seen.output[row, length - 1, FORWARD], seen.h_n[-1, FORWARD, row])


@clause("D2", given=cases(bidirectional=True, packed=None, projection=None))
def test_backward_half_of_the_first_output_is_the_backward_state(case, cell):
    for seen in observe(case.on(cell)):
        assert_same(seen, seen.output[:, 0, REVERSE], seen.h_n[-1, REVERSE])


@clause("D2", given=cases(bidirectional=True, steps=range(2, 5), projection=None))
def test_backward_half_of_the_last_output_is_not_the_backward_state(case, cell):
    for seen in observe(case.on(cell)):
        enclosure = from_inputs(seen).output
        last, first = enclosure[:, -1, REVERSE], enclosure[:, 0, REVERSE]
        assert_different_where_disjoint(seen, seen.output[:, -1, REVERSE], seen.h_n[-1, REVERSE], (last, first))


@clause("D3", on=(RNN_TANH, LSTM, GRU), given=cases(packed=None))
def test_hidden_states_stay_within_one_and_the_initial_state(case, cell):
    for seen in observe(case.on(cell)):
        limit = limits.hidden_state(seen.problem, allowed(seen))
        assert_at_most(seen, abs(seen.h_n), limit, "exceeds 1 and abs(h_0)")
        top = np.broadcast_to(limit[-1].swapaxes(0, 1)[:, None], seen.output.values.shape)
        assert_at_most(seen, abs(seen.output), top, "exceeds 1 and abs(h_0)")


@clause("D3", on=(RNN_RELU,), given=cases(packed=None))
def test_relu_states_are_not_negative(case, cell):
    for seen in observe(case.on(cell)):
        for labelled in seen.results.values():
            assert_not_negative(seen, labelled)


@clause("D3", on=(LSTM,), given=cases(packed=None, projection=None))
def test_cell_state_grows_by_at_most_one_each_step(case, cell):
    for seen in observe(case.on(cell)):
        limit = limits.cell_state(seen.problem, allowed(seen))
        assert_at_most(seen, abs(seen.c_n), limit, "exceeds abs(c_0) + T")


@clause("D3", on=(LSTM,), given=cases(packed=None))
def test_hidden_state_is_a_share_of_the_tanh_of_the_cell_state(case, cell):
    for seen in observe(case.on(cell)):
        assert_at_most(seen, abs(seen.h_n), limits.gated_by(seen.c_n.values, allowed(seen)), "exceeds abs(tanh(c_n))")
        assert_signs_agree(seen, seen.h_n, seen.c_n)


@clause("D3", on=SINGLE_STEPS, given=SINGLE_STEP)
def test_single_steps_stay_within_the_same_limits(case, cell):
    for seen in observe(case.on(cell)):
        limit = limits.hidden_state(seen.problem, allowed(seen))
        assert_at_most(seen, abs(seen.h_n), limit, "exceeds 1 and abs(h_0)")
        if seen.problem.architecture.cell == RNN_RELU:
            assert_not_negative(seen, seen.h_n)
        if seen.problem.architecture.cell == LSTM:
            largest = limits.cell_state(seen.problem, allowed(seen))
            assert_at_most(seen, abs(seen.c_n), largest, "exceeds abs(c_0) + T")
            assert_signs_agree(seen, seen.h_n, seen.c_n)


@clause("D4", given=cases(packed=None, projection=None), single_step=SINGLE_STEP)
def test_same_call_gives_the_same_again(case, cell):
    for seen in observe_twice(case.on(cell)):
        for other in seen.again:
            assert_unchanged(seen, other, *((name, ALL, ALL) for name in seen.results), relation="the first time")


@clause("D4", given=cases(packed=None, projection=None), single_step=SINGLE_STEP)
def test_call_changes_no_input_state_or_parameter_and_draws_no_random_number(case, cell):
    for seen in observe_twice(case.on(cell)):
        assert_nothing(seen, "call", "changes", seen.changed)
        assert_nothing(seen, "call", "returns the memory of", seen.shared)


@clause("D5")
def test_later_laps_over_the_same_lengths_take_no_more_memory(cell):
    for seen in observe_laps(cell):
        assert_no_more_memory(seen)
