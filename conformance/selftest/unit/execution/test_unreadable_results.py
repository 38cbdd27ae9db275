"""A result that is no plain tensor is a malformed one, whatever reading it raises."""

import pytest
import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.failure import MALFORMED
from conformance.harness.execution.inputs import inputs
from conformance.harness.execution.module_call import call_module
from conformance.harness.execution.observation import Observation
from conformance.harness.support import smallest


class Raising(torch.Tensor):
    """A tensor of which nothing can be asked."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError("nothing is told")


MADE = {
    "sparse": (lambda t: t.to_sparse(), "a tensor of the layout torch.sparse_coo"),
    "compressed": (lambda t: t[0].to_sparse_csr(), "a tensor of the layout torch.sparse_csr"),
    "of oneDNN": (lambda t: t.to_mkldnn(), "a tensor of the layout torch._mkldnn"),
    "meta": (lambda t: t.to("meta"), "a tensor on the device meta, which has no values"),
    "nested": (lambda t: torch.nested.nested_tensor([t]), "a nested tensor"),
    "expanded": (
        lambda t: t.reshape(-1)[:1].clone().expand(10**13),
        "a view of 10,000,000,000,000 elements, of which 1 are stored",
    ),
    "raising": (lambda t: t.as_subclass(Raising), "a result that cannot be read: RuntimeError: nothing is told"),
}
if hasattr(torch, "float8_e4m3fn"):
    MADE["float8"] = (lambda t: t.to(torch.float8_e4m3fn), "a tensor of torch.float8_e4m3fn")


class Net(torch.nn.GRU):
    """Returns its output in another form."""

    made = staticmethod(lambda t: t)

    def forward(self, x, hx=None):
        out, h = super().forward(x, hx)
        return self.made(out.detach()), h


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", MADE)
def test_call_that_returns_what_cannot_be_read_gives_a_malformed_result(kind, monkeypatch):
    made, said = MADE[kind]
    monkeypatch.setattr(Net, "made", staticmethod(made))
    problem = smallest("gru", "float32", "cpu")
    module = Net(problem.architecture.input_size, problem.architecture.hidden_size)
    seen, returned = call_module(module, inputs(problem), Observation(problem, "mine", "grad"))
    assert seen.failure is not None
    assert (seen.failure.kind, seen.failure.message, returned) == (MALFORMED, said, {})


def test_views_that_are_read_have_their_values():
    values = torch.arange(6.0).reshape(2, 3)
    assert tensors.array(values[:1].expand(4, 3)).tolist() == values[:1].expand(4, 3).tolist()
    assert tensors.array(torch._neg_view(values)).tolist() == (-values).tolist()
    assert tensors.array(values > 2).tolist() == (values > 2).double().tolist()
