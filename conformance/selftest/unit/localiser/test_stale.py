"""Weights of before an operation are named where results are right for them alone, and never by chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conformance.harness.api import LSTM_CELL
from conformance.harness.execution.lived import AfterOperation
from conformance.harness.execution.requests.backward import as_returned
from conformance.harness.findings.recorder import Finding
from conformance.harness.localiser import results
from conformance.harness.localiser.localise import explained
from conformance.harness.localiser.stale import stale
from reference.formats import FORMATS
from reference.histories import lives
from reference.network import forward
from reference.problem import GRU, LSTM, RNN_TANH, Problem
from reference.testing.models import red_model
from strategies import Case

CASE = Case(2, 3, 1, 2, 2, fill="normal", seed=3)


def model(problem: Problem):
    return red_model(problem.architecture.cell, problem.dtype)


def lived(cell: str, done: tuple[str, ...], computed_with: dict[str, int], case: Case = CASE) -> AfterOperation:
    """A call after `done` whose results are right for the weights of `computed_with` at other moments, 0 the start."""
    begun = case.on(cell)
    moments = [begun.parameters, *(life.weights for life in lives(begun, done) if life is not None)]
    now = replace(begun, parameters=dict(moments[-1]))
    mixed = replace(now, parameters={**moments[-1], **{n: moments[k][n] for n, k in computed_with.items()}})
    balls = results.by_name(forward(mixed, model(mixed)), mixed)
    values = {name: FORMATS[now.dtype].round(np.asarray(ball.midpoint, np.float64)) for name, ball in balls.items()}
    raw = {name: as_returned(now, name, array) for name, array in values.items()}
    return AfterOperation(now, "mine", "grad", raw=raw, begun=begun, done=done, operation=done[-1])


def said(seen: AfterOperation) -> list[str]:
    return stale(seen, model(seen.problem))


@pytest.mark.parametrize("cell", [RNN_TANH, GRU, LSTM])
def test_all_weights_of_before_an_operation(cell):
    names = dict.fromkeys(CASE.on(cell).parameters, 0)
    (line,) = said(lived(cell, ("in_place", "eval"), names))
    assert line.startswith(
        "still computes with all weights as before (weights doubled in place): weight_ih_l0[0, 0] is "
    )


@pytest.mark.parametrize("cell", [GRU, LSTM_CELL])
def test_one_weight_alone(cell):
    case = CASE if cell == GRU else replace(CASE, steps=1)
    last = list(case.on(cell).parameters)[-2]
    (line,) = said(lived(cell, ("in_place",), {last: 0}, case))
    assert line.startswith(f"still computes with {last} as before (weights doubled in place): {last}[0] is ")


def test_the_latest_operation_that_fits_comes_first():
    done = ("in_place", "setattr", "in_place")
    (line,) = said(lived(GRU, done, dict.fromkeys(CASE.on(GRU).parameters, 1)))
    assert line.startswith("still computes with all weights as before (module.weight_ih_l0 = Parameter): weight_ih_l0[")
    (line,) = said(lived(GRU, done, {"weight_ih_l0": 2}))
    assert line.startswith("still computes with weight_ih_l0 as before (weights doubled in place): weight_ih_l0[")


def test_nothing_is_said_of_results_that_are_right_or_wrong_in_another_way():
    assert said(lived(GRU, ("in_place",), {})) == []
    seen = lived(GRU, ("in_place",), {})
    halved = {name: array / 2 for name, array in seen.raw.items()}
    assert said(replace(seen, raw=halved)) == []


def test_a_finding_about_a_life_says_it():
    seen = lived(GRU, ("in_place",), dict.fromkeys(CASE.on(GRU).parameters, 0))
    finding = Finding("red", "I", "test", GRU, "mine", "grad", "float32", "after in_place", "other results", (), "")
    (line,) = explained(finding, seen, model(seen.problem))
    assert line.startswith("still computes with all weights")
