"""A disk without room costs its file alone: a line, everything that was found, and an exit status that says so."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conformance.harness.isolation import call_journal
from conformance.harness.pytest_plugin.output.unsaved import Unsaved
from conformance.harness.reports import folder as reports

ROOT = Path(__file__).parents[4]

FAULTY = """
import torch

class LSTM(torch.nn.LSTM):
    def forward(self, input, hx=None):
        output, state = super().forward(input, hx)
        return output * 1.5, state
"""

FILLING = """
import resource

def pytest_collection_finish():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

pytest_xdist_node_collection_finished = pytest_collection_finish
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_FSIZE and /dev/full")


def run(tmp_path, *arguments, most=None, stdout=subprocess.PIPE, **settings):
    """A run of one property of a faulty LSTM, which may write files of so many bytes: exit code and both outputs."""
    import resource

    (tmp_path / "faulty.py").write_text(FAULTY)
    (tmp_path / "filling.py").write_text(FILLING)
    settings = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"} | settings
    command = [sys.executable, "-m", "pytest", "--effort", "smoke", "-o", f"cache_dir={tmp_path / 'cache'}"]
    asked = ["--subject", "lstm=faulty:LSTM", "-k", "test_unbatched", str(ROOT / "conformance" / "test_numbers.py")]
    done = subprocess.run(
        [*command, *asked, *arguments],
        cwd=ROOT,
        env=dict(os.environ) | settings,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=most and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))),
    )
    return done.returncode, done.stdout or "", done.stderr


@pytest.mark.parametrize("mode", [["-n", "0"], ["-n", "1"]], ids=["sequential", "parallel"])
def test_full_disk_is_one_line_before_anything_runs(mode, tmp_path):
    code, text, errors = run(tmp_path, *mode, most=call_journal.SIZE // 2)
    assert code == 4, text + errors
    (line,) = [line for line in (text + errors).splitlines() if line.strip()]
    assert "the journal of calls cannot be written" in line
    assert "File too large" in line
    assert "free 8 kB for each process, or name another folder with TMPDIR" in line


def test_disk_that_fills_in_the_middle_costs_the_files_and_nothing_that_was_found(tmp_path):
    given = ("--junitxml", str(tmp_path / "junit.xml"), "--results", str(tmp_path / "results.json"))
    code, text, errors = run(tmp_path, "-n", "1", "-p", "filling", f"--reports={tmp_path / 'reports'}", *given)
    assert code == 1, text + errors
    assert "INTERNALERROR" not in text + errors
    assert f"--results {tmp_path / 'results.json'}: File too large; it is as it was\n" in text
    assert "UNSAVED a file of _pytest.junitxml: File too large\n" in text
    assert "\nUNSAVED the counts of a worker, in case it dies: File too large\n" in text
    assert "\nFAIL    faulty:LSTM on torch" in text
    assert "\n        pytest --case " in text
    assert "\nreport not written: " in text


def test_file_of_another_plugin_that_cannot_be_written_is_a_line_and_fails_the_run(tmp_path):
    code, text, errors = run(tmp_path, "-n", "0", "--no-reports", "--junitxml=/dev/full", "--cell", "lstm")
    assert code == 1, text + errors
    assert "INTERNALERROR" not in text + errors
    assert "UNSAVED a file of _pytest.junitxml: No space left on device" in text
    assert "FAIL    faulty:LSTM on torch" in text


def test_output_that_cannot_be_written_goes_on_elsewhere(tmp_path):
    with open("/dev/full", "w") as full:
        code, _, errors = run(tmp_path, "-n", "0", "--no-reports", stdout=full)
    assert code == 1, errors
    assert "INTERNALERROR" not in errors
    assert "Traceback" not in errors
    assert errors.startswith("conformance: the output cannot be written: No space left on device; the rest is here\n")
    assert "FAIL    faulty:LSTM on torch" in errors


def test_sound_run_whose_file_was_lost_ends_with_the_status_of_what_cannot_be_done():
    unsaved, session = Unsaved(cast(Any, SimpleNamespace(unfinished=[]))), SimpleNamespace(exitstatus=0)
    unsaved.session = cast(Any, session)
    wrapper = unsaved.pytest_sessionfinish()
    next(wrapper)
    with pytest.raises(StopIteration):
        wrapper.throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "junit\x1b.xml"))
    assert unsaved.report.unfinished == ["UNSAVED junit\\x1b.xml: No space left on device"]
    assert session.exitstatus == 4


def test_half_a_report_is_removed(monkeypatch, tmp_path):
    def full(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(reports, "facts", full)
    monkeypatch.setattr(reports, "as_data", lambda finding, seed: {"finding": {}})
    finding = SimpleNamespace(key=("B1", "output", "outside its bound", "lstm"))
    with pytest.raises(OSError, match="No space"):
        reports.write(tmp_path, cast(Any, SimpleNamespace(finding=finding)))
    assert list(tmp_path.iterdir()) == []


def test_what_was_lost_before_the_tests_fails_the_run_at_its_end():
    unsaved, session = Unsaved(cast(Any, SimpleNamespace(unfinished=[]))), SimpleNamespace(exitstatus=0)
    unsaved.session = cast(Any, session)
    unsaved.fail()
    session.exitstatus = 0  # as pytest sets it after the last test
    next(unsaved.pytest_sessionfinish())
    assert session.exitstatus == 4
