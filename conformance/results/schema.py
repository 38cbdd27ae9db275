"""The form of a results file, or of another document, as a JSON schema and as tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from conformance.results.document import SCHEMA, Results

PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}
"""What JSON calls types."""


TITLE = "Results of a run of rnn-conformance"


def schema(kind: type = Results, version: int = SCHEMA, title: str = TITLE) -> dict[str, Any]:
    """The JSON schema of a results file, or of a document whose root is another dataclass."""
    definitions = {one.__name__: _object(one) for one in parts(kind)}
    root = definitions.pop(kind.__name__)
    root["properties"]["schema"] = {"const": version}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **root, "$defs": definitions}


def _object(kind: type) -> dict[str, Any]:
    types = get_type_hints(kind)
    properties = {
        one.name: _schema_of(types[one.name]) | {"description": one.metadata["says"]}
        for one in fields(kind)  # type: ignore[arg-type]
    }
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": properties,
        "required": [one.name for one in fields(kind) if one.default is MISSING],  # type: ignore[arg-type]
        "additionalProperties": False,
    }


def _schema_of(kind: Any) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _schema_of(get_args(kind)[0])}
    if get_origin(kind) is dict:
        return {"type": "object", "additionalProperties": _schema_of(get_args(kind)[1])}
    if is_dataclass(kind):
        return {"$ref": f"#/$defs/{kind.__name__}"}  # type: ignore[union-attr]
    return {"type": PLAIN[kind]}


def parts(kind: type = Results) -> Iterator[type]:
    """The dataclasses of a document, the whole first."""
    yield kind
    for inner in get_type_hints(kind).values():
        for one in (inner, *get_args(inner)):
            if is_dataclass(one):
                yield from parts(one)  # type: ignore[arg-type]


def tables(whole: type = Results) -> Iterator[str]:
    """The parts as tables in markdown, line by line."""
    for kind in dict.fromkeys(parts(whole)):
        types = get_type_hints(kind)
        yield from (f"## {kind.__name__}", "", " ".join((kind.__doc__ or "").split()), "")
        yield from ("| field | type | meaning |", "| --- | --- | --- |")
        for one in fields(kind):  # type: ignore[arg-type]
            yield f"| `{one.name}` | {_named(types[one.name])} | {one.metadata['says']} |"
        yield ""


def _named(kind: Any) -> str:
    """A type in words."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return f"list of {_named(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return f"object of {_named(get_args(kind)[1])}"
    return f"[{kind.__name__}](#{kind.__name__.lower()})" if is_dataclass(kind) else PLAIN[kind]  # type: ignore[union-attr]
