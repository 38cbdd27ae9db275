"""Ends a process whose call does not return, from outside of it.

The process that makes a call cannot end it: a thread of its own does not run while the call holds the interpreter's
lock, and the one timer that the system has for it belongs to whoever sets it last (pytest-timeout does). So each
process that makes calls has a helper, a Python without site packages, which reads its journal a few times a second: a
call that is still the same, and still inside the subject, after its limit is marked as late in the journal, and its
process is killed. Who reads the journal then knows that the call did not return. The helper ends with its process,
whose end closes a pipe.

Where a process has no other that speaks for it, the helper says in which call it ended, and what was found before.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from conformance.harness.isolation import call_journal

MOST_FOUND = 100_000
"""Characters that are shown of what a process found."""

LOOKS_PER_LIMIT = 20
SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.05, 0.5
"""How long the helper waits between two looks: a part of the limit, within these."""

_BEGIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from conformance.harness.isolation import call_watcher; call_watcher.watch(sys.argv[2], int(sys.argv[3]))"
)

_ROOT = Path(__file__).parents[3]

CAN_WATCH = os.name == "posix"
"""Whether a process can be ended whatever it is doing, and a pipe waited for with a limit."""


class CallWatcher:
    """The helper of this process, for the journal in a file. Raises OSError where no process can be begun.

    speaks: whether it says on standard error which call it ends.
    """

    def __init__(self, path: Path, speaks: bool = True) -> None:
        command = [sys.executable, "-I", "-S", "-c", _BEGIN, str(_ROOT), str(path), str(os.getpid())]
        errors = None if speaks else subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)

    def close(self) -> None:
        """Ends the helper."""
        self.process.kill()
        self.process.communicate()


def watch(path: str, pid: int) -> None:
    """Kills the process of this journal once a call takes too long; ends when that process does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # of the terminal: they end the process, not this one
        signal.signal(number, signal.SIG_IGN)
    call, spent, looked = 0, 0.0, time.monotonic()
    wait = LONGEST_WAIT_SECONDS
    while not _ended(wait) and os.getppid() == pid:
        record = call_journal.read(Path(path))
        now = time.monotonic()
        spent, looked = spent + min(now - looked, 2 * wait), now  # of a stop of both processes little counts
        if record is None or not record.inside or not record.limit or record.calls != call:
            call, spent = (record.calls, 0.0) if record is not None else (0, spent)
        elif spent > record.limit:
            call_journal.mark_late(Path(path), call)
            os.kill(pid, signal.SIGKILL)
            _say(Path(path), record, f"did not return within {record.limit:g} s")
            return
        limit = record.limit if record is not None and record.limit else LOOKS_PER_LIMIT * LONGEST_WAIT_SECONDS
        wait = min(LONGEST_WAIT_SECONDS, max(SHORTEST_WAIT_SECONDS, limit / LOOKS_PER_LIMIT))
    record = call_journal.read(Path(path))
    if record is not None and record.inside:
        _say(Path(path), record, "ended the process")


def _ended(seconds: float) -> bool:
    """Whether the other end of the pipe is closed; waits for it so long."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready)


def _say(journal: Path, record: call_journal.Record, how: str) -> None:
    """Says in which call the process ended, and what was found before: without xdist nothing else does."""
    what = ascii(record.case)[1:-1] or "a call"
    remedy = "; with -n 1 a run goes on after such a call" if record.test.get("nodeid") else ""
    with suppress(OSError):
        print(f"\nconformance: {what} {how}{remedy}", file=sys.stderr, flush=True)
        with open(call_journal.found_beside(journal), encoding="utf-8") as file:
            found = file.read(MOST_FOUND)
        print(
            "conformance: what was found before\n" + found.encode("ascii", "backslashreplace").decode(),
            file=sys.stderr,
            flush=True,
        )
