"""Known deviations: read from known.toml, matched against findings, replayed from their stored case.

An entry's `where` is data, never evaluated: field = value, a list of values, or a comparison such as ">=2".
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from conformance.clauses import AMBER, CLAUSES, RED, REMARK
from conformance.harness import bounded_files
from conformance.harness.findings.known_values import permitted
from conformance.harness.findings.recorder import Finding
from conformance.harness.foreign_text import MOST, one_line, piece
from strategies import Case, CaseError, parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).parents[2] / "known.toml"

REQUIRED = ("id", "severity", "clause", "field", "kind", "test", "case", "torch", "tracker")
TEXTS = ("elsewhere", "with_cpu_flag", "without_cpu_flag", "note", "owner", "reason")
NAN = "nan"
OPTIONAL = ("where", "expires", "also", *TEXTS)

Signature = tuple[str, str, str]
"""Clause, field and kind."""


class KnownError(ValueError):
    """A file of known deviations that cannot be read; the message gives the place and the remedy."""


@dataclass(frozen=True)
class Known:
    """A deviation that was reported, or searched for and not found.

    clause, field, kind       a finding's signature
    also                      further signatures of the same defect
    test, case                the property's name and its smallest case, empty where the property draws none
    torch                     the releases that have it (PEP 440)
    where                     narrows it to fields of a case, or to a cell, dtype or route
    tracker                   a link, or the words that were searched
    elsewhere                 "nan": what is NaN in findings of any signature is of it too, narrowed in the same way
    with_cpu_flag             it occurs only on processors that report this one
    without_cpu_flag          it occurs only on processors that report their flags and lack this one
    owner, reason             who waives it, and why
    expires                   the last day (UTC) on which it is waived; None for ever
    """

    id: str
    severity: str
    clause: str
    field: str
    kind: str
    test: str
    case: str
    torch: str
    tracker: str
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    elsewhere: str = ""
    with_cpu_flag: str = ""
    without_cpu_flag: str = ""
    note: str = ""
    owner: str = ""
    reason: str = ""
    expires: date | None = None
    also: tuple[Signature, ...] = ()

    @property
    def signature(self) -> Signature:
        """A finding's signature."""
        return (self.clause, self.field, self.kind)

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """Every signature that findings of it have."""
        return (self.signature, *self.also)

    def concerns(self, release: str, cpu_flags: Collection[str]) -> bool:
        """Whether a PyTorch of this version has it on a processor with these flags."""
        if self.with_cpu_flag and self.with_cpu_flag not in cpu_flags:
            return False
        if self.without_cpu_flag and (not cpu_flags or self.without_cpu_flag in cpu_flags):
            return False
        return SpecifierSet(self.torch).contains(version_of(release).base_version, prereleases=True)

    def is_expired(self, day: date) -> bool:
        """Whether it covers nothing any more on this day."""
        return self.expires is not None and day > self.expires

    @property
    def waiver(self) -> str:
        """`waived until 2026-12-31 by ana: we move to 2.16 in January`; "" where nothing of it is said."""
        until = f" until {self.expires.isoformat()}" if self.expires is not None else ""
        by = f" by {self.owner}" if self.owner else ""
        because = f": {self.reason}" if self.reason else ""
        return one_line(f"waived{until}{by}{because}", MOST) if until or by or because else ""


NEWER_THAN_ALL = Version("9999")
"""What a PyTorch is taken for whose version is none, as that of a build of one's own may be."""


def version_of(release: str) -> Version:
    """A PyTorch's version as one that can be compared."""
    try:
        return Version(release)
    except InvalidVersion:
        return NEWER_THAN_ALL


def today() -> date:
    """The day in UTC."""
    return datetime.now(timezone.utc).date()


def load(path: Path) -> tuple[Known, ...]:
    """The entries of a file. Raises KnownError."""
    shown = piece(path)
    try:
        data = tomllib.loads(bounded_files.text_of(path))
    except OSError as error:
        raise KnownError(f"{shown}: {error.strerror}; name a file of known deviations") from None
    except bounded_files.NotBounded as refused:
        raise KnownError(f"{shown}: {refused}; name a file of known deviations") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "its values lie too deep in one another" if isinstance(error, RecursionError) else one_line(str(error))
        raise KnownError(f"{shown}: {why}; see conformance/known.toml for the form") from None
    entries = data.get("deviation", [])
    if not isinstance(entries, list) or set(data) - {"deviation"}:
        raise KnownError(f"{shown}: a file of known deviations has [[deviation]] tables and nothing else")
    known = tuple(_entry(path, n, entry) for n, entry in enumerate(entries, 1))
    if len({entry.id for entry in known}) != len(known):
        raise KnownError(f"{shown}: two entries have the same id; give one another")
    return known


def _entry(path: Path, number: int, entry: Any) -> Known:
    where = f"{piece(path)}: entry {number}"
    if not isinstance(entry, dict):
        raise KnownError(f"{where} is not a table; write it as [[deviation]]")
    if missing := [name for name in REQUIRED if not isinstance(entry.get(name), str)]:
        raise KnownError(f"{where} lacks {missing[0]} (text); an entry has {', '.join(REQUIRED)}")
    where = f"{where}, {piece(entry['id'])}"
    if extra := set(entry) - {*REQUIRED, *OPTIONAL}:
        raise KnownError(f"{where}: no such key: {piece(min(extra))}; leave it out")
    if entry["clause"] not in CLAUSES or entry["severity"] not in (RED, AMBER, REMARK):
        raise KnownError(f"{where}: clause is one of {', '.join(CLAUSES)}; severity red, amber or remark")
    try:
        SpecifierSet(entry["torch"])
        if entry["case"]:
            parse(entry["case"])
        narrowed = _narrowed(entry.get("where", {}))
        expires = _date(entry.get("expires"))
        also = _signatures(entry.get("also", []))
    except InvalidSpecifier as error:
        raise KnownError(f'{where}: {one_line(str(error))}; releases are written as ">=2.0,<2.4"') from None
    except (CaseError, ValueError) as error:
        raise KnownError(f"{where}: {error}") from None
    texts = {name: str(entry.get(name, "")) for name in TEXTS}
    if texts["elsewhere"] not in ("", NAN):
        raise KnownError(f'{where}: elsewhere is "{NAN}" or left out')
    return Known(**{name: entry[name] for name in REQUIRED}, where=narrowed, expires=expires, also=also, **texts)


def _signatures(value: Any) -> tuple[Signature, ...]:
    """Further signatures. Raises ValueError."""
    rows = value if isinstance(value, list) else [value]
    for row in rows:
        is_three = isinstance(row, list) and len(row) == 3 and all(isinstance(text, str) for text in row)
        if not is_three or row[0] not in CLAUSES:
            raise ValueError('also is a list of signatures such as ["B2", "output", "outside its bound"]')
    return tuple((clause, field, kind) for clause, field, kind in rows)


def _date(value: Any) -> date | None:
    """The day that a date of TOML, or the text of one, means. Raises ValueError."""
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"expires is a day such as 2026-12-31, not '{piece(value)}'") from None


def _narrowed(where: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The fields that `where` narrows. Raises ValueError."""
    if not isinstance(where, dict):
        raise ValueError('where is a table such as { cell = "lstm" }')
    return tuple((name, _permitted(name, value)) for name, value in where.items())


def _permitted(name: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(permitted(name, one) for one in values)


def matching(known: Iterable[Known], finding: Finding, case: Case | None) -> str:
    """The id of the entry that `finding` is an instance of, or ""."""
    for entry in known:
        if _is_of(entry, finding) and _inside(entry, finding, case):
            return entry.id
    return ""


def _is_of(entry: Known, finding: Finding) -> bool:
    return finding.signature in entry.signatures if not entry.elsewhere else finding.shows_nan


def _inside(entry: Known, finding: Finding, case: Case | None) -> bool:
    for name, several in entry.where:
        if name in ("cell", "route", "dtype"):
            value = getattr(finding, name)
        elif case is None:
            return False
        else:
            value = getattr(case, name)
        if not admits(value, several):
            return False
    return True


def admits(value: object, permitted: Iterable[str]) -> bool:
    """Whether a value is one of those that a field of `where` permits."""
    return any(_equals(value, one) for one in permitted)


def _equals(value: object, permitted: str) -> bool:
    if permitted[:1] in ("<", ">", "!", "=") and isinstance(value, int):
        return SpecifierSet(permitted).contains(str(value))
    if isinstance(value, tuple):
        return permitted in value
    return str(value).lower() == permitted.lower()
