"""Files of the old side on the new one: state_dicts, pickled and scripted modules."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.clauses import CLAUSES
from conformance.comparing.cases import Module
from conformance.comparing.sides import Side
from conformance.harness import session
from conformance.harness.api import assert_within, from_inputs
from conformance.harness.checks import case_record
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests.handed_over import WRITERS, ReadModule, WriteModule
from conformance.harness.isolation import folders


@dataclass(frozen=True)
class HandedOver:
    """A module that the old side wrote.

    not_written  why the old side cannot write it, or not use it either
    trouble      why the new side cannot read or call it, or how its results are wrong there
    """

    module: str
    form: str
    not_written: str = ""
    trouble: str = ""

    @property
    def is_lost(self) -> bool:
        return bool(self.trouble)


def handed_over(old: Side, new: Side, modules: Sequence[Module]) -> list[HandedOver]:
    """Every form of each module, written by the old side in a folder of its own and read by the new one."""
    folders.remove_left_behind()
    with folders.TemporaryFolder() as folder:
        return [_one(old, new, one, form, folder) for one in modules for form in WRITERS]


def _one(old: Side, new: Side, of: Module, form: str, folder: Path) -> HandedOver:
    layout = tuple(word for word in of.case.layout if word != "nohx")  # a scripted model takes both arguments
    problem = replace(of.case, batch_size=1, steps=1, lengths=(), layout=layout).on(of.cell)
    file = str(folder / form)
    (written,) = old.ask(WriteModule(problem, ("no_grad",), form=form, file=file))
    if written.failure is not None:
        return HandedOver(of.name, form, not_written=written.failure.title)
    reading = ReadModule(problem, ("no_grad",), form=form, file=file)
    if trouble := _trouble(old, reading, of.cell):
        return HandedOver(of.name, form, not_written=f"nor used by it, {trouble}")
    return HandedOver(of.name, form, trouble=_trouble(new, reading, of.cell))


def _trouble(side: Side, reading: ReadModule, cell: str) -> str:
    """Why a side cannot read or call what the old side wrote, or how its results are wrong there; "" if all is well."""
    (seen,) = side.ask(reading)
    return seen.failure.title if seen.failure is not None else _deviation(side, seen, cell)


def _deviation(side: Side, seen: Observation, cell: str) -> str:
    """How results leave their error bound; "" where they do not."""
    with (
        session.nested(side.session()) as here,
        suppress(Exception),
        case_record.entered(CaseRecord(here, CLAUSES["B1"], "results_of_a_module_read_from_a_file", cell)) as record,
    ):
        assert_within(seen, from_inputs)
    return record.findings[0].finding.lines[0] if record.findings else ""
