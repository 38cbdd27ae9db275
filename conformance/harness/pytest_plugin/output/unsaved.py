"""Files that cannot be written at the end of a run, such as on a full disk: one line, and the summary all the same."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

import pytest

from conformance.harness.foreign_text import one_line, say
from conformance.harness.isolation.limits import NO_ROOM
from conformance.harness.pytest_plugin.output.report import Report


class Unsaved:
    """Takes what other plugins raise who cannot write their files, and what the terminal's file raises."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.session: pytest.Session | None = None
        self._has_failed = False

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.session = session
        terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")
        writer: Any = getattr(terminal, "_tw", None)
        if hasattr(writer, "_file"):
            writer._file = _Output(writer._file, self)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        if self._has_failed:  # before pytest set its own exit status
            self.fail()
        try:
            return (yield)
        except OSError as error:
            name = one_line(error.filename or f"a file of {_writer(error.__traceback__)}")
            self.report.unfinished += [f"UNSAVED {name}: {one_line(error.strerror or str(error))}"]
            self.fail()
            return []

    def fail(self) -> None:
        """Has the run end with the exit status of what cannot be done as asked, if it has no other."""
        self._has_failed = True
        if self.session is not None:
            self.session.exitstatus = self.session.exitstatus or pytest.ExitCode.USAGE_ERROR


class _Output:
    """The terminal's file, and standard error for what it does not take."""

    def __init__(self, file: TextIO, unsaved: Unsaved) -> None:
        self._file, self._unsaved, self._is_full = file, unsaved, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        if not self._is_full:
            try:
                return self._file.write(text)
            except OSError as error:
                self._give_up(error)
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        if not self._is_full:
            try:
                self._file.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Says once, where it can be seen, that the output goes elsewhere. Raises errors of another kind."""
        if error.errno not in NO_ROOM:
            raise error
        self._is_full = True
        self._unsaved.fail()
        atexit.register(_discard_output)
        with suppress(OSError):
            say(f"conformance: the output cannot be written: {error.strerror}; the rest is here", sys.stderr)


def _discard_output() -> None:
    """Python writes what is left of the output as it ends, and would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _writer(traceback: TracebackType | None) -> str:
    """The module that raised: it is not this suite's."""
    name = ""
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        name = name if module.partition(".")[0] in sys.stdlib_module_names else module
        traceback = traceback.tb_next
    return name


def install(config: pytest.Config, report: Report) -> None:
    """Registers it where the summary is written."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Unsaved(report), "conformance-unsaved")
