"""Checks are pure: each judges a stored observation in a session whose executor cannot be called."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from conformance.clauses import CLAUSES
from conformance.harness import api
from conformance.harness.checks import case_record, derivatives, gradients, memory, packing, values
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution.failure import RAISED, Failure
from conformance.harness.execution.observation import InLaps, Observation
from conformance.harness.execution.requests.autograd_apis import (
    DOUBLE_BACKWARD,
    CheckSecondDerivatives,
    DifferentiateByApi,
)
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.execution.requests.packing import Pack, batches
from conformance.harness.execution.subject import torch_nn
from conformance.harness.session import Session, nested
from reference.problem import LSTM
from strategies import Case, losses

CASE = Case(2, 3, 1, 2, 2, dtype="float64")
PART = ("h_n", np.s_[:], np.s_[:])


class Unreachable:
    """An executor that nothing may ask for a call."""

    def execute(self, subject, request):
        raise AssertionError("a check called the subject")


@cache
def stored():
    """Observations of each kind, made before any check runs."""
    problem = CASE.on(LSTM)
    loss = losses.loss(CASE, problem)
    rows = batches(Case(2, 1, batch_size=2, steps=2, lengths=(2, 1)).on(LSTM))[0]
    requests: dict[str, Any] = {
        "call": Forward(problem, ("grad",)),
        "gradients": Backward(problem, ("grad",), loss=loss, later=(losses.another(CASE, problem),)),
        "twice": DifferentiateByApi(problem, ("grad",), loss=loss, api=DOUBLE_BACKWARD),
        "second": CheckSecondDerivatives(problem, ("grad",), loss=loss),
        "packed": Pack(rows, "pad_sequence", "list", {"batch_first": True}),
    }
    return {name: request.execute(torch_nn())[0] for name, request in requests.items()}


def refused():
    return Observation(CASE.on(LSTM), "torch.nn", "grad", failure=Failure(RAISED, "RuntimeError", "no"))


def balls(seen):
    enclosure = api.from_inputs(seen)
    return enclosure.h_n, enclosure.c_n


CHECKS = {
    "assert_within": lambda s: api.assert_within(s["call"], api.from_inputs),
    "assert_at_most": lambda s: api.assert_at_most(s["call"], abs(s["call"].h_n), np.ones((1, 1, 2, 3)), "is large"),
    "assert_not_negative": lambda s: api.assert_not_negative(s["call"], abs(s["call"].h_n)),
    "assert_near_printed": lambda s: api.assert_near_printed(
        s["call"], s["call"].h_n, s["call"].h_n.values, 4, np.zeros((1, 1, 2, 3))
    ),
    "assert_signs_agree": lambda s: api.assert_signs_agree(s["call"], s["call"].h_n, s["call"].c_n),
    "assert_same": lambda s: api.assert_same(s["call"], s["call"].h_n, s["call"].h_n),
    "assert_unchanged": lambda s: api.assert_unchanged(s["call"], s["call"], PART, relation="before"),
    "assert_exact": lambda s: api.assert_exact(s["call"], api.from_inputs),
    "assert_agree": lambda s: api.assert_agree(s["call"], s["call"], PART),
    "assert_same_or_agree": lambda s: api.assert_same_or_agree(s["call"], s["call"], PART),
    "assert_different_where_disjoint": lambda s: api.assert_different_where_disjoint(
        s["call"], s["call"].h_n, s["call"].c_n, balls(s["call"])
    ),
    "assert_every": lambda s: values.assert_every(
        s["call"], s["call"].h_n, np.zeros((1, 1, 2, 3)), np.zeros((1, 1, 2, 3), bool), "is wrong", lambda at: "0"
    ),
    "assert_enclosed": lambda s: values.assert_enclosed(s["call"], lambda rounding: []),
    "assert_accurate": lambda s: api.assert_accurate(s["call"], "tanh", s["call"].h_n, s["call"].h_n.values, 1.0),
    "assert_fact": lambda s: api.assert_fact(s["call"], "h_n", "dtype", "float64", "float32"),
    "assert_nothing": lambda s: api.assert_nothing(s["call"], "call", "changes", ["input"]),
    "assert_accepted": lambda s: api.assert_accepted(refused(), [s["call"]]),
    "assert_impossible": lambda s: api.assert_impossible(s["call"], "packed: False"),
    "assert_returned": lambda s: values.assert_returned(refused()),
    "assert_documented_shape": lambda s: values.assert_documented_shape(s["call"]),
    "assert_gradients_within": lambda s: api.assert_gradients_within(s["gradients"]),
    "assert_gradients_add_up": lambda s: api.assert_gradients_add_up(s["gradients"]),
    "assert_zero": lambda s: api.assert_zero(
        s["gradients"], s["gradients"].gradient("input"), np.zeros((2, 2, 2), bool)
    ),
    "assert_twice": lambda s: api.assert_twice(s["gradients"], s["gradients"]),
    "assert_scaled": lambda s: api.assert_scaled(s["gradients"], s["gradients"], 2.0),
    "assert_gradients_unchanged": lambda s: api.assert_gradients_unchanged(s["gradients"], s["gradients"], "again"),
    "assert_gradients_agree": lambda s: api.assert_gradients_agree(
        s["gradients"], {"input": s["gradients"].gradients["input"].values}, "itself", ["input"]
    ),
    "assert_balanced": lambda s: api.assert_balanced(
        s["gradients"], "one sum", np.float64(1), np.float64(2), np.float64(0), "another"
    ),
    "assert_open": lambda s: api.assert_open(DOUBLE_BACKWARD, [refused()], [s["twice"]]),
    "assert_second_derivatives": lambda s: api.assert_second_derivatives(s["second"]),
    "assert_second_derivatives_near": lambda s: api.assert_second_derivatives_near(s["twice"], s["twice"]),
    "assert_no_more_memory": lambda s: api.assert_no_more_memory(
        InLaps(CASE.on(LSTM), "torch.nn", "grad", laps=(9, 0, 0), calls=1)
    ),
    "assert_array": lambda s: api.assert_array(s["packed"], "padded", s["packed"].raw["padded"], np.zeros((2, 2))),
}


@pytest.mark.parametrize("name", CHECKS)
def test_check_judges_a_stored_observation_without_calling_the_subject(name):
    seen = stored()
    with nested(Session(torch_nn(), executor=Unreachable())) as here:
        record = CaseRecord(here, CLAUSES["B1"], "test_own", LSTM, CASE)
        with case_record.entered(record):
            CHECKS[name](seen)
    assert record.elements > 0 or record.findings or name in ("assert_documented_shape", "assert_enclosed")


def test_every_check_is_tried():
    rooms = (values, gradients, derivatives, memory, packing)
    found = {name for room in rooms for name, value in vars(room).items() if name.startswith("assert_")}
    assert found == set(CHECKS)
