"""A folder is written once for each finding, and none is ever overwritten."""

import json
from dataclasses import replace

import pytest

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.execution import subject
from conformance.harness.property import properties
from conformance.harness.reports import folder
from conformance.harness.session import Session
from conformance.selftest.implementations import plain
from strategies import parse


class Halved(plain.Plain):
    """Its tanh is half of tanh."""

    def tanh(self, z):
        return super().tanh(z) / 2


@pytest.fixture(scope="module")
def found():
    """What a wrong LSTM shows; it is no torch.nn, so that no script is run."""
    tested = next(one for one in properties() if one.name == "test_results_lie_within_their_error_bound")
    case, cell = parse("v1 lstm i1 h1 t1 float32 fill=dyadic")
    with session.nested(Session(plain.subject("halved", Halved))) as here:
        return next(found_by(here, tested, cell, case))


def test_finding_that_is_told_already_is_left_as_it_is(found, tmp_path):
    first, outcome = folder.write(tmp_path, found)
    assert outcome.startswith("no script")
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    assert before.keys() == {"case.json", "facts.md"}
    assert folder.write(tmp_path, found, seed="9") == (first, "was there already")
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before


def test_another_finding_of_the_same_name_gets_a_number(found, tmp_path):
    first, _ = folder.write(tmp_path, found)
    other, _ = folder.write(tmp_path, found._replace(finding=replace(found.finding, case="v1 lstm i1 h1 t3 float32")))
    assert other.name == f"{first.name}-2"
    assert json.loads((first / "case.json").read_text())["finding"]["case"] == found.finding.case
    assert subject.TORCH_NN not in found.finding.subject
