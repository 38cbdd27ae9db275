"""Chapter E: what one call has to do with another that says the same."""

import numpy as np

from conformance import relations
from conformance.harness.api import (
    FORWARD,
    MEMORY_OF_ITS_OWN,
    REVERSE,
    assert_agree,
    assert_same,
    assert_same_or_agree,
    assert_unchanged,
    assert_within,
    at_least,
    cases,
    clause,
    from_inputs,
    is_exact,
    observe,
    observe_layers,
    observe_pairs,
    observe_poisoned,
)
from conformance.parts import (
    ALL,
    directions_agree,
    everything,
    parts_in_time_agree,
    row_agrees,
    states,
    steps_of_the_cell_agree,
)

SHORT, SEVERAL = range(1, 6), range(2, 6)
"""Steps before the bounds of two computed sides grow vacuous."""

LATER = range(2, 13)

OTHER_MEMORY = ("transposed", "sliced", "expanded", "guarded", "offset")


# E1: the same by definition


@clause("E1", given=cases(num_layers=range(2, 4), projection=None))
def test_stack_is_the_composition_of_its_layers(case, cell):
    for seen in observe_layers(case.on(cell)):
        # another subject may compute a call wider than it stores, and hand on more between layers than it returns
        if is_exact(seen):
            assert_same(seen, seen.output, seen.layers[-1].output, other=seen.layers[-1])
            for layer, alone in enumerate(seen.layers):
                for name in states(cell):
                    assert_same(seen, getattr(seen, name)[layer], getattr(alone, name)[0], other=alone)
        elif case.short:
            layers_agree(seen, cell)


def layers_agree(seen, cell):
    """A stack's output and states are within bounds those of its layers alone."""
    assert_agree(seen, seen.layers[-1], ("output", ALL, ALL))
    for layer, alone in enumerate(seen.layers):
        assert_agree(seen, alone, *((name, layer, 0) for name in states(cell)))


@clause("E1", given=cases(num_layers=range(2, 4), packed=True, steps=SHORT, projection=None))
def test_packed_stack_is_the_composition_of_its_layers(case, cell):
    for seen in observe_layers(case.on(cell)):
        layers_agree(seen, cell)  # not to the bit: rows that are not sorted have their states copied to other addresses


@clause("E1", given=cases(bias=False, steps=SHORT, packed=None, projection=None))
def test_no_bias_is_a_bias_of_zeros(case, cell):
    problem = case.on(cell)
    for seen, zeros in observe_pairs(problem, relations.with_zero_biases(problem), same=everything(cell)):
        assert_same_or_agree(seen, zeros, *everything(cell))


@clause("E1", given=cases(hx=False, steps=SHORT, memory="contiguous", packed=None, projection=None))
def test_no_initial_states_are_states_of_zeros(case, cell):
    problem = case.on(cell)
    for seen, zeros in observe_pairs(problem, relations.with_zero_states(problem), same=everything(cell)):
        assert_same_or_agree(seen, zeros, *everything(cell))


@clause("E1", given=cases(unbatched=True, steps=SHORT, memory="contiguous", projection=None))
def test_unbatched_call_is_a_batch_of_one(case, cell):
    problem = case.on(cell)
    for seen, batch in observe_pairs(problem, relations.as_batch_of_one(problem), same=everything(cell)):
        assert_same_or_agree(seen, batch, *everything(cell))


@clause("E1", given=cases(unbatched=False, steps=SHORT, projection=None))
def test_packed_batch_of_equal_lengths_is_a_padded_one(case, cell):
    problem = case.on(cell)
    same_strides = "bf" not in case.layout and case.memory == "contiguous"
    same = everything(cell) if at_least(2, 9) and same_strides else ()
    for seen, packed in observe_pairs(problem, relations.packed(problem), same=same):
        goes_the_padded_way = same and is_exact(seen)
        (assert_same_or_agree if goes_the_padded_way else assert_agree)(seen, packed, *everything(cell))


# E2: the same within bounds


@clause("E2", given=cases(bidirectional=True, num_layers=1, short=True, projection=None))
def test_bidirectional_call_is_a_forward_run_and_a_run_of_turned_rows(case, cell):
    directions_agree(case, cell)


@clause("E2", given=cases(bidirectional=True, num_layers=1, short=True, packed=True, projection=None))
def test_packed_bidirectional_call_ends_as_a_forward_run_and_a_run_of_turned_rows(case, cell):
    problem = case.on(cell)
    for direction in (FORWARD, REVERSE):
        for seen, alone in observe_pairs(problem, relations.one_direction(problem, direction)):
            assert_agree(seen, alone, *((name, np.s_[:, direction], np.s_[:, 0]) for name in states(cell)))


@clause("E2", given=cases(bidirectional=False, steps=SEVERAL, projection=None))
def test_call_is_its_first_steps_and_the_rest_from_the_states_they_returned(case, cell):
    parts_in_time_agree(case, cell)


@clause("E2", given=cases(bidirectional=False, num_layers=1, short=True))
def test_module_is_a_loop_of_its_cell(case, cell):
    steps_of_the_cell_agree(case, cell)


@clause("E2", given=cases(unbatched=False, short=True, packed=None, projection=None))
def test_batch_first_only_transposes(case, cell):
    problem = case.on(cell)
    for seen, other in observe_pairs(problem, relations.transposed(problem)):
        assert_agree(seen, other, *everything(cell))


@clause("E2", given=cases(batch_size=range(2, 6), short=True, packed=None, projection=None))
def test_rows_moved_within_the_batch_give_the_same_rows(case, cell):
    problem, by = case.on(cell), 1 + case.pick % (case.batch_size - 1)
    for seen, moved in observe_pairs(problem, relations.rotated(problem, by)):
        for rows, there in ((np.s_[by:], np.s_[:-by]), (np.s_[:by], np.s_[-by:])):
            assert_agree(seen, moved, ("output", rows, there))
            assert_agree(seen, moved, *((name, np.s_[:, :, rows], np.s_[:, :, there]) for name in states(cell)))


@clause("E2", given=cases(batch_size=range(2, 6), short=True, packed=None, projection=None))
def test_batch_is_its_rows_one_by_one(case, cell):
    problem = case.on(cell)
    for row in range(case.batch_size):
        row_agrees(problem, cell, row)


@clause("E2", given=cases(packed=True, batch_size=range(2, 6), short=True, projection=None))
def test_packed_rows_in_any_order_are_sorted_rows_put_back(case, cell):
    problem = case.on(cell)
    by_length, order = relations.sorted_by_length(problem)
    for seen, other in observe_pairs(problem, by_length):
        for place, row in enumerate(order):
            assert_agree(seen, other, ("output", row, place))
            assert_agree(seen, other, *((name, np.s_[:, :, row], np.s_[:, :, place]) for name in states(cell)))


@clause("E2", given=cases(memory=OTHER_MEMORY, short=True, packed=None, projection=None))
def test_layout_in_memory_does_not_matter(case, cell):
    problem = case.on(cell)
    for seen, copied in observe_pairs(problem, relations.contiguous(problem)):
        assert_agree(seen, copied, *everything(cell))


# E3: what does not matter


@clause("E3", given=cases(bidirectional=False, steps=LATER, memory=MEMORY_OF_ITS_OWN, projection=None))
def test_outputs_before_a_step_do_not_depend_on_it(case, cell):
    step = 1 + case.pick % (case.steps - 1)
    for seen in observe_poisoned(case.on(cell), ALL, np.s_[step:]):
        for poisoned in seen.poisoned:
            before = np.s_[:, :step]
            assert_unchanged(seen, poisoned, ("output", before, before), relation=f"before step {step} became NaN")


@clause("E3", given=cases(bidirectional=True, num_layers=1, steps=LATER, memory=MEMORY_OF_ITS_OWN, projection=None))
def test_reverse_outputs_from_a_step_on_do_not_depend_on_the_steps_before_it(case, cell):
    step = 1 + case.pick % (case.steps - 1)
    for seen in observe_poisoned(case.on(cell), ALL, np.s_[:step]):
        for poisoned in seen.poisoned:
            later = np.s_[:, step:, REVERSE]
            relation = f"before the steps up to {step} became NaN"
            assert_unchanged(seen, poisoned, ("output", later, later), relation=relation)


@clause("E3", given=cases(batch_size=range(2, 6), memory=MEMORY_OF_ITS_OWN, projection=None))
def test_rows_do_not_depend_on_another_row(case, cell):
    row = case.row
    for seen in observe_poisoned(case.on(cell), np.s_[row : row + 1], ALL):
        for poisoned in seen.poisoned:
            for others in (np.s_[:row], np.s_[row + 1 :]):
                rows = np.s_[:, :, others]
                parts = (("output", others, others), *((name, rows, rows) for name in states(cell)))
                assert_unchanged(seen, poisoned, *parts, relation=f"before row {row} became NaN")


@clause("E3", given=cases(memory=("guarded", "sliced", "offset"), steps=SHORT, packed=None, projection=None))
def test_nan_around_and_between_the_elements_of_a_view_is_never_read(case, cell):
    for seen in observe(case.on(cell)):
        assert_within(seen, from_inputs)
