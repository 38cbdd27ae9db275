"""Parameters and cotangents lie in memory as they are asked to, and have the same values."""

import pytest
import torch

from conformance.harness.execution import memory_layouts
from conformance.harness.execution.requests.life_cycle import CHANGES, FACTOR
from conformance.harness.execution.requests.problem_request import PARAMETER_MEMORY, lay_out_parameters


@pytest.mark.parametrize("memory", PARAMETER_MEMORY)
def test_parameters_keep_names_values_and_modes_and_lie_elsewhere(memory):
    module = torch.nn.LSTM(3, 4)
    module.bias_ih_l0.requires_grad_(False)
    before = {name: (p, p.detach().clone()) for name, p in module.named_parameters()}
    lay_out_parameters(module, memory)
    after = dict(module.named_parameters())
    assert list(after) == list(before)
    for name, (old, values) in before.items():
        assert torch.equal(after[name], values)
        assert after[name].requires_grad is old.requires_grad
        assert after[name].data_ptr() != old.data_ptr()
    assert all(flat is own for flat, own in zip(module._flat_weights, after.values(), strict=True))
    assert after["weight_ih_l0"].is_contiguous() is (memory in ("offset", "flat"))
    if memory == "flat":
        assert len({p.untyped_storage().data_ptr() for p in after.values()}) == 1


def test_summed_values_are_one_number_in_memory():
    made = memory_layouts.laid_out(torch.ones(2, 3), "summed")
    assert made.stride() == (0, 0)
    assert torch.equal(made, torch.ones(2, 3))


@pytest.mark.parametrize("change", CHANGES)
def test_change_doubles_every_weight(change):
    module = torch.nn.GRU(2, 3)
    before = [p.detach().clone() for p in module.parameters()]
    with torch.no_grad():
        CHANGES[change](module)
    assert all(torch.equal(p, FACTOR * old) for p, old in zip(module.parameters(), before, strict=True))
