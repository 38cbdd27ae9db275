"""What becomes of what a property found and counted in one case, and of a stored case that is replayed."""

import time
from dataclasses import replace

import pytest
import torch

from conformance.clauses import AMBER, CLAUSES, RED, REMARK
from conformance.harness import replay, session
from conformance.harness.checks import case_record
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.routes import EAGER_ROUTES, UNREAL_ROUTES
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.known import Known
from conformance.harness.findings.recorder import node
from conformance.harness.observe import observe
from conformance.harness.property import Property, derived_seed, properties
from conformance.harness.session import Session
from conformance.selftest import trial
from reference.problem import GRU
from strategies import Case, cases

ENTRY = Known("some-id", RED, "B1", "known", "is wrong", "test_own", Case().line(GRU), ">=2.0", "none")


def look(*found, compared=(), known=()):
    """The session in which a property found these fields at these severities, after so many comparisons."""

    def body(case, cell):
        record, seen = case_record.current(), Observation(case.on(cell), "torch.nn", "constructor")
        for elements, vacuous in compared:
            record.checked(seen, elements, vacuous, 0.5)
        for field, severity in found:
            record.found(seen, field, "is wrong", ["line"], severity=severity)

    tested = Property(CLAUSES["B1"], "test_own", (((GRU,), cases()),), body)
    with session.nested(Session(torch_nn(), known=known)) as here:
        try:
            tested.check(GRU, Case())
        except Deviation as deviation:
            return here, deviation.finding
    return here, None


@pytest.mark.parametrize("severity", [AMBER, REMARK])
def test_amber_and_remark_are_noted_and_fail_nothing(severity):
    here, raised = look(("output", severity))
    assert raised is None
    assert [one.severity for one in here.recorder.quiet_findings()] == [severity]


QUIET = [("known", RED), ("h_n", AMBER), ("c_n", REMARK)]


@pytest.mark.parametrize("place", range(len(QUIET) + 1))
def test_red_finding_is_raised_whatever_quiet_ones_stand_beside_it(place):
    here, raised = look(*QUIET[:place], ("output", RED), *QUIET[place:], known=(ENTRY,))
    assert raised is not None
    assert raised.field == "output"
    assert {one.field: one.known for one in here.recorder.quiet_findings()} == {
        "known": "some-id",
        "h_n": "",
        "c_n": "",
    }


@pytest.mark.parametrize(
    ("compared", "is_vacuous"),
    [((), 1), (((0, 0.0),), 1), (((4, 1.0),), 1), (((4, 0.75),), 0), (((4, 1.0), (1, 0.0)), 0), (((4, 0.0),), 0)],
)
def test_case_is_vacuous_where_nothing_that_was_compared_could_have_failed(compared, is_vacuous):
    here, _ = look(compared=compared)
    tally = here.recorder.tally("test_own[gru]")
    assert (tally.cases, tally.vacuous_cases) == (1, is_vacuous)
    assert tally.elements == sum(elements for elements, _ in compared)


@pytest.mark.parametrize(("compared", "is_skipped"), [((), True), (((4, 0.0),), False)])
def test_property_that_compared_nothing_because_its_routes_are_left_out_is_skipped_with_the_reason(
    compared, is_skipped
):
    def body(case, cell):
        for elements, vacuous in compared:
            case_record.current().checked(Observation(case.on(cell), "torch.nn", "grad"), elements, vacuous, 0.5)
        assert observe(case.on(cell), UNREAL_ROUTES) == []

    tested = Property(CLAUSES["A4-fake"], "test_own", (((GRU,), cases()),), body)
    reasons = []
    with session.nested(Session(torch_nn(), routes=EAGER_ROUTES)) as here:
        try:
            tested.test(GRU, trial.settings("few"), 0)(cell=GRU)
        except pytest.skip.Exception as skipped:
            reasons.append(str(skipped))
    assert reasons == (["--route leaves out meta, fake"] if is_skipped else [])
    assert bool(here.recorder.tallies) is not is_skipped


def cases_looked_at(deadline_after):
    """How many cases a property that always fails looks at, if the time is over after so many; and what it raises."""
    asked = []

    def body(case, cell):
        asked.append(case)
        if len(asked) == deadline_after:
            session.current().deadline = 0.0
        seen = Observation(case.on(cell), "torch.nn", "constructor")
        if case.hidden_size > 1:
            case_record.current().found(seen, "output", "is wrong", ["line"])

    tested = Property(CLAUSES["B1"], "test_own", (((GRU,), cases()),), body)
    with session.nested(Session(torch_nn(), deadline=time.time() + 3600)), pytest.raises(Deviation):
        tested.test(GRU, trial.settings("smoke"), 0)(cell=GRU)
    return asked


def test_case_is_made_smaller_until_the_time_is_over_and_then_only_repeated():
    whole = cases_looked_at(deadline_after=0)
    failing = next(number for number, case in enumerate(whole, 1) if case.hidden_size > 1)
    cut = cases_looked_at(deadline_after=failing + 3)
    assert cut[: failing + 3] == whole[: failing + 3]
    assert set(cut[failing + 3 :]) <= {case for case in cut[: failing + 3] if case.hidden_size > 1}
    assert len(cut) == failing + 3 + 1 < len(whole)


def test_case_that_fails_is_counted_too():
    here, raised = look(("output", RED), compared=((4, 0.0),))
    assert raised is not None
    assert here.recorder.tally("test_own[gru]").elements == 4


def test_properties_look_at_cases_of_their_own():
    nodes = [node(tested.name, cell) for tested in properties() for cell in tested.cells]
    assert len({derived_seed(seed, node) for seed in (1, 2) for node in nodes}) == 2 * len(nodes)


@pytest.mark.parametrize(("changed", "holds"), [({}, True), ({"clause": "B2"}, False), ({"kind": "is odd"}, False)])
def test_stored_case_reproduces_its_own_deviation_alone(changed, holds, monkeypatch):
    def body(case, cell):
        seen = Observation(case.on(cell), "torch.nn", "constructor")
        case_record.current().found(seen, "known", "is wrong", ["line"])

    tested = Property(CLAUSES["B1"], "test_own", (((GRU,), cases()),), body)
    monkeypatch.setattr(replay, "properties", lambda: (tested,))
    with session.nested(Session(torch_nn())):
        assert (replay.found_again(replace(ENTRY, **changed)) is not None) is holds


def test_subject_that_draws_random_numbers_draws_the_same_in_the_same_case():
    drawn = []
    tested = Property(CLAUSES["B1"], "test_own", (((GRU,), cases()),), lambda case, cell: drawn.append(torch.rand(())))
    with session.nested(Session(torch_nn())) as here:
        for case in (Case(), Case(steps=2), Case()):
            torch.rand(3)
            tested.record(here, GRU, case)
    assert drawn[0] == drawn[2] != drawn[1]


@pytest.mark.parametrize(("repeat", "is_found"), [(1, False), (3, True)])
def test_case_is_looked_at_as_often_as_the_session_asks_for(repeat, is_found):
    looks = []

    def body(case, cell):
        looks.append(torch.rand(()))
        if len(looks) == 3:
            case_record.current().found(Observation(case.on(cell), "torch.nn", "grad"), "output", "is wrong", ["line"])

    tested = Property(CLAUSES["B1"], "test_own", (((GRU,), cases()),), body)
    with session.nested(Session(torch_nn(), repeat=repeat)):
        try:
            tested.check(GRU, Case())
        except Deviation:
            assert is_found
        else:
            assert not is_found
    assert len(set(looks)) == repeat
