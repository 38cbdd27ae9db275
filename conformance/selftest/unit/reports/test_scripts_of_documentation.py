"""A script calls a module by the names that a docstring gives, and none is written of the documentation's code."""

import subprocess
import sys

import pytest

from conformance.harness.execution.subject import torch_nn
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.scripts.script import WITH_DEFECT, script
from conformance.selftest.faults.life_cycle import documentation
from conformance.selftest.unit.reports.test_other_kinds import shown


def test_script_calls_a_module_by_the_names_of_its_docstring(tmp_path):
    text = script(shown(torch_nn(), ("I",), "test_inputs_have_their_documented_names", "", "gru"))
    assert "module(input=x, h_0=h_0)" in text
    file = tmp_path / "repro.py"
    file.write_text(text, encoding="utf-8")
    assert (
        subprocess.run([sys.executable, file], capture_output=True, timeout=60, check=False).returncode == WITH_DEFECT
    )


def test_no_script_is_written_of_code_in_the_documentation():
    (fault,) = (one for one in documentation.FAULTS if one.name == "documents-an-rnn-with-its-bias-twice")
    test = "test_code_in_the_documentation_gives_what_the_module_gives"
    found = shown(fault.subject, ("I",), test, "v1 rnn_tanh i1 h1 t1 float32 fill=dyadic")
    with pytest.raises(NoScript, match="code in the documentation"):
        script(found)
