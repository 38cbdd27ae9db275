"""Chapter C, sixth clause: in which ways a call can be differentiated, beside one backward pass."""

from conformance.clauses import AMBER
from conformance.harness.vocabulary import (
    MODULES,
    SINGLE_STEPS,
    assert_gradients_within,
    assert_open,
    assert_second_derivatives_near,
    clause,
    in_another_way,
    in_float64,
    ways,
)

ALL = MODULES + SINGLE_STEPS

TWICE = 2
"""Forward mode multiplies in another order than back-propagation. Nobody derived bounds for that, so that those of
back-propagation are doubled, and what lies beyond is amber."""


def assert_open_to_all(cell, way):
    """A way is open to all calls of a cell or to none, and gives the gradients of back-propagation."""
    calls = in_another_way(cell, way)
    assert_open(way, calls)
    for seen in calls:
        for one in (seen, *seen.again):
            if one.failure is None:
                assert_gradients_within(one, TWICE, clause="C1", severity=AMBER)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_twice(cell):
    calls = in_another_way(cell, ways.DOUBLE_BACKWARD)
    assert_open(ways.DOUBLE_BACKWARD, calls)
    for seen in calls:
        wide = in_float64(seen) if seen.failure is None else None
        if wide is not None:
            assert_second_derivatives_near(seen, wide)
        if seen.failure is None:
            assert_gradients_within(seen, clause="C1", severity=AMBER)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_in_forward_mode(cell):
    assert_open_to_all(cell, ways.FORWARD_MODE)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_by_torch_func_in_reverse(cell):
    assert_open_to_all(cell, ways.FUNC_IN_REVERSE)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_by_jacfwd(cell):
    assert_open_to_all(cell, ways.JACFWD)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_under_a_hook(cell):
    assert_open_to_all(cell, ways.HOOK)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_from_a_checkpoint(cell):
    assert_open_to_all(cell, ways.CHECKPOINT)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_for_a_batch_of_cotangents(cell):
    assert_open_to_all(cell, ways.BATCHED)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_after_its_output_was_changed_in_place(cell):
    assert_open_to_all(cell, ways.OUTPUT_IN_PLACE)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_after_its_states_were_changed_in_place(cell):
    assert_open_to_all(cell, ways.STATES_IN_PLACE)


@clause("C6", on=ALL)
def test_every_dtype_and_kernel_can_be_differentiated_into_memory_of_its_own(cell):
    assert_open_to_all(cell, ways.OWN_MEMORY)
