"""HypoFuzz collects the tests and calls them after pytest has ended: session, subject and cases are still there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

SUBJECT = """
import torch

class GRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        output, h_n = super().forward(input, hx)
        return output * 1.001, h_n
"""

AS_HYPOFUZZ = """
import sys, types
import pytest

sys.modules["hypofuzz.collection"] = types.ModuleType("hypofuzz.collection")

class Kept:
    def pytest_collection_finish(self, session):
        self.items = list(session.items)

kept = Kept()
code = pytest.main(["--collect-only", "-q", "-m=hypothesis", *sys.argv[1:]], plugins=[kept])
assert code == 0, code
for item in kept.items:
    assert item.obj.hypothesis.inner_test
    try:
        item.obj(**item.callspec.params)
    except AssertionError as error:
        print("FOUND", item.name, str(error).splitlines()[0])
"""

ARGUMENTS = ("--effort", "smoke", "--cell", "gru", "conformance/test_numbers.py", "-k", "error_bound and not large")


def run(command: list[str], folder: Path, seconds: int) -> tuple[int | None, str, str]:
    """The exit status, None where it was ended after `seconds` with all its children, and what it wrote."""
    (folder / "raised_by_a_thousandth.py").write_text(SUBJECT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(folder)))}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, stdout=pipe, stderr=pipe, text=True
    )
    with process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None, *process.communicate()
    return process.returncode, output, errors


def test_items_find_a_fault_after_pytest_has_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AS_HYPOFUZZ, "--subject", "raised_by_a_thousandth", *ARGUMENTS]
    _, output, errors = run(command, tmp_path, 300)
    assert "FOUND test_every_step_of_every_layer_lies_within_its_error_bound[gru]" in output, errors
    told = [line for line in errors.splitlines() if line.startswith("conformance: test_")]
    assert any(": --case 'v1 gru i1 h1 t1 " in line and line.endswith("': output") for line in told), errors


def test_items_of_a_sound_subject_find_nothing(tmp_path: Path) -> None:
    code, output, errors = run([sys.executable, "-c", AS_HYPOFUZZ, *ARGUMENTS], tmp_path, 300)
    assert code == 0, errors
    assert "FOUND" not in output
    assert "conformance: test_" not in errors


@pytest.mark.thorough(reason="HypoFuzz runs until a failing case is found for every test, or for ever")
def test_hypofuzz_itself_says_the_case_line(tmp_path: Path) -> None:
    pytest.importorskip("hypofuzz", reason="HypoFuzz is not installed")
    command = [sys.executable, "-c", "from hypothesis.extra.cli import main; main()"]
    command += ["fuzz", "-n", "1", "--no-dashboard", "--", "--subject", "raised_by_a_thousandth", *ARGUMENTS]
    _, output, errors = run(command, tmp_path, 120)
    assert ": --case 'v1 gru i1 h1 t1 " in errors, output + errors
