"""Every command ends quietly where the program that reads its output stops reading."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.__main__ import CUT_OFF
from conformance.harness.pytest_plugin.output.results import results_of
from conformance.results import files
from conformance.selftest.unit.results.examples import report

ROOT = Path(__file__).parents[3]

ANY = (
    "import sys; from conformance import __main__ as line; line.main = lambda _: print('said'); sys.exit(line.run([]))"
)
"""Any command that prints, as its output is written when it ends."""

LINE = "v1 lstm i1 h1 t1 float32 fill=dyadic"


def without_a_reader(*arguments):
    """The exit code and the errors of a Python whose output nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, env=buffered, stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    return done.returncode, done.stderr


def test_a_command_without_a_reader_ends_quietly():
    assert without_a_reader("-c", ANY) == (CUT_OFF, "")


def test_a_table_of_bisect_without_a_reader_ends_quietly():
    given = ["bisect", LINE, "--python", "/none/python", "/nothing/python"]
    assert without_a_reader("-m", "conformance", *given) == (CUT_OFF, "")


def test_a_comparison_without_a_reader_ends_quietly_and_with_no_verdict(tmp_path):
    path = tmp_path / "r.json"
    files.write(path, results_of(report(), seed="7"))
    assert without_a_reader("-m", "conformance", "compare", str(path), str(path)) == (CUT_OFF, "")


def test_a_wrong_argument_is_told_as_ever():
    code, said = without_a_reader("-m", "conformance", "compare", "a.json", "python3")
    assert (code, said.count("\n")) == (4, 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no file without room")
def test_a_command_whose_output_has_no_room_says_so_in_a_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", ANY], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    said = "python -m conformance: No space left on device: free some room, or write elsewhere\n"
    assert (done.returncode, done.stderr) == (4, said)
