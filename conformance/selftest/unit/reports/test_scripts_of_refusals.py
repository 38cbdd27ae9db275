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
    name = f"refuses_{fault}".replace(" ", "_")
    (folder / f"{name}.py").write_text(MODULE.format(before, after))
    case, cell = parse(f"v1 gru i1 h1 t1 float32 fill=dyadic bad={spoil}")
    place = read(spoil).place
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
