"""When a run is over, how long it waits for a call, and how its processes learn it.

Imported before torch is, so that its seconds count too.
"""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from conformance.harness.foreign_text import piece
from conformance.harness.isolation.limits import CALL_LIMIT
from conformance.harness.pytest_plugin.command_line import usage_error

BEGAN = time.time()
"""When this was imported."""

OF_THE_RUN = "conformance_run_ends_and_seed"
"""When the run is over, and its seed: a key of xdist's workerinput."""

SECONDS_TO_END = 3.0
"""The part of its time that a run keeps for its summary, or a tenth if that is less."""

LIKE_SECONDS = 120.0
"""The time of a run with --like, unless --time names another."""

FEWEST_CALL_LIMIT_SECONDS = 30.0
"""A run that ends after a time waits for a call a quarter of it, but so long at least."""

SHORTEST_CALL_LIMIT_SECONDS = 1.0
"""The least that --call-limit takes: a sound call may take some tenths of a second."""

LONGEST_SECONDS = 86_400
"""The most seconds that an option takes: a day."""


def seconds(text: str, option: str) -> float:
    """A number of seconds. Raises pytest.UsageError."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= LONGEST_SECONDS:
        raise usage_error(f"{option}: a number of seconds from 0 to {LONGEST_SECONDS}, not '{piece(text)}'")
    return number


def set_deadline(config: pytest.Config) -> None:
    """Sets the time of time.time() at which the run is over; workers have that and the seed of their controller."""
    given = config.option
    if hasattr(config, "workerinput"):
        given.deadline, given.hypothesis_seed = config.workerinput[OF_THE_RUN]
        return
    total = seconds_given(config)
    given.deadline = BEGAN + total - min(SECONDS_TO_END, total / 10) if total else math.inf
    if total and getattr(given, "maxschedchunk", 1) is None:
        given.maxschedchunk = 1  # so that what is not reached is the end of the order, not the end of a worker's share


def seconds_given(config: pytest.Config) -> float:
    """The time of the run, 0 for no limit. Raises pytest.UsageError."""
    given = config.option
    return seconds(given.time, "--time") if given.time is not None else LIKE_SECONDS if given.like else 0


def call_limit(config: pytest.Config) -> float:
    """The seconds that a call may take, 0 for no limit. Raises pytest.UsageError."""
    if (given := config.option.call_limit) is not None:
        limit = seconds(str(given), "--call-limit")
        if 0 < limit < SHORTEST_CALL_LIMIT_SECONDS:
            least = f"{SHORTEST_CALL_LIMIT_SECONDS:g} second at least, or 0 for no limit"
            raise usage_error(f"--call-limit: {least}, not '{piece(given)}'")
        return limit
    total = seconds_given(config)
    return min(CALL_LIMIT, max(FEWEST_CALL_LIMIT_SECONDS, total / 4)) if total else CALL_LIMIT


def tell_worker(node: Any) -> None:
    """Hands a worker when the run is over, and its seed."""
    node.workerinput[OF_THE_RUN] = (node.config.option.deadline, node.config.option.hypothesis_seed)
