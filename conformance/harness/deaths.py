"""Words for the ways in which a call ends with its process, and the limits that end one which would not end."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

try:
    import resource
except ImportError:  # where there is no such limit
    resource = None  # type: ignore[assignment]

CALL_LIMIT = 120.0
"""Seconds that one call may take unless --call-limit says otherwise; the slowest sound one took less than three."""

LEAST_MEMORY = 4 * 2**30
"""Bytes that a process may always take beside what it has when its first test begins."""

_BEGINNINGS = ("killed by ", "ended the process", "did not return")


class Died(Exception):
    """A call ended with its process, as the text says."""


def killed_by(number: int) -> str:
    """`killed by signal 11 (SIGSEGV)`"""
    try:
        return f"killed by signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"killed by signal {number}"


def late(limit: float) -> str:
    """What is said of a call that took more than `limit` seconds."""
    return f"did not return within {limit:g} s"


def of_exit(code: int | None, limit: float) -> str:
    """How a process ended during a call: its exit code, minus the signal's number, None where nobody knows."""
    if code is None:
        return "ended the process"
    if code >= 0:
        return f"ended the process with exit code {code}"
    return late(limit) if limit and -code == getattr(signal, "SIGALRM", None) else killed_by(-code)


def is_death(kind: str) -> bool:
    """Whether the kind of a failure or of a finding says that the call ended with its process."""
    return kind.startswith(_BEGINNINGS)


def arm(limit: float) -> None:
    """The system ends this process in `limit` seconds, whatever it is doing then; 0 takes that back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, limit)


def limit_memory(more: int) -> None:
    """Lets this process take so many more bytes of address space than it has, where the system has such a limit."""
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


def fair_share(processes: int) -> int:
    """Bytes of this machine's memory, or of the container's, that each of so many processes may take."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return LEAST_MEMORY
    with suppress(OSError, ValueError), open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
        total = min(total, int(file.read()))  # no number where a container may take all
    return max(LEAST_MEMORY, total // processes)
