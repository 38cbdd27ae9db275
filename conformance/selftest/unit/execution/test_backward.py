"""A call that is differentiated: what is asked for comes back, by name and canonical, and nothing stays behind."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from conformance.harness.checks.gradients import summed
from conformance.harness.execution import module_call
from conformance.harness.execution.failure import RAISED, Failure
from conformance.harness.execution.requests import backward
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.execution.routes import BACKWARD_ROUTES
from conformance.harness.execution.subject import torch_nn
from reference.problem import LSTM, differentiable
from strategies import losses, parse


def seen_of(line, **changed):
    """What torch.nn's gradients of a case are, on the route `grad`."""
    case, cell = parse(line)
    problem = case.on(cell)
    loss = replace(losses.loss(case, problem), **changed)
    return Backward(problem, ("grad",), loss=loss).execute(torch_nn())[0]


LINES = [
    "v1 lstm i2 h3 t3 n2 l2 bi fill=normal",
    "v1 lstm i2 h3 p2 t3 n2 bf fill=normal",
    "v1 gru i2 h3 t3,1,2 bi fill=normal",
    "v1 rnn_tanh i2 h3 t3 unb fill=normal",
    "v1 rnn_relu i2 h3 t3 n2 mem=sliced fill=normal",
    "v1 lstm_cell i2 h3 n2 fill=normal",
    "v1 gru_cell i2 h3 unb fill=normal",
    "v1 gru i2 h3 n2 nohx nobias mem=expanded fill=normal",
]


@pytest.mark.parametrize("line", LINES)
def test_every_gradient_comes_back_in_the_shape_of_what_it_is_of(line):
    seen = seen_of(line)
    problem = seen.problem
    shapes = {name: values.shape for name, values in problem.parameters.items()}
    shapes |= {name: getattr(problem, name).shape for name in differentiable(problem) if hasattr(problem, name)}
    assert {name: gradient.values.shape for name, gradient in seen.gradients.items()} == shapes


@pytest.mark.parametrize("line", LINES)
def test_gradients_are_those_of_finite_differences(line):
    """Of <results, cotangents>, in float64, along one direction in all that can be varied."""
    seen = seen_of(line.replace("fill", "float64 fill"))
    random, eps = np.random.default_rng(0), 1e-6
    along = {name: random.normal(size=g.values.shape) for name, g in seen.gradients.items()}
    if seen.problem.lengths is not None:
        along["input"] = np.where(np.isnan(seen.problem.input), 0, along["input"])

    def loss(step):
        moved = {name: step * values for name, values in along.items()}
        problem = replace(
            seen.problem,
            parameters={name: p + moved[name] for name, p in seen.problem.parameters.items()},
            **{name: getattr(seen.problem, name) + moved[name] for name in along if hasattr(seen.problem, name)},
            memory="contiguous",
        )
        other = Forward(problem, ("grad",)).execute(torch_nn())[0]
        return sum((other.results[name].values * values).sum() for name, values in seen.loss.cotangents.items())

    slope = sum((g.values * along[name]).sum() for name, g in seen.gradients.items())
    assert slope == pytest.approx((loss(eps) - loss(-eps)) / (2 * eps), rel=1e-6, abs=1e-8)


def test_only_what_is_wanted_gets_a_gradient_and_a_later_call_is_free_of_it():
    assert set(seen_of(LINES[0], wanted=("h_0", "bias_hh_l1")).gradients) == {"h_0", "bias_hh_l1"}
    assert "weight_ih_l0" in seen_of(LINES[0]).gradients


def test_a_loss_that_hangs_on_nothing_wanted_gives_no_gradient():
    seen = seen_of(
        "v1 lstm i2 h3 p2 t1 fill=normal", wanted=("weight_hr_l0",), cotangents={"c_n": np.ones((1, 1, 1, 3))}
    )
    assert seen.failure is None
    assert seen.gradients == {}


def test_a_second_pass_adds_up():
    once = seen_of(LINES[0])
    (seen,) = Backward(once.problem, ("grad",), loss=once.loss, later=(once.loss,)).execute(torch_nn())
    (twice,) = seen.later_passes
    for name, once in seen.gradients.items():
        assert np.array_equal(twice.gradients[name].values, 2 * once.values)


def test_what_cannot_be_differentiated_is_a_failure_with_its_reason():
    class Refusing(torch.nn.LSTM):
        def forward(self, input, hx=None):
            output, states = super().forward(input, hx)
            output.register_hook(self.refuse)
            return output, states

        def refuse(self, gradient):
            raise RuntimeError("not differentiable")

    subject = replace(torch_nn(), name="refusing", classes={**torch_nn().classes, LSTM: Refusing})
    case, cell = parse(LINES[0])
    problem = case.on(cell)
    for seen in Backward(problem, BACKWARD_ROUTES, loss=losses.loss(case, problem)).execute(subject):
        assert seen.failure == Failure(RAISED, "RuntimeError", "in the backward pass: not differentiable")


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (np.s_[:4], np.s_[4:8], False),
        (np.s_[:4], np.s_[3:7], True),
        (np.s_[0:8:2], np.s_[1:8:2], False),
        (np.s_[0:8:2], np.s_[2:6], True),
    ],
)
def test_gradients_share_memory_where_an_element_of_it_is_in_both(first, second, shared):
    memory = torch.zeros(8)
    assert backward.sharing({"a": memory[first], "b": memory[second], "c": None}) == (("a and b",) if shared else ())


def test_dropout_that_acts_draws_the_same_mask_each_time_and_leaves_the_random_state_alone():
    case, cell = parse("v1 lstm i2 h8 l2 fill=normal")
    problem = case.on(cell)
    problem = replace(problem, architecture=replace(problem.architecture, dropout=0.5))
    one, other = (Forward(problem, ("grad",)).execute(torch_nn())[0] for _ in range(2))
    assert np.array_equal(one.raw["output"], other.raw["output"])
    before = torch.get_rng_state()
    with module_call.masks_repeatable(problem):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sum_of_what_nothing_is_known_of_is_allowed_any_error():
    total, allowed = summed(np.array([0.0, 2.0]), np.array([1.0, 3.0]), np.array([np.inf, 0.5]))
    assert (total, allowed) == (6.0, np.inf)
    assert summed(np.array([0.0, 2.0]), np.array([1.0, 3.0]), np.array([7.0, 0.5]))[1] == pytest.approx(1.0)
