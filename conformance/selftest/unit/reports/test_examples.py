"""The examples under docs/reports are what their cases give; their scripts exit with 0 on what is sound."""

import json
import re
import subprocess

import pytest

from conformance.commands.report import found_by, recognised
from conformance.harness import session
from conformance.harness.execution import machine
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings.recorder import Finding
from conformance.harness.property import properties
from conformance.harness.pytest_plugin.options import INVALID_PACKING
from conformance.harness.reports import folder
from conformance.harness.reports.facts import facts
from conformance.harness.reports.minimiser.minimise import minimised
from conformance.harness.reports.scripts.script import WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.golden_reports import FOLDER, examples, folder_of, release_of
from conformance.selftest.implementations.packing import packing_subject
from conformance.selftest.implementations.plain import Plain, subject
from conformance.selftest.implementations.refusing_packing import RefusingPacking
from conformance.selftest.unit.reports.test_folders import DOCS
from conformance.selftest.unit.reports.test_other_kinds import forked, in_place_of_torch
from conformance.selftest.unit.reports.test_scripts import MOST_LINES, ended
from strategies import parse


@pytest.mark.parametrize("known", examples(), ids=lambda known: known.id)
def test_example_is_what_its_case_gives(known):
    if release_of(known) != machine.release():
        pytest.skip(f"it is written with PyTorch {release_of(known)}")
    tested = next(one for one in properties() if one.name == known.test)
    case, cell = parse(known.case)
    with session.nested(Session(torch_nn())) as here:
        found = next(one for one in found_by(here, tested, cell, case) if one.finding.signature == known.signature)
        found = recognised(here, found, minimised(here, tested, cell, case, found))
    where = folder_of(known)
    text = (where / folder.SCRIPT).read_text(encoding="utf-8")
    assert text == script(found)
    assert len(text.splitlines()) <= MOST_LINES
    told = json.loads((where / folder.CASE).read_text(encoding="utf-8"))["finding"]
    assert Finding.from_json(told) == found.finding
    begin = facts(found, f"{folder.SCRIPT} shows it: exit 10").partition("## Versions")[0]
    assert (where / folder.FACTS).read_text(encoding="utf-8").startswith(begin)


def test_every_example_is_listed_in_the_documentation():
    listed = set(re.findall(r"\(reports/([\w.-]+)\)", DOCS))
    assert listed == {one.name for one in FOLDER.iterdir()} == {folder_of(known).name for known in examples()}
    assert not any(re.search(r"/(?:home|tmp|root|Users)/", path.read_text()) for path in FOLDER.rglob("*.*"))


class _Flat(Plain):
    """Has the method that PyTorch's modules have beside those of every module."""

    def flatten_parameters(self) -> None:
        """Its weights lie as they do."""


@pytest.mark.parametrize("known", examples(), ids=lambda known: known.id)
def test_script_of_an_example_exits_with_0_on_sound_utilities(known, monkeypatch):
    text = (folder_of(known) / folder.SCRIPT).read_text(encoding="utf-8")
    monkeypatch.setattr(subprocess, "run", forked(text))
    is_of_modules = known.clause in ("A6", "I", "J1") and not known.test.startswith(INVALID_PACKING)
    with in_place_of_torch(subject("plain", _Flat) if is_of_modules else packing_subject("sound", RefusingPacking())):
        code, printed = ended(text)
    assert code == WITHOUT_DEFECT, printed
