"""Scripts of gradients, of pairs, on other routes and with tensors that lie elsewhere in memory."""

import re
from dataclasses import replace

import pytest

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.execution.requests.life_cycle import CHANGES as CHANGES_OF_WEIGHTS
from conformance.harness.execution.requests.problem_request import PARAMETER_MEMORY
from conformance.harness.execution.routes import ROUTES
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.property import properties
from conformance.harness.reports.calls.call_text import CONTEXTS, DOUBLED
from conformance.harness.reports.calls.memory_text import CONTIGUOUS, FUNCTIONS
from conformance.harness.reports.minimiser.minimise import minimised
from conformance.harness.reports.scripts.script import WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.unit.reports.test_scripts import assert_short, assert_small, ended, in_place_of_torch_nn
from strategies import parse
from strategies.axes import MEMORY
from strategies.losses import COTANGENT_MEMORY

WIDTH = 120
LITERAL = re.compile(r"[A-Z]|    \"")
"""The beginning of a line of literals."""

GRADIENT = "test_gradients_lie_within_their_error_bound"
PARAMETERS = "lie_within_their_error_bound_wherever_parameters_lie"
COTANGENTS = "test_gradients_lie_within_their_error_bound_wherever_cotangents_lie"
MODES = "test_results_do_not_hang_on_what_requires_a_gradient"
TWO_CALLS = "test_gradients_of_two_calls_lie_within_their_error_bounds"
CHANGES = "test_call_changes_no_input_state_or_parameter_and_draws_no_random_number"
REVERSE_HALF = "test_backward_half_of_the_first_output_is_the_backward_state"
SECOND_PASS = "test_a_second_backward_pass_adds_the_same_gradients"
LAYOUT = "test_layout_in_memory_does_not_matter"
STEPS = "test_every_step_of_every_layer_lies_within_its_error_bound"
PACKED_STEPS = "test_every_step_of_every_packed_layer_lies_within_its_error_bound"
OF_ROWS = "test_gradients_of_a_batch_are_the_sums_of_those_of_its_rows"
OF_STEPS = "test_gradients_of_a_sequence_are_those_of_its_parts"
PULLED = "test_without_bias_relu_pulls_as_much_at_its_inputs_as_at_its_results"
MASK = "test_dropout_is_differentiated_with_the_mask_of_its_forward_pass"
VIEWS = "test_nan_around_and_between_the_elements_of_a_view_is_never_read"

SHOWN = {
    # gradients
    "doubles-the-gradient-of-b_hh-in-a-gru": (GRADIENT, "gru i1 h1 t1"),
    "passes-gradients-through-a-relu-that-is-zero": (GRADIENT, "rnn_relu i1 h2 t2"),
    # missing gradients
    "detaches-the-initial-states": (GRADIENT, "lstm_cell i1 h1"),
    "detaches-c_n": (GRADIENT, "lstm i1 h1 t1 pick=3"),
    # one call: output against h_n
    "takes-h_n-of-the-reverse-direction-from-its-output-at-the-last-time-step": (REVERSE_HALF, "rnn_tanh i1 h1 t2 bi"),
    "returns-the-final-states-of-the-longest-packed-row-for-every-row": (
        "test_output_at_the_end_of_each_packed_row_is_its_last_hidden_state",
        "lstm i1 h1 t1,2",
    ),
    # E1
    "scales-the-output-of-layers-above-the-first-by-1-+-1/64": (
        "test_stack_is_the_composition_of_its_layers",
        "rnn_tanh i1 h1 t1 l2",
    ),
    "uses-ones-as-the-default-initial-states": (
        "test_no_initial_states_are_states_of_zeros",
        "rnn_tanh i1 h1 t1 nohx",
    ),
    # E2
    "ignores-the-given-states-if-there-is-more-than-one-step": (
        "test_module_is_a_loop_of_its_cell",
        "lstm i1 h1 t2",
    ),
    "replaces-the-last-row-of-the-batch-with-the-first": ("test_batch_is_its_rows_one_by_one", "gru i1 h1 n2 t1"),
    # E3 and D4
    "subtracts-the-mean-over-the-batch-from-its-input": ("test_rows_do_not_depend_on_another_row", "lstm i1 h1 n2 t1"),
    "adds-1/16-to-the-initial-states-from-the-second-call-on": (
        "test_same_call_gives_the_same_again",
        "gru_cell i1 h1",
    ),
    # C2
    "halves-the-gradient-of-recurrent-weights-in-the-second-backward-pass-of-a-graph": (
        SECOND_PASS,
        "rnn_tanh i1 h1 t1",
    ),
    "sets-requires_grad-on-frozen-parameters": (
        "test_only_what_requires_a_gradient_gets_one",
        "rnn_tanh i1 h1 t1",
    ),
    # C4
    "adds-1/8-to-the-gradient-of-the-input": ("test_steps_after_the_loss_get_no_gradient", "rnn_tanh i1 h1 t2"),
    "clips-the-gradient-of-a-step's-input-to-1/8": (
        "test_gradients_grow_with_the_loss_by_powers_of_two",
        "lstm i1 h1 t1 pick=7",
    ),
    # other routes
    "computes-different-values-under-no_grad": ("test_results_lie_within_their_error_bound", "rnn_tanh i1 h1 t1"),
    "computes-different-values-if-all-parameters-are-frozen": (MODES, "lstm i1 h1 t1"),
    # memory of inputs, parameters and cotangents
    "reads-the-given-states-as-if-they-were-contiguous": (LAYOUT, "gru i1 h2 t1 n2 mem=transposed"),
    "reads-its-input-from-the-beginning-of-the-storage": (VIEWS, "gru i1 h1 t1 n2 mem=guarded"),
    "reads-weights-that-are-not-contiguous-as-if-their-storage-were": (
        f"test_results_{PARAMETERS}",
        "gru i1 h1 t1 pick=1",
    ),
    "halves-output-gradients-that-are-not-contiguous": (COTANGENTS, "gru i1 h1 t2"),
    # two passes of one graph, and weights that change
    "keeps-what-the-backward-pass-reads-on-the-module-where-the-next-call-overwrites-it": (
        f"{TWO_CALLS}[in_turn]",
        "gru i1 h1 t1 n2",
    ),
    "packs-its-weights-at-the-first-call-and-never-again": (
        "test_changed_weights_are_those_of_the_next_call",
        "rnn_tanh i1 h1 t1 pick=2",
    ),
}
"""The property that shows a fault, and a case."""

MORE = (
    ("halves-the-gradient-of-the-input-of-each-step", GRADIENT, "rnn_tanh i1 h1 t2 l2"),
    ("halves-the-gradient-of-b_hh", "test_both_biases_of_a_sum_get_the_same_gradient", "lstm i1 h1 t1"),
    (
        "halves-the-gradient-of-the-input-of-each-step",
        "test_input_pulls_as_much_as_the_weights_that_read_it",
        "gru i1 h1 t1",
    ),
    (
        "takes-h_n-of-the-reverse-direction-from-its-output-at-the-last-time-step",
        "test_backward_half_of_the_last_output_is_not_the_backward_state",
        "rnn_tanh i1 h1 t2 bi",
    ),
    ("adds-1/8-to-every-product-without-a-bias", "test_no_bias_is_a_bias_of_zeros", "gru i1 h1 t1 nobias"),
    (
        "ignores-the-given-states-if-there-is-more-than-one-step",
        "test_call_is_its_first_steps_and_the_rest_from_the_states_they_returned",
        "lstm i1 h1 t2",
    ),
    (
        "halves-the-gradient-of-input-weights-in-the-second-backward-pass-of-a-single-step",
        SECOND_PASS,
        "lstm_cell i1 h1",
    ),
    ("averages-the-gradient-of-the-input-over-rows", "test_other_rows_get_no_gradient", "gru i1 h1 n2 t1"),
    (
        "returns-the-gradients-of-both-biases-in-the-same-memory",
        "test_gradients_of_parameters_share_no_memory",
        "rnn_tanh i1 h1 t1",
    ),
    (
        "reads-its-input-from-the-beginning-of-the-storage",
        "test_rows_of_a_large_batch_do_not_depend_on_another_row[rows]",
        "rnn_tanh i1 h1 t1 n2 mem=offset",
    ),
    ("halves-its-input-in-place", CHANGES, "gru i1 h1 t1"),
    ("halves-its-input-in-place", "test_same_call_gives_the_same_again", "gru i1 h1 t1"),
    ("draws-a-random-number-on-every-call", CHANGES, "lstm i1 h1 t1"),
    ("computes-different-values-if-the-input-requires-a-gradient", MODES, "rnn_tanh i1 h1 t1"),
    ("returns-zero-outputs-for-all-but-the-first-of-expanded-rows", LAYOUT, "gru i1 h1 t1 n2 mem=expanded"),
    ("reads-its-input-as-if-it-were-contiguous", LAYOUT, "rnn_tanh i1 h1 t2 mem=sliced"),
    ("reads-its-input-from-the-beginning-of-the-storage", VIEWS, "gru i1 h1 t1 n2 mem=offset"),
    (
        "reads-weights-that-are-not-contiguous-as-if-their-storage-were",
        f"test_gradients_{PARAMETERS}",
        "rnn_tanh i2 h2 t1",
    ),
    ("halves-gradients-of-h_n-that-are-not-contiguous", COTANGENTS, "lstm i1 h2 t1 n2 pick=1"),
    (
        "pulls-the-first-loss-of-a-graph-back-again-in-place-of-the-second",
        "test_gradients_of_two_losses_of_one_graph_add_up_within_their_error_bounds",
        "lstm i1 h1 t1",
    ),
    ("passes-no-gradient-through-any-call-but-the-last", f"{TWO_CALLS}[in_one_pass]", "rnn_tanh i1 h1 t1 n2 bf"),
    (
        "packs-the-weights-that-the-backward-pass-reads-at-the-first-backward-pass-and-never-again",
        "test_changed_weights_are_those_of_the_next_backward_pass",
        "rnn_tanh i1 h1 t2 pick=1",
    ),
    # steps judged from the states that the call returned
    ("step-9-sees-the-input-of-step-8", STEPS, "lstm i1 h1 t10"),
    ("gru-swaps-z-and-1-z", STEPS, "gru i1 h2 t3 n2 bf"),
    ("returns-the-outputs-of-the-reverse-direction-in-reversed-time", STEPS, "lstm i1 h1 t2 n2 bi"),
    ("keeps-updating-rows-of-a-packed-sequence-after-their-end", PACKED_STEPS, "rnn_tanh i1 h1 t1,3"),
    ("starts-the-reverse-direction-of-a-packed-sequence-in-its-padding", PACKED_STEPS, "gru i1 h1 t1,2 bi"),
    ("returns-the-cell-state-before-the-last-step-as-c_n", STEPS, "lstm i1 h1 t2 unb"),
    # gradients that are sums
    ("averages-the-gradient-of-input-weights-over-the-batch", OF_ROWS, "lstm i1 h1 t1 n2"),
    ("averages-the-gradient-of-input-weights-over-the-batch", OF_ROWS, "rnn_tanh i1 h1 t2 n3 bf"),
    ("detaches-the-states-before-each-step-from-step-2-on", OF_STEPS, "lstm i1 h1 t3 pick=1"),
    ("detaches-the-states-before-each-step-from-step-2-on", OF_STEPS, "gru i1 h1 t3 n2 bf pick=0"),
    ("doubles-the-gradient-of-the-states-that-each-step-reads", PULLED, "rnn_relu i1 h1 t2 nobias"),
)
"""Other kinds of finding that these faults show, in the same form."""


def fault_named(name):
    """The seeded fault of this name."""
    return next(fault for fault in faults() if fault.name == name)


def found_in(subject, test, line):
    """The first finding of a property in a case, told of torch.nn."""
    case, cell = parse(f"v1 {line} float32 fill=dyadic")
    tested = next(one for one in properties() if one.name == test)
    with session.nested(Session(subject)) as here:
        found = next(found_by(here, tested, cell, case))
    return found._replace(finding=replace(found.finding, subject=TORCH_NN))


def assert_shows(name, test, line):
    fault = fault_named(name)
    found = found_in(fault.subject, test, line)
    assert_small(name, found)
    assert_script_shows(fault, found)


def assert_script_shows(fault, found):
    """The script is short, and exits with 10 on the fault and with 0 on a sound build."""
    text = script(found)
    assert_short(text)
    assert max(len(line) for line in text.splitlines() if not LITERAL.match(line)) <= WIDTH
    with in_place_of_torch_nn(fault.subject):
        code, printed = ended(text)
    assert code == WITH_DEFECT, printed
    assert all(word in printed for word in ("expected", "got", "allowed"))
    code, printed = ended(text)
    assert code == WITHOUT_DEFECT, printed


@pytest.mark.parametrize("name", SHOWN)
def test_script_exits_with_10_on_the_fault_and_with_0_on_a_sound_build(name):
    assert_shows(name, *SHOWN[name])


@pytest.mark.parametrize(("name", "test", "line"), MORE)
def test_script_of_another_kind_of_finding_shows_the_fault(name, test, line):
    assert_shows(name, test, line)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("redraws-the-dropout-mask-in-the-backward-pass", "lstm i1 h3 t1 l2"),
        ("ignores-dropout-in-the-backward-pass", "gru i1 h2 t1 l2"),
    ],
)
def test_script_with_dropout_shows_the_fault_once_it_is_simplified(name, line):
    fault, (case, cell) = fault_named(name), parse(f"v1 {line} float32 fill=dyadic")
    tested = next(one for one in properties() if one.name == MASK)
    with session.nested(Session(fault.subject)) as here:
        found = minimised(here, tested, cell, case, next(found_by(here, tested, cell, case)))
    assert_script_shows(fault, found._replace(finding=replace(found.finding, subject=TORCH_NN)))


def test_step_is_judged_from_the_state_that_the_call_returned_before_it():
    """A fault in the first step leaves the second right: its script, on a module without it, says so of either."""
    fault = fault_named("step-9-sees-the-input-of-step-8")
    found = found_in(fault.subject, STEPS, "rnn_tanh i1 h1 t12")
    later = replace(found.finding.element, where=found.finding.element.where | {"step": 10})
    text = script(found._replace(finding=replace(found.finding, element=later)))
    with in_place_of_torch_nn(fault.subject):
        assert ended(text)[0] == WITHOUT_DEFECT
    free = script(found._replace(finding=replace(found.finding, element=replace(later, forced=False))))
    with in_place_of_torch_nn(fault.subject):
        assert ended(free)[0] == WITH_DEFECT, "from the inputs on, the error of step 9 is in step 10"


def test_gradient_that_is_missing_is_named_so():
    name = "detaches-the-initial-states"
    text = script(found_in(fault_named(name).subject, *SHOWN[name]))
    assert text.splitlines()[0] == '"""LSTMCell(1, 1), float32: the gradient of c_0 is missing'


def test_every_route_with_values_has_a_context():
    assert CONTEXTS.keys() == {route.name for route in ROUTES.values() if route.has_values}


def test_every_change_of_weights_and_every_memory_can_be_written():
    assert DOUBLED.keys() == CHANGES_OF_WEIGHTS.keys()
    assert {*MEMORY, *PARAMETER_MEMORY, *COTANGENT_MEMORY} - {CONTIGUOUS} == FUNCTIONS.keys()
