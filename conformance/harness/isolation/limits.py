"""Limits of time and memory for calls that do not return; and how the system says that a disk has no room."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress

try:
    import resource
except ImportError:  # where there is no such limit
    resource = None  # type: ignore[assignment]

CALL_LIMIT = 120.0
"""Seconds that one call may take by default; the slowest sound call took less than three."""

MOST_SECONDS_OF_A_CASE = 1800.0
"""A case of a command line that takes longer by its estimate has to be allowed; no drawn one came near it."""

NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)
"""How the system says that a file takes no more."""

IMPORT_LIMIT_SECONDS = 180.0
"""The time limit of an import, of torch or of a subject."""

SHORTEST_IMPORT_LIMIT_SECONDS = 30.0
"""The least that the import of a subject may take, whatever a call may: it may import more than torch."""


def of_import(call_limit: float) -> float:
    """The seconds that the import of a subject may take where a call may take so many, 0 for ever."""
    return min(IMPORT_LIMIT_SECONDS, max(SHORTEST_IMPORT_LIMIT_SECONDS, call_limit or IMPORT_LIMIT_SECONDS))


SMALLEST_MEMORY_BYTES = 4 * 2**30
"""Bytes that a process may always take beside what it has when its first test begins."""


def arm(limit: float) -> None:
    """The system ends this process in `limit` seconds, whatever it is doing then; 0 cancels that."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, limit)


def limit_memory(more: int) -> None:
    """Limits this process to `more` bytes of address space beyond its current size, if the system supports it."""
    if resource is None:
        return
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = [taken + more, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(wanted), hard))


def no_core_files() -> tuple[int, int] | None:
    """Has this process, and those that it starts, write no core file when they crash; returns what was set before."""
    if resource is None:
        return None
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
    return before


def allow_core_files(before: tuple[int, int] | None) -> None:
    """Sets again what `no_core_files` returned."""
    if resource is not None and before is not None:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def fair_share(processes: int) -> int:
    """Bytes of this machine's memory, or of the container's, that each of so many processes may take."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return SMALLEST_MEMORY_BYTES
    with suppress(OSError, ValueError), open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
        total = min(total, int(file.read()))  # no number where a container may take all
    return max(SMALLEST_MEMORY_BYTES, total // processes)
