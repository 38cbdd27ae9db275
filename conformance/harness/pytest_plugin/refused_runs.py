"""What a worker of xdist says to its controller before any test: that it refuses the run, or what it was about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.foreign_text import MOST, one_line

RUN_FOLDER = "conformance_run"
"""Where a worker is told its run's folder: a key of xdist's workerinput."""

_REFUSED = ".refused"


def refuse(config: pytest.Config, why: str) -> None:
    """Has the controller end the run with one line, if this process is a worker that will end."""
    if (path := _own(config)) is not None:
        with suppress(OSError):  # then xdist says that the worker ended
            path.write_text(why, encoding="utf-8", errors="backslashreplace")


@contextmanager
def refused_if_it_ends(config: pytest.Config, why: str) -> Iterator[None]:
    """Refuses the run if this process, a worker, ends in the block; an exception of the block is no end."""
    refuse(config, why)
    try:
        yield
    finally:
        if (path := _own(config)) is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _own(config: pytest.Config) -> Path | None:
    """Where this process refuses; None where it is no worker."""
    told = getattr(config, "workerinput", {})
    return _of(Path(told[RUN_FOLDER]), told["workerid"]) if RUN_FOLDER in told else None


def _of(folder: Path, worker: str) -> Path:
    return folder / (worker + _REFUSED)


class Heeding:
    """In the controller: ends the run when a worker refuses it, which any other worker would do too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        try:
            why = _of(self.folder, node.gateway.id).read_text(encoding="utf-8")
        except OSError:
            return
        if error is not None:
            pytest.exit(one_line(why, MOST), returncode=int(pytest.ExitCode.USAGE_ERROR))
