"""Other interpreters: which PyTorch each has, and children of it that make the calls.

They need torch and NumPy alone: cases are drawn, judged and told by this process.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from packaging.version import Version

from conformance.harness.execution.machine import Build
from conformance.harness.findings.known import version_of
from conformance.harness.foreign_text import MOST, one_line
from conformance.harness.isolation import limits
from conformance.harness.isolation.worker_process import IMPORT_LIMIT_SECONDS, WorkerProcess

OLDEST_TORCH = "2.0"

PLACE = str(Path(__file__).parents[3])
"""Where other interpreters find this suite."""

_PROBE = """
import json, sys

def told():
    if sys.version_info < (3, 10):
        return {"cannot": "it is Python %d.%d; 3.10 or newer is needed" % sys.version_info[:2]}
    for name in ("numpy", "torch"):
        try:
            __import__(name)
        except Exception as error:
            return {"cannot": "it cannot import %s: %s" % (name, error)}
    from dataclasses import asdict
    from conformance.harness.execution import machine
    from conformance.harness.isolation import worker_main
    return {"build": asdict(machine.build())}

print(json.dumps(told()))
"""


class CannotRun(RuntimeError):
    """An interpreter that can make no call; one line that says why."""


def build_of(python: str) -> Build:
    """The PyTorch of an interpreter. Raises CannotRun."""
    environment = os.environ | _ENVIRONMENT
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], env=environment, capture_output=True, timeout=IMPORT_LIMIT_SECONDS, check=False
        )
    except OSError as error:
        raise CannotRun(f"it cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise CannotRun(f"it does not import torch within {IMPORT_LIMIT_SECONDS:g} s") from None
    try:
        said = json.loads(_last_line(done.stdout, MOST))
        cannot = "" if "build" in said else one_line(said["cannot"])
        build = None if cannot else Build(**said["build"] | {"devices": tuple(said["build"]["devices"])})
        too_old = build is not None and version_of(build.version.strip()) < Version(OLDEST_TORCH)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CannotRun(f"it ended with {done.returncode}: {_last_line(done.stderr)}") from None
    if build is None:
        raise CannotRun(cannot)
    if too_old:
        raise CannotRun(f"torch {build.version} is too old; {OLDEST_TORCH} or newer is needed")
    return build


_ENVIRONMENT = {"PYTHONPATH": PLACE}


def children(python: str) -> WorkerProcess:
    """Children of this interpreter, to be closed after use."""
    return WorkerProcess(python=python, environment=_ENVIRONMENT, memory=limits.fair_share(1))


def _last_line(output: bytes, most: int = 200) -> str:
    """The last line that was printed, as one line of text of at most so many characters."""
    lines = output.decode(errors="replace").strip().splitlines()
    return one_line(lines[-1], most) if lines else "nothing was said"
