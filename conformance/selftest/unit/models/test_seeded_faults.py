"""A fault at exactly one size of a model, or with its own weights alone, is found by a whole run with --like.

The script of its report shows it where it is, and not where it is not."""

import os
import subprocess
import sys

import pytest
import torch

from conformance.harness.isolation.interpreter import PLACE
from conformance.selftest.unit.models import examples

MODEL = f"{examples.__name__}:tagger"

FAULT = """
import torch

forward = torch.nn.LSTM.forward

def changed(self, input, hx=None):
    output, states = forward(self, input, hx)
    packed = isinstance(output, torch.nn.utils.rnn.PackedSequence)
    values = output.data if packed else output
    steps = len(output.batch_sizes) if packed else output.shape[-2 if self.batch_first else 0]
    rows = int(output.batch_sizes[0]) if packed else output.numel() // (steps * output.shape[-1])
    if {where}:
        values = values * 1.001
    return (output._replace(data=values) if packed else values), states

torch.nn.LSTM.forward = changed
"""

WHERE = {
    "input_size": "self.input_size == 12",
    "hidden_size": "self.hidden_size == 20",
    "rows": "rows == 4",
    "steps": "steps == 9",
}

PROPERTY = "test_every_step_of_every_packed_layer_lies_within_its_error_bound"


def run(where, tmp_path, *given):
    """A run of one property with a fault where this holds: exit code, output, the environment that has the fault."""
    (tmp_path / "sitecustomize.py").write_text(FAULT.format(where=where))
    environment = dict(os.environ, PYTHONPATH=str(tmp_path), COLUMNS="200")
    chosen = ["--like", MODEL, "--effort", "smoke", "--time", "0", "-k", PROPERTY, "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *chosen, *given]
    done = subprocess.run(command, cwd=PLACE, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr, environment


@pytest.mark.parametrize("where", WHERE.values(), ids=list(WHERE))
def test_fault_is_in_calls_of_its_size_alone(where, monkeypatch):
    sound = torch.nn.LSTM.forward
    monkeypatch.setattr(torch.nn.LSTM, "forward", sound)
    exec(FAULT.format(where=where), {})
    for size, differs in ((0, True), (1, False)):
        module, x = torch.nn.LSTM(12 + size, 20 + size), torch.ones(9 + size, 4 + size, 12 + size)
        for given in (x, torch.nn.utils.rnn.pack_sequence(list(x.transpose(0, 1)))):
            got, wanted = module(given)[0], sound(module, given)[0]
            got, wanted = (one if isinstance(one, torch.Tensor) else one.data for one in (got, wanted))
            assert torch.equal(got, wanted) is not differs


@pytest.mark.thorough("whole runs")
@pytest.mark.parametrize("where", WHERE.values(), ids=list(WHERE))
def test_fault_at_exactly_one_size_of_a_model_is_found(where, tmp_path):
    code, said, _ = run(where, tmp_path, "--no-reports")
    assert code == 1, said
    assert "RED  B2  LSTM" in said
    assert f"FAIL {MODEL} encoder.rnn (B2)" in said


@pytest.mark.thorough("whole runs")
def test_fault_at_a_size_that_the_model_has_not_is_none(tmp_path):
    code, said, _ = run("self.hidden_size == 21", tmp_path, "--no-reports")
    assert code == 0, said
    assert f"PASS {MODEL} encoder.rnn" in said


@pytest.mark.thorough("whole runs with reports")
@pytest.mark.parametrize("where", ["size", "weights"])
def test_script_of_a_fault_in_a_model_shows_it_and_passes_without_it(where, tmp_path):
    torch.manual_seed(0)
    own = float(dict(examples.tagger().named_parameters())["encoder.rnn.bias_ih_l0"].detach().double().sum())
    places = {
        "size": WHERE["hidden_size"],
        "weights": f"abs(float(self.bias_ih_l0.detach().double().sum()) - {own}) < 1e-9",
    }
    code, said, environment = run(places[where], tmp_path, "--reports", str(tmp_path / "reports"))
    assert code == 1, said
    assert "needs torch alone; shows it: exit 10" in said, said
    (script,) = (tmp_path / "reports").glob("*/repro.py")
    assert ("weights=encoder.rnn" in script.with_name("facts.md").read_text()) is (where == "weights")
    for with_fault, wanted in ((True, 10), (False, 0)):
        env = environment if with_fault else dict(os.environ)
        done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, timeout=60, check=False)
        assert done.returncode == wanted, done.stdout + done.stderr
