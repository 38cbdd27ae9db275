"""Folders of a run among the system's temporary ones, which the next run removes where this one was killed.

The owner of a folder holds a lock on a file in it, which the system lets go however the owner ends. A folder is removed
where it certainly is one of these, of the same user, and nobody holds its lock.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # where files have no locks of this kind nothing is removed
    fcntl = None  # type: ignore[assignment]

PREFIX = "conformance-"

OWNER = "owner"
"""The file that the owner of a folder holds a lock on."""

_MARK = b"a folder of rnn-conformance, to be removed when its owner has ended\n"


class TemporaryFolder:
    """A folder of this process. `remove` ends it; so does the next run, if this process is killed before."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = -1
        try:
            self._own()
        except OSError:
            self.remove()
            raise

    def _own(self) -> None:
        unlocked = self.path / f".{OWNER}"  # others find the file locked or not at all
        self._lock = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(self._lock, _MARK)
        if fcntl is not None:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.replace(self.path / OWNER)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Removes the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):  # a second time
            os.close(self._lock)


def remove_left_behind() -> None:
    """Removes the folders of runs of this user that were killed."""
    with suppress(OSError):  # no such folder, or none that may be read
        for path in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
            if _is_left_behind(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_left_behind(path: Path) -> bool:
    """Whether this is a folder of this suite and user whose owner has ended."""
    if fcntl is None:
        return False
    try:
        if not (_is_own(path.lstat(), stat.S_ISDIR) and _is_own((path / OWNER).lstat(), stat.S_ISREG)):
            return False
        lock = os.open(path / OWNER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if os.read(lock, len(_MARK) + 1) != _MARK:
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its owner is alive
        return False
    finally:
        os.close(lock)
    return True


def _is_own(found: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Whether a place is this user's, and of this kind."""
    return is_kind(found.st_mode) and found.st_uid == os.getuid()
