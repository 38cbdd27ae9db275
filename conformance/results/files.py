"""Results files: written whole or not at all, and read as data alone."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from conformance.harness.findings.rendering import LONGEST_COMMAND
from conformance.harness.foreign_text import one_line
from conformance.results.document import SCHEMA, Results

MOST_BYTES = 64 * 2**20
"""The largest file that is read; a run writes about one megabyte."""

LONGEST_TEXT = LONGEST_COMMAND
"""The most characters of a text; a run cuts all but commands to fewer."""

MOST_COUNT = 2**63 - 1
"""The largest whole number that is read."""

AGAIN = "write it again with pytest --results"


class ResultsError(ValueError):
    """A results file that cannot be used: one line that names the file, the place in it and the remedy."""


def write(path: Path, results: Results) -> None:
    """Writes a results file; a reader finds the one before or this one. Raises OSError."""
    write_text(path, json.dumps(asdict(results), indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole; a reader finds the one before or this one. Raises OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "x", encoding="utf-8") as file:
            file.write(text)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> Results:
    """The results in a file. Raises ResultsError."""
    try:
        data = json.loads(_text(path), parse_constant=_no_number)
        if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
            raise ResultsError(f"no results of this suite; {AGAIN}")
        if data["schema"] > SCHEMA:
            raise ResultsError(f"schema: {data['schema']} is newer than {SCHEMA}, which this suite reads; update it")
        results: Results = _read(data, Results, "")
        if results.schema != SCHEMA:
            raise ResultsError(f"schema: {results.schema} is not {SCHEMA}; {AGAIN}")
    except ResultsError as error:
        raise ResultsError(f"{one_line(str(path))}: {error}") from None
    except (ValueError, RecursionError) as error:  # no JSON, or none that ends
        raise ResultsError(f"{one_line(str(path))}: {one_line(str(error))}; {AGAIN}") from None
    return results


def _text(path: Path) -> str:
    """The text of a regular file. Raises ResultsError, UnicodeDecodeError."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            told = os.fstat(file.fileno())
            if not stat.S_ISREG(told.st_mode):
                raise ResultsError("no regular file; give the path of a results file")
            if told.st_size > MOST_BYTES:
                raise ResultsError(f"{told.st_size:,} bytes, up to {MOST_BYTES:,} are read; {AGAIN}")
            return file.read(MOST_BYTES).decode()
    except OSError as error:
        raise ResultsError(f"{error.strerror}; give the path of a results file") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _read(data: Any, kind: Any, place: str) -> Any:
    """`data` as a value of this type. Raises ResultsError, which names the place."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _read_object(_checked(data, dict, place), kind, place)
    if origin is tuple:
        items = enumerate(_checked(data, list, place))
        return tuple(_read(value, inner[0], f"{place}[{at}]") for at, value in items)
    if origin is dict:
        items = _checked(data, dict, place).items()
        return {_checked(name, str, place): _read(value, inner[1], f"{place}.{_short(name)}") for name, value in items}
    if origin is Literal:
        if data not in inner:
            raise ResultsError(f"{place}: {_short(data)!r} is none of {', '.join(inner)}; {AGAIN}")
        return data
    return _checked(data, kind, place)


def _read_object(data: dict[str, Any], kind: Any, place: str) -> Any:
    types = get_type_hints(kind)
    names = [one.name for one in fields(kind) if one.name in data or one.default is MISSING]
    if extra := [name for name in data if name not in types]:
        raise ResultsError(f"{_at(place, extra[0])}: no such key; {AGAIN}")
    if missing := [name for name in names if name not in data]:
        raise ResultsError(f"{_at(place, missing[0])}: is missing; {AGAIN}")
    return kind(**{name: _read(data[name], types[name], _at(place, name)) for name in names})


def _at(place: str, name: str) -> str:
    return f"{place}.{_short(name)}" if place else _short(name)


def _short(value: object) -> str:
    return one_line(str(value), 60)


def _checked(data: Any, kind: Any, place: str) -> Any:
    """`data`, which is of this type, finite, not negative and printable. Raises ResultsError."""
    is_number = isinstance(data, int | float) and not isinstance(data, bool)
    if kind is float and is_number:
        if not 0 <= data <= sys.float_info.max:
            raise ResultsError(f"{place}: {_short(data)} is no finite number from 0 on; {AGAIN}")
        return float(data)
    if type(data) is not kind:
        raise ResultsError(f"{place}: a {kind.__name__} belongs here, not a {type(data).__name__}; {AGAIN}")
    if kind is int and not 0 <= data <= MOST_COUNT:
        raise ResultsError(f"{place}: {_short(data)} is {'negative' if data < 0 else 'too large'}; {AGAIN}")
    if kind is str and not (data.isprintable() and len(data) <= LONGEST_TEXT):
        raise ResultsError(f"{place}: a text that is too long or has control characters; {AGAIN}")
    return data
