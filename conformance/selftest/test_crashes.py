"""Nothing is lost: subjects that abort, crash, hang, are killed or take all memory, and runs that are interrupted."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from strategies import parse

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals, and what /proc says, of Linux")

DYING = """
import ctypes, os, signal
import torch

def steps(module, input):
    padded = isinstance(input, torch.Tensor)
    return input.shape[1 if module.batch_first and input.dim() == 3 else 0] if padded else 0

def hang():
    while True:
        pass

def hog():
    kept = [torch.empty(2**28) for _ in range(2**16)]

def dying(base, die):
    class Dying(base):
        def forward(self, input, hx=None):
            if steps(self, input) >= 2:
                die()
            return super().forward(input, hx)
    return Dying

GRU = dying(torch.nn.GRU, os.abort)
LSTM = dying(torch.nn.LSTM, hang)
Segfault = dying(torch.nn.RNN, lambda: ctypes.string_at(0))
Killed = dying(torch.nn.RNN, lambda: os.kill(os.getpid(), signal.SIGKILL))
Exit = dying(torch.nn.RNN, lambda: os._exit(3))
Hog = dying(torch.nn.LSTM, hog)
"""

SUBJECTS = {"rnn_tanh": "Segfault", "rnn_relu": "Killed", "lstm": "LSTM", "gru": "GRU"}
ENDS = {
    "RNN(tanh)": "killed by signal 11 (SIGSEGV)",
    "RNN(relu)": "killed by signal 9 (SIGKILL)",
    "LSTM": "did not return within 2 s",
    "GRU": "killed by signal 6 (SIGABRT)",
}


@pytest.fixture
def start(tmp_path):
    """Starts runs of one file of the contract in a folder of their own, with subjects of this text."""
    mark = uuid.uuid4().hex
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "dying.py").write_text(DYING)

    def begin(*arguments, subjects=None):
        named = [f"--subject={cell}=dying:{name}" for cell, name in (subjects or SUBJECTS).items()]
        command = [sys.executable, "-m", "pytest", "--effort", "smoke", "-o", f"cache_dir={tmp_path / 'cache'}"]
        environment = dict(os.environ, COLUMNS="200", CONFORMANCE_MARK=mark, CONFORMANCE_FOLDER=str(folder))
        return subprocess.Popen(
            [
                *command,
                *named,
                *arguments,
                *(str(ROOT / "conformance" / f"test_{chapter}.py") for chapter in ("numbers", "shapes")),
            ],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    yield SimpleNamespace(run=begin, folder=folder, mark=mark)
    for pid in marked(mark):
        os.kill(pid, signal.SIGKILL)


def marked(mark):
    """Processes that began with this mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def finished(process):
    """Exit code and output of a run."""
    text, _ = process.communicate(timeout=120)
    return process.returncode, text


def findings(text):
    """What a run says of each cell in chapter B1: how its call ended, and its case."""
    told = re.findall(
        r"^RED +B1 +(\S+) results lie.*\n +(.*)\n(?: +.*\n)*? +again +pytest --case \"(.*)\"$", text, re.MULTILINE
    )
    assert len(told) == len({cell for cell, _, _ in told}), "one finding each"
    return {cell: end for cell, end, _ in told}, {cell: parse(line)[0] for cell, _, line in told}


def assert_small(cases):
    for case in cases.values():
        sizes = (case.steps, case.input_size, case.hidden_size, case.batch_size, case.num_layers)
        assert sizes == (2, 1, 1, 1, 1)


CHOSEN = ("-k", "test_results_lie or test_parameters_have", "--call-limit", "2")
"""Properties that call the modules, and others that only build them."""


def test_each_way_to_die_under_xdist_is_one_finding_with_a_small_case_and_the_rest_is_tested(start):
    code, text = finished(start.run("-n", "2", *CHOSEN))
    assert code == 1, text
    ends, cases = findings(text)
    assert ends == ENDS, text
    assert_small(cases)
    assert "4 red, 0 not repeatable, 0 error of the suite" in text
    assert "4 failed, 4 passed" in text
    assert "never ran" not in text
    assert not marked(start.mark)


def test_run_without_xdist_that_died_is_named_by_the_next_one_which_tests_everything(start):
    subjects = SUBJECTS | {"rnn_tanh": "Exit", "lstm": "Hog"}
    code, text = finished(start.run("-p", "no:xdist", *CHOSEN, subjects=subjects))
    assert code not in (0, 1)
    code, text = finished(start.run("-p", "no:xdist", *CHOSEN, subjects=subjects))
    assert code == 1, text
    line = next(line for line in text.splitlines() if "the run before this one died in" in line)
    again = 'again: pytest --case "v1 \\w+ i\\d+ h\\d+ .*"; this time every call is made in a child process'
    assert re.search(r"results_lie_within_their_error_bound\[\w+\]; " + again, line)
    ends, cases = findings(text)
    refused = ends.pop("LSTM")
    assert refused.startswith("RuntimeError: ")
    assert "memory" in refused
    assert ends == {cell: ENDS[cell] for cell in ("GRU", "RNN(relu)")} | {
        "RNN(tanh)": "ended the process with exit code 3"
    }
    assert_small(cases)
    assert "4 failed, 4 passed" in text
    assert not marked(start.mark)
    assert not list(start.folder.parent.rglob("*.box")), "nothing is left for a third run to name"


STUBBORN = """
import os, pathlib, torch
FOLDER = pathlib.Path(os.environ["CONFORMANCE_FOLDER"])
class LSTM(torch.nn.LSTM):
    def forward(self, input, hx=None):
        if isinstance(input, torch.Tensor) and input.shape[0] == 2:
            if not (FOLDER / "died").exists():
                (FOLDER / "died").touch()
                os.abort()
            (FOLDER / "hangs").touch()
            while True:
                pass
        return super().forward(input, hx)
"""


@pytest.mark.parametrize(
    ("mode", "how"),
    [("in a child of a worker", "Ctrl-C"), ("in a child of a worker", "SIGTERM"), ("in this process", "SIGTERM")],
)
def test_interrupted_run_ends_within_seconds_says_that_it_is_incomplete_and_leaves_nobody(mode, how, start):
    (start.folder / "dying.py").write_text(STUBBORN)
    if mode == "in this process":
        (start.folder / "died").touch()
    xdist = ("-p", "no:xdist") if mode == "in this process" else ("-n", "1")
    run = start.run(*xdist, "-k", "test_results_lie", "--call-limit", "0", subjects={"lstm": "LSTM"})
    deadline = time.monotonic() + 60
    while not (start.folder / "hangs").exists():
        assert time.monotonic() < deadline, run.communicate()[0]
        time.sleep(0.1)
    began = time.monotonic()
    if how == "SIGTERM":
        run.terminate()
    else:
        os.killpg(run.pid, signal.SIGINT)
    code, text = finished(run)
    assert time.monotonic() - began < 10
    assert code == int(pytest.ExitCode.INTERRUPTED), text
    assert re.search(r"^incomplete +interrupted; \d+ tests never ran: test_results_lie", text, re.MULTILINE), text
    time.sleep(0.5)
    assert not marked(start.mark)
