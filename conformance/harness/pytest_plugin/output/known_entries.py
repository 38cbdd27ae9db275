"""The plugin of `--write-known`: an entry of known deviations for each cause of a red run.

An entry's `where` has to hold for every failing case of its cause that was seen, and for less than a tenth of the cases
that passed in the same properties. A cause of which no such condition is found has no entry: it would cover too much.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from conformance.harness.execution import machine
from conformance.harness.execution.routes import ROUTES
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.known import NEWER_THAN_ALL, Signature, admits
from conformance.harness.findings.recorder import PASSED, SEPARATOR
from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import one_line, piece
from conformance.harness.pytest_plugin.command_line import usage_error
from conformance.harness.pytest_plugin.output.causes import Cause, needs_of
from conformance.harness.pytest_plugin.output.report import Report
from strategies import Case, parse
from strategies.axes import DTYPES, MEMORY
from strategies.case import CELLS

SUFFIX = ".toml"

MOST_PASSED = 0.1
"""The share of the passed cases that an entry may hold for."""

MANY = 8
"""From so many failing cases on it counts that none of them has a property."""

FLAGS = dict.fromkeys(("packed", "unsorted", "bidirectional", "batch_first", "unbatched"), False)
FLAGS |= dict.fromkeys(("states", "bias"), True)
"""What a case has or has not, and which of both is usual."""

SIZES = ("num_layers", "batch_size", "steps", "hidden_size", "input_size", "proj_size")

HEAD = "# Written by --write-known: say of each entry why it is waived, and until when (owner, reason, expires)."

Looked = tuple[str, Case]
"""A cell and a case of it."""


@dataclass(frozen=True)
class Condition:
    """A key of `where` and its value, and what the value permits as an entry keeps it."""

    key: str
    value: str | list[str]

    @property
    def permits(self) -> tuple[str, ...]:
        return tuple(self.value) if isinstance(self.value, list) else (self.value,)

    def holds(self, looked: Looked) -> bool:
        cell, case = looked
        return admits(cell if self.key == "cell" else getattr(case, self.key), self.permits)


def conditions(failing: Sequence[Looked]) -> Iterator[Condition]:
    """What holds for every failing case, and not for every case."""
    cases = [case for _, case in failing]
    cells = {cell for cell, _ in failing}
    if len(cells) < len(CELLS):
        yield Condition("cell", [name for name in CELLS if name in cells])
    for flag, usual in FLAGS.items():
        values = {getattr(case, flag) for case in cases}
        if values == {not usual} or (values == {usual} and len(cases) >= MANY):
            yield Condition(flag, str(values.pop()).lower())
    if all("drop" in case.layout for case in cases):
        yield Condition("layout", "drop")
    for name, every in (("dtype", DTYPES), ("memory", MEMORY)):
        values = {getattr(case, name) for case in cases}
        if len(values) < len(every) and (len(cases) >= MANY or not values & {"float32", "contiguous"}):
            yield Condition(name, [value for value in every if value in values])
    for size in SIZES:
        least = min(getattr(case, size) for case in cases)
        if least > (size != "proj_size"):
            yield Condition(size, f">={least}")


def narrowest(failing: Sequence[Looked], passed: Sequence[Looked]) -> list[Condition] | None:
    """The fewest conditions that hold for every failing case and for few that passed; None where there are none."""
    possible = list(conditions(failing))
    chosen = [one for one in possible if one.key == "cell"]  # also where nothing passed
    left = [looked for looked in passed if all(one.holds(looked) for one in chosen)]
    while left and len(left) >= MOST_PASSED * len(passed):
        free = [one for one in possible if one.key not in {other.key for other in chosen}]
        best = min(free, key=lambda one: sum(map(one.holds, left)), default=None)
        if best is None or all(map(best.holds, left)):
            return None
        chosen.append(best)
        left = [looked for looked in left if best.holds(looked)]
    return chosen


@dataclass(frozen=True)
class Entry:
    """An entry of a cause, or why it has none.

    signatures  those of its failing cases, its simplest finding's first
    where       None where it has none
    """

    cause: Cause
    signatures: tuple[Signature, ...]
    where: list[Condition] | None

    def text(self, number: int, subject: str) -> str:
        """The entry as TOML."""
        first, named = self.cause.simplest, "pytorch" if subject == TORCH_NN else subject
        name = re.sub("[^a-z0-9]+", "-", one_line(named, 60).lower()).strip("-")
        rows: dict[str, Any] = {
            "id": f"{name}-{first.clause.lower()}-{number}",
            "severity": first.severity,
            "clause": first.clause,
            "field": first.field,
            "kind": first.kind,
            "also": [list(signature) for signature in self.signatures[1:]],
            "test": first.test,
            "case": first.case,
            "torch": f"=={machine.release()}.*" if machine.build().has_version else f">={NEWER_THAN_ALL}",
            "tracker": "none, written by --write-known",
        }
        lines = [f"{key} = {_value(value)}" for key, value in rows.items() if value != []]
        where = ", ".join(f"{one.key} = {_value(one.value)}" for one in self.where or ())
        return "\n".join(["[[deviation]]", *lines, *([f"where = {{ {where} }}"] if where else [])])


def _value(value: str | list[Any]) -> str:
    """A text, or a list of texts or lists, as TOML writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


class _Cases:
    """The cases of a run: those that passed by clause, those that failed by node and signature."""

    def __init__(self, recorded: Mapping[str, Sequence[str]]) -> None:
        self.passed: dict[str, list[Looked]] = {}
        self.failing: dict[tuple[str, str], list[Looked]] = {}
        for place, lines in recorded.items():
            clause, node, outcome = place.split(SEPARATOR, 2)
            kept = (
                self.passed.setdefault(clause, [])
                if outcome == PASSED
                else self.failing.setdefault((node, outcome), [])
            )
            kept += map(_parsed, lines)


def entries(report: Report) -> list[Entry]:
    """An entry for each cause of a run, the one with most findings first.

    A property that fails in several ways reports the smallest case of each signature. A failing case of another size
    may be of another cause: it is of the first whose needs it has, and whose cells.
    """
    causes, cases = report.causes(), _Cases(report.session.recorder.cases)
    by_needs = sorted(causes, key=lambda cause: -len(cause.needs))
    failing: dict[int, list[tuple[Signature, Looked]]] = {id(cause): [] for cause in causes}
    for one in report.findings:
        for looked in cases.failing.get((one.node, SEPARATOR.join(one.signature)), ()):
            cause = next((cause for cause in by_needs if _may_be_of(cause, looked)), None)
            if cause is not None:
                failing[id(cause)].append((one.signature, looked))
    return [_entry(cause, failing[id(cause)], cases) for cause in causes]


def _may_be_of(cause: Cause, looked: Looked) -> bool:
    cell, case = looked
    there = needs_of(case)
    return cell in {one.cell for one in cause.findings} and all(
        one in there for one in cause.needs if one not in ROUTES
    )


def _entry(cause: Cause, seen: Sequence[tuple[Signature, Looked]], cases: _Cases) -> Entry:
    own = [(one.signature, _parsed(one.case)) for one in cause.findings if one.case]
    failing = [looked for _, looked in (*own, *seen)]
    passed = [looked for clause in {one.clause for one in cause.findings} for looked in cases.passed.get(clause, ())]
    others = {*(one.signature for one in cause.findings), *(signature for signature, _ in seen)}
    first = cause.simplest.signature
    return Entry(cause, (first, *sorted(others - {first})), narrowest(failing, passed) if failing else [])


def _parsed(line: str) -> Looked:
    case, cell = parse(line)
    return cell, case


def text_of(report: Report, made: Sequence[Entry]) -> str:
    """The file: the entries of those causes that have one."""
    subject = report.session.subject.name
    kept = [entry for entry in made if entry.where is not None]
    blocks = [entry.text(number, subject) for number, entry in enumerate(kept, 1)]
    return "\n\n".join([f"{HEAD}\n# torch {piece(torch.__version__)}, {one_line(subject)}", *blocks]) + "\n"


class KnownFile:
    """Writes the entries once the last test has ended, and says so in the summary."""

    def __init__(self, path: Path, report: Report) -> None:
        self.path, self.report = path, report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.report.findings:
            self.report.entries_written = f"nothing in {one_line(str(self.path))}: no deviation to write"
            return
        made = entries(self.report)
        missing = [entry for entry in made if entry.where is None]
        try:
            with self.path.open("x", encoding="utf-8") as file:
                file.write(text_of(self.report, made))
        except OSError as error:
            self.report.entries_written = f"{one_line(str(self.path))}: {error.strerror}; nothing was written"
            session.exitstatus = session.exitstatus or pytest.ExitCode.USAGE_ERROR
            return
        said = f"{counted(len(made) - len(missing), 'cause')} in {one_line(str(self.path))}, for --known"
        for entry in missing:
            said += f"; none of {one_line(entry.cause.simplest.again)}: no condition sets it apart from what passed"
        self.report.entries_written = said


def install(config: pytest.Config, report: Report) -> None:
    """Registers what --write-known needs in this process. Raises pytest.UsageError."""
    given: Any = config.option.write_known
    if given is None:
        return
    report.session.keeps_cases = True
    if hasattr(config, "workerinput"):
        return
    path = config.invocation_params.dir / given
    if path.suffix != SUFFIX:
        raise usage_error(f"--write-known {piece(given)}: the name of the file ends in .toml")
    if path.exists() or path.is_symlink():
        raise usage_error(f"--write-known {piece(given)}: it exists; name a new file, none is overwritten")
    if not path.parent.is_dir():
        raise usage_error(f"--write-known {piece(given)}: no such folder; make it first")
    config.pluginmanager.register(KnownFile(path, report), "conformance-known-file")
