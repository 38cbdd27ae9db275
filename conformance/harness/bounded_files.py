"""Files that users name: only regular ones that are not too large are opened, for others may never end."""

from __future__ import annotations

import stat
from pathlib import Path

LARGEST_FILE = 1_000_000
"""The most bytes of a file that is read as text."""


class NotBounded(ValueError):
    """A file that is not opened; the text says why."""


def text_of(path: Path) -> str:
    """The text of a file. Raises NotBounded, OSError and UnicodeDecodeError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise NotBounded("not a regular file")
    if found.st_size > LARGEST_FILE:
        raise NotBounded(f"larger than {LARGEST_FILE:,} bytes")
    return path.read_text(encoding="utf-8")
