"""No entry of known.toml is idle: without it, its stored case is a new finding of its clause and severity."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conformance.clauses import RED
from conformance.harness.execution import machine
from conformance.harness.findings.known import SHIPPED, load
from conformance.harness.replay import shown

ROOT = Path(__file__).parents[4]

CONCERNED = tuple(entry for entry in load(SHIPPED) if entry.concerns(torch.__version__, machine.cpu_flags()))
"""The deviations of this PyTorch on this machine."""

FIRST = {entry.clause: entry for entry in reversed(CONCERNED)}.values()
"""One of each clause."""


def idle(entry, known):
    """Why the run finds the same whether it knows this deviation or not; "" where it does not."""
    others = tuple(one for one in known if one is not entry)
    if entry.id not in [finding.known for finding in shown(entry, known)]:
        return f"{entry.id} covers nothing that its stored case shows"
    new = [finding for finding in shown(entry, others) if finding.signature == entry.signature and not finding.known]
    if [finding.severity for finding in new] != [entry.severity]:
        return f"without {entry.id} there is no new {entry.severity} finding of {entry.clause}"
    return ""


@pytest.mark.parametrize("entry", FIRST, ids=lambda entry: entry.id)
def test_deviation_without_its_entry_is_new(entry):
    assert idle(entry, CONCERNED) == ""


@pytest.mark.thorough(reason="the stored cases of all entries take half a minute")
@pytest.mark.parametrize("entry", CONCERNED, ids=lambda entry: entry.id)
def test_every_deviation_without_its_entry_is_new(entry):
    assert idle(entry, CONCERNED) == ""


def test_entry_that_another_covers_is_named():
    entry = next(one for one in CONCERNED if one.severity == RED)
    twin = replace(entry, id="twin")
    assert idle(entry, (entry, twin)) == f"without {entry.id} there is no new red finding of {entry.clause}"
    assert idle(twin, (entry, twin)) == "twin covers nothing that its stored case shows"
    assert idle(replace(entry, severity="remark"), (entry,)) != ""


LACKING = """
from pathlib import Path

from conformance.harness.findings import known

known.SHIPPED = Path(__file__).with_name("others.toml")
"""


@pytest.mark.thorough(reason="a run of its own, whose child imports torch too")
def test_main_job_without_an_entry_is_red_and_writes_a_report(tmp_path):
    gone = "unpad-sequence-transposes-its-argument"
    texts = SHIPPED.read_text(encoding="utf-8").split("[[deviation]]")
    others = [text for text in texts if f'id = "{gone}"' not in text]
    assert len(others) == len(texts) - 1
    (tmp_path / "others.toml").write_text("[[deviation]]".join(others), encoding="utf-8")
    (tmp_path / "lacking.py").write_text(LACKING)
    (entry,) = (one for one in CONCERNED if one.id == gone)
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "lacking", "-p", "no:cacheprovider", "--effort", "smoke"]
    command += ["-k", f"{entry.test} or test_known", "--reports", str(tmp_path / "reports")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"\nRED  {entry.clause}  " in done.stdout
    (folder,) = (tmp_path / "reports").iterdir()
    finding = json.loads((folder / "case.json").read_text())["finding"]
    assert (finding["clause"], finding["field"], finding["kind"]) == entry.signature
