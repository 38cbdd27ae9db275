"""The settings of each route are in force while the subject is called, and only then."""

import pytest
import torch

from conformance.harness.execution.requests.forward import Forward
from conformance.harness.execution.routes import ROUTES
from conformance.harness.execution.subject import Subject
from reference.problem import GRU
from strategies import Case

GRAD, INFERENCE, ONEDNN, FROZEN, INPUT = "grad", "inference mode", "oneDNN", "frozen parameters", "input requires grad"

IN_FORCE = {
    "grad": {GRAD, ONEDNN},
    "no_grad": {ONEDNN},
    "no_mkldnn": {GRAD},
    "inference_mode": {INFERENCE, ONEDNN},
    "frozen": {GRAD, ONEDNN, FROZEN},
    "input_grad": {GRAD, ONEDNN, INPUT},
    "meta": {GRAD, ONEDNN},
    "fake": {GRAD, ONEDNN},
}
"""What a module finds when it is called on each route."""


def settings(module, input):
    """What is in force now."""
    found = {
        GRAD: torch.is_grad_enabled(),
        INFERENCE: torch.is_inference_mode_enabled(),
        ONEDNN: torch._C._get_mkldnn_enabled(),
        FROZEN: not any(parameter.requires_grad for parameter in module.parameters()),
        INPUT: input.requires_grad,
    }
    return {name for name, is_so in found.items() if is_so}


@pytest.mark.parametrize("route", ROUTES)
def test_settings_of_a_route_are_in_force_during_the_call_alone(route):
    seen = []

    class Telling(torch.nn.GRU):
        def forward(self, input, hx=None):
            seen.append(settings(self, input))
            return super().forward(input, hx)

    (observation,) = Forward(Case(2, 2).on(GRU), (route,)).execute(Subject("telling", {GRU: Telling}))
    assert observation.failure is None
    assert seen == [IN_FORCE[route]]
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert torch._C._get_mkldnn_enabled()
