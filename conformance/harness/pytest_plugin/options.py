"""The options of the command line, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from conformance.clauses import CLAUSES
from conformance.harness.execution import machine, subject
from conformance.harness.execution.failure import MISMATCHED
from conformance.harness.execution.requests.request import Executor, InProcess
from conformance.harness.execution.routes import ROUTES
from conformance.harness.execution.subject import TORCH_NN, Subject, SubjectError
from conformance.harness.findings import known as known_deviations
from conformance.harness.findings.known import Known, KnownError, today
from conformance.harness.foreign_text import kept_from_terminal, one_line, piece
from conformance.harness.models.fleet import Fleet, fleet
from conformance.harness.models.loading import LikeError
from conformance.harness.property import properties
from conformance.harness.pytest_plugin import left_out
from conformance.harness.pytest_plugin.command_line import EFFORTS
from conformance.harness.pytest_plugin.fitting import unfitting
from conformance.harness.pytest_plugin.left_out import LeaveOutError, LeftOut
from conformance.harness.session import Session
from strategies import Axes, Case, CaseError, parse
from strategies.axes import DTYPES, MOST_NUMBERS

INVALID_PACKING = "test_invalid_call_of_a_utility"
"""How the name of the test begins that is about invalid calls of PyTorch's packing utilities."""

PACKING_CLAUSE = "E4"

MOST_LOOKS = 1000
"""A case is looked at so often at most."""

ADAPTER = "conformance/adapters/quantizable_lstm.py shows how a short adapter gives them these names"


LARGEST_SMALLEST = MOST_NUMBERS["smoke"]
"""The smallest call of a subject has at most so many numbers."""


class OptionError(ValueError):
    """An option that cannot be served; one line that names the value and the remedy."""


@dataclass(frozen=True)
class Options:
    """The options of a run.

    case with the cell that its line names ("" for every cell); cells are those of the subject that are asked for;
    fail_on: the clauses whose ambers and remarks are red; printed: what the subject and the models wrote when they were
    imported.
    """

    effort: str
    subject: Subject
    case: Case | None
    cell: str
    cells: tuple[str, ...]
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    routes: tuple[str, ...]
    known: tuple[Known, ...]
    no_stale: bool
    show_known: bool = False
    fail_on: tuple[str, ...] = ()
    fleet: Fleet = field(default_factory=Fleet)
    printed: str = ""
    repeat: int = 1
    left_out: tuple[LeftOut, ...] = ()

    def session(self, executor: Executor | None = None) -> Session:
        """The session of a run, its first calls made by `executor`, or in this process.

        Raises OptionError for a subject that nothing can be said about.
        """
        expired = self.expired()
        made = Session(
            self.subject,
            Axes(self.dtypes, self.devices, MOST_NUMBERS[self.effort]),
            tuple(entry for entry in self.concerned() if entry not in expired),
            expired=expired,
            fail_on=self.fail_on,
            routes=self.routes,
            dtypes=self.dtypes,
            executor=executor or InProcess(),
            fleet=self.fleet,
            repeat=self.repeat,
        )
        with kept_from_terminal():  # in a worker these calls are made in its own process
            made.leave_out_unsupported_dtypes()
            if self.subject.name != TORCH_NN:
                self._require_documented_parameters(made)
        if not made.axes.dtypes:
            message = made.recorder.left_out()[0].message
            raise OptionError(
                f"--subject {piece(self.subject.name)}: every call of size 1 in {', '.join(self.dtypes)} raises "
                f"{one_line(message)}; make one work first, through an adapter if need be"
            )
        return made

    def _require_documented_parameters(self, session: Session) -> None:
        """Raises OptionError if a module of size 1 has undocumented parameters or lacks documented ones."""
        for cell in self.cells:
            route, axes = session.routes[0], session.axes
            probes = [session.probe(cell, dtype, device, route) for dtype in axes.dtypes for device in axes.devices]
            for failure in [seen.failure for seen in probes if seen.failure is not None]:
                if failure.kind == MISMATCHED:
                    raise OptionError(f"{piece(self.subject.name)}, {cell}, {one_line(failure.message)}; {ADAPTER}")

    def expired(self) -> tuple[Known, ...]:
        """Those of them whose waivers have expired."""
        day = today()
        return tuple(entry for entry in self.concerned() if entry.is_expired(day))

    def concerned(self) -> tuple[Known, ...]:
        """The known deviations that this PyTorch has on this machine."""
        flags = machine.cpu_flags()
        return tuple(entry for entry in self.known if entry.concerns(machine.torch_version(), flags))


def read(
    effort: str,
    subjects: Sequence[str],
    case: str | None,
    cells: Sequence[str],
    devices: Sequence[str],
    dtypes: Sequence[str],
    routes: Sequence[str],
    known: Sequence[Path],
    no_stale: bool,
    show_known: bool = False,
    fail_on: Sequence[str] = (),
    like: Sequence[str] = (),
    repeat: str | None = None,
    leave_out: Path | None = None,
) -> Options:
    """The options from their texts; empty stands for all. Raises OptionError."""
    if effort not in EFFORTS:
        raise OptionError(f"--effort {piece(effort)}: no such effort; one of {', '.join(EFFORTS)}")
    with kept_from_terminal() as by_subject:
        judged = _subject(subjects)
    _require_small(judged)
    present = machine.devices()
    axes: dict[str, Any] = {
        "cells": _chosen("--cell", cells, judged.classes, f"no such cell of {judged.name}; it has"),
        "devices": _chosen("--device", devices, present, "no such device here; present:"),
        "dtypes": _chosen("--dtype", dtypes, DTYPES, "no such dtype; one of"),
        "routes": _chosen("--route", routes, ROUTES, "no such route; one of"),
    }
    axes |= {key: require_stated(judged, key, axes[key]) for key in ("devices", "dtypes")}
    try:
        with kept_from_terminal() as by_models:
            found = fleet(like)
        models = _of_axes(found, axes["cells"], axes["dtypes"])
        parsed, cell = parse(case) if case is not None else (None, "")
        shipped = known_deviations.load(known_deviations.SHIPPED)
        entries = tuple(entry for entry in shipped if judged.calls_as_torch or _is_of_packing(entry, judged))
        entries += tuple(entry for path in known for entry in _of_properties(path))
    except CaseError as error:
        raise OptionError(f"--case: {error}") from None
    except KnownError as error:
        raise OptionError(f"--known: {error}") from None
    except LikeError as error:
        raise OptionError(f"--like {error}") from None
    try:
        parsed = models.armed(parsed) if parsed is not None else None
    except LikeError as error:
        raise OptionError(f"--case: {error}") from None
    if parsed is not None and parsed.device not in present:
        raise OptionError(f"--case: device {piece(parsed.device)} is not present here; present: {', '.join(present)}")
    if parsed is not None and parsed.dtype not in axes["dtypes"]:
        raise OptionError(f"--case: {parsed.dtype} is none of --dtype {', '.join(dtypes)}; leave --dtype out")
    if cell and cell not in axes["cells"]:
        raise OptionError(f"--case: {cell} is none of --cell {', '.join(cells)}; leave --cell out")
    if parsed is not None and cell in judged.stated and (outside := judged.stated[cell].refusal(parsed.on(cell))):
        raise OptionError(f"--case: {judged.name} states {outside}; change the case, or what it states")
    if parsed is not None and not like and (why := unfitting(parsed, [cell] if cell else axes["cells"])):
        raise OptionError(f"--case: {why}")
    return Options(
        effort,
        judged,
        parsed,
        cell,
        **axes,
        known=entries,
        no_stale=no_stale,
        show_known=show_known,
        fleet=models,
        repeat=_repeat(repeat),
        left_out=_left_out(leave_out),
        fail_on=_clauses(fail_on),
        printed=by_subject.text + by_models.text,
    )


def require_stated(judged: Subject, key: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Those devices or dtypes that some cell of the subject states. Raises OptionError where that leaves none."""
    cells = [judged.statement(cell).names.get(key) for cell in judged.classes]
    kept = tuple(name for name in asked if any(one is None or name.partition(":")[0] in one for one in cells))
    if not kept:
        names = dict.fromkeys(name for one in cells for name in one or ())
        stated = f"--subject {judged.name} states the {key} {', '.join(names)}"
        raise OptionError(f"{stated}, and this run has {', '.join(asked)}; run it where they are, or state more")
    return kept


def _require_small(judged: Subject) -> None:
    """Raises OptionError where the smallest call that a subject states is too large to judge."""
    for cell, stated in judged.stated.items():
        if (numbers := stated.nearest(Case(), cell).numbers()) > LARGEST_SMALLEST:
            raise OptionError(
                f"--subject {judged.name}: the smallest {cell} that it states has {numbers:,} numbers, and "
                f"{LARGEST_SMALLEST:,} can be judged; state smaller sizes"
            )


def _left_out(path: Path | None) -> tuple[LeftOut, ...]:
    """The tests of --leave-out. Raises OptionError."""
    try:
        return left_out.read(path) if path is not None else ()
    except LeaveOutError as error:
        raise OptionError(f"--leave-out: {error}") from None


def _repeat(text: str | None) -> int:
    """How often each case is looked at. Raises OptionError."""
    if text is None:
        return 1
    if not (
        text.isascii() and text.isdecimal() and 1 <= len(text) <= len(str(MOST_LOOKS)) and 0 < int(text) <= MOST_LOOKS
    ):
        raise OptionError(f"--repeat is a number from 1 to {MOST_LOOKS:,}, not '{piece(text)}'")
    return int(text)


def _of_properties(path: Path) -> tuple[Known, ...]:
    """The entries of a file, each of which names a property, with a case if that draws one. Raises KnownError."""
    entries, named = known_deviations.load(path), {tested.name: tested for tested in properties()}
    for entry in entries:
        where = f"{piece(path)}: {piece(entry.id)}"
        if entry.test not in named:
            near = get_close_matches(entry.test, named, 1)
            nearest = f"the nearest is {near[0]}" if near else "docs/clauses.md lists all"
            raise KnownError(f"{where}: there is no property {one_line(entry.test)}; {nearest}")
        if named[entry.test].draws and not entry.case:
            raise KnownError(f"{where}: {entry.test} draws cases: give one of them as `case`")
    return entries


def _of_axes(models: Fleet, cells: Sequence[str], dtypes: Sequence[str]) -> Fleet:
    """The models without the modules that --cell or --dtype leave out. Raises LikeError if that leaves none."""
    kept = tuple(one for one in models.configurations if one.cell in cells and one.case.dtype in dtypes)
    if models.configurations and not kept:
        raise LikeError(f"{piece(models.sources[0])}: --cell and --dtype leave no module; leave them out")
    return replace(models, configurations=kept)


def _is_of_packing(entry: Known, judged: Subject) -> bool:
    """Whether an entry is about PyTorch's packing utilities, and the subject packs with these."""
    return judged.packs_as_torch and (entry.clause == PACKING_CLAUSE or entry.test.startswith(INVALID_PACKING))


def _subject(texts: Sequence[str]) -> Subject:
    """The subject that is asked for; torch.nn unless another is. Raises OptionError."""
    try:
        return subject.named(texts) if texts else subject.torch_nn()
    except SubjectError as error:
        raise OptionError(f"--subject {error}") from None


def _clauses(asked: Sequence[str]) -> tuple[str, ...]:
    """The clauses of --fail-on, each given alone or several with commas. Raises OptionError."""
    names = [name.strip() for text in asked for name in text.split(",")]
    return _chosen("--fail-on", names, CLAUSES, "no such clause; one of") if names else ()


def _chosen(option: str, asked: Sequence[str], there: Iterable[str], otherwise: str) -> tuple[str, ...]:
    """Those of `there` that are asked for, in its order; all if none is. Raises OptionError."""
    names = tuple(there)
    for name in asked:
        if name not in names:
            raise OptionError(f"{option} {piece(name)}: {otherwise} {', '.join(names)}")
    return tuple(name for name in names if name in asked) or names
