"""Chapter E, clauses 4 and 5: what is set around a call, and where it is made, does not matter."""

from typing import Any

import numpy as np

from conformance.harness.api import (
    LENGTHS,
    ONE_STEP,
    RNN_TANH,
    SURROUNDINGS,
    UTILITIES,
    assert_array,
    assert_gradients_unchanged,
    assert_gradients_within,
    assert_unchanged,
    assert_within,
    batches,
    cases,
    clause,
    from_inputs,
    gradients_lie_within,
    lies_within,
    losses,
    observe_packing,
    observe_surrounded,
)
from strategies.large import NOT_LAYERS, SELDOM, far_out

ALL = np.s_[:]
SHORT = losses.short("float32") | {"dtype": losses.WIDE, "dropout": False, "share": 20}
LARGE = {"dtype": losses.WIDE, "dropout": False, **SELDOM}
CALLS = cases(packed=None, projection=None, **SHORT)
STEPS = dict.fromkeys(("another_default_device", "another_default_dtype"), cases(**SHORT | ONE_STEP))
"""Cells hold nothing else that could know where they are."""
EXACT = {name: name for name, surrounding in SURROUNDINGS.items() if surrounding.exact}
WITHIN_BOUNDS = {name: name for name in SURROUNDINGS if name not in EXACT}

SETTINGS = ("another_default_device", "another_default_dtype", "deterministic_algorithms")
"""What may matter to packing, which holds no numbers of its own."""

PACKING = {f"{utility}_with_{setting}": (utility, setting) for utility in UTILITIES for setting in SETTINGS}

ROWS = cases(packed=True, unbatched=False, num_layers=1, hidden_size=1, bidirectional=False, dropout=False, share=20)


def call_is_the_same(case, cell, surrounding):
    problem = case.on(cell)
    relation = f"with {surrounding.replace('_', ' ')}"
    for seen in observe_surrounded(problem, losses.loss(case, problem), surrounding, case.pick):
        for other in seen.surrounded:
            assert_unchanged(
                seen, other, *((name, ALL, ALL) for name in seen.results), relation=f"plainly, not {relation}"
            )
            assert_gradients_unchanged(seen, other, relation)


def call_lies_within_its_bounds(case, cell, surrounding):
    problem = case.on(cell)
    for seen in observe_surrounded(problem, losses.loss(case, problem), surrounding, case.pick):
        if lies_within(seen, from_inputs) and gradients_lie_within(seen):  # else it is wrong without them
            for other in seen.surrounded:
                assert_within(other, from_inputs)
                assert_gradients_within(other)


@clause("E5", given=CALLS, single_step=STEPS, each=EXACT)
def test_call_and_its_gradients_are_the_same_with(case, cell, surrounding):
    call_is_the_same(case, cell, surrounding)


@clause("E5", given=far_out(NOT_LAYERS, steps=(1, 2), **LARGE))
def test_large_call_and_its_gradients_are_the_same_whatever_is_set_around_it(case, cell):
    for surrounding in EXACT:
        call_is_the_same(case, cell, surrounding)


@clause("E5", given=CALLS, each=WITHIN_BOUNDS)
def test_call_and_its_gradients_lie_within_their_bounds_with(case, cell, surrounding):
    call_lies_within_its_bounds(case, cell, surrounding)


@clause("E5", given=far_out(NOT_LAYERS, steps=(1, 2), **LARGE))
def test_large_call_and_its_gradients_lie_within_their_bounds_whatever_is_set_around_it(case, cell):
    for surrounding in WITHIN_BOUNDS:
        call_lies_within_its_bounds(case, cell, surrounding)


@clause("E4", on=(RNN_TANH,), given=ROWS, each=PACKING)
def test_padding_and_packing_return_the_same_from(case, cell, call):
    utility, setting = call
    batch, lengths = batches(case.on(cell))[1], LENGTHS[case.pick % len(LENGTHS)]
    options: Any = {"enforce_sorted": batch.is_sorted} if utility.startswith("pack") else {}
    for seen in observe_packing(batch, utility, lengths, **options):
        for other in observe_packing(batch, utility, lengths, surrounding=setting, **options):
            for name, wanted in seen.raw.items():
                assert_array(other, name, other.raw.get(name), wanted)
