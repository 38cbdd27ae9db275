"""A finding about a value that is NaN or infinite says so, not that no error is allowed beside an error that is."""

from dataclasses import replace

import numpy as np
import pytest

from conformance.clauses import CLAUSES
from conformance.harness import api
from conformance.harness.checks import case_record
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution.subject import torch_nn
from conformance.harness.session import Session, nested
from reference.problem import GRU
from strategies import Case

PART = ("h_n", np.s_[:], np.s_[:])
VALUES = [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")]


def said(check):
    """The lines of what a check of a call and its values finds."""
    case = Case(dtype="float64")
    with nested(Session(torch_nn())) as here:
        (seen,) = api.observe(case.on(GRU), ("grad",))
        with case_record.entered(CaseRecord(here, CLAUSES["E2"], "test_own", GRU, case)) as record:
            check(seen, lambda value: replace(seen, raw={n: np.full_like(v, value) for n, v in seen.raw.items()}))
    return " ".join(line for one in record.findings for line in one.finding.lines)


@pytest.mark.parametrize(("value", "word"), VALUES, ids=str)
def test_value_beside_its_bound(value, word):
    told = said(lambda _, full: api.assert_within(full(value), api.from_inputs))
    assert f"allowed; got is {word}" in told
    assert "no error" not in told


@pytest.mark.parametrize(("value", "word"), VALUES, ids=str)
def test_values_of_two_calls(value, word):
    assert f"; got is {word}" in said(lambda seen, full: api.assert_agree(full(value), seen, PART))
    assert f"; the other is {word}" in said(lambda seen, full: api.assert_agree(seen, full(value), PART))


def test_finite_value_where_the_bound_is_nothing():
    """Weights, biases and inputs of zero leave nothing to be rounded."""
    case = Case(dtype="float64", fill="zeros")
    with nested(Session(torch_nn())) as here:
        (seen,) = api.observe(case.on("rnn_relu"), ("grad",))
        wrong = replace(seen, raw={name: values + 1 for name, values in seen.raw.items()})
        with case_record.entered(CaseRecord(here, CLAUSES["B1"], "test_own", "rnn_relu", case)) as record:
            api.assert_within(wrong, api.from_inputs)
    assert "no error is allowed" in record.findings[0].finding.lines[0]
