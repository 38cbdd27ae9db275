"""Each thing that keeps a run from passing does so alone: in its first line, and in its exit code."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis.errors import Flaky

from conformance.clauses import RED
from conformance.harness.execution import subject
from conformance.harness.execution.failure import EXITED, KILLED, LOST, TIMED_OUT, Failure
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.recorder import Finding
from conformance.harness.isolation.call_journal import Record
from conformance.harness.pytest_plugin import crash_recovery, options, plugin
from conformance.harness.pytest_plugin.output.report import FINDINGS, SUITE_ERROR, Report, findings_of, rewrite
from conformance.harness.pytest_plugin.output.summary import Summary
from conformance.harness.session import Session

FINDING = Finding(
    severity=RED,
    clause="D1",
    test="test_one",
    cell="lstm",
    subject="torch.nn",
    route="grad",
    dtype="float32",
    field="output",
    kind="is wrong",
    lines=("output is wrong",),
    case="v1 lstm i1 h1 t1 float32 fill=dyadic",
)


def report(no_stale=False):
    """The report of a run in which one property tested something of the LSTM."""
    chosen = options.read("smoke", [], None, [], [], [], [], known=[], no_stale=no_stale)
    made = Report(Session(subject.torch_nn()), chosen, ())
    tally = made.session.recorder.tally("test_one[lstm]")
    tally.cases, tally.elements = 5, 10
    return made


def first_word(made):
    return Summary(made, 80).verdict()[0][0]


SPOILERS: dict[str, tuple[dict[str, Any], str]] = {
    "a finding": ({"findings": [FINDING]}, "FAIL"),
    "an error of the suite": ({"suite_errors": [("test_one[lstm]", "ZeroDivisionError")]}, "ERROR"),
    "another failure": ({"other_failures": ["x.py::test_x"]}, "ERROR"),
    "an interruption": ({"interrupted": "interrupted"}, "INCOMPLETE"),
    "a test that never ran": ({"never_ran": ["x.py::test_x[lstm]"]}, "INCOMPLETE"),
}
"""What a report may have been told, and the word that its summary begins with."""


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_anything_that_is_no_pass_is_none_by_itself(spoiler):
    made, (told, word) = report(), SPOILERS[spoiler]
    assert first_word(made) == "PASS"
    vars(made).update(told)
    assert first_word(made) == word
    assert "PASS" not in [label for label, _ in Summary(made, 80).verdict()]


@pytest.mark.parametrize(("told", "word"), [({"gone": ["some-id"]}, "FAIL"), ({}, "PASS")])
def test_strict_run_fails_on_a_known_deviation_that_is_gone(told, word):
    made = report(no_stale=True)
    vars(made).update(told)
    assert first_word(made) == word


@pytest.mark.parametrize("no_stale", [False, True])
def test_strict_run_fails_where_a_property_tested_nothing(no_stale):
    made = report(no_stale)
    silent = made.session.recorder.tally("test_two[lstm]")
    silent.cases = silent.vacuous_cases = 3
    ended: Any = SimpleNamespace(config=SimpleNamespace(stash={plugin.REPORT: made}), exitstatus=0)
    plugin.pytest_sessionfinish(ended, 0)
    assert (first_word(made), ended.exitstatus) == (("FAIL", 1) if no_stale else ("PASS", 0))


def exit_code(made, collected=(), ended=(), before=0):
    """That of a run which collected some tests and in which some ended."""
    log = crash_recovery.CompletionLog(made)
    log.collected, log.ended = dict.fromkeys(collected), set(ended)
    session: Any = SimpleNamespace(exitstatus=before)
    log.pytest_sessionfinish(session, before)
    return session.exitstatus


def test_run_exits_with_0_only_where_every_test_ended_and_the_suite_did_not_fail():
    assert exit_code(report(), "ab", "ab") == 0
    assert exit_code(report(), "ab", "a") == 1
    assert exit_code(report(), "ab", "ab", before=2) == 2
    died = report()
    died.suite_errors = [("gw0", "a worker died outside of any test")]
    assert exit_code(died, "ab", "ab") == 1


@pytest.mark.parametrize("kind", [KILLED, EXITED, LOST, TIMED_OUT])
def test_finding_of_a_worker_that_died_says_how_and_is_shown_again_in_a_worker(kind):
    described: dict[str, Any] = {"nodeid": "x.py::test_one[lstm]", "test": "test_one", "cell": "lstm", "clause": "D1"}
    described |= {"subject": "mine", "options": "--subject mine", "drawn": True}
    failure = Failure(kind, number=9)
    found = crash_recovery.finding_of(Record(1, 1, True, FINDING.case, "no_grad", described), failure)
    assert found == replace(
        FINDING,
        subject="mine",
        route="no_grad",
        field="call",
        kind=failure.title,
        lines=(failure.title,),
        options="--subject mine",
        failure=failure,
    )
    assert found.again == f'pytest --case "{FINDING.case}" --subject mine -n 1'


class Several(Exception):
    """What Hypothesis raises where a test failed in several ways."""

    def __init__(self, *exceptions):
        self.exceptions = exceptions


OTHER = replace(FINDING, clause="D2", field="h_n")


def rewritten(error):
    """What a report says of a failed property, by name."""
    told: Any = SimpleNamespace(user_properties=[], sections=[], longrepr="")
    item: Any = SimpleNamespace(callspec=SimpleNamespace(params={"cell": "lstm"}))
    found: Any = SimpleNamespace(name="test_one", module="", explained=lambda here, finding, case: finding)
    rewrite(told, found, item, error)
    return dict(told.user_properties)


def test_every_finding_of_a_test_is_told():
    said = rewritten(Several(Deviation.of(FINDING), Deviation.of(OTHER)))
    assert [Finding.from_json(one) for one in said[FINDINGS]] == [FINDING, OTHER]


def test_error_of_the_suite_beside_findings_is_told_as_that():
    error = Several(Deviation.of(FINDING), ZeroDivisionError())
    assert findings_of(error, None) == []
    assert SUITE_ERROR in rewritten(error)


def test_finding_that_did_not_come_again_is_told_as_that():
    assert findings_of(Flaky("passed the second time"), FINDING) == [replace(FINDING, repeatable=False)]
    assert findings_of(Flaky("no case failed before"), None) == []
    steady, unsteady = Deviation.of(FINDING), Deviation.of(replace(OTHER, repeatable=False))
    assert findings_of(Several(steady, unsteady), None) == [unsteady.finding]


def test_property_that_was_cut_short_is_not_told_as_empty_and_a_run_of_such_fails():
    made = report()
    ((node, tally),) = made.session.recorder.tallies.items()
    tally.vacuous_cases = tally.cases
    assert made.vacuous_tests() == made.silent_tests() == [node]
    assert not made.says_nothing()
    made.cut_short.add(node)
    assert made.vacuous_tests() == []
    made.not_reached["B1"] += 1
    assert made.says_nothing()
    assert Summary(made, 80).verdict()[0][0] == "NOTHING"
    tally.vacuous_cases = 0
    assert not made.says_nothing()
