"""Settings from outside do not change what a run judges."""

import pytest
import torch

from conformance.harness.execution import machine

SETTINGS = {
    "grad mode off": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled, True),
    "default dtype float64": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype, torch.float32),
    "default device meta": (lambda: torch.set_default_device("meta"), lambda: torch.empty(0).device.type, "cpu"),
    "deterministic algorithms": (
        lambda: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
        False,
    ),
}


@pytest.mark.parametrize("named", SETTINGS)
def test_setting_from_outside_is_undone_and_named(named):
    change, read, wanted = SETTINGS[named]
    change()
    assert machine.pin() == (named,)
    assert read() == wanted
    assert machine.pin() == ()
