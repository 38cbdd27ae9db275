"""A results file tells what its run counted and found, and nothing in it harms who shows it."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.clauses import AMBER, CLAUSES, REMARK
from conformance.harness import session
from conformance.harness.checks import case_record
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution import machine, module_call
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings.deviation import Deviation
from conformance.harness.models.fleet import Fleet
from conformance.harness.property import Property
from conformance.harness.pytest_plugin.output.report import STILL_THERE
from conformance.harness.pytest_plugin.output.results import results_of
from conformance.harness.pytest_plugin.results_file import CallTimes
from conformance.harness.session import Session
from conformance.selftest.unit.results.examples import FINDING, HOSTILE, RAISES, TEST, full, report
from reference.problem import LSTM
from strategies import Case, cases
from strategies.configurations import Configuration


def texts(value):
    """Every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from texts(list(value.values()))
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def test_no_text_of_a_file_has_control_characters_or_no_end():
    data = json.loads(json.dumps(asdict(results_of(full(), seed="7"))))
    said = list(texts(data))
    assert [text for text in said if not text.isprintable()] == []
    assert max(map(len, said)) <= 20_000
    assert any("<script>" in text for text in said), "the hostile text was there"


def test_findings_are_there_the_worst_first_with_signature_case_and_counts():
    made = full()
    made.session.recorder.deviated(FINDING.node, [FINDING])
    made.session.recorder.deviated(FINDING.node, [FINDING])
    found = results_of(made, "7").findings
    assert [(one.severity, bool(one.known)) for one in found] == [
        ("red", False),
        ("red", False),
        ("amber", False),
        ("remark", False),
        ("red", True),
    ]
    first = next(one for one in found if one.kind == FINDING.kind)
    assert (first.clause, first.field, first.case, first.count) == ("B1", "output", FINDING.case, 2)
    assert first.claim == "results lie within their error bound"
    assert first.again == FINDING.again
    assert next(one for one in found if one.severity == AMBER).count == 3


def test_rows_say_the_worst_outcome_and_never_pass_where_nothing_could_fail():
    made = report()
    places = {"no_grad": (10, 10.0), "meta": (0, 0.0)}
    for route, (elements, vacuous) in places.items():
        counts = made.session.recorder.judged_at("B1", "lstm", "float32", route)
        counts.elements, counts.vacuous = elements, vacuous
    made.session.recorder.judged_at("B1", "lstm", "float32", "frozen").found = {"known": 1, REMARK: 2}
    made.findings = [replace(FINDING, route="input_grad")]
    rows = {row.route: row for row in results_of(made, "").judged}
    assert {route: row.outcome for route, row in rows.items()} == {
        "grad": "pass",
        "no_grad": "nothing",
        "meta": "nothing",
        "frozen": "remark",
        "input_grad": "red",
    }
    row = rows["grad"]
    assert (row.cases, row.elements, row.worst, row.calls, row.seconds) == (20, 100, 0.5, 40, 0.25)


def test_properties_have_their_clause_time_and_outcome():
    made = report()
    told: Any = SimpleNamespace(
        nodeid=made.collected[0], duration=1.5, when="call", outcome="passed", user_properties=[]
    )
    made.pytest_runtest_logreport(told)
    (row,) = results_of(made, "").properties
    assert (row.test, row.clause, row.outcome, row.seconds) == (f"{TEST}[lstm]", "B1", "pass", 1.5)
    assert row.detectable_error == {"float32": 1e-6}
    made.suite_errors = [(made.collected[0], "ZeroDivisionError")]
    assert results_of(made, "").properties[0].outcome == "error"
    made.findings = [FINDING]
    assert results_of(made, "").properties[0].outcome == "red"


def test_command_line_and_environment_are_there():
    made = results_of(report(fail_on=["A5,J2"]), "7")
    assert made.asked.seed == "7"
    assert made.asked.fail_on == ("A5", "J2")
    assert made.asked.clauses == ("B1",)
    assert made.totals.tests == 1
    assert made.environment.capability == machine.capability()
    assert made.environment.onednn.split(".")[0].isdecimal()
    assert made.environment.numpy


def test_known_deviations_say_what_became_of_them():
    made = report()
    seen, gone, other = made.options.concerned()[:3]
    made.gone = [gone.id]
    told: Any = SimpleNamespace(nodeid="x", duration=0.0, when="call", outcome="passed")
    told.user_properties = [(STILL_THERE, seen.id)]
    made.pytest_runtest_logreport(told)
    states = {one.id: one.state for one in results_of(made, "").known}
    assert [states[one.id] for one in (seen, gone, other)] == ["seen", "gone", "not seen"]


def test_comparisons_and_findings_are_counted_where_they_were_made():
    def body(case, cell):
        for route, ratio in (("grad", 0.25), ("no_grad", 0.5)):
            seen = Observation(case.on(cell), "torch.nn", route)
            case_record.current().checked(seen, 4, 0.0, ratio)
        case_record.current().found(seen, "output", "is wrong", ["line"])

    tested = Property(CLAUSES["B1"], "test_own", (((LSTM,), cases()),), body)
    with session.nested(Session(torch_nn())) as here, pytest.raises(Deviation):
        tested.check(LSTM, Case(dtype="float64"))
    worst = {place: (counts.worst, counts.found) for place, counts in here.recorder.judged.items()}
    assert worst == {"B1|lstm|float64|grad": (0.25, {}), "B1|lstm|float64|no_grad": (0.5, {"red": 1})}
    assert here.recorder.tallies["test_own[lstm]"].found == {"red": 1}


def test_calls_are_timed_by_clause_cell_dtype_and_route():
    times = CallTimes()
    module_call.tell(times)
    try:
        with session.nested(Session(torch_nn())) as here:
            module_call.guarded_call("v1 lstm i1 h1 t1 float64", "grad", lambda: None)
            with case_record.entered(CaseRecord(here, CLAUSES["B1"], "test_own", LSTM, None)):
                for _ in range(3):
                    module_call.guarded_call("v1 lstm i1 h1 t1 float64", "grad", lambda: None)
                module_call.guarded_call("v1 lstm i1 h1 t1 float64", "constructor", lambda: None)
                module_call.guarded_call("", "grad", lambda: None)
    finally:
        module_call.tell_no_more(times)
    (place,) = here.recorder.judged
    assert place == "B1|lstm|float64|grad"
    assert here.recorder.judged[place].calls == 3
    assert here.recorder.judged[place].seconds > 0


def test_finding_of_a_hostile_subject_is_cut_in_its_file():
    made = report()
    made.findings = [RAISES]
    (found,) = results_of(made, "").findings
    assert len(found.subject) == len(found.lines[0]) == 1000
    assert HOSTILE[:20] in found.subject


def of_models():
    """The report of a run with two modules of one configuration and one of another, which nothing was asked of."""
    made = report()
    equal = Configuration(LSTM, Case(3, 4), (("a:build", "encoder.rnn"), ("a:build", "decoder")))
    other = Configuration("gru", Case(3, 5), (("a:build", "head"),))
    made.session.fleet = Fleet(("a:build",), (equal, other))
    node = f"{TEST}[lstm-encoder.rnn]"
    made.collected = [f"x.py::{node}", f"x.py::{TEST}[gru-head]", "x.py::test_other[lstm]"]
    tally = made.session.recorder.tally(node)
    tally.cases, tally.elements = 3, 9
    return made


def test_modules_have_their_verdict_and_what_was_reached_of_them():
    made = of_models()
    results = results_of(made, "")
    rows = [(one.name, one.verdict, one.asked, one.reached) for one in results.modules]
    assert rows == [("encoder.rnn", "PASS", 1, 1), ("decoder", "PASS", 1, 1), ("head", "NOTHING", 1, 0)]
    assert results.modules[0].case == "v1 lstm i3 h4 t1 float32 fill=uniform"
    assert results.totals.tests == 2
    assert {one.test: one.clause for one in results.properties}[f"{TEST}[lstm-encoder.rnn]"] == "B1"
    made.findings = [replace(FINDING, module="encoder.rnn")]
    assert [(one.verdict, one.broken) for one in results_of(made, "").modules[:2]] == [("FAIL", ("B1",))] * 2


def test_run_that_did_not_reach_everything_is_not_complete():
    made = of_models()
    assert results_of(made, "").complete
    made.not_reached["B1"] += 2
    results = results_of(made, "")
    assert (results.complete, results.reason) == (False, "2 properties not reached in time")
