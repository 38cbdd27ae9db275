"""The names that properties import."""

from conformance.clauses import AMBER
from conformance.harness.cells import MODULES, SINGLE_STEPS
from conformance.harness.checks.bounds import allowed, from_cotangents, from_inputs, from_own_gradients, from_own_states
from conformance.harness.checks.derivatives import (
    assert_open,
    assert_second_derivatives,
    assert_second_derivatives_near,
)
from conformance.harness.checks.gradients import (
    assert_balanced,
    assert_gradients_add_up,
    assert_gradients_agree,
    assert_gradients_unchanged,
    assert_gradients_within,
    assert_scaled,
    assert_twice,
    assert_zero,
    gradients_lie_within,
    summed,
)
from conformance.harness.checks.lives import assert_lived
from conformance.harness.checks.memory import assert_no_more_memory
from conformance.harness.checks.packing import assert_array
from conformance.harness.checks.refusals import assert_refused
from conformance.harness.checks.values import (
    assert_accepted,
    assert_accurate,
    assert_agree,
    assert_at_most,
    assert_different_where_disjoint,
    assert_exact,
    assert_fact,
    assert_impossible,
    assert_near_printed,
    assert_not_negative,
    assert_nothing,
    assert_same,
    assert_same_or_agree,
    assert_signs_agree,
    assert_unchanged,
    assert_within,
    is_exact,
    lies_within,
)
from conformance.harness.documented import (
    EXAMPLES,
    differentiate_documented_code,
    observe_documented_code,
    observe_named_inputs,
    observe_older_files,
    observe_spelled,
    run_examples,
)
from conformance.harness.execution.requests.autograd_apis import API_IDS as AUTOGRAD_API_IDS
from conformance.harness.execution.requests.autograd_apis import DOUBLE_BACKWARD
from conformance.harness.execution.requests.documentation.spelled import BUT_FOR_DEVICE, BY_NAME, BY_POSITION, LEFT_OUT
from conformance.harness.execution.requests.life_cycle import CHANGES
from conformance.harness.execution.requests.packing import (
    INTEGERS,
    LENGTHS,
    UTILITIES,
    batches,
    padded_by_hand,
    scattered,
)
from conformance.harness.execution.requests.problem_request import PARAMETER_MEMORY
from conformance.harness.execution.requests.surroundings import SURROUNDINGS
from conformance.harness.execution.routes import EAGER_ROUTES, GRAD_ROUTES, UNREAL_ROUTES
from conformance.harness.observe import (
    at_least,
    attempt_packing,
    check_second_derivatives,
    construct,
    devices,
    differentiate,
    differentiate_by,
    differentiate_change,
    differentiate_layers,
    differentiate_parts,
    distance_from_kinks,
    in_float64,
    observe,
    observe_beyond,
    observe_chain,
    observe_change,
    observe_covering_lives,
    observe_invalid,
    observe_invalid_packing,
    observe_laps,
    observe_layers,
    observe_life,
    observe_packed,
    observe_packing,
    observe_packing_spelled,
    observe_pairs,
    observe_poisoned,
    observe_steps,
    observe_surrounded,
    observe_twice,
    padding_sides,
    parameters_drawn,
    probes,
)
from conformance.harness.property import clause
from reference import limits
from reference.formats import FORMATS
from reference.problem import CELL_SUFFIX, FORWARD, GRU, LSTM, REVERSE, RNN_RELU, RNN_TANH
from strategies import cases, losses
from strategies.axes import MEMORY_OF_ITS_OWN
from strategies.families import ONE_STEP, SINGLE_STEP
from strategies.real import real_cases

RNN_CELL, LSTM_CELL, GRU_CELL = (cell + CELL_SUFFIX for cell in (RNN_TANH, LSTM, GRU))
