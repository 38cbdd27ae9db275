"""A state file: what a campaign counted, kept as JSON from call to call while nothing that it depends on changes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from conformance.harness.foreign_text import piece, said_by

ROOT = Path(__file__).resolve().parents[3]

SAVE_EVERY = 5.0
"""Seconds between two writes of the state file."""


class StateError(ValueError):
    """A state file that cannot be added to; the message is one line with the reason and the remedy."""


def sources_hash() -> str:
    """A hash of what decides cases and bounds: the code of reference and strategies, without that of their tests."""
    digest = hashlib.sha256()
    for folder in ("reference", "strategies"):
        for path in sorted((ROOT / folder).glob("*.py")):
            if not path.name.startswith(("test_", "testing")):
                digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@dataclass
class StateFile:
    """What counts depend on. A subclass has the counts, and a format of its own."""

    FORMAT: ClassVar[object]
    TERMS: ClassVar[tuple[str, ...]] = ("sources", "torch", "capability", "subject", "seed")
    """Fields that must be equal where counts are to add up."""

    sources: str
    torch: str
    capability: str
    subject: str
    seed: int

    def terms(self) -> str:
        """What the counts depend on, in words."""
        return ", ".join(f"{name} {getattr(self, name)}" for name in self.TERMS)

    def save(self, path: Path) -> None:
        """Writes the file in one piece: a reader sees the old or the new one. Raises OSError."""
        beside = path.with_name(path.name + f".{os.getpid()}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"format": self.FORMAT} | asdict(self), indent=0), encoding="utf-8")
        beside.replace(path)

    @classmethod
    def load(cls: type[S], path: Path) -> S:
        """Raises StateError for a file that no campaign of this format wrote."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("format") != cls.FORMAT:
                raise ValueError("another format")
            found = cls.from_json(data)
            found.require_types()
            return found
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise StateError(
                f"{piece(path)}: not the state of a campaign ({said_by(error)}); name another file"
            ) from None

    @classmethod
    def from_json(cls: type[S], data: dict[str, Any]) -> S:
        """The state that a file holds."""
        return cls(**data)

    def require_types(self) -> None:
        """Raises TypeError where what was read is not of the types that this is made of."""
        empty = type(self)("", "", "", "", 0)
        for each in fields(self):
            value, kind = getattr(self, each.name), type(getattr(empty, each.name))
            if type(value) is not kind:
                raise TypeError(f"{each.name} is no {kind.__name__}")
        for row in getattr(self, "rows", {}).values():
            _require_numbers(row)

    def add(self: S, other: S) -> None:
        """Takes what another run counted."""
        raise NotImplementedError


def _require_numbers(row: Any) -> None:
    """Raises TypeError where a row's counts are none."""
    for each in fields(row):
        value, usual = getattr(row, each.name), each.default
        if isinstance(usual, int | float) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeError(f"{each.name} of a row is no number")


S = TypeVar("S", bound=StateFile)


def resumed(path: Path, fresh: S) -> S:
    """The state in `path`, or `fresh` where there is no such file. Raises StateError where the two do not add up."""
    if not path.exists():
        return fresh
    found = type(fresh).load(path)
    if found.terms() != fresh.terms():
        raise StateError(f"{path}: counts {found.terms()}; now it is {fresh.terms()}: name another file")
    return found


def of_the_same_bounds(states: Iterable[S]) -> list[S]:
    """The states as a list. Raises StateError where they were counted under different bounds."""
    found = list(states)
    if len({state.sources for state in found}) > 1:
        raise StateError("the state files were counted under different bounds; their rows do not add up")
    return found


class Kept(Generic[S]):
    """A state that batches are added to; it is saved every few seconds and when interrupted."""

    def __init__(self, state: S, path: Path) -> None:
        self.state = state
        self.path = path
        self.saved = time.monotonic()

    def add_all(self, batches: Iterable[S]) -> None:
        """Adds every batch as it is done."""
        try:
            for done in batches:
                self.state.add(done)
                if time.monotonic() - self.saved > SAVE_EVERY:
                    self._save()
        finally:
            self._save()

    def told(self) -> str:
        """How far it is, in one line."""
        raise NotImplementedError

    def _save(self) -> None:
        self.state.save(self.path)
        self.saved = time.monotonic()
        print(self.told(), file=sys.stderr, flush=True)
