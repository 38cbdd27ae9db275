"""A folder for a finding: a script that shows it, the facts for a report, and the finding as data."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conformance import SET_HERE
from conformance.harness.checks.case_record import Found
from conformance.harness.execution import machine
from conformance.harness.findings.recorder import Finding, Key
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.facts import facts
from conformance.harness.reports.scripts.script import CANNOT_RUN, WITH_DEFECT, needs, script

SCHEMA = 1
SCRIPT, FACTS, CASE = "repro.py", "facts.md", "case.json"
SECONDS = 40
"""How long a script may run before it counts as one that shows nothing."""

LONGEST_NAME = 60


def name_of(key: Key) -> str:
    """The name of a finding's folder: `B1-lstm-output-outside-its-bound`."""
    clause, field, kind, cell = key
    words = " ".join((clause, cell, field, kind))
    return re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")[:LONGEST_NAME].rstrip("-")


def write(parent: Path, found: Found, seed: str = "", also: Sequence[str] = ()) -> tuple[Path, str]:
    """Writes the folder of a finding under `parent`; returns it, and in words what its script did.

    A folder that tells of the same case already is left as it is; another of the same name is never overwritten. also:
    the other places of the same cause. Raises OSError.
    """
    data = as_data(found.finding, seed)
    for folder in _candidates(parent, found.finding):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # maybe made by another process just now
            if _told(folder) == data["finding"]:
                return folder, "was there already"
        else:
            break
    try:
        (folder / FACTS).write_text(facts(found, f"{SCRIPT} was not run to its end", also), encoding="utf-8")
        outcome = _write_script(folder / SCRIPT, found)
        (folder / FACTS).write_text(facts(found, outcome, also), encoding="utf-8")
        (folder / CASE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError:  # no room on the disk: half a report says nothing
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, outcome


def as_data(finding: Finding, seed: str) -> dict[str, Any]:
    """The finding as JSON, with what it was found on."""
    return {
        "schema": SCHEMA,
        "finding": json.loads(json.dumps(finding.to_json())),  # lists as they are read back
        "seed": seed,
        "subject": finding.subject,
        "torch": machine.torch_version(),
        "numpy": np.__version__,
        "machine": machine.describe(),
    }


def _candidates(parent: Path, finding: Finding) -> list[Path]:
    """The folder of this name, and with a number where others have it."""
    name = name_of(finding.key)
    return [parent / name, *(parent / f"{name}-{number}" for number in range(2, 1000))]


def _told(folder: Path) -> Any:
    """The finding that a folder tells of, or None."""
    try:
        return json.loads((folder / CASE).read_text(encoding="utf-8")).get("finding")
    except (OSError, ValueError, AttributeError):
        return None


def _write_script(path: Path, found: Found) -> str:
    """Writes the script and runs it; returns in words what it did. One that shows nothing says so in its first line."""
    try:
        text = script(found)
    except NoScript as reason:
        return f"no script: {reason}"
    path.write_text(f"# This script was not run to its end when it was written.\n{text}", encoding="utf-8")
    code = exit_code(path)
    if code == WITH_DEFECT:
        path.write_text(text, encoding="utf-8")
        return f"{SCRIPT} shows it: exit {code}"
    if code == CANNOT_RUN and (missing := needs(found)):
        return f"{SCRIPT} shows nothing, it needs {missing}"
    path.write_text(
        f"# This script did not show the defect when it was written: {_ended(code)}.\n{text}", encoding="utf-8"
    )
    return f"{SCRIPT} did not show it: {_ended(code)}"


def exit_code(path: Path) -> int | None:
    """How a script ends in a fresh interpreter, without settings of this suite; None if it does not end in time.

    Another subject's module may lie in the current folder, as it may for the command that found the subject there.
    """
    own = {*os.environ.get(SET_HERE, "").split(), SET_HERE}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (os.getcwd(), environment.get("PYTHONPATH"))))
    command = [sys.executable, path.name]
    try:
        done = subprocess.run(
            command, cwd=path.parent, env=environment, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode


def _ended(code: int | None) -> str:
    return f"it did not end within {SECONDS} s" if code is None else f"exit {code}"
