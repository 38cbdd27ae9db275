"""Entries written for a red run: one for each cause, narrow enough, read back as known deviations, and never a second
time over a file."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.clauses import RED
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings import known
from conformance.harness.findings.recorder import Finding
from conformance.harness.pytest_plugin.output import known_entries
from conformance.harness.pytest_plugin.output.causes import causes
from conformance.harness.pytest_plugin.output.known_entries import entries, narrowest, text_of
from conformance.harness.session import Session
from strategies import parse

BOUND = "test_results_lie_within_their_error_bound"
EVERY_STEP = "test_every_step_of_every_layer_lies_within_its_error_bound"


def looked(line: str):
    case, cell = parse(line)
    return cell, case


def found(line: str, test: str = BOUND, clause: str = "B1", kind: str = "outside its bound") -> Finding:
    _, cell = parse(line)
    return Finding(RED, clause, test, cell, "mine", "grad", "float32", "output", kind, (), line)


def run(*findings: Finding, passed: tuple[str, ...] = ()) -> Any:
    """The report of a red run: its findings, and the cases that passed in the same properties."""
    session = Session(replace(torch_nn(), name="mine"))
    for one in findings:
        session.recorder.compared(one.clause, one.node, one.case, [one])
        for line in passed:
            session.recorder.compared(one.clause, one.node, line, [])
    return SimpleNamespace(
        session=session, findings=list(findings), entries_written="", causes=lambda: causes(findings)
    )


PASSED = tuple(f"v1 lstm i{n} h{n} t{n} float32 seed={n}" for n in range(1, 12))


def test_conditions_are_the_fewest_that_hold_for_every_failing_case_and_few_others():
    failing = [looked("v1 lstm i1 h1 t1 unb float32"), looked("v1 gru i3 h2 t2 unb bi float64")]
    where = narrowest(failing, [looked(line) for line in PASSED])
    assert [(one.key, one.value) for one in where or ()] == [("cell", ["lstm", "gru"]), ("unbatched", "true")]


def test_no_condition_is_made_up_where_none_tells_failing_from_passed_cases():
    assert narrowest([looked(PASSED[0])], [looked(line) for line in PASSED]) is None


def test_sizes_that_every_failing_case_has_are_a_condition():
    failing = [looked("v1 lstm i1 h1 t1 n9 float32"), looked("v1 lstm i1 h1 t1 n12 float32")]
    where = narrowest(failing, [looked(line) for line in PASSED])
    assert [(one.key, one.value) for one in where or ()] == [("cell", ["lstm"]), ("batch_size", ">=9")]


def test_file_has_an_entry_for_each_cause_that_covers_its_findings_and_no_others(tmp_path):
    unbatched = found("v1 lstm i1 h1 t1 unb float32")
    later = found("v1 lstm i2 h1 t1 unb float32", EVERY_STEP, "B2")
    projected = found("v1 lstm i1 h2 p1 t1 float32", kind='other "kind"\x7f\n')
    red = run(unbatched, later, projected, passed=PASSED)
    path = tmp_path / "mine.toml"
    path.write_text(text_of(red, entries(red)), encoding="utf-8")
    first, second = known.load(path)
    assert {first.signature, *first.also} == {unbatched.signature, later.signature}
    for one, entry in ((unbatched, first), (later, first), (projected, second)):
        assert known.matching((first, second), one, parse(one.case)[0]) == entry.id
    elsewhere = replace(unbatched, case=PASSED[1])
    assert known.matching((first, second), elsewhere, parse(elsewhere.case)[0]) == ""


def test_cause_that_nothing_sets_apart_has_no_entry_and_is_named(tmp_path):
    red = run(found(PASSED[0]), passed=PASSED)
    written = known_entries.KnownFile(tmp_path / "mine.toml", red)
    ended: Any = SimpleNamespace(exitstatus=1)
    written.pytest_sessionfinish(ended)
    assert known.load(tmp_path / "mine.toml") == ()
    assert red.findings[0].again in red.entries_written


def test_no_file_is_overwritten(tmp_path):
    (tmp_path / "mine.toml").write_text("ours", encoding="utf-8")
    config: Any = SimpleNamespace(
        option=SimpleNamespace(write_known="mine.toml"), invocation_params=SimpleNamespace(dir=tmp_path)
    )
    with pytest.raises(pytest.UsageError, match="name a new file, none is overwritten"):
        known_entries.install(config, run())
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == "ours"
