"""The words that properties are written in."""

from conformance.harness import ways
from conformance.harness.differentiation import (
    assert_open,
    assert_second_derivatives,
    assert_second_derivatives_near,
    check_second_derivatives,
    distance_from_kinks,
    in_another_way,
    in_float64,
)
from conformance.harness.oracle import from_cotangents, from_inputs, from_own_states
from conformance.harness.packing import (
    assert_array,
    attempt_packing,
    observe_packing,
    padding_sides,
)
from conformance.harness.packing_calls import LENGTHS, UTILITIES, batches, padded_by_hand
from conformance.harness.platform import at_least
from conformance.harness.property import (
    MODULES,
    SINGLE_STEPS,
    beside,
    clause,
    differentiate,
    in_turn,
    observe,
    parameters_drawn,
    probes,
)
from conformance.harness.runner import CONSTRUCTOR, GRAD_ROUTES
from conformance.harness.runner import EAGER_ROUTES as EAGER
from conformance.harness.runner import UNREAL_ROUTES as UNREAL
from conformance.harness.verdict import (
    assert_accepted,
    assert_accurate,
    assert_agree,
    assert_at_most,
    assert_different_where_disjoint,
    assert_exact,
    assert_fact,
    assert_near_printed,
    assert_not_negative,
    assert_nothing,
    assert_same,
    assert_same_or_agree,
    assert_signs_agree,
    assert_within,
)
from conformance.harness.verdict_gradients import (
    assert_balanced,
    assert_gradients_agree,
    assert_gradients_within,
    assert_scaled,
    assert_twice,
    assert_zero,
    gradient,
    summed,
)
from reference import limits
from reference.problem import FORWARD, GRU, LSTM, REVERSE, RNN_RELU, RNN_TANH
from strategies import cases, losses
from strategies.case import SINGLE_STEP

__all__ = [
    "CONSTRUCTOR",
    "EAGER",
    "FORWARD",
    "GRAD_ROUTES",
    "GRU",
    "LENGTHS",
    "LSTM",
    "MODULES",
    "REVERSE",
    "RNN_RELU",
    "RNN_TANH",
    "SINGLE_STEP",
    "SINGLE_STEPS",
    "UNREAL",
    "UTILITIES",
    "assert_accepted",
    "assert_accurate",
    "assert_agree",
    "assert_array",
    "assert_at_most",
    "assert_balanced",
    "assert_different_where_disjoint",
    "assert_exact",
    "assert_fact",
    "assert_gradients_agree",
    "assert_gradients_within",
    "assert_near_printed",
    "assert_not_negative",
    "assert_nothing",
    "assert_open",
    "assert_same",
    "assert_same_or_agree",
    "assert_scaled",
    "assert_second_derivatives",
    "assert_second_derivatives_near",
    "assert_signs_agree",
    "assert_twice",
    "assert_within",
    "assert_zero",
    "at_least",
    "attempt_packing",
    "batches",
    "beside",
    "cases",
    "check_second_derivatives",
    "clause",
    "differentiate",
    "distance_from_kinks",
    "from_cotangents",
    "from_inputs",
    "from_own_states",
    "gradient",
    "in_another_way",
    "in_float64",
    "in_turn",
    "limits",
    "losses",
    "observe",
    "observe_packing",
    "padded_by_hand",
    "padding_sides",
    "parameters_drawn",
    "probes",
    "summed",
    "ways",
]
