"""A call limit beside pytest-timeout's limit of a test: both hold, and a call that does not return is a finding."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conformance.harness.execution import module_call
from conformance.harness.execution.failure import TIMED_OUT, Failure
from conformance.harness.execution.module_call import CallInterrupted
from conformance.harness.isolation import call_journal
from conformance.harness.isolation.call_journal import CallJournal
from conformance.harness.pytest_plugin import crash_recovery
from conformance.harness.pytest_plugin.output.report import findings_of

ROOT = Path(__file__).parents[4]
SAID = "Timeout (>4.0s) from pytest-timeout."

HANGING = """
import ctypes
import torch

def hanging(wait):
    class Hanging(torch.nn.GRU):
        def forward(self, input, hx=None):
            if input.shape[0] > 1:
                wait()
            return super().forward(input, hx)
    return Hanging

def loop():
    while True:
        pass

Loop, Held = hanging(loop), hanging(lambda: ctypes.PyDLL(None).sleep(1000))
"""

LIMITING = """
import os, signal
import pytest

SECONDS = float(os.environ["LIMIT_OF_A_TEST"])

def end(number, frame):
    pytest.fail(f"Timeout (>{SECONDS}s) from pytest-timeout.")

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
"""
"""What pytest-timeout does with the system's timer."""


def run(tmp_path, name, seconds, *arguments):
    """A run with a hanging GRU of this name whose tests have so many seconds: exit code and output."""
    (tmp_path / "hanging.py").write_text(HANGING)
    (tmp_path / "limiting.py").write_text(LIMITING)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "limiting", "--no-reports"]
    asked = ["--effort", "smoke", "--subject", f"gru=hanging:{name}", "-k", "test_unbatched", *arguments]
    environment = dict(os.environ) | {"PYTHONPATH": str(tmp_path), "LIMIT_OF_A_TEST": str(seconds), "COLUMNS": "200"}
    done = subprocess.run(
        [*command, *asked, "conformance/test_numbers.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a timer of the system")
def test_limit_of_a_test_that_ends_a_call_is_a_finding(tmp_path):
    code, text = run(tmp_path, "Loop", 4, "-n", "0", "--call-limit", "100")
    assert code == 1, text
    assert "\n  did not return within 4 s\n" in text
    assert "error of the suite" not in text
    assert "FAIL    hanging:Loop on torch" in text


@pytest.mark.thorough(reason="a worker that is ended, and its test done again in children")
@pytest.mark.skipif(os.name != "posix", reason="a timer of the system")
def test_call_limit_holds_beside_that_of_a_test_also_where_the_call_holds_the_interpreter(tmp_path):
    code, text = run(tmp_path, "Held", 60, "-n", "1", "--call-limit", "2")
    assert code == 1, text
    assert "\n  did not return within 2 s\n" in text
    assert '\n  again    pytest --case "v1 gru i1 h1 t2 unb float32 fill=dyadic"' in text
    assert "error of the suite" not in text


def test_only_a_limit_of_time_makes_a_call_one_that_does_not_return():
    def failing(error):
        def work():
            raise error

        return lambda: module_call.guarded_call("v1 gru", "grad", work)

    with pytest.raises(CallInterrupted, match="from pytest-timeout") as caught:
        failing(pytest.fail.Exception(SAID))()
    assert (caught.value.case, caught.value.route, caught.value.seconds) == ("v1 gru", "grad", 4.0)
    for other in (pytest.fail.Exception("of a subject"), KeyboardInterrupt(), SystemExit(3), RuntimeError(SAID)):
        with pytest.raises(type(other)):
            failing(other)()


def test_limit_that_ends_the_search_for_a_smaller_case_leaves_what_was_found():
    found = cast(Any, SimpleNamespace(repeatable=True))
    assert findings_of(pytest.fail.Exception(SAID), found) == [found]
    assert findings_of(pytest.fail.Exception(SAID), None) == []


@pytest.mark.parametrize("late", [True, False])
def test_worker_that_the_watcher_ended_is_told_as_a_call_that_did_not_return(late, monkeypatch, tmp_path):
    monkeypatch.setattr(crash_recovery, "temporary_folder", lambda: tmp_path)
    options = SimpleNamespace(option=SimpleNamespace(call_limit=3.0))
    watch = SimpleNamespace(in_children=lambda: True)
    report = SimpleNamespace(merge=lambda name, data: None)
    controller = crash_recovery.Controller(cast(Any, options), cast(Any, report), cast(Any, watch))
    box = CallJournal(tmp_path / "gw0.box", 3.0)
    box.begin({"nodeid": "test"})
    box.before("v1 gru", "grad")
    if late:
        call_journal.mark_late(box.path, 1)
    process = SimpleNamespace(popen=SimpleNamespace(wait=lambda seconds: -9))
    node = SimpleNamespace(gateway=SimpleNamespace(id="gw0", _io=process))
    controller.pytest_testnodedown(node, "Not properly terminated")
    record, how = controller._ends["gw0"]
    assert record is not None
    assert record.inside
    assert how == (Failure(TIMED_OUT, number=3.0) if late else Failure.of_exit(-9, 3.0))
    box.close()


def test_run_that_cannot_watch_its_calls_is_refused_with_the_remedy(monkeypatch, tmp_path):
    def none_left(path, speaks):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(crash_recovery, "CallWatcher", none_left)
    with pytest.raises(pytest.UsageError, match=r"Resource temporarily unavailable; .*--call-limit 0"):
        crash_recovery._begun_watcher(tmp_path)
