"""A record is current for its own case alone: nothing of it is left for the next, however the case ended."""

from dataclasses import fields

import pytest

from conformance.clauses import CLAUSES
from conformance.harness import session
from conformance.harness.checks import case_record
from conformance.harness.checks.bounds import from_inputs
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings.deviation import Deviation
from conformance.harness.property import Property
from conformance.harness.session import Session
from reference.problem import GRU
from reference.roundings import Judgement
from strategies import Case, cases

WAYS_TO_END = [None, ValueError, KeyboardInterrupt, Deviation]


@pytest.mark.parametrize("error", WAYS_TO_END)
def test_record_around_a_case_is_current_again_when_the_case_ends(error):
    def body(case, cell):
        if error is not None:
            raise error

    tested = Property(CLAUSES["B1"], "test_own", (((GRU,), cases()),), body)
    around = case_record.current()
    with session.nested(Session(torch_nn())) as here:
        outer = case_record.current()
        if error is None:
            tested.check(GRU, Case())
        else:
            with pytest.raises(error):
                tested.check(GRU, Case())
        assert case_record.current() is outer
        assert session.current() is here
    assert case_record.current() is around


def test_two_records_share_nothing_but_their_run():
    run = Session(torch_nn())
    one, other = CaseRecord(run), CaseRecord(run)
    mutable = [f.name for f in fields(CaseRecord) if isinstance(getattr(one, f.name), dict | list)]
    assert set(mutable) >= {"findings", "enclosures", "detectable_error"}
    for name in mutable:
        assert getattr(one, name) is not getattr(other, name)


def test_enclosure_is_that_of_the_problem_and_of_the_rounding_asked_for():
    problems = [Case(1, 2, steps=2, dtype="float64", seed=seed, fill="normal").on(GRU) for seed in (1, 2)]
    with session.nested(Session(torch_nn())) as here:
        calls = [Forward(problem, ("grad",)).execute(torch_nn())[0] for problem in problems]
        models: Judgement = here.judgement(problems[0])
        roundings = [rounding for rounding in (models.red, models.amber) if rounding is not None]
        asked = [(seen, rounding) for seen in calls for rounding in roundings] * 2
        kept = [from_inputs(seen, rounding) for seen, rounding in asked]
    for (seen, rounding), enclosure in zip(asked, kept, strict=True):
        with session.nested(Session(torch_nn())):
            alone = from_inputs(seen, rounding)
        assert (alone.h_n.midpoint == enclosure.h_n.midpoint).all()
        assert (alone.h_n.radius == enclosure.h_n.radius).all()
