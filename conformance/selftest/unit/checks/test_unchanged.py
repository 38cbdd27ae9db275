"""A changed bit between two calls is red where equal bits were measured, and elsewhere only beyond both bounds."""

from dataclasses import replace

import numpy as np
import pytest

from conformance.clauses import AMBER, CLAUSES, RED
from conformance.harness import api, session
from conformance.harness.checks import case_record
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution.subject import torch_nn
from conformance.harness.session import Session, nested
from conformance.selftest.implementations import plain
from conformance.selftest.trial import findings
from reference.problem import GRU
from strategies import Case, losses

PART = ("h_n", np.s_[:], np.s_[:])
OWN = torch_nn()
UNDER_ITS_NAME = plain.subject("torch.nn")


def severities(subject, change):
    case = Case(dtype="float64")
    with nested(Session(subject)) as here:
        (seen,) = api.observe(case.on(GRU), ("grad",))
        other = replace(seen, raw={name: change(values) for name, values in seen.raw.items()})
        record = CaseRecord(here, CLAUSES["D4"], "test_own", GRU, case)
        with case_record.entered(record):
            api.assert_unchanged(seen, other, PART, relation="the first time")
    return [found.finding.severity for found in record.findings]


@pytest.mark.parametrize(
    ("subject", "change", "wanted"),
    [
        (OWN, lambda h: h, []),
        (OWN, lambda h: np.nextafter(h, 9), [RED]),
        (OWN, lambda h: h + 0.5, [RED]),
        (UNDER_ITS_NAME, lambda h: np.nextafter(h, 9), [AMBER]),
        (UNDER_ITS_NAME, lambda h: h + 0.5, [RED]),
    ],
)
def test_changed_bit_is_red_where_it_was_measured_and_amber_within_bounds_elsewhere(
    subject, change, wanted, monkeypatch
):
    monkeypatch.setattr(session, "BITS_REPEAT_ON", (session.machine.capability(),))
    monkeypatch.setattr(session, "BITS_REPEAT_ON_RELEASES", (session.machine.release(),))
    assert severities(subject, change) == wanted


def test_changed_bit_is_amber_on_a_release_that_was_not_measured(monkeypatch):
    monkeypatch.setattr(session, "BITS_REPEAT_ON_RELEASES", ())
    assert severities(OWN, lambda h: np.nextafter(h, 9)) == [AMBER]


def severities_of_gradients(subject, check, change):
    """Of a check of two gradients of which the second is twice the first, but for `change`."""
    case = Case(dtype="float64")
    with nested(Session(subject)) as here:
        problem = case.on(GRU)
        loss = losses.loss(case, problem)
        (once,) = api.differentiate(problem, loss, ("grad",))
        doubled = {name: change(2 * values) for name, values in once.raw_gradients.items()}
        with case_record.entered(CaseRecord(here, CLAUSES["C2"], "test_own", GRU, case)) as record:
            check(once, replace(once, raw_gradients=doubled, loss=losses.times(loss, 2.0)))
    return {found.finding.severity for found in record.findings}


@pytest.mark.parametrize(
    "check",
    [lambda once, twice: api.assert_twice(twice, once), lambda once, twice: api.assert_scaled(once, twice, 2.0)],
)
@pytest.mark.parametrize(
    ("subject", "change", "wanted"),
    [
        (OWN, lambda g: g, set()),
        (OWN, lambda g: np.nextafter(g, 9), {RED}),
        (UNDER_ITS_NAME, lambda g: np.nextafter(g, 9), {AMBER}),
        (UNDER_ITS_NAME, lambda g: g + 0.5, {RED}),
        (UNDER_ITS_NAME, lambda g: g * np.nan, {RED}),
    ],
)
def test_bit_of_a_doubled_gradient_is_red_where_it_was_measured_and_amber_within_bounds_elsewhere(
    check, subject, change, wanted, monkeypatch
):
    monkeypatch.setattr(session, "BITS_REPEAT_ON", (session.machine.capability(),))
    monkeypatch.setattr(session, "BITS_REPEAT_ON_RELEASES", (session.machine.release(),))
    assert severities_of_gradients(subject, check, change) == wanted


def test_plain_implementation_under_the_name_of_torch_nn_is_sound():
    assert not list(findings(UNDER_ITS_NAME, ("E1", "B1"), ("lstm",), seed=0))
