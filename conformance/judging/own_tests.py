"""The contract asked of an implementation inside of its author's own tests, for a few seconds."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import HealthCheck, Phase

from conformance.harness import session
from conformance.harness.cells import CELL_NAMES
from conformance.harness.execution import machine, settings, subject
from conformance.harness.execution.routes import ROUTES
from conformance.harness.execution.subject import SERVES, Subject, SubjectError
from conformance.harness.findings import known as known_deviations
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.findings.rendering import case_of, counted
from conformance.harness.property import Property, derived_seed, properties
from conformance.harness.pytest_plugin.command_line import EFFORTS
from conformance.harness.pytest_plugin.options import OptionError, Options, require_stated
from conformance.harness.pytest_plugin.output.report import findings_of
from conformance.harness.session import Session
from conformance.judging.errors import CheckError
from strategies.axes import DTYPES

EFFORT = "smoke"
"""The cases of each property, where the time allows them."""

LEFT_TO_A_RUN = ("A7", "D5", "J1")
"""Clauses whose calls are made in a process of their own: long ones, and those that may end it."""

Node = tuple[Property, str]
"""A property, as it is asked of a cell."""


@dataclass(frozen=True)
class Checked:
    """What a check that found nothing came to. `str` gives it as a sentence.

    cases        how many were looked at
    compared     properties that compared something, each with its cell
    unasked      those that cannot be asked, by what the subject states or rejects
    unreached    those for which no time was left
    """

    name: str
    cells: tuple[str, ...]
    cases: int
    compared: int
    unasked: int
    unreached: int

    def __str__(self) -> str:
        every = self.compared + self.unasked + self.unreached
        names = ", ".join(CELL_NAMES[cell] for cell in self.cells)
        return (
            f"{self.name} conforms as {names}: {counted(self.cases, 'case')} of {self.compared:,} properties; of "
            f"{every:,} properties {self.unasked:,} were not asked and {self.unreached:,} not reached"
        )


def checked(given: Any, cell: str, seconds: float, seed: int) -> Checked:
    """As `conformance.check`."""
    if not seconds > 0:
        raise CheckError(f"seconds={seconds!r}: give a number above 0")
    judged = _subject(given, cell)
    with _settings_restored():
        try:
            here = _options(judged).session()
        except OptionError as error:
            raise CheckError(str(error).removeprefix("--subject ")) from None
        here.deadline = time.time() + seconds
        with session.nested(here):
            return _asked(here, _in_turns(judged, seed), seed)


def _subject(given: Any, cell: str) -> Subject:
    """The subject that is given by itself, or as after --subject. Raises CheckError."""
    cells = subject.ASKED_FOR.get(cell, ())
    if cell and not cells:
        raise CheckError(f"no such cell, {cell}; one of {', '.join(subject.ASKED_FOR)}")
    try:
        if isinstance(given, str):
            return subject.named([f"{cell}={given}" if cell else given])
        return subject.of(given, cells or _cells_by_name(given))
    except SubjectError as error:
        raise CheckError(str(error)) from None


def _cells_by_name(given: Any) -> tuple[str, ...]:
    """The cells that a class, function or instance computes: those whose class is the last that its name, or that of
    one that it inherits from, ends in or has. Raises CheckError."""
    kinds = given.__mro__ if isinstance(given, type) else type(given).__mro__
    own = () if isinstance(given, type | torch.nn.Module) else (given,)
    for name in (getattr(one, "__name__", "").lower() for one in (*own, *kinds)):
        for known in sorted(SERVES, key=len, reverse=True):
            if known.lower() in name.replace("_", ""):
                return SERVES[known]
    raise CheckError(f"{given!r}: its name tells no cell; say which, as in check(kernel, 'lstm')")


def _options(judged: Subject) -> Options:
    shipped = known_deviations.load(known_deviations.SHIPPED) if judged.calls_as_torch else ()
    return Options(
        EFFORT,
        judged,
        None,
        "",
        cells=tuple(judged.classes),
        devices=_stated(judged, "devices", machine.devices()),
        dtypes=_stated(judged, "dtypes", DTYPES),
        routes=tuple(ROUTES),
        known=tuple(shipped),
        no_stale=False,
    )


def _stated(judged: Subject, key: str, there: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return require_stated(judged, key, there)
    except OptionError as error:
        raise CheckError(str(error).removeprefix("--subject ")) from None


def _in_turns(judged: Subject, seed: int) -> list[Node]:
    """Every property and cell that is asked, one of each chapter in turn."""
    chapters: dict[str, list[Node]] = {}
    for tested in properties():
        is_bound = tested.clause.binds_subject(judged.name) and tested.clause.id not in LEFT_TO_A_RUN
        for cell in tested.cells if is_bound else ():
            if cell in judged.classes:
                chapters.setdefault(tested.clause.id[0], []).append((tested, cell))
    names = sorted(chapters)
    shuffled = [random.Random(f"{seed} {name}").sample(chapters[name], len(chapters[name])) for name in names]
    return [node for turn in zip_longest(*shuffled) for node in turn if node is not None]


def _asked(here: Session, nodes: Sequence[Node], seed: int) -> Checked:
    """What all properties come to. Raises AssertionError for the first that fails."""
    unasked = unreached = compared = 0
    for place, (tested, cell) in enumerate(nodes):
        within = tested.within(here.subject.statement(cell), cell)
        if isinstance(within, str):
            unasked += 1
            continue
        here.seconds_each = max(0.0, here.deadline - time.time()) / (len(nodes) - place)
        if here.is_over or not _reaches(here, within, cell, seed):
            unreached += 1
            continue
        if here.nothing_asked(node_of(tested.name, cell)):
            unasked += 1
        else:
            compared += 1
    if not compared:
        why = "nothing of it could be asked" if unasked else "give it more seconds"
        raise CheckError(f"nothing was tested. This says nothing about {here.subject.name}: {why}")
    cases = sum(tally.cases for tally in here.recorder.tallies.values())
    return Checked(here.subject.name, tuple(here.subject.classes), cases, compared, unasked, unreached)


def _reaches(here: Session, tested: Property, cell: str, seed: int) -> bool:
    """Whether a property looked at a case in the time. Raises AssertionError with the text of what it found."""
    node = node_of(tested.name, cell)
    here.cut_short = False
    try:
        tested.test(cell, _SETTINGS, derived_seed(seed, node))(cell=cell)
    except pytest.skip.Exception:
        return False
    except Exception as error:
        found = findings_of(error, here.latest.get(node))
        if not found:
            raise
        raise AssertionError(_text(here, tested, found)) from None
    return True


def _text(here: Session, tested: Property, found: Sequence[Finding]) -> str:
    """The findings as a run shows them, but for the command, which names no class of this process."""
    texts = [tested.explained(here, one, case_of(one)).text() for one in found]
    return "\n\n".join(["", *(re.sub(r'  again    pytest --case "(.*)"$', r"  case     \1", text) for text in texts)])


_SETTINGS = hypothesis.settings(
    max_examples=EFFORTS[EFFORT],
    database=None,
    deadline=None,
    derandomize=False,
    phases=[Phase.generate, Phase.shrink],
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


@contextmanager
def _settings_restored() -> Iterator[None]:
    """Gives back the number of threads, the state of PyTorch's generator and every setting as they were."""
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]), settings.restored():
            settings.put_right()
            yield
    finally:
        torch.set_num_threads(threads)
