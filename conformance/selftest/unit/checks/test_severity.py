"""How far out a value is decides between nothing, amber and red; what is missing or failed is a finding."""

from dataclasses import replace

import numpy as np
import pytest

from conformance.clauses import AMBER, CLAUSES, RED
from conformance.harness import observe, session
from conformance.harness.checks import case_record
from conformance.harness.checks.bounds import from_inputs
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.checks.gradients import assert_gradients_within
from conformance.harness.checks.values import assert_agree, assert_within
from conformance.harness.execution.failure import MALFORMED, RAISED, Failure
from conformance.harness.execution.observation import (
    ByLayers,
    BySteps,
    Changed,
    Differentiated,
    DifferentiatedByLayers,
    Observation,
    Poisoned,
    Repeated,
    Surrounded,
)
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.forward import Forward, ForwardTwice
from conformance.harness.execution.subject import torch_nn
from conformance.harness.session import Session
from reference.problem import GRU
from strategies import Case, losses

PART = ("h_n", np.s_[:], np.s_[:])
CASE = Case(2, 2, steps=2, dtype="float32", fill="normal")
PROBLEM = CASE.on(GRU)


def found(check, executor=None):
    """What a check finds in a property of its own."""
    given = {} if executor is None else {"executor": executor}
    with session.nested(Session(torch_nn(), **given)) as here:
        with case_record.entered(CaseRecord(here, CLAUSES["B1"], "test_own", GRU, CASE)) as record:
            check()
        return [found.finding for found in record.findings]


def placed(between, name, times=1):
    """An observation, sound but for one result that lies this far between its sharp bound (0) and its red one (1)."""
    (seen,) = Forward(PROBLEM, ("grad",)).execute(torch_nn())
    here = session.current().judgement(PROBLEM)
    if here.amber is None:
        pytest.skip("nothing sharper than the red bound is known of this machine")
    sharp, red = (getattr(from_inputs(seen, rounding), name) for rounding in (here.amber, here.red))
    radius = sharp.radius + between * (red.radius - sharp.radius)
    middle = LAYOUT[name](np.asarray(sharp.midpoint + times * radius, np.float64))
    return seen, replace(seen, raw=seen.raw | {name: middle})


LAYOUT = {
    "output": lambda values: values.swapaxes(0, 1).reshape(2, -1, 2),
    "h_n": lambda values: values.reshape(1, -1, 2),
}
"""Canonical values in the shape of a call."""


@pytest.mark.parametrize("name", LAYOUT)
@pytest.mark.parametrize(("between", "severities"), [(-0.5, []), (0.5, [AMBER]), (1.5, [RED])])
def test_result_is_amber_beyond_its_sharp_bound_and_red_beyond_the_other(between, severities, name):
    with session.nested(Session(torch_nn())):
        _, moved = placed(between, name)
    said = found(lambda: assert_within(moved, from_inputs))
    assert [(one.severity, one.field) for one in said] == [(severity, name) for severity in severities]


@pytest.mark.parametrize(("between", "severities"), [(-0.5, []), (0.5, [AMBER]), (1.5, [RED])])
def test_two_calls_may_differ_by_twice_the_bound(between, severities):
    with session.nested(Session(torch_nn())):
        seen, moved = placed(between, "h_n")
        middle = from_inputs(seen).h_n.midpoint
    apart = np.asarray(2 * (moved.h_n.values - middle), np.float64)
    other = replace(seen, raw=seen.raw | {"h_n": seen.raw["h_n"] + apart.reshape(1, -1, 2)})
    assert [one.severity for one in found(lambda: assert_agree(seen, other, PART))] == severities


def differentiated():
    """A call with all its gradients."""
    loss = losses.loss(CASE, PROBLEM)
    return Backward(PROBLEM, ("grad",), loss=loss).execute(torch_nn())[0]


@pytest.mark.parametrize("name", ["input", "h_0", *PROBLEM.parameters])
def test_gradient_that_is_missing_is_a_finding_unless_it_may_be_zero(name):
    seen = differentiated()
    assert found(lambda: assert_gradients_within(seen)) == []
    kept = {of: values for of, values in seen.raw_gradients.items() if of != name}
    said = found(lambda: assert_gradients_within(replace(seen, raw_gradients=kept)))
    assert [(one.field, one.kind) for one in said] == [(f"gradient of {name}", "is missing")]


PARTS = {
    ByLayers: "layers",
    DifferentiatedByLayers: "layers",
    BySteps: "steps",
    Repeated: "again",
    Poisoned: "poisoned",
    Changed: "after",
    Surrounded: "surrounded",
}


class Answering:
    """An executor that gives stored results."""

    def __init__(self, *results):
        self.results = results

    def execute(self, subject, request):
        return self.results


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("wrong", [RAISED, MALFORMED, "shape"])
@pytest.mark.parametrize("place", [0, 1])
def test_part_that_failed_or_has_another_shape_is_a_finding_and_its_call_is_left_out(kind, wrong, place):
    (sound,) = Forward(PROBLEM, ("grad",)).execute(torch_nn())
    facts = sound.facts | {"h_n": replace(sound.facts["h_n"], shape=(7,))}
    broken = replace(sound, facts=facts) if wrong == "shape" else replace(sound, failure=Failure(wrong, "ValueError"))
    parts = [sound, sound]
    parts[place] = broken
    common = {"problem": PROBLEM, "subject": sound.subject, "route": "grad", "facts": sound.facts, "raw": sound.raw}
    answers = [kind(**common, **{PARTS[kind]: one}) for one in ((sound, sound), tuple(parts))]
    kept: list[Observation] = []
    said = found(lambda: kept.extend(observe._returned(Forward(PROBLEM, ("grad",)))), Answering(*answers))
    assert kept == answers[:1]
    assert [one.kind for one in said] == ["shape" if wrong == "shape" else Failure(wrong, "ValueError").title]


def test_every_kind_of_observation_with_parts_is_tried():
    kinds = [*Observation.__subclasses__(), *Differentiated.__subclasses__()]
    with_parts = {kind for kind in kinds if "parts" in vars(kind)}
    assert with_parts == set(PARTS)


def test_call_made_again_is_made_before_and_after_its_results_are_overwritten():
    (seen,) = ForwardTwice(PROBLEM, ("grad",)).execute(torch_nn())
    assert len(seen.again) == 2
