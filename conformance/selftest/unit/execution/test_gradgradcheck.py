"""What is said of second derivatives that are wrong or missing."""

import re

import pytest
import torch

from conformance.harness.execution.observation import NO_SECOND_DERIVATIVES
from conformance.harness.execution.requests.differentiable_call import DifferentiableCall
from conformance.harness.execution.requests.gradgradcheck import FEW, gradgradcheck_failure
from conformance.harness.execution.subject import torch_nn
from conformance.selftest.faults.second_derivatives import _CurvatureOff
from conformance.selftest.implementations.plain import Plain, subject
from reference.problem import GRU, LSTM, RNN_TANH
from strategies import Case, losses


def function(judged, case, cell):
    problem = case.on(cell)
    return DifferentiableCall.of(judged.loaded(problem), problem, losses.loss(case, problem))


@pytest.mark.parametrize("judged", [torch_nn(), subject("plain")], ids=lambda judged: judged.name)
@pytest.mark.parametrize("lengths", [(), (1, 2)])
def test_nothing_is_said_of_right_ones(judged, lengths):
    case = Case(2, 2, 2, 2, 2, bidirectional=True, dtype="float64", lengths=lengths)
    for cell in (RNN_TANH, LSTM, GRU):
        assert gradgradcheck_failure(function(judged, case, cell)) == ""


def test_the_second_derivative_that_is_farthest_out_is_named():
    case = Case(dtype="float64", layout=("nohx", "nobias"))
    said = gradgradcheck_failure(function(subject("off", _CurvatureOff), case, RNN_TANH))
    pattern = r"of the gradient of (.*)\[0\] by (.*)\[0\]:  got (\S+)   difference quotient (\S+)"
    found = re.fullmatch(pattern, said)
    assert found is not None, said
    of, by, got, quotient = found.groups()
    assert {of, by} <= {"input", "weight_ih_l0"}
    assert abs(float(got) - float(quotient)) > 1e-3


def test_of_many_numbers_the_words_of_gradgradcheck_are_kept():
    case = Case(4, 9, dtype="float64")
    wrong = function(subject("off", _CurvatureOff), case, RNN_TANH)
    assert sum(leaf.numel() for leaf in wrong.leaves.values()) > FEW
    assert "Jacobian mismatch" in gradgradcheck_failure(wrong)


class _Cut(torch.autograd.Function):
    """The same number, whose gradient is handed down without a graph."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, dx):
        return dx.detach()


class _WithoutGraph(Plain):
    """Has gradients that cannot be differentiated again."""

    def forward(self, input, hx=None):
        return super().forward(_Cut.apply(input), _Cut.apply(hx))

    def weights(self, layer, direction):
        return tuple(_Cut.apply(weight) for weight in super().weights(layer, direction))


def test_first_gradients_without_a_graph_are_told_apart():
    cut = function(subject("cut", _WithoutGraph), Case(dtype="float64"), GRU)
    assert gradgradcheck_failure(cut) == NO_SECOND_DERIVATIVES
