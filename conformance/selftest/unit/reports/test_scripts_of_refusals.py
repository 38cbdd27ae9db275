"""Scripts of invalid calls show what is not refused, what a refusal harms, and nothing on a sound module."""

import pytest

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.execution.subject import named
from conformance.harness.isolation import confirmed
from conformance.harness.property import properties
from conformance.harness.reports.folder import exit_code
from conformance.harness.reports.scripts.script import WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.unit.reports.test_other_kinds import endings_of, shown
from conformance.selftest.unit.reports.test_scripts import assert_short
from reference.invalid_calls import read
from strategies import parse

MODULE = """\
import torch


class Net(torch.nn.GRU):
    refused = False

    def forward(self, x, hx=None):
        {}
        try:
            out, h = super().forward(x, hx)
        except Exception:
            {}
            raise
        return (out * 2 if self.refused else out), h
"""

FAULTS = {
    "ignored layer": ("hx = hx[:1]", "pass", "h_0.layers+1", "is not refused"),
    "ignored features": ("x = x[..., :1]", "pass", "input.features+1", "is not refused"),
    "crash": ("import os; hx.shape[0] > 1 and os.kill(os.getpid(), 11)", "pass", "h_0.layers+1", "is not refused"),
    "exit": ("import os; hx.shape[2] > 1 and os._exit(3)", "pass", "h_0.features+1", "is not refused"),
    "cast": ("hx = hx.to(x.dtype)", "pass", "h_0.dtype=other", "accepted"),
    "odd exception": ("assert x.shape[-1] == 1", "pass", "input.features+1", "raised AssertionError"),
    "changed state": ("pass", "hx.add_(1)", "input.features+1", "changes h_0"),
    "changed weight": ("pass", "self.bias_hh_l0.data.add_(1)", "h_0.rows+1", "changes bias_hh_l0"),
    "spoilt module": ("pass", "self.refused = True", "h_0.rank+1", "spoils the module"),
    "second time": (
        "hx = hx[:1] if hx is not None and getattr(self, 'asked', 0) else hx",
        "self.asked = 1",
        "h_0.layers+1",
        "is accepted the second time",
    ),
    "stale state": (
        "hx = getattr(self, 'stale', None) if hx is None else hx",
        "self.stale = torch.ones(1, 1, 1)",
        "h_0.rank+1",
        "spoils calls without states",
    ),
    "stale invalid state": (
        "hx = getattr(self, 'stale', None) if hx is None else hx",
        "self.stale = hx",
        "h_0.layers+1",
        "spoils calls without states",
    ),
    "kept": ("pass", "self._kept = [*getattr(self, '_kept', ()), x]", "input.features+1 nohx", "is kept for ever"),
    "in evaluation": ("hx = hx if self.training else hx[:1]", "pass", "h_0.layers+1 drop", "is not refused"),
    "other parameter": (
        "self.bias_ih_l0_reverse.data = self.bias_ih_l0_reverse.data[:3]",
        "pass",
        "bias_ih.rows+1 bi pick=3",
        "changes bias_ih_l0_reverse",
    ),
    "attribute": ("pass", "self.dropout = 1.5", "input.features+1", "changes module.dropout"),
    "input's gradient": ("pass", "x.data.requires_grad_()", "h_0.features+1 t1,", "changes input.requires_grad"),
    "autocast": (
        "pass",
        "torch.autocast('cpu', torch.bfloat16).__enter__()",
        "h_0.rank+1",
        "changes the dtype of a product",
    ),
    "saved": (
        "pass",
        "torch.autograd.graph.saved_tensors_hooks(abs, abs).__enter__()",
        "h_0.rank+1",
        "changes the hooks of saved tensors",
    ),
    "spoilt by its weight": ("pass", "self.refused = True", "weight_hh.columns+1", "spoils the module"),
}
"""Before the call, after a refusal, what is spoilt, and the kind of finding."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, where modules can be imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    confirmed._children().end_child()  # it has the search path that it began with
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS)
def test_script_shows_what_an_invalid_call_does(fault, folder):
    before, after, spoil, kind = FAULTS[fault]
    name = "refuses_" + fault.replace(" ", "_").replace("'", "")
    (folder / f"{name}.py").write_text(MODULE.format(before, after))
    steps = "" if " t" in spoil else "t1"
    case, cell = parse(f"v1 gru i1 h1 {steps} float32 fill=dyadic bad={spoil}")
    place = read(spoil.split()[0]).place
    tested = next(one for one in properties() if one.name == f"test_invalid_call_is_refused_and_harms_nothing[{place}]")
    with session.nested(Session(named([f"gru={name}:Net"]))) as here:
        found = next(one for one in found_by(here, tested, cell, case) if one.finding.kind == kind)
    text = script(found)
    assert_short(text)
    path = folder / "repro.py"
    path.write_text(text)
    assert exit_code(path) == WITH_DEFECT, text
    (folder / f"{name}.py").write_text(MODULE.format("pass", "pass"))
    assert exit_code(path) == WITHOUT_DEFECT, text


CONSTRUCTOR = "test_invalid_argument_of_a_constructor_is_refused[{}]"
UTILITY = "test_invalid_call_of_a_utility_is_refused_and_harms_nothing[{}]"

OTHERS = {
    "does-not-check-the-argument-num_layers": (CONSTRUCTOR, "constructor.num_layers.value=0"),
    "does-not-check-the-argument-dropout": (CONSTRUCTOR, "constructor.dropout.value=1.5"),
    "takes-a-negative-size-without-its-sign": (CONSTRUCTOR, "constructor.hidden_size.value=-1"),
    "adds-no-bias-until-a-constructor-accepts-something": (
        CONSTRUCTOR,
        "constructor.input_size.value=0",
    ),
    "does-not-check-pack_padded_sequence-lengths.shortest": (UTILITY, "pack_padded_sequence.lengths.shortest=0"),
    "does-not-check-pad_sequence-padding_side.value": (UTILITY, "pad_sequence.padding_side.value=up"),
    "ignores-a-total_length-that-is-too-short": (UTILITY, "pad_packed_sequence.total_length.value=short"),
    "raises-runtimeerror-for-a-total_length-that-is-too-short": (UTILITY, "pad_packed_sequence.total_length.value=-1"),
    "overwrites-the-rows-before-it-refuses-lengths": (UTILITY, "pack_padded_sequence.lengths.order=rising"),
    "packs-backwards-in-the-call-after-one-that-it-refused": (UTILITY, "pack_padded_sequence.lengths.count+1"),
    "refuses-lengths-by-keyerror": (UTILITY, "pack_padded_sequence.lengths.count-1"),
}
"""Seeded faults of constructors and utilities: the property, and what is spoilt."""


@pytest.mark.parametrize("name", OTHERS)
def test_script_shows_what_an_invalid_constructor_or_utility_does(name, monkeypatch):
    (fault,) = [fault for fault in faults() if fault.name == name]
    test, spoil = OTHERS[name]
    place = read(spoil).place
    value = place.split(".")[1] if place.startswith("constructor") else place
    line = f"v1 rnn_tanh i1 h1 t3,2 float32 fill=integers seed=3 bad={spoil}"
    if place.startswith("constructor"):
        line = line.replace("t3,2", "t1")
    found = shown(fault.subject, fault.clauses, test.format(value), line)
    with_fault, without, told = endings_of(script(found), fault.subject, monkeypatch)
    assert (with_fault, without) == (WITH_DEFECT, WITHOUT_DEFECT), told
