"""The equations in plain lines of torch agree with the reference, in values and gradients, padded and packed."""

import numpy as np
import pytest
import torch

import reference
from conformance.harness.execution import by_hand
from conformance.harness.execution.subject import torch_nn
from conformance.harness.session import Session
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH
from strategies import losses, parse

LINES = (
    *(f"v1 {cell} i2 h3 t3 n2 l2 bi float64 fill=normal" for cell in (RNN_TANH, RNN_RELU, LSTM, GRU)),
    *(f"v1 {cell}_cell i2 h3 t1 n2 float64 fill=normal" for cell in (RNN_TANH, RNN_RELU, LSTM, GRU)),
    "v1 lstm i2 h3 p2 t2,3,1 bi float64 fill=normal",
    "v1 gru i2 h3 t1,3 bi nobias nohx float64 fill=normal",
    "v1 lstm i2 h3 t2 unb nobias float32 fill=uniform",
    "v1 gru i2 h3 t2 n2 bf float32 fill=uniform",
)


def judged(line):
    """A case's problem, the loss of everything, and the rounding model of any correct implementation."""
    case, cell = parse(line)
    problem = case.on(cell)
    return problem, losses.loss(case, problem), Session(torch_nn()).judgement(problem).red


@pytest.mark.parametrize("line", LINES)
def test_results_and_gradients_by_hand_lie_within_the_bounds_of_the_reference(line):
    problem, loss, rounding = judged(line)
    results, gradients = reference.forward(problem, rounding), reference.backward(problem, rounding, loss.cotangents)
    balls = {name: getattr(results, name) for name in ("output", "h_n", "c_n")}
    balls |= {f"gradient of {name}": gradients.of(name) for name in loss.wanted}
    for dtype in (problem.dtype, "float64"):
        by_name = by_hand.computed(problem, dtype, loss)
        assert by_name.keys() == {name for name, ball in balls.items() if ball is not None}
        for name, values in by_name.items():
            error = np.abs(values - balls[name].midpoint)
            assert (error <= balls[name].radius + 2.0**-50 * np.abs(values)).all(), name


def test_each_step_may_start_from_a_state_that_was_returned():
    problem, _, rounding = judged("v1 lstm i2 h3 t3,2 bi float64 fill=normal")
    returned = np.where(reference.forward(problem, rounding).output.midpoint == 0, 0.0, 0.25)
    forced = reference.forward_forced(problem, rounding, returned)
    by_name = by_hand.computed(problem, "float64", returned=returned)
    for name in ("output", "h_n", "c_n"):
        assert (np.abs(by_name[name] - getattr(forced, name).midpoint) <= getattr(forced, name).radius).all()


def test_gradients_are_computed_where_none_are_recorded():
    problem, loss, _ = judged(LINES[0])
    with torch.no_grad():
        assert "gradient of input" in by_hand.computed(problem, "float64", loss)
