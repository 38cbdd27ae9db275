"""The arguments of the module that made a call, as JSON text.

{"cell": "lstm", "input_size": 10, "hidden_size": 20, "num_layers": 2, "dtype": "float32", "device": "cuda"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.harness.foreign_text import one_line
from conformance.judging.errors import JudgeError
from reference.formats import FORMATS
from reference.problem import CELL_SUFFIX, LSTM, Architecture
from strategies.case import CELLS
from strategies.case_line import LARGEST_SIZE


@dataclass(frozen=True)
class Arguments:
    """The architecture, and what made the call: capability as in "AVX2" and release as in "2.13", "" if unknown."""

    architecture: Architecture
    dtype: str
    device: str = "cpu"
    capability: str = ""
    release: str = ""


def _size(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST_SIZE


def _matching(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


_A_SIZE = f"a whole number from 1 to {LARGEST_SIZE}"
_TRUTH = (lambda value: isinstance(value, bool), "true or false")

KEYS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "cell": (lambda value: value in CELLS, "one of " + ", ".join(CELLS)),
    "input_size": (_size(1), _A_SIZE),
    "hidden_size": (_size(1), _A_SIZE),
    "num_layers": (_size(1), _A_SIZE),
    "bias": _TRUTH,
    "batch_first": _TRUTH,
    "bidirectional": _TRUTH,
    "proj_size": (_size(0), "a whole number below hidden_size"),
    "dtype": (lambda value: value in tuple(FORMATS), "one of " + ", ".join(FORMATS)),
    "device": (_matching(r"[a-z]{1,20}(:[0-9]{1,3})?"), "a device such as cpu, cuda or cuda:0"),
    "capability": (_matching(r"\w{0,20}"), "PyTorch's name of the instruction set, such as AVX2"),
    "torch": (_matching(r"[0-9]+\.[0-9]+[\w.+-]{0,40}"), "PyTorch's version, such as 2.13.0"),
}
"""What each key may hold, and that in words."""

NEEDED = ("cell", "input_size", "hidden_size", "dtype")


def parsed(text: str) -> Arguments:
    """The arguments that JSON text gives. Raises JudgeError, which names the key and the accepted values."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JudgeError(f"entry module: no JSON ({one_line(str(error), 80)}); write it with json.dumps") from None
    if not isinstance(found, dict):
        raise JudgeError('entry module: no JSON object; write {"cell": "lstm", ...}')
    for name, value in found.items():
        if name not in KEYS:
            raise JudgeError(f"entry module: unknown key {one_line(name, 40)}; one of {', '.join(KEYS)}")
        accepts, words = KEYS[name]
        if not _is_plain(value) or not accepts(value):
            raise JudgeError(f"entry module: {name} is {one_line(repr(value), 40)}; give {words}")
    if missing := [name for name in NEEDED if name not in found]:
        raise JudgeError(f"entry module: {missing[0]} is missing; give {KEYS[missing[0]][1]}")
    return _arguments(found)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | bool)


def _arguments(found: dict[str, Any]) -> Arguments:
    """Raises JudgeError if keys contradict each other."""
    cell = found.pop("cell")
    release = ".".join(found.pop("torch", "").split(".")[:2])
    where = {name: found.pop(name) for name in ("dtype", "device", "capability") if name in found}
    single_step = cell.endswith(CELL_SUFFIX)
    architecture = Architecture(cell.removesuffix(CELL_SUFFIX), single_step=single_step, **found)
    taken = Architecture(architecture.cell, 1, 1)
    for name in ("num_layers", "batch_first", "bidirectional"):
        if single_step and getattr(architecture, name) != getattr(taken, name):
            raise JudgeError(f"entry module: {cell} takes one step of one layer; leave out {name}")
    if architecture.proj_size and (architecture.cell != LSTM or single_step):
        raise JudgeError(f"entry module: {cell} has no projection; leave out proj_size")
    if architecture.proj_size >= architecture.hidden_size:
        raise JudgeError("entry module: proj_size is not below hidden_size; give a smaller one")
    return Arguments(architecture, release=release, **where)
