"""Chapter E, clause 5: what is set around a call, and where it is made, does not matter."""

import numpy as np

from conformance.harness.api import (
    SURROUNDINGS,
    assert_gradients_unchanged,
    assert_gradients_within,
    assert_unchanged,
    assert_within,
    cases,
    clause,
    from_inputs,
    losses,
    observe_surrounded,
)

ALL = np.s_[:]
ONE_STEP = {"num_layers": 1, "steps": 1, "bidirectional": False, "batch_first": False}
SHORT = losses.short("float32") | {"dtype": losses.WIDE, "dropout": False, "share": 20}
CALLS = cases(projection=None, **SHORT)
STEPS = dict.fromkeys(("another_default_device", "another_default_dtype"), cases(**SHORT | ONE_STEP))
"""Cells hold nothing else that could know where they are."""
EXACT = {name: name for name, surrounding in SURROUNDINGS.items() if surrounding.exact}
WITHIN_BOUNDS = {name: name for name in SURROUNDINGS if name not in EXACT}


@clause("E5", given=CALLS, single_step=STEPS, each=EXACT)
def test_call_and_its_gradients_are_the_same_with(case, cell, surrounding):
    problem = case.on(cell)
    relation = surrounding.replace("_", " ")
    for seen in observe_surrounded(problem, losses.loss(case, problem), surrounding, case.pick):
        for other in seen.surrounded:
            assert_unchanged(seen, other, *((name, ALL, ALL) for name in seen.results), relation=relation)
            assert_gradients_unchanged(seen, other, relation)


@clause("E5", given=CALLS, each=WITHIN_BOUNDS)
def test_call_and_its_gradients_lie_within_their_bounds_with(case, cell, surrounding):
    problem = case.on(cell)
    for seen in observe_surrounded(problem, losses.loss(case, problem), surrounding, case.pick):
        for other in seen.surrounded:
            assert_within(other, from_inputs)
            assert_gradients_within(other)
