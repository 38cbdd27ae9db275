"""What stands in a column of the contract's table decides what a run does."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from conformance.clauses import ANYBODY, CLAUSES, TORCH_NN
from conformance.harness import session
from conformance.harness.execution.subject import OWN_MODULE, Subject, torch_nn
from conformance.harness.property import properties
from conformance.harness.pytest_plugin.items import lack_of
from conformance.selftest.trial import findings_by
from reference.problem import GRU

MARKED = {
    "A1": (ANYBODY, ANYBODY, ("output",)),
    "A2": (ANYBODY, ANYBODY, ("h_n", "c_n")),
    "A3": (ANYBODY, ANYBODY, ("parameters",)),
    "A3-order": (TORCH_NN, ANYBODY, ()),
    "A4-repr": (TORCH_NN, ANYBODY, ()),
    "B3-stream": (TORCH_NN, ANYBODY, ()),
    "E1": (ANYBODY, TORCH_NN, ()),
}
"""Clauses that are not like most: whom they bind, for whom they are exact, and whose shapes they are about."""


def test_columns_that_few_clauses_have_are_those_written_here():
    columns = {clause.id: (clause.binds, clause.exact_for, clause.shape_of) for clause in CLAUSES.values()}
    assert {id: given for id, given in columns.items() if given != (ANYBODY, ANYBODY, ())} == MARKED


def lack(tested, judged):
    """What the plugin says of a property's test on its first cell."""
    mark = SimpleNamespace(args=[tested])
    callspec = SimpleNamespace(params={"cell": tested.cells[0]})
    item: Any = SimpleNamespace(get_closest_marker=lambda name: mark, callspec=callspec, stash={})
    return lack_of(item, judged)


@pytest.mark.parametrize("tested", properties(), ids=lambda tested: tested.name)
def test_property_judges_whom_its_clause_binds_and_nobody_else(tested):
    binds = MARKED.get(tested.clause.id, (ANYBODY,))[0]
    other = Subject("mine", torch_nn().classes)
    assert lack(tested, torch_nn()) == ""
    assert lack(tested, other) == (f"{tested.clause.id} binds {binds} alone" if binds else "")


class NearlyItsLayers(torch.nn.GRU):
    """Several layers give something else than these layers one by one, by a rounding."""

    def forward(self, input, hx=None):
        output, h_n = super().forward(input, hx)
        wide = isinstance(output, torch.Tensor) and output.dtype in (torch.float32, torch.float64)
        if wide and self.num_layers > 1:
            output = torch.nextafter(output, torch.ones_like(output))
        return output, h_n


class AsIfOwn(NearlyItsLayers):
    """The same, as if PyTorch defined it."""

    __module__ = OWN_MODULE


@pytest.mark.parametrize(
    ("name", "kind", "is_red"),
    [(TORCH_NN, AsIfOwn, True), (TORCH_NN, NearlyItsLayers, False), ("mine", AsIfOwn, False)],
)
def test_rounding_between_two_calls_is_red_for_whom_the_clause_is_exact(name, kind, is_red, monkeypatch):
    monkeypatch.setattr(session, "BITS_REPEAT_ON", (session.machine.capability(),))
    monkeypatch.setattr(session, "BITS_REPEAT_ON_RELEASES", (session.machine.release(),))
    tested = next(one for one in properties() if one.name == "test_stack_is_the_composition_of_its_layers")
    assert tested.clause.exact_for == TORCH_NN
    found = list(findings_by(tested, Subject(name, {GRU: kind}), (GRU,), 0))
    assert [finding.kind for finding in found] == (["differs from output"] if is_red else [])
