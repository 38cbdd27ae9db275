"""The arrays of a file, and the module's arguments as text: npz or safetensors, read as data alone.

Sizes are checked against the file before any memory is taken. Nothing is unpickled or evaluated.
"""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conformance.harness.execution import tensors
from conformance.harness.findings.rendering import one_line
from conformance.judging.errors import JudgeError
from strategies.case import MOST_NUMBERS

MODULE = "module"
"""The entry of an npz file, or key of a safetensors file's metadata, that holds the module's arguments as JSON."""

MOST_BYTES = 16 * MOST_NUMBERS
MOST_ENTRIES = 4096
MOST_TEXT = 10_000
LONGEST_HEADER = 10_000

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What zipfile and NumPy raise for a damaged file, whatever the damage is."""


@dataclass(frozen=True, eq=False)
class Entries:
    """Arrays by name, as stored, bfloat16 of a safetensors file as float64; and the module's arguments as text."""

    arrays: Mapping[str, np.ndarray]
    module: str


def read(path: Path) -> Entries:
    """The entries of a file. Raises JudgeError, which names the entry and the remedy."""
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError:
        size = None
    if size is None:
        raise JudgeError("no such file; give the path of an npz or safetensors file")
    if size > MOST_BYTES:
        raise JudgeError(f"{size:,} bytes, up to {MOST_BYTES:,} are read; keep fewer rows")
    if path.suffix not in _READERS:
        raise JudgeError("neither .npz nor .safetensors; numpy.savez or safetensors writes such a file")
    return _READERS[path.suffix](path)


def _npz(path: Path) -> Entries:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _require_few(len(members))
            arrays: dict[str, np.ndarray] = {}
            left = MOST_NUMBERS
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise JudgeError(f"entry {shown(name)}: stored twice; keep one")
                arrays[name] = _array(archive, member, name, left)
                left -= arrays[name].size
    except JudgeError:
        raise
    except _BROKEN as error:
        raise JudgeError(f"no readable npz file ({one_line(str(error), 80)}); write it with numpy.savez") from None
    text = arrays.pop(MODULE, None)
    if text is None:
        raise JudgeError(f"entry {MODULE}: missing; add the module's arguments as JSON text")
    if text.dtype.kind != "U" or text.ndim:
        raise JudgeError(f"entry {MODULE}: no text; store it as numpy.array(json.dumps(arguments))")
    return Entries(arrays, str(text))


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, left: int) -> np.ndarray:
    """One array, of at most `left` numbers; its header is checked before the rest is read."""
    try:
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = _HEADERS[version](file, max_header_size=LONGEST_HEADER)
        _require_plain(name, dtype)
        _require_size(name, shape, MOST_TEXT if name == MODULE else left)
        if math.prod(shape) * dtype.itemsize > member.file_size or (
            name == MODULE and member.file_size > 8 * MOST_TEXT
        ):
            raise JudgeError(f"entry {shown(name)}: its header and its length disagree; write the file again")
        with archive.open(member) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False, max_header_size=LONGEST_HEADER))
    except JudgeError:
        raise
    except _BROKEN as error:
        raise JudgeError(
            f"entry {shown(name)}: no readable array ({one_line(str(error), 80)}); write the file again"
        ) from None


def _require_plain(name: str, dtype: np.dtype[Any]) -> None:
    """Raises JudgeError for anything but plain numbers, and text as the module's arguments."""
    if dtype.hasobject:
        raise JudgeError(f"entry {shown(name)}: Python objects, which are not read; store plain numbers")
    if dtype.kind not in ("U" if name == MODULE else "fiu"):
        raise JudgeError(f"entry {shown(name)}: of type {one_line(str(dtype), 40)}; store plain numbers")
    if dtype.itemsize > np.dtype(f"U{MOST_TEXT}").itemsize:
        raise JudgeError(f"entry {MODULE}: longer than {MOST_TEXT:,} characters; give the module's arguments alone")


def _safetensors(path: Path) -> Entries:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise JudgeError("safetensors is not installed; pip install safetensors, or store an npz file") from None
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            _require_few(len(names))
            left = MOST_NUMBERS
            for name in names:
                shape = tuple(file.get_slice(name).get_shape())
                _require_size(name, shape, left)
                left -= math.prod(shape)
            text = (file.metadata() or {}).get(MODULE)
            arrays = {name: _of_tensor(file.get_tensor(name), name) for name in names}
    except JudgeError:
        raise
    except (SafetensorError, *_BROKEN) as error:
        raise JudgeError(f"no readable safetensors file ({one_line(str(error), 80)}); write it again") from None
    if text is None:
        raise JudgeError(f"metadata {MODULE}: missing; add the module's arguments as JSON text")
    return Entries(arrays, text)


def _of_tensor(value: Any, name: str) -> np.ndarray:
    """A tensor as an array; integers stay integers."""
    if value.is_floating_point():
        return tensors.array(value)
    if value.is_complex() or str(value.dtype) == "torch.bool":
        raise JudgeError(f"entry {shown(name)}: of type {tensors.dtype_name(value.dtype)}; store plain numbers")
    return np.array(value.tolist(), np.int64)


_READERS = {".npz": _npz, ".safetensors": _safetensors}


def _require_few(entries: int) -> None:
    if entries > MOST_ENTRIES:
        raise JudgeError(f"{entries:,} entries, up to {MOST_ENTRIES:,} are read; leave out the others")


def _require_size(name: str, shape: tuple[int, ...], left: int) -> None:
    """Raises JudgeError if an array of this shape has more than `left` numbers."""
    if math.prod(shape) > left or len(shape) > 4:
        size = one_line("x".join(map(str, shape)), 60)
        raise JudgeError(
            f"entry {shown(name)}: too large, {size}; a file may hold {MOST_NUMBERS:,} numbers: keep fewer rows"
        )


def shown(name: str) -> str:
    """An entry's name as a message shows it."""
    return one_line(name, 60)
