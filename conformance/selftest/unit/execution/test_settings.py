"""Settings from outside do not change what a run judges."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conformance.harness.execution import machine, settings
from conformance.harness.findings.recorder import Recorder

ROOT = Path(__file__).parents[4]

mkldnn: Any = torch.backends.mkldnn


def _cast():
    try:
        torch.set_autocast_enabled("cpu", True)
    except TypeError:  # before 2.4
        torch.set_autocast_cpu_enabled(True)


def _enter(mode):
    mode.__enter__()
    KEPT.append(mode)


KEPT: list[object] = []

SETTINGS = {
    "grad mode off": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled, True),
    "default dtype float64": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype, torch.float32),
    "default device meta": (lambda: torch.set_default_device("meta"), lambda: torch.empty(0).device.type, "cpu"),
    "deterministic algorithms": (
        lambda: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
        False,
    ),
    "anomaly mode": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled, False),
    "autocast": (_cast, lambda: (torch.ones(1, 1) @ torch.ones(1, 1)).dtype, torch.float32),
    "inference mode": (
        lambda: _enter(torch.inference_mode()),
        lambda: torch.empty(0).is_inference(),
        False,
    ),
    "float32 matmul precision medium": (
        lambda: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
        "highest",
    ),
    "oneDNN off": (lambda: mkldnn.set_flags(False), torch._C._get_mkldnn_enabled, True),
    "flushing of denormals": (
        lambda: torch.set_flush_denormal(True),
        lambda: (torch.tensor([5e-324], dtype=torch.float64) * 1 > 0).item(),
        True,
    ),
    "numpy.seterr(over=raise)": (lambda: np.seterr(over="raise"), np.geterr, settings.NUMPY_ERRORS),
    "recursion limit 400": (lambda: sys.setrecursionlimit(400), sys.getrecursionlimit, settings.SHALLOWEST),
}


@pytest.fixture(autouse=True)
def _as_it_was():
    limit = sys.getrecursionlimit()
    yield
    settings.put_right()
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("named", SETTINGS)
def test_setting_from_outside_is_undone_and_named(named):
    change, read, wanted = SETTINGS[named]
    change()
    assert named in machine.pin()
    assert read() == wanted
    assert machine.pin() == ()


@pytest.mark.skipif(not hasattr(mkldnn, "rnn"), reason="this release has one precision for all of oneDNN")
def test_precision_of_onednn_alone_is_undone_and_named():
    mkldnn.rnn.fp32_precision = "tf32"
    assert machine.pin() == ("oneDNN's precision tf32 for float32",)
    assert mkldnn.rnn.fp32_precision in settings.FULL_PRECISION


def test_mode_that_only_its_owner_can_leave_is_named():
    class Watching(torch.overrides.TorchFunctionMode):
        pass

    assert settings.modes() == ()
    with Watching():
        assert settings.modes() == ("1 torch function mode",)


def test_settings_that_come_back_are_counted_of_all_processes():
    ours, theirs = Recorder(), Recorder()
    ours.undone(["grad mode off"])
    theirs.undone(["grad mode off", "autocast"])
    ours.merge(theirs.to_json())
    assert ours.put_right == {"grad mode off": 2, "autocast": 1}


LEAVING = """
import torch

class GRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        if not torch.is_grad_enabled():
            raise RuntimeError("grad mode is off")
        return super().forward(input, hx)

torch.set_grad_enabled(False)
torch.set_default_dtype(torch.float64)
"""

ASKING = """
from conformance.harness.execution import settings
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.execution.subject import named
from conformance.harness.isolation.worker_process import WorkerProcess
from strategies import parse

case, cell = parse("v1 gru i1 h1 t2 float32 fill=dyadic")
worker = WorkerProcess()
subject = named(["gru=leaving:GRU"])
settings.put_right()
(seen,) = worker.execute(subject, Forward(case.on(cell), ("grad",)))
print(seen.failure)
worker.close()
"""


def test_what_the_import_of_a_subject_leaves_behind_is_undone_in_children(tmp_path):
    (tmp_path / "leaving.py").write_text(LEAVING)
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"
    done = subprocess.run([sys.executable, "-c", path + ASKING], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "None", done.stdout + done.stderr


def test_python_without_assertions_is_refused_in_a_line():
    command = [sys.executable, "-O", "-m", "pytest", "-p", "no:cacheprovider", "--effort", "smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 4
    assert done.stderr.strip() == (
        "ERROR: Python leaves out assertions: unset PYTHONOPTIMIZE, and leave out -O and -OO"
    )
