"""The words that properties are written in."""

from conformance.harness.oracle import from_inputs, from_own_states
from conformance.harness.property import MODULES, SINGLE_STEPS, clause, observe, parameters_drawn, probes
from conformance.harness.runner import CONSTRUCTOR
from conformance.harness.runner import EAGER_ROUTES as EAGER
from conformance.harness.runner import UNREAL_ROUTES as UNREAL
from conformance.harness.verdict import (
    assert_accepted,
    assert_at_most,
    assert_different_where_disjoint,
    assert_fact,
    assert_near_printed,
    assert_not_negative,
    assert_nothing,
    assert_same,
    assert_signs_agree,
    assert_within,
)
from reference import limits
from reference.problem import FORWARD, GRU, LSTM, REVERSE, RNN_RELU, RNN_TANH
from strategies import cases
from strategies.case import SINGLE_STEP

__all__ = [
    "CONSTRUCTOR",
    "EAGER",
    "FORWARD",
    "GRU",
    "LSTM",
    "MODULES",
    "REVERSE",
    "RNN_RELU",
    "RNN_TANH",
    "SINGLE_STEP",
    "SINGLE_STEPS",
    "UNREAL",
    "assert_accepted",
    "assert_at_most",
    "assert_different_where_disjoint",
    "assert_fact",
    "assert_near_printed",
    "assert_not_negative",
    "assert_nothing",
    "assert_same",
    "assert_signs_agree",
    "assert_within",
    "cases",
    "clause",
    "from_inputs",
    "from_own_states",
    "limits",
    "observe",
    "parameters_drawn",
    "probes",
]
