"""Chapter B: values within the error bounds of the documented equations.

B1 carries its bounds from the inputs through all steps, of which a case is therefore short; B2 judges each step of a
case of any length from the subject's own state before it.
"""

import numpy as np

from conformance.harness.api import (
    EAGER_ROUTES,
    FORWARD,
    GRAD_ROUTES,
    GRU,
    LSTM,
    RNN_TANH,
    SINGLE_STEP,
    assert_fact,
    assert_near_printed,
    assert_within,
    cases,
    clause,
    from_inputs,
    from_own_states,
    observe,
    observe_layers,
    observe_steps,
    parameters_drawn,
)
from reference.problem import Architecture, Problem
from strategies import Case


@clause("B1", given=cases(short=True), single_step=SINGLE_STEP)
def test_results_lie_within_their_error_bound(case, cell):
    for seen in observe(case.on(cell)):
        assert_within(seen, from_inputs)


@clause("B1", given=cases(steps=1, num_layers=1, fill=("dyadic", "integers", "onehot")))
def test_exact_products_leave_no_error_but_of_the_functions(case, cell):
    for seen in observe(case.on(cell)):
        assert_within(seen, from_inputs)


@clause("B2", given=cases())
def test_every_step_of_every_layer_lies_within_its_error_bound(case, cell):
    for seen in observe_layers(case.on(cell)):
        for layer in seen.layers:
            assert_within(layer, from_own_states)


@clause("B2", given=cases(num_layers=1, bidirectional=False))
def test_each_step_called_alone_lies_within_its_error_bound(case, cell):
    for seen in observe_steps(case.on(cell)):
        for step in seen.steps:
            assert_within(step, from_inputs)


@clause("B1", given=cases(packed=True, short=True))
def test_packed_results_lie_within_their_error_bound(case, cell):
    for seen in observe(case.on(cell)):
        assert_within(seen, from_inputs)


@clause("B2", given=cases(packed=True))
def test_every_step_of_every_packed_layer_lies_within_its_error_bound(case, cell):
    for seen in observe_layers(case.on(cell)):
        for layer in seen.layers:
            assert_within(layer, from_own_states)


@clause("B1", on=(LSTM,), given=cases(projection=True, packed=None, short=True))
def test_projected_results_lie_within_their_error_bound(case, cell):
    for seen in observe(case.on(cell)):
        assert_within(seen, from_inputs)


@clause("B2", on=(LSTM,), given=cases(projection=True, packed=None))
def test_every_step_of_every_projected_layer_lies_within_its_error_bound(case, cell):
    for seen in observe_layers(case.on(cell)):
        for layer in seen.layers:
            assert_within(layer, from_own_states)


@clause("B1", given=cases(unbatched=True, short=True, projection=None))
def test_unbatched_results_lie_within_their_error_bound(case, cell):
    for seen in observe(case.on(cell)):
        assert_within(seen, from_inputs)


@clause("B1", given=cases(short=True, packed=None, projection=None))
def test_results_do_not_hang_on_what_requires_a_gradient(case, cell):
    for seen in observe(case.on(cell), GRAD_ROUTES):
        assert_within(seen, from_inputs)


WORKED_WEIGHTS = {
    "weight_ih_l0": [
        [0.364346087, -0.312101543, -0.137080774, 0.331893951, -0.665696383],
        [0.424064130, -0.145469755, 0.359736234, 0.0982998535, -0.0865810886],
    ],
    "weight_hh_l0": [[0.196123779, 0.0348828398], [0.258255303, -0.275560230]],
    "bias_ih_l0": [-0.0515542775, -0.0636589378],
    "bias_hh_l0": [0.10249085, -0.00282476610],
}
WORKED_INPUT = np.array([[[1.0] * 5, [2.0] * 5, [3.0] * 5]])
WORKED_OUTPUT = np.array([[[-0.35198015, 0.52525216], [-0.68424344, 0.76074266], [-0.8649416, 0.9046636]]])


def worked(architecture, parameters):
    """A float32 problem on the worked input: one row, steps of 1, 2 and 3 repeated over 5 features."""
    weights = {name: np.asarray(values, np.float32).astype(np.float64) for name, values in parameters.items()}
    return Problem(architecture, "float32", "cpu", weights, WORKED_INPUT)


@clause("B3", on=(RNN_TANH,))
def test_worked_example_comes_out_as_printed(cell):
    for seen in observe(worked(Architecture(cell, 5, 2, batch_first=True), WORKED_WEIGHTS)):
        radius = from_inputs(seen).output.radius
        assert_near_printed(seen, seen.output[:, :, FORWARD], WORKED_OUTPUT, 8, radius[:, :, FORWARD])
        assert_within(seen, from_inputs)


@clause("B3-stream", on=(RNN_TANH,))
def test_manual_seed_draws_the_weights_of_the_worked_examples(cell):
    rnn, stacked = Architecture(cell, 5, 2, batch_first=True), Architecture(cell, 5, 2, 2, batch_first=True)
    lstm = Architecture(LSTM, 5, 2, batch_first=True)
    for first, _, third in parameters_drawn(1, rnn, stacked, lstm):
        assert_worked_weights(worked(rnn, first))
        assert_printed_states(worked(lstm, third))


def assert_worked_weights(problem):
    for seen in observe(problem, ("grad",)):
        for name, values in problem.parameters.items():
            printed = np.array(WORKED_WEIGHTS[name], np.float32).tolist()
            assert_fact(seen, name, "drawn after manual_seed(1)", values.tolist(), printed)


def assert_printed_states(problem):
    for seen in observe(problem, ("grad",)):
        bound = from_inputs(seen)
        for got, printed in (
            (seen.h_n, [0.0020, 0.2991]),
            (seen.c_n, [0.1312, 1.2058]),
            (seen.c_n.mapped(np.tanh), [0.1305, 0.8354]),
        ):
            radius = getattr(bound, got.field).radius
            assert_near_printed(seen, got, np.reshape(printed, (1, 1, 1, 2)), 4, radius)


WORKED_SHAPES = (
    # num_layers, bidirectional, output, h_n
    (1, False, (1, 3, 2), (1, 1, 2)),
    (2, False, (1, 3, 2), (2, 1, 2)),
    (1, True, (1, 3, 4), (2, 1, 2)),
)


@clause("B4", on=(RNN_TANH, LSTM, GRU))
def test_worked_shapes_come_out(cell):
    for num_layers, bidirectional, output, h_n in WORKED_SHAPES:
        case = Case(5, 2, num_layers, 1, 3, bidirectional, ("bf", "nohx"))
        for seen in observe(case.on(cell), values=False):
            assert_fact(seen, "output", "shape", seen.facts["output"].shape, output)
            assert_fact(seen, "h_n", "shape", seen.facts["h_n"].shape, h_n)
            assert_within(seen, from_inputs)


@clause("B4", on=(LSTM,))
def test_large_worked_shape_lies_within_its_error_bound_everywhere(cell):
    case = Case(20, 64, 1, 128, 100, True, ("bf", "nohx"))
    for route in EAGER_ROUTES:  # one after the other: three of this size at once take hundreds of megabytes
        for seen in observe(case.on(cell), (route,)):
            assert_fact(seen, "output", "shape", seen.facts["output"].shape, (128, 100, 128))
            assert_fact(seen, "h_n", "shape", seen.facts["h_n"].shape, (2, 128, 64))
            assert_fact(seen, "c_n", "shape", seen.facts["c_n"].shape, (2, 128, 64))
            assert_within(seen, from_own_states)
