"""What several processes recorded adds up, and travels as JSON."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from conformance.clauses import AMBER, REMARK
from conformance.harness.execution.failure import KILLED, Failure
from conformance.harness.findings.counts import JudgedCounts, PropertyStats
from conformance.harness.findings.recorder import Element, Evidence, Finding, Recorder, Witness

FINDING = Finding(
    severity=AMBER,
    clause="B1",
    test="test_one",
    cell="lstm",
    subject="mine",
    route="no_grad",
    dtype="float16",
    field="output",
    kind="outside its bound",
    lines=("one", "two"),
    surrounding="fork",
    case="v1 lstm i1 h1 t10 float16",
    known="some-id",
    repeatable=False,
    kernels=("addmm", "tanh"),
    options="--subject mine",
    what=("equals one", "equals two"),
    failure=Failure(KILLED, "none", "died", 11),
    documented="(2, 1)",
    element=Element("output", {"row": 1, "step": 2}, 0.5, 0.25, 1e-6, "h_n", {"row": 1}),
    evidence=Evidence(Witness(0.25, 1e-8, True, False), (("steps", 10),), 8, 3),
    simplified="v1 lstm i1 h1 t9 float16",
    module="encoder.rnn",
)
"""No field of it has its default."""


def test_tallies_keep_the_smallest_error_that_was_seen_of_each_dtype():
    one, other = PropertyStats(), PropertyStats()
    one.seen("float32", 1e-6)
    other.seen("float32", 1e-7)
    other.seen("float64", 1e-15)
    one.add(other)
    assert one.detectable_error == {"float32": 1e-7, "float64": 1e-15}


def test_recorder_travels_as_json_and_keeps_the_worst_accuracy():
    one, other = Recorder(), Recorder()
    one.measured("float16 tanh", 0.5)
    other.measured("float16 tanh", 0.9)
    other.measured("bfloat16 tanh", 0.4)
    other.tally("test[lstm]").seen("float32", 1e-6)
    one.merge(json.loads(json.dumps(other.to_json())))
    assert one.accuracy == {"float16 tanh": 0.9, "bfloat16 tanh": 0.4}
    assert one.tally("test[lstm]").detectable_error == {"float32": 1e-6}


def through_json(recorder):
    """What another process is told of a recorder."""
    return json.loads(json.dumps(recorder.to_json()))


def test_every_field_of_a_finding_travels():
    assert [f.name for f in fields(Finding) if getattr(FINDING, f.name) == f.default] == []
    assert Finding.from_json(json.loads(json.dumps(FINDING.to_json()))) == FINDING


@pytest.mark.parametrize("field", [field.name for field in fields(PropertyStats)])
def test_every_count_of_another_process_is_added(field):
    counts: dict[str, Any] = {"detectable_error": {"float32": 0.5}, "found": {"red": 2}}
    here, other = Recorder(), Recorder()
    other.tallies["test[lstm]"] = PropertyStats(**{field: counts.get(field, 3)})
    here.merge(through_json(other))
    assert here.tallies == other.tallies


@pytest.mark.parametrize("field", [field.name for field in fields(JudgedCounts)])
def test_every_count_of_a_clause_cell_dtype_and_route_is_added(field):
    values: dict[str, tuple[Any, Any]] = {"found": ({"red": 2}, {"red": 4}), "worst": (0.5, 0.5)}
    value, added = values.get(field, (3, 6))
    once, twice = Recorder(), Recorder()
    once.judged["B1|lstm|float32|grad"] = JudgedCounts(**{field: value})
    for _ in range(2):
        twice.merge(through_json(once))
    assert twice.judged == {"B1|lstm|float32|grad": JudgedCounts(**{field: added})}


@pytest.mark.parametrize("part", [field.name for field in fields(Recorder)])
def test_every_part_of_two_recorders_adds_up(part):
    failure = Failure("raised", "ValueError", "no")
    once, twice = Recorder(), Recorder()
    for recorder, times in ((once, 1), (twice, 2)):
        for _ in range(times):
            recorder.tally("test[lstm]").cases += 2
            recorder.judged_at("B1", "lstm", "float32", "grad").calls += 2
            recorder.deviated("test[lstm]", [FINDING])
            recorder.note(FINDING, 3)
            recorder.skipped("lstm", "float16", "cpu", "grad", failure)
            recorder.kernels["addmm"] = recorder.kernels.get("addmm", 0) + 5
            recorder.measured("float16 tanh", 0.5)
    here = Recorder()
    here.merge(through_json(once))
    assert getattr(here, part) == getattr(once, part)
    here.merge(through_json(once))
    assert getattr(here, part) == getattr(twice, part)


OTHERS: dict[str, Any] = {
    "severity": REMARK,
    "known": "",
    "clause": "B2",
    "field": "h_n",
    "kind": "is negative",
    "cell": "gru",
}


@pytest.mark.parametrize("field", OTHERS)
def test_finding_of_another_kind_is_noted_beside_the_first(field):
    recorder = Recorder()
    other = replace(FINDING, **{field: OTHERS[field]})
    for one in (FINDING, other, FINDING):
        recorder.note(one)
    assert sorted(recorder.quiet.values(), key=lambda pair: pair[1]) == [(other, 1), (FINDING, 2)]


def test_remark_on_several_cells_is_one_and_the_shortest_case_is_kept():
    recorder = Recorder()
    long, short = (
        replace(FINDING, severity=REMARK, cell=cell, case=case) for cell, case in (("gru", "ab"), ("lstm", "a"))
    )
    for one in (long, short, long):
        recorder.note(one)
    assert list(recorder.quiet.values()) == [(short, 3)]


def test_operations_of_life_cycles_are_counted_with_the_pairs_of_those_that_were_done():
    recorder = Recorder()
    recorder.lived(("half", "untie", "step", "half"), ("half", "step", "half"))
    pairs = {"half|step": 1, "half|half": 1, "step|half": 1}
    assert recorder.lives == {"half": 2, "step": 1, "-untie": 1} | pairs
    recorder.merge(through_json(recorder))
    assert recorder.lives["half"] == 4
