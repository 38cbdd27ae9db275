"""An inventory: the case line of each recurrent module of a model, in TOML. No weights, no code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from conformance.harness import bounded_files
from conformance.harness.foreign_text import one_line, piece
from conformance.harness.models.loading import LikeError
from conformance.harness.models.modules import LeftOut
from strategies import Case, CaseError, parse
from strategies.configurations import OWN_WORDS, Configuration

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = "modules"
SUFFIX = ".toml"

HEAD = "# The recurrent modules of a model, as case lines: n rows and t steps are those of a call in full."


def written(found: Iterable[Configuration], left: Iterable[LeftOut]) -> str:
    """The text of an inventory; what was left out is a comment."""
    lines = [f"# {one_line(one.name)}: {one_line(one.reason)}" for one in left]
    entries = [f"{json.dumps(one.name)} = {json.dumps(_lines(one))}" for one in found]
    return "\n".join([HEAD, *lines, f"[{TABLE}]", *entries, ""])


def _lines(one: Configuration) -> str | list[str]:
    """The line of a module, or one for each of several calls."""
    first, *others = [replace(case, weights=None).line(one.cell) for case in (one.case, *one.calls)]
    return [first, *others] if others else first


def read(path: Path) -> list[Configuration]:
    """The configurations of an inventory. Raises LikeError, which names the entry."""
    shown = piece(path)
    try:
        data = tomllib.loads(bounded_files.text_of(path))
    except (OSError, bounded_files.NotBounded) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise LikeError(f"{shown}: {why}; name a file that `python -m conformance inventory` wrote") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "its values lie too deep in one another" if isinstance(error, RecursionError) else one_line(str(error))
        raise LikeError(f"{shown}: {why}; write it again with `python -m conformance inventory`") from None
    entries = data.get(TABLE)
    if not isinstance(entries, dict) or not entries or set(data) - {TABLE}:
        raise LikeError(f"{shown}: an inventory has a table [{TABLE}] with a case line for each module, nothing else")
    return [_entry(str(path), shown, name, line) for name, line in entries.items()]


def _entry(source: str, shown: str, name: str, given: object) -> Configuration:
    where = f"{shown}: {piece(name)}"
    lines = given if isinstance(given, list) and given else [given]
    read = [_call(where, line) for line in lines]
    if len({(cell, _of_module(case)) for cell, case in read}) > 1:
        raise LikeError(f"{where}: lines of one module differ in n, t, nohx and unb alone; name another module apart")
    calls = sorted(dict.fromkeys(case for _, case in read), key=lambda case: -case.batch_size * case.steps)
    return Configuration(read[0][0], calls[0], ((source, one_line(name)),), calls=tuple(calls[1:]))


def _of_module(case: Case) -> Case:
    """What is the module's own in a case, not the call's."""
    own = tuple(word for word in case.layout if word in OWN_WORDS)
    return replace(case, batch_size=1, steps=1, lengths=(), layout=own)


def _call(where: str, line: object) -> tuple[str, Case]:
    """The cell and case of a line. Raises LikeError."""
    if not isinstance(line, str):
        raise LikeError(f"{where}: give a case line, such as 'v1 lstm i3 h4 n8 t20 float32', or a list of such lines")
    try:
        case, cell = parse(line)
    except CaseError as error:
        raise LikeError(f"{where}: {one_line(str(error))}") from None
    if not cell:
        raise LikeError(f"{where}: the case line names no cell; add lstm, gru, rnn_tanh or rnn_relu, or one with _cell")
    if case.weights is not None:
        raise LikeError(f"{where}: an inventory has no weights; leave weights= out")
    return cell, replace(case, seed=0, pick=0, memory="contiguous", device="cpu", fill="initial")
