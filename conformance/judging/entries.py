"""The arrays of a file, and the module's arguments as text: npz or safetensors, read as data alone.

Sizes are checked against the file before any memory is taken. Nothing is unpickled or evaluated.
"""

from __future__ import annotations

import io
import math
import os
import stat
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conformance.harness.execution import tensors
from conformance.harness.foreign_text import one_line
from conformance.judging.errors import JudgeError
from reference.formats import FORMATS
from strategies.case_line import MOST_NUMBERS

MODULE = "module"
"""The entry of an npz file, or key of a safetensors file's metadata, that holds the module's arguments as JSON."""

MOST_BYTES = 16 * MOST_NUMBERS
MOST_ENTRIES = 4096
MOST_AXES = 3
MOST_TEXT = 10_000
LONGEST_HEADER = 10_000

_STORE_TEXT = "store JSON text, as numpy.array(json.dumps(arguments))"
_TOO_LONG = f"entry {MODULE}: longer than {MOST_TEXT:,} characters; give the module's arguments alone"

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

_ENCRYPTED = 1
"""The bit of a zip member's flags that says so."""


@dataclass(frozen=True, eq=False)
class Entries:
    """Arrays by name, as stored, bfloat16 of a safetensors file as float64; and the module's arguments as text."""

    arrays: Mapping[str, np.ndarray]
    module: str


def read(path: Path) -> Entries:
    """The entries of a file. Raises JudgeError, which names the entry and the remedy."""
    try:
        size = _size(path)
    except OSError as error:
        raise JudgeError(f"{error.strerror}; give the path of an npz or safetensors file that can be read") from None
    if size > MOST_BYTES:
        raise JudgeError(f"{size:,} bytes, up to {MOST_BYTES:,} are read; keep fewer rows")
    if path.suffix not in _READERS:
        raise JudgeError("neither .npz nor .safetensors; numpy.savez or safetensors writes such a file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's parser warns of what a header holds
        return _READERS[path.suffix](path)


def _size(path: Path) -> int:
    """Bytes. Raises OSError if it cannot be opened, JudgeError if it is a folder or a device."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise JudgeError("a folder or a device; give the path of an npz or safetensors file")
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size


def _npz(path: Path) -> Entries:
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # whatever a damaged file leads to
        raise JudgeError(f"no readable npz file ({_reason(error)}); write it with numpy.savez") from None
    with archive:
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
    text = arrays.pop(MODULE, None)
    if text is None:
        raise JudgeError(f"entry {MODULE}: missing; add the module's arguments as JSON text")
    return Entries(arrays, str(text))


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, left: int) -> np.ndarray:
    """One array, of at most `left` numbers; its header is checked before the rest is read."""
    shape, dtype = _header(archive, member, name)
    _require_plain(name, dtype)
    if name == MODULE and shape:
        raise JudgeError(f"entry {MODULE}: several texts; {_STORE_TEXT}")
    _require_size(name, shape, left)
    if math.prod(shape) * dtype.itemsize > member.file_size or (name == MODULE and member.file_size > 8 * MOST_TEXT):
        raise JudgeError(f"entry {shown(name)}: its header and its length disagree; write the file again")
    try:
        with archive.open(member) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False, max_header_size=LONGEST_HEADER))
    except Exception as error:  # whatever a damaged member leads to
        raise JudgeError(f"entry {shown(name)}: no readable array ({_reason(error)}); write the file again") from None


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and the type that the header of an array gives. Raises JudgeError."""
    if member.flag_bits & _ENCRYPTED:
        raise JudgeError(f"entry {shown(name)}: encrypted; write the file without a password")
    try:
        with archive.open(member) as file:
            start = io.BytesIO(file.read(2 * LONGEST_HEADER))
    except Exception as error:  # whatever a damaged member leads to
        raise JudgeError(f"entry {shown(name)}: no readable array ({_reason(error)}); write the file again") from None
    try:
        version = np.lib.format.read_magic(start)
        shape, _, dtype = _HEADERS[version](start, max_header_size=LONGEST_HEADER)
    except Exception:  # NumPy parses it as Python, and of what that raises the words are of no use
        raise JudgeError(f"entry {shown(name)}: no header of an array of numbers; write it with numpy.savez") from None
    return shape, dtype


def _reason(error: Exception) -> str:
    """What an error says, and its name if it says nothing."""
    return one_line(str(error), 80) or type(error).__name__


def _require_plain(name: str, dtype: np.dtype[Any]) -> None:
    """Raises JudgeError for anything but plain numbers, and text as the module's arguments."""
    remedy = _STORE_TEXT if name == MODULE else "store plain numbers"
    if dtype.hasobject:
        raise JudgeError(f"entry {shown(name)}: Python objects, which are not read; {remedy}")
    if dtype.kind not in ("U" if name == MODULE else "fiu"):
        raise JudgeError(f"entry {shown(name)}: of type {one_line(str(dtype), 40)}; {remedy}")
    if dtype.itemsize > np.dtype(f"U{MOST_TEXT}").itemsize:
        raise JudgeError(_TOO_LONG)


def _safetensors(path: Path) -> Entries:
    try:
        from safetensors import safe_open
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
    except Exception as error:  # whatever a damaged file leads to
        raise JudgeError(f"no readable safetensors file ({_reason(error)}); write it again") from None
    if text is None:
        raise JudgeError(f"metadata {MODULE}: missing; add the module's arguments as JSON text")
    if len(text) > MOST_TEXT:
        raise JudgeError(_TOO_LONG)
    return Entries(arrays, text)


def _of_tensor(value: Any, name: str) -> np.ndarray:
    """A tensor as an array; integers stay integers."""
    dtype = tensors.dtype_name(value.dtype)
    if dtype in FORMATS:
        return tensors.array(value)
    if value.is_floating_point() or value.is_complex() or dtype == "bool":
        raise JudgeError(f"entry {shown(name)}: of type {dtype}; store plain numbers, of {', '.join(FORMATS)}")
    return np.array(value.tolist(), np.int64)


_READERS = {".npz": _npz, ".safetensors": _safetensors}


def _require_few(entries: int) -> None:
    if entries > MOST_ENTRIES:
        raise JudgeError(f"{entries:,} entries, up to {MOST_ENTRIES:,} are read; leave out the others")


def _require_size(name: str, shape: tuple[int, ...], left: int) -> None:
    """Raises JudgeError if an array of this shape has more than `left` numbers, or more axes than any entry."""
    if len(shape) > MOST_AXES:
        raise JudgeError(f"entry {shown(name)}: has {len(shape)} axes; store it as the module takes or returns it")
    if math.prod(shape) > left:
        size = one_line("x".join(map(str, shape)), 60)
        raise JudgeError(
            f"entry {shown(name)}: too large, {size}; a file may hold {MOST_NUMBERS:,} numbers: keep fewer rows"
        )


def shown(name: str) -> str:
    """An entry's name as a message shows it."""
    return one_line(name, 60)
