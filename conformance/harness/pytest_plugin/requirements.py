"""What must be there before anything runs: packages, replaceable workers, subjects that can be imported."""

from __future__ import annotations

import importlib.metadata
import sys
import threading
from collections.abc import Sequence
from typing import Any

from conformance.harness.foreign_text import piece, said_by, say
from conformance.harness.pytest_plugin.command_line import usage_error

OLDEST = {"torch": "2.0", "hypothesis": "6.149", "numpy": "1.26", "packaging": "21"}
REMEDY = {"torch": "pip install torch==2.13.0 (or the release that you want judged)"}


def require_packages() -> None:
    """Says in one line which package is missing or too old. Raises pytest.UsageError."""
    if sys.flags.optimize:
        raise usage_error("Python leaves out assertions: unset PYTHONOPTIMIZE, and leave out -O and -OO")
    for name, oldest in reversed(OLDEST.items()):
        remedy = REMEDY.get(name, "pip install -e .")
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise usage_error(f"{name} is not installed: {remedy}") from None
        if name == "packaging":
            continue
        if _is_older(found, oldest):
            raise usage_error(f"{name} {piece(found)} is too old, {oldest} or newer is needed: {remedy}")
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        raise usage_error(f"torch cannot be imported ({said_by(error)}): {REMEDY['torch']}") from None


def _is_older(found: str, oldest: str) -> bool:
    """Whether a release is older than another. A build of one's own may have a version that is none: it is taken."""
    from packaging.version import InvalidVersion, Version

    try:
        return Version(found) < Version(oldest)
    except (InvalidVersion, TypeError):
        return False


MOST_DIGITS = 40
"""The most digits of a seed."""


def require_options_of_hypothesis(given: Any) -> None:
    """Refuses what Hypothesis's own options cannot be here. Raises pytest.UsageError."""
    if not hasattr(given, "hypothesis_seed"):
        raise usage_error("Hypothesis's pytest plugin is needed: leave out -p no:hypothesispytest")
    seed = given.hypothesis_seed
    if seed is not None and not (seed.isascii() and seed.isdecimal() and len(seed) <= MOST_DIGITS):
        raise usage_error(
            f"--hypothesis-seed: a whole number of at most {MOST_DIGITS} digits, not '{piece(seed)}'; leave it "
            "out for one that is drawn"
        )
    if given.hypothesis_profile:
        raise usage_error("--hypothesis-profile: --effort says how many cases are drawn; leave the profile out")


def require_workers_that_can_be_replaced(dist: str) -> None:
    """Refuses the ways to share out tests with which a crash loses some. Raises pytest.UsageError."""
    from conformance.harness.pytest_plugin.crash_recovery import REPLACING

    if dist not in REPLACING:
        raise usage_error(
            f"--dist {dist}: tests are lost with it where a worker crashes; use --dist load (-n alone) or worksteal"
        )


SECONDS_IN_SILENCE = 5.0
"""An import that takes longer is announced."""


def require_import_to_return(subjects: Sequence[str], call_limit: float) -> None:
    """Imports the subjects in a child, where it ends nothing but that. Raises pytest.UsageError."""
    from conformance.harness.isolation import limits, worker_process

    said = f"conformance: importing {piece(', '.join(subjects))}, {limits.of_import(call_limit):g} s at most"
    waiting = threading.Timer(SECONDS_IN_SILENCE, lambda: say(said, sys.stderr))
    waiting.daemon = True
    waiting.start()
    try:
        worker_process.pool().limit = call_limit
        if why := worker_process.pool().refusal_of_import(subjects):
            raise usage_error(f"--subject {why}")
    finally:
        waiting.cancel()
