"""Several passes over one graph, several calls before a pass, and calls before and after a change of weights."""

from dataclasses import replace

import pytest
import torch

from conformance.harness.execution.failure import RAISED, Failure
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.backward_of_parts import BackwardOfParts
from conformance.harness.execution.requests.life_cycle import CHANGES, BackwardAfterChange, doubled
from conformance.harness.execution.routes import BACKWARD_ROUTES
from conformance.harness.execution.subject import torch_nn
from reference.problem import LSTM
from strategies import losses, parse

LINES = [
    "v1 lstm i2 h3 p2 t3 n3 l2 bi float64 fill=normal",
    "v1 gru i2 h3 t3 n3 bf nohx float64 mem=transposed fill=normal",
    "v1 rnn_tanh i2 h3 t2,3,1 bf float64 fill=normal",
    "v1 lstm i2 h3 t3,2,2 float64 mem=expanded fill=normal",
    "v1 gru_cell i2 h3 n3 float64 fill=normal",
]

each_line = pytest.mark.parametrize("line", LINES)


def posed(line):
    """The problem of a case, and two losses of it."""
    case, cell = parse(line)
    problem = case.on(cell)
    return problem, losses.loss(case, problem), losses.another(case, problem)


def gradients(problem, loss):
    """The gradients of one call and one pass."""
    return Backward(problem, ("grad",), loss=loss).execute(torch_nn())[0].raw_gradients


def assert_near(got, wanted):
    assert got.keys() == wanted.keys()
    for name, values in wanted.items():
        assert got[name] == pytest.approx(values, rel=1e-9, abs=1e-12), name


def added(one, other):
    return {name: values + other[name] for name, values in one.items()}


@each_line
def test_gradients_of_two_losses_of_one_graph_add_up(line):
    problem, loss, other = posed(line)
    (seen,) = Backward(problem, ("grad",), loss=loss, later=(other,)).execute(torch_nn())
    (both,) = seen.later_passes
    assert (seen.loss, both.loss) == (loss, other)
    assert_near(seen.raw_gradients, gradients(problem, loss))
    assert_near(both.raw_gradients, added(gradients(problem, loss), gradients(problem, other)))


@each_line
@pytest.mark.parametrize("first", [1, 2])
def test_gradients_of_two_calls_in_one_pass_are_those_of_the_batch(line, first):
    problem, loss, _ = posed(line)
    (seen,) = BackwardOfParts(problem, ("grad",), loss=loss, first=first).execute(torch_nn())
    assert seen.later_passes == ()
    assert_near(seen.raw_gradients, gradients(problem, loss))


@each_line
@pytest.mark.parametrize("last_first", [False, True])
def test_each_pass_goes_through_one_of_two_calls(line, last_first):
    problem, loss, _ = posed(line)
    rows = [slice(2), slice(2, None)]
    one, other = (losses.at(loss, part) for part in (reversed(rows) if last_first else rows))
    (seen,) = BackwardOfParts(problem, ("grad",), loss=one, later=(other,), first=2).execute(torch_nn())
    assert_near(seen.raw_gradients, gradients(problem, one))
    assert_near(seen.later_passes[0].raw_gradients, gradients(problem, loss))


@each_line
@pytest.mark.parametrize("first_too", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_gradients_after_a_change_are_those_of_the_new_weights_on_every_route(line, change, first_too):
    problem, loss, _ = posed(line)
    changed = doubled(problem, change)
    request = BackwardAfterChange(
        problem, BACKWARD_ROUTES, loss=loss, change=change, changed=changed, first_too=first_too
    )
    for seen in request.execute(torch_nn()):
        assert seen.problem is changed
        assert_near(seen.raw_gradients, gradients(changed, loss))


class Refusing(torch.nn.LSTM):
    """Takes no more than two calls."""

    calls = 0

    def forward(self, input, hx=None):
        self.calls += 1
        if self.calls > 2:
            raise RuntimeError("no more")
        return super().forward(input, hx)


def test_a_call_that_fails_is_a_failure_of_the_whole():
    problem, loss, _ = posed(LINES[0])
    subject = replace(torch_nn(), classes={LSTM: Refusing})
    in_parts = BackwardOfParts(problem, BACKWARD_ROUTES, loss=loss, first=1)
    changed = doubled(problem, "in place")
    after = BackwardAfterChange(problem, BACKWARD_ROUTES, loss=loss, change="in place", changed=changed, first_too=True)
    for request in (in_parts, after):
        grad, other = request.execute(subject)
        assert grad.failure is None
        assert other.failure == Failure(RAISED, "RuntimeError", "no more")
        assert other.raw_gradients == {}
