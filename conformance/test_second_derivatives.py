"""Chapter C, third clause: second derivatives, against differences of first ones."""

from conformance.harness.api import (
    SINGLE_STEP,
    assert_second_derivatives,
    cases,
    check_second_derivatives,
    clause,
    distance_from_kinks,
    losses,
)
from strategies import Cases

# Where numbers are far from 1, or gates are shut by the data, differences over a step of 1e-6 are mostly rounding.
# cuDNN has no second derivatives, and says so.
MODERATE = {
    "dtype": "float64",
    "device": "cpu",
    "memory": "contiguous",
    "fill": ("dyadic", "ramp", "uniform", "normal"),
}

# Every choice has another number of alternatives: Hypothesis copies values between fields that have the same.
SMALL = {
    "input_size": (1, 2),
    "hidden_size": (1, 2, 2),
    "batch_size": (1, 1, 1, 2, 2),
    "steps": (1, 1, 2, 2, 2, 2),
    "num_layers": (1, 1, 1, 1, 2, 2, 2),
}

SMALL_STEP = Cases({**cases(**MODERATE, **SMALL).pinned, **SINGLE_STEP.pinned})

SMALLEST_KINK_DISTANCE = 2**-10
"""What lies between 0 and every pre-activation of RNN(relu): a thousand steps of the differences."""


@clause("C3", given=cases(packed=None, projection=None, **MODERATE, **SMALL), single_step=SMALL_STEP)
def test_second_derivatives_are_those_of_the_first(case, cell):
    problem = case.on(cell)
    if distance_from_kinks(problem) > SMALLEST_KINK_DISTANCE:
        for seen in check_second_derivatives(problem, losses.loss(case, problem), case.pick):
            assert_second_derivatives(seen)
