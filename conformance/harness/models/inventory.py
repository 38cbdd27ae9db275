"""An inventory: the case line of each recurrent module of a model, in TOML. No weights, no code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from conformance.harness.findings.rendering import one_line
from conformance.harness.models.loading import LikeError
from conformance.harness.models.modules import LeftOut
from strategies import CaseError, parse
from strategies.configurations import Configuration

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
    entries = [f"{json.dumps(one.name)} = {json.dumps(_line(one))}" for one in found]
    return "\n".join([HEAD, *lines, f"[{TABLE}]", *entries, ""])


def _line(one: Configuration) -> str:
    return replace(one.case, weights=None).line(one.cell)


def read(path: Path) -> list[Configuration]:
    """The configurations of an inventory. Raises LikeError, which names the entry."""
    shown = one_line(str(path))
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LikeError(
            f"{shown}: {error.strerror}; name a file that `python -m conformance inventory` wrote"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LikeError(
            f"{shown}: {one_line(str(error))}; write it again with `python -m conformance inventory`"
        ) from None
    entries = data.get(TABLE)
    if not isinstance(entries, dict) or not entries or set(data) - {TABLE}:
        raise LikeError(f"{shown}: an inventory has a table [{TABLE}] with a case line for each module, nothing else")
    return [_entry(str(path), shown, name, line) for name, line in entries.items()]


def _entry(source: str, shown: str, name: str, line: object) -> Configuration:
    where = f"{shown}: {one_line(name, 80)}"
    if not isinstance(line, str):
        raise LikeError(f"{where}: give a case line, such as 'v1 lstm i3 h4 n8 t20 float32'")
    try:
        case, cell = parse(line)
    except CaseError as error:
        raise LikeError(f"{where}: {one_line(str(error))}") from None
    if not cell:
        raise LikeError(f"{where}: the case line names no cell; add lstm, gru, rnn_tanh or rnn_relu, or one with _cell")
    if case.weights is not None:
        raise LikeError(f"{where}: an inventory has no weights; leave weights= out")
    plain = replace(case, seed=0, pick=0, memory="contiguous", device="cpu", fill="initial")
    return Configuration(cell, plain, ((source, one_line(name)),))
