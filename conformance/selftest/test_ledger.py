"""Two ledgers differ where any column that must stay the same does, and where a row came or went."""

import json
from types import SimpleNamespace

import pytest

from conformance.selftest import ledger

NODE = "conformance/test_states.py::test_one[lstm]"
ROW = {"cases": 5, "lines": "0f", "worst": "0.5", "verdict": "passed", "quiet": {"amber|B1": 1}, "seconds": 1.0}
CHANGED = {"cases": 6, "lines": "1f", "worst": "0.25", "verdict": "failed", "quiet": {}}


def compared(before, after, tmp_path, capsys):
    """Exit code and output of `compare` for the rows of one effort."""
    paths = []
    for name, rows in (("before", before), ("after", after)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps({"torch": "2.13.0", "efforts": {"smoke": rows}}))
    return ledger.main(["compare", *map(str, paths)]), capsys.readouterr().out


@pytest.mark.parametrize("column", CHANGED)
def test_row_that_differs_in_one_column_is_told(column, tmp_path, capsys):
    after = {NODE: ROW | {column: CHANGED[column]}}
    code, said = compared({NODE: ROW}, after, tmp_path, capsys)
    assert code == 1
    assert said == f"smoke test_one[lstm]: {column} was {ROW[column]}, is {CHANGED[column]}\n"


@pytest.mark.parametrize(("before", "after", "what"), [({NODE: ROW}, {}, "gone"), ({}, {NODE: ROW}, "new")])
def test_row_that_came_or_went_is_told(before, after, what, tmp_path, capsys):
    assert compared(before, after, tmp_path, capsys) == (1, f"smoke test_one[lstm]: {what}\n")


def test_seconds_may_differ(tmp_path, capsys):
    after = {NODE: ROW | {"seconds": 2.0}}
    assert compared({NODE: ROW}, after, tmp_path, capsys) == (0, "no difference\n")


def told(outcome, when="call", row=None):
    """What pytest says of one step of a test, with what was recorded of it."""
    recorded = [] if row is None else [(ledger.ROW, row)]
    return SimpleNamespace(nodeid=NODE, outcome=outcome, when=when, user_properties=recorded)


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ([told("passed", "setup"), told("passed", row=ROW), told("passed", "teardown")], ROW | {"verdict": "passed"}),
        ([told("passed", "setup"), told("failed", row=ROW), told("passed", "teardown")], ROW | {"verdict": "failed"}),
        ([told("failed", "setup")], {"verdict": "failed"}),
        ([told("skipped", "setup")], {"verdict": "skipped"}),
    ],
)
def test_row_of_a_test_has_what_was_recorded_and_its_verdict(steps, wanted, tmp_path):
    writing = ledger._Writing(tmp_path / "rows.json")
    for step in steps:
        writing.pytest_runtest_logreport(step)
    writing.pytest_sessionfinish()
    assert json.loads(writing.path.read_text()) == {NODE: wanted}
