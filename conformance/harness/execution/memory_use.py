"""How much memory this process holds, and what is added to it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

STATUS = Path("/proc/self/smaps_rollup")
"""Where Linux, from 4.14 on, says what a process holds, page by page. `statm` may be off by megabytes on many cores."""

COUNTED = ("Anonymous:", "Swap:")
"""The lines that count: memory of the process's own. Files, such as libraries, are read whenever the system likes."""


def held() -> int:
    """Bytes that this process holds, without what the allocator keeps of freed memory."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    lines = [line.split() for line in STATUS.read_text(encoding="ascii").splitlines()]
    return sum(int(line[1]) * 1024 for line in lines if line[0] in COUNTED)


def added_by_each(count: int, work: Callable[[], None]) -> tuple[int, ...]:
    """Bytes that this process holds more, or less, after each of so many times of `work`.

    Where the system does not tell what a process holds, nothing is done, and () returned.
    """
    if not STATUS.exists():
        return ()
    is_frozen = gc.get_freeze_count() > 0
    if not is_frozen:
        gc.freeze()  # what is there already is not searched for garbage each time
    try:
        levels = [held()]
        for _ in range(count):
            work()
            levels.append(held())
    finally:
        if not is_frozen:
            gc.unfreeze()
    return tuple(after - before for before, after in pairwise(levels))
