"""Adapters of implementations that nobody here wrote: short, and equal to torch.nn where those are."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conformance.harness.execution import subject
from conformance.harness.execution.requests.forward import Forward
from strategies import parse

ROOT = Path(__file__).parents[3]
ADAPTERS = ROOT / "conformance" / "adapters"

MOST_LINES = 15

KERNELS = [
    ("keras", "keras:lstm", "v1 lstm i3 h2 t4 n2 bf float32"),
    ("keras", "keras:gru", "v1 gru i3 h2 t4 n2 bf float32"),
    ("keras", "keras:rnn", "v1 rnn_tanh i3 h2 t4 n2 bf float32"),
    ("keras", "keras:rnn", "v1 rnn_relu i3 h2 t4 n2 bf nobias float32"),
    ("flashrnn", "flashrnn:lstm", "v1 lstm i3 h2 t4 n2 bf float32"),
    ("flashrnn", "flashrnn:gru", "v1 gru i3 h2 t4 n2 bf float32"),
    ("flashrnn", "flashrnn:rnn", "v1 rnn_tanh i3 h2 t4 n2 bf nobias float32"),
    ("gru_qat", "gru_qat:gru", "v1 gru i3 h2 t4 n2 bf float32"),
    ("gru_qat", "gru_qat:gru", "v1 gru i3 h2 t4 n2 nohx float32"),
    ("onnxruntime", "onnxruntime:lstm", "v1 lstm i3 h2 t4 n2 bi float32"),
    ("onnxruntime", "onnxruntime:gru", "v1 gru i3 h2 t4 n2 nobias nohx float32"),
    ("opacus", "opacus:LSTM", "v1 lstm i3 h2 t4 n2 l2 bi float32"),
    ("opacus", "opacus:GRU", "v1 gru i3 h2 t4 n2 l2 bf float32"),
    ("opacus", "opacus:RNN", "v1 rnn_tanh i3 h2 t4 n2 float32"),
    ("torchrl", "torchrl:LSTM", "v1 lstm i3 h2 t4 n2 l2 bf float32"),
    ("torchrl", "torchrl:GRUCell", "v1 gru_cell i3 h2 n2 float32"),
    ("torch", "quantizable_lstm:LSTM", "v1 lstm i3 h2 t4 n2 l2 float32"),
]
"""The package, the kernel, and a case in which it gives what torch.nn gives."""


def skip_without(package: str) -> None:
    """Skips a test of a package that is not installed; importing Keras would choose its backend."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def lines_of_code(path: Path) -> int:
    """Lines that hold code: no imports, blank lines, comments or docstrings."""
    taken = set[int]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Import | ast.ImportFrom) or (isinstance(node, ast.Expr) and is_text):
            taken |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = path.read_text(encoding="utf-8").splitlines()
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and at not in taken for at, line in enumerate(lines, 1)
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in ADAPTERS.glob("[!_]*.py")))
def test_adapter_is_short(name: str) -> None:
    assert lines_of_code(ADAPTERS / f"{name}.py") <= MOST_LINES


@pytest.mark.parametrize(("package", "kernel", "line"), KERNELS)
def test_kernel_is_wired_as_torch_nn_is(package: str, kernel: str, line: str) -> None:
    skip_without(package)
    case, cell = parse(line + " fill=normal")
    asked = Forward(case.on(cell), ("no_grad",))
    (wanted,) = asked.execute(subject.torch_nn())
    (got,) = asked.execute(subject.named([f"{cell}=conformance.adapters.{kernel}"]))
    assert got.failure is None, got.failure
    assert got.raw.keys() == wanted.raw.keys()
    for name, values in wanted.raw.items():
        np.testing.assert_allclose(got.raw[name], values, atol=1e-5)


# ONNX Runtime at the accuracy that it states

WRONG = """
import torch
from conformance.adapters import onnxruntime as sound

conformance = sound.conformance
lstm = sound.lstm
gru = sound.gru
{}
"""

AS_IT_IS = ""
SWAPPED = "lstm.args[2][:] = [0, 3, 2, 1]; gru.args[2][:] = [0, 1, 2]"
SIXTEEN_TIMES = """
def far(kernel):
    def called(x, hx, weights, bidirectional):
        output, last = kernel(x, hx, weights, bidirectional=bidirectional)
        return output + 16 * 3.5e-7, last
    return called
lstm, gru = far(lstm), far(gru)
"""


@pytest.mark.parametrize(("change", "code"), [(AS_IT_IS, 0), (SWAPPED, 1), (SIXTEEN_TIMES, 1)])
def test_onnx_runtime_is_judged_at_the_accuracy_that_it_states(change: str, code: int, tmp_path: Path) -> None:
    skip_without("onnxruntime")
    (tmp_path / "of_onnx.py").write_text(WRONG.format(change))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--effort", "smoke", "--no-reports"]
    command += ["--subject", "lstm=of_onnx:lstm", "--subject", "gru=of_onnx:gru", "conformance/test_numbers.py"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path)))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, done.stdout
    if code == 0:
        assert "at the accuracy it states" in done.stdout
    else:
        assert "RED  B" in done.stdout
