"""The plugin of `--results`. A file of an earlier run says from the start on that this one did not end yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.checks import case_record
from conformance.harness.execution import module_call
from conformance.harness.execution.routes import CONSTRUCTOR
from conformance.harness.foreign_text import piece
from conformance.harness.pytest_plugin import crash_recovery
from conformance.harness.pytest_plugin.command_line import usage_error
from conformance.harness.pytest_plugin.output.report import Report
from conformance.harness.pytest_plugin.output.results import results_of
from conformance.results import files
from strategies.axes import DTYPES

UNFINISHED = "the run did not end"

SUFFIX = ".json"


class CallTimes:
    """Adds the time of each call of a case to the counts of its clause, cell, dtype and route; building is no call."""

    def __init__(self) -> None:
        self._place: tuple[str, str, str, str] | None = None
        self._began = 0.0

    def before(self, case: str, route: str) -> None:
        record = case_record.current()
        dtype = next((word for word in case.split() if word in DTYPES), "")
        is_call = bool(dtype) and route != CONSTRUCTOR
        self._place = (record.clause.id, record.cell, dtype, route) if is_call and record.clause else None
        self._began = time.perf_counter()

    def after(self) -> None:
        seconds = time.perf_counter() - self._began
        if self._place is not None:
            counts = case_record.current().run.recorder.judged_at(*self._place)
            counts.calls += 1
            counts.seconds += seconds


class ResultsFile:
    """Writes the results once the last test has ended, however the run ends, and before anything else is written."""

    def __init__(self, path: Path, report: Report, seed: str) -> None:
        self.path, self.report, self.seed = path, report, seed

    def write(self, unfinished: str = "") -> None:
        """Writes what is there. Raises OSError."""
        files.write(self.path, results_of(self.report, self.seed, unfinished))

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        yield
        try:
            self.write()
        except OSError as error:
            self.report.unfinished += [f"--results {piece(self.path)}: {error.strerror}; it is as it was"]
            session.exitstatus = session.exitstatus or pytest.ExitCode.USAGE_ERROR


def install(config: pytest.Config, report: Report) -> None:
    """Registers what --results needs in this process. Raises pytest.UsageError."""
    given: Any = config.option.results
    if given is None:
        return
    if not crash_recovery.is_controller(config):
        times = CallTimes()
        module_call.tell(times)
        config.add_cleanup(lambda: module_call.tell_no_more(times))
    if hasattr(config, "workerinput"):
        return
    path = config.invocation_params.dir / given
    written = ResultsFile(path, report, config.option.hypothesis_seed or "")
    if path.suffix != SUFFIX:
        raise usage_error(f"--results {piece(given)}: the name of the file ends in {SUFFIX}")
    is_new = not path.exists()
    try:
        written.write(UNFINISHED)
        if is_new:  # a worker takes the word after --results for a test if there is such a file
            path.unlink()
    except OSError as error:
        raise usage_error(f"--results {piece(given)}: {error.strerror}; name a file that can be written") from None
    config.pluginmanager.register(written, "conformance-results")
