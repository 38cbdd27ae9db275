"""Data between processes: a header in JSON, and behind it the arrays as raw bytes.

Every field of a dataclass travels, and a message with a field too many or too few is refused: none can be forgotten.
What is read is data: nothing of it is evaluated, and no pickle is opened.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, BinaryIO, ClassVar

import numpy as np

Json = Any

_LENGTHS = struct.Struct("<QQ")
_KINDS = "fiub"
"""Kinds of NumPy types that may travel: numbers and booleans."""


class Writer:
    """Makes one message. `shared`: objects that the reader also has; they are sent as references."""

    classes: ClassVar[Mapping[str, type]] = {}
    """The dataclasses that may travel, by name."""

    def __init__(self, shared: Sequence[object] = ()) -> None:
        self._shared = {id(one): place for place, one in enumerate(shared)}
        self._arrays: list[np.ndarray] = []
        self._places: dict[int, int] = {}

    def encoded(self, value: Any) -> Json:
        """A value as JSON, its arrays kept for `write`. Raises TypeError for what may not travel."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if id(value) in self._shared:
            return {"shared": self._shared[id(value)]}
        if isinstance(value, np.ndarray):
            return {"array": self._place(value)}
        if isinstance(value, tuple | list):
            return {type(value).__name__: [self.encoded(one) for one in value]}
        if isinstance(value, dict):
            return {"dict": {str(key): self.encoded(one) for key, one in value.items()}}
        if isinstance(value, slice):
            return {"slice": [value.start, value.stop, value.step]}
        if is_dataclass(value) and type(value).__name__ in self.classes:
            return {type(value).__name__: {f.name: self.encoded(getattr(value, f.name)) for f in fields(value)}}
        raise TypeError(f"{type(value).__name__} is no data that travels between processes")

    def _place(self, array: np.ndarray) -> int:
        """The place of an array in the message; each is sent once, however often it is named."""
        if id(array) not in self._places:
            self._places[id(array)] = len(self._arrays)
            self._arrays.append(array)
        return self._places[id(array)]

    def write(self, stream: BinaryIO, header: dict[str, Json]) -> None:
        """The message: two lengths, the header, the arrays' bytes."""
        arrays = [[array.dtype.str, list(array.shape)] for array in self._arrays]
        text = json.dumps(header | {"arrays": arrays}).encode()
        body = b"".join(np.ascontiguousarray(array).tobytes() for array in self._arrays)
        stream.write(_LENGTHS.pack(len(text), len(body)) + text + body)
        stream.flush()


class Reader:
    """One message that was read: `header`, and what its parts stand for."""

    classes: ClassVar[Mapping[str, type]] = {}
    """The dataclasses that may travel, by name."""

    def __init__(self, stream: BinaryIO) -> None:
        """Reads the next message. Raises EOFError where it ends before it is complete, ValueError where it is none."""
        text_length, body_length = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
        self.header: dict[str, Json] = json.loads(_exactly(stream, text_length))
        body, place = _exactly(stream, body_length), 0
        self._arrays: list[np.ndarray] = []
        for name, shape in self.header.pop("arrays"):
            dtype = np.dtype(name)
            if dtype.kind not in _KINDS:
                raise ValueError(f"an array of {name} may not travel between processes")
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            self._arrays.append(np.frombuffer(body[place : place + size], dtype).reshape(shape))
            place += size

    def decoded(self, data: Json, shared: Sequence[object] = ()) -> Any:
        """The value that `Writer.encoded` was given. Raises ValueError for anything else."""
        if not isinstance(data, dict):
            return data
        ((kind, value),) = data.items()
        if kind == "shared":
            return shared[value]
        if kind == "array":
            return self._arrays[value]
        if kind in ("tuple", "list"):
            return {"tuple": tuple, "list": list}[kind](self.decoded(one, shared) for one in value)
        if kind == "dict":
            return {key: self.decoded(one, shared) for key, one in value.items()}
        if kind == "slice":
            return slice(*value)
        if kind not in self.classes:
            raise ValueError(f"{kind} is no data that travels between processes")
        given = {name: self.decoded(one, shared) for name, one in value.items()}
        if given.keys() != {f.name for f in fields(self.classes[kind])}:
            raise ValueError(f"a message has other fields than {kind}")
        return self.classes[kind](**given)


def _exactly(stream: BinaryIO, size: int) -> bytearray:
    """So many bytes, writable. Raises EOFError."""
    data = bytearray()
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
