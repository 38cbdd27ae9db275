"""Chapter C: gradients within the error bounds of back-propagation through time, by hand."""

from conformance.harness.vocabulary import (
    LSTM,
    SINGLE_STEP,
    SINGLE_STEPS,
    assert_gradients_within,
    cases,
    clause,
    differentiate,
    losses,
)

STEPS_BEFORE_BOUNDS_GROW_VACUOUS = range(1, 6)


def gradients(case, cell):
    """The gradients of everything, from the results that `pick` chooses."""
    problem = case.on(cell)
    return differentiate(problem, losses.loss(case, problem))


@clause("C1", given=cases(steps=STEPS_BEFORE_BOUNDS_GROW_VACUOUS))
def test_gradients_lie_within_their_error_bound(case, cell):
    for seen in gradients(case, cell):
        assert_gradients_within(seen)


@clause("C1", given=cases(packed=True, steps=STEPS_BEFORE_BOUNDS_GROW_VACUOUS))
def test_gradients_of_packed_sequences_lie_within_their_error_bound(case, cell):
    for seen in gradients(case, cell):
        assert_gradients_within(seen)


@clause("C1", on=(LSTM,), given=cases(projection=True, packed=None, steps=STEPS_BEFORE_BOUNDS_GROW_VACUOUS))
def test_gradients_with_projection_lie_within_their_error_bound(case, cell):
    for seen in gradients(case, cell):
        assert_gradients_within(seen)


@clause("C1", on=SINGLE_STEPS, given=SINGLE_STEP)
def test_gradients_of_a_single_step_lie_within_their_error_bound(case, cell):
    for seen in gradients(case, cell):
        assert_gradients_within(seen)


@clause("C1", given=cases(unbatched=True, steps=STEPS_BEFORE_BOUNDS_GROW_VACUOUS, projection=None))
def test_gradients_without_a_batch_lie_within_their_error_bound(case, cell):
    for seen in gradients(case, cell):
        assert_gradients_within(seen)
