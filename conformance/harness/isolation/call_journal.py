"""The call at hand, in a file that outlives the process: which test, which case, and whether it is inside the subject.

One record of fixed size for each process, written through a memory map, so that the system keeps it however the process
ends. Its owner holds a lock on it while it lives. Its file has all its blocks from the start: a map's write to a block
that a full disk lacks ends the process by SIGBUS. `call_watcher` reads it to end a process whose call does not return.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import stat
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # where files have no locks of this kind every record counts as left behind
    fcntl = None  # type: ignore[assignment]

SIZE = 8192
SUFFIX = ".box"

_RESERVED = ".reserved"
_FOUND = ".found"
_CANNOT_ALLOCATE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems answer that fill files in no other way than by writing."""

_MAGIC = b"box1"
_HEAD = struct.Struct("<4sIQ")
_LATE = struct.Struct("<Q")
_LATE_AT = _HEAD.size - _LATE.size
_TEST = struct.Struct("<I")
_CALL = struct.Struct("<QIId")
_TEST_AT, _CALL_AT = 64, 2048
_MOST_TEST, _MOST_CALL = _CALL_AT - _TEST_AT - _TEST.size, SIZE - _CALL_AT - _CALL.size


@dataclass(frozen=True)
class Record:
    """What a process wrote last: its test as plain data ({} between tests), its last call, and whether that came back.

    calls counts those that were begun. limit: seconds that the last one may take, 0 for ever; late: whether the process
    was ended because it took longer.
    """

    pid: int
    calls: int
    inside: bool
    case: str
    route: str
    test: Mapping[str, Any] = field(default_factory=dict)
    limit: float = 0.0
    late: bool = False


class CallJournal:
    """This process's record. `limit`: seconds that a call may take before the process is ended; 0 for ever.

    Raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path, limit: float = 0.0) -> None:
        self.path, self.limit, self.calls = path, limit, 0
        unlocked = path.with_suffix(_RESERVED)  # readers find this record locked or not at all
        if not unlocked.exists() or unlocked.stat().st_size != SIZE:
            reserve(path)
        self._file = open(unlocked, "r+b")  # noqa: SIM115  (open as long as the process lives: the lock is on it)
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._map = mmap.mmap(self._file.fileno(), SIZE)
        _HEAD.pack_into(self._map, 0, _MAGIC, os.getpid(), 0)
        unlocked.replace(path)

    def begin(self, test: Mapping[str, Any]) -> None:
        """A test begins, with this description; {} ends it."""
        text = json.dumps(dict(test)).encode() if test else b""
        text = text if len(text) <= _MOST_TEST else b""
        _CALL.pack_into(self._map, _CALL_AT, self.calls, 0, 0, self.limit)
        _TEST.pack_into(self._map, _TEST_AT, len(text))
        self._map[_TEST_AT + _TEST.size : _TEST_AT + _TEST.size + len(text)] = text

    def before(self, case: str, route: str) -> None:
        """A call into the subject begins."""
        text = f"{route}\n{case}".encode()[:_MOST_CALL]
        self.calls += 1
        start = _CALL_AT + _CALL.size
        self._map[start : start + len(text)] = text
        _CALL.pack_into(self._map, _CALL_AT, self.calls, 1, len(text), self.limit)

    def after(self) -> None:
        """The call came back."""
        self._map[_CALL_AT + 8] = 0

    def close(self) -> None:
        """Removes the record, at the normal end of the process."""
        self._map.close()
        self._file.close()
        self.path.unlink(missing_ok=True)


_IS_NO_TEXT = ("drawn",)
"""The entries of a test's description that are true or false; all others are texts."""


def reserve(path: Path) -> None:
    """Gives the record of this path its room on the disk, for the process that will write it. Raises OSError."""
    reserved = path.with_suffix(_RESERVED)
    try:
        with open(reserved, "wb") as file:
            _fill(file.fileno())
    except OSError:
        reserved.unlink(missing_ok=True)
        raise


def _fill(number: int) -> None:
    """Gives an open file its blocks. Raises OSError."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(number, 0, SIZE)
        except OSError as error:
            if error.errno not in _CANNOT_ALLOCATE:
                raise
        else:
            return
    left = SIZE
    while left:
        left -= os.write(number, bytes(left))


def read(path: Path) -> Record | None:
    """The record in a file, or None if it has none."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            data = file.read(SIZE + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return None
    if len(data) != SIZE or not data.startswith(_MAGIC):
        return None
    _, pid, late = _HEAD.unpack_from(data)
    calls, inside, length, limit = _CALL.unpack_from(data, _CALL_AT)
    text = data[_CALL_AT + _CALL.size :][:length].decode(errors="replace")
    route, _, case = text.partition("\n")
    (length,) = _TEST.unpack_from(data, _TEST_AT)
    try:
        test = json.loads(data[_TEST_AT + _TEST.size :][:length] or b"{}")
    except (ValueError, RecursionError):
        return None
    if not _is_description(test):
        return None
    return Record(pid, calls, bool(inside or late), case, route, test, limit, bool(late))


def mark_late(path: Path, call: int) -> None:
    """Writes down that the owner of a record is ended because this call of it did not return.

    One that returns just then was late all the same; the record may then show the call after it.
    """
    with open(path, "r+b") as file:
        file.seek(_LATE_AT)
        file.write(_LATE.pack(call))


def _is_description(test: Any) -> bool:
    """Whether a process can have written this of its test: {} between tests."""
    if not isinstance(test, dict):
        return False
    kinds = {name: bool if name in _IS_NO_TEXT else str for name in test}
    return all(type(test[name]) is kind for name, kind in kinds.items())


def left_behind(folder: Path) -> tuple[list[Record], list[Path]]:
    """The records in a folder whose owners died, oldest first, and the files that hold none; they are all removed."""
    found, others = list[Record](), list[Path]()
    for path in sorted(folder.glob("*" + SUFFIX), key=_age):
        if not is_held(path):
            record = read(path)
            with suppress(OSError):  # of another user: it is read again by the next run
                path.unlink(missing_ok=True)
                found_beside(path).unlink(missing_ok=True)
            found += [record] if record is not None else []
            others += [path] if record is None else []
    return found, others


def found_beside(journal: Path) -> Path:
    """Where the process that writes a journal keeps what it found, as printable text, should it end before it says
    so."""
    return journal.with_name(journal.name + _FOUND)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def is_held(path: Path) -> bool:
    """Whether the process that writes the record is alive."""
    if fcntl is None:
        return False
    try:
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
