"""Simplified findings are the same findings, in short numbers and small sizes, within a time, and never of nothing."""

import time
from dataclasses import replace

import numpy as np
import pytest

from conformance.clauses import AMBER, CLAUSES, RED
from conformance.harness import session
from conformance.harness.checks import case_record
from conformance.harness.checks.case_record import Found
from conformance.harness.execution.failure import KILLED, TIMED_OUT, Failure
from conformance.harness.execution.observation import Differentiated, Observation
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings.recorder import Element
from conformance.harness.findings.rendering import finding_text
from conformance.harness.property import Property, properties
from conformance.harness.reports.calls.call_text import LONGEST, literal
from conformance.harness.reports.minimiser import minimise, simpler
from conformance.harness.reports.minimiser.minimise import DEADLY_TRIES, minimised
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from reference.problem import GRU
from strategies import Case, cases, parse
from strategies.configurations import Configuration, at
from strategies.weights import Weights

SHOWN = {
    "lstm-gates-read-as-figo": ("test_results_lie_within_their_error_bound", "v1 lstm i2 h2 t2 n2"),
    "gru-swaps-z-and-1-z": ("test_results_lie_within_their_error_bound", "v1 gru i2 h2 t2 n2 bi"),
    "rnn_relu-one-weight-off-by-1e-4": ("test_results_lie_within_their_error_bound", "v1 rnn_relu i2 h2 t1 n2"),
    "computes-float32-products-in-bfloat16": ("test_results_lie_within_their_error_bound", "v1 rnn_tanh i2 h2 t2 l2"),
    "computes-different-values-under-no_grad": (
        "test_results_lie_within_their_error_bound",
        "v1 gru i2 h2 t1 mem=sliced",
    ),
    "ignores-hx-in-a-single-step": ("test_results_lie_within_their_error_bound", "v1 rnn_tanh_cell i2 h2 t1 n2"),
    "keeps-updating-rows-of-a-packed-sequence-after-their-end": (
        "test_packed_results_lie_within_their_error_bound",
        "v1 gru i2 h2 t1,3",
    ),
    "step-9-sees-the-input-of-step-8": (
        "test_every_step_of_every_layer_lies_within_its_error_bound",
        "v1 lstm i2 h2 t10",
    ),
    "averages-the-gradient-of-the-input-over-rows": (
        "test_gradients_lie_within_their_error_bound",
        "v1 rnn_tanh i2 h2 t2 n2",
    ),
    "detaches-h_n": ("test_gradients_lie_within_their_error_bound", "v1 lstm i2 h2 t2 n2"),
    "halves-its-input-in-place": ("test_same_call_gives_the_same_again", "v1 gru i2 h2 t2"),
    "flips-the-sign-of-the-hidden-state": (
        "test_hidden_state_is_a_share_of_the_tanh_of_the_cell_state",
        "v1 lstm i2 h2 t2 n2",
    ),
}
"""The property that shows each fault, and sizes in which it does."""


def first(tested, cell, case):
    """What a property finds first in a case."""
    return tested.record(session.current().aside(), cell, case).findings[0]


def numbers_of(found):
    """Every number of the call that a finding is of, and of its loss."""
    p, loss = found.seen.problem, found.seen.loss if isinstance(found.seen, Differentiated) else None
    arrays = [p.input, p.h_0, p.c_0, *p.parameters.values(), *(loss.cotangents.values() if loss else ())]
    return np.concatenate([one.reshape(-1) for one in arrays if one is not None])


@pytest.mark.parametrize("name", SHOWN)
def test_fault_is_shown_by_numbers_that_are_short_and_mostly_zero(name):
    test, line = SHOWN[name]
    case, cell = parse(f"{line} float32 fill=uniform seed=3")
    fault = next(fault for fault in faults() if fault.name == name)
    tested = next(one for one in properties() if one.name == test)
    with session.nested(Session(fault.subject)) as here:
        given = first(tested, cell, case)
        found = minimised(here, tested, cell, case, given)
    assert (found.finding.signature, found.finding.severity) == (given.finding.signature, RED)
    assert found.finding.case == given.finding.case == found.seen.problem.case
    numbers = numbers_of(found)
    assert max(len(literal(one)) for one in numbers) <= LONGEST
    assert np.count_nonzero(numbers) <= 6
    assert parse(found.finding.simplified)[0].numbers() < case.numbers()
    assert "values simplified" in " ".join(finding_text(found.finding, 80).split())


CASE = Case(2, 3, 2, 4, 3, fill="uniform", seed=5)


def looked(look, case=CASE, seconds=5.0, family=None):
    """What a property whose body records what `look` makes of a problem has in its simplest case."""

    def body(case, cell):
        problem = case.on(cell)
        look(case_record.current(), problem, Observation(problem, "torch.nn", "grad"))

    tested = Property(CLAUSES["B1"], "test_own", (((GRU,), family or cases()),), body)
    with session.nested(Session(torch_nn())) as here:
        given = first(tested, GRU, case)
        return given, minimised(here, tested, GRU, case, given, seconds)


def outside(record, seen, ratio=1e6, **changed):
    """Records a number outside its bound, by so many bounds."""
    told = {"field": "output", "kind": "outside its bound", "lines": ["line"], "severity": RED}
    record.found(seen, **(told | {"element": Element("output", {}, ratio * 1e-6, 0.0, 1e-6)} | changed))


def test_what_hangs_on_no_number_and_no_size_is_left_with_zeros_in_a_call_of_size_1():
    _, found = looked(lambda record, problem, seen: outside(record, seen))
    assert not numbers_of(found).any()
    assert parse(found.finding.simplified)[0].numbers() == Case().numbers()


def test_largest_element_that_a_finding_needs_is_left_and_the_others_become_zeros():
    def look(record, problem, seen):
        if np.abs(problem.input).max() > 0.5:
            outside(record, seen)

    _, found = looked(look)
    assert numbers_of(found)[numbers_of(found) != 0].tolist() == [1.0]


@pytest.mark.parametrize(
    "changed",
    [
        {"field": "h_n"},
        {"kind": "is negative"},
        {"severity": AMBER},
        {"clause": "B2"},
        {"ratio": 100},
        {"element": Element("output", {}, float("nan"), 0.0, 1e-6)},
    ],
)
def test_another_finding_and_one_that_is_less_telling_do_not_take_its_place(changed):
    def look(record, problem, seen):
        drawn = bool(problem.input.any()) and problem.batch_size == CASE.batch_size
        outside(record, seen, **({} if drawn else changed))

    _, found = looked(look)
    assert found.seen.problem.input.any()
    assert found.seen.problem.batch_size == CASE.batch_size
    assert found.finding.field == "output"


def test_case_that_says_nothing_does_not_take_its_place():
    def look(record, problem, seen):
        record.checked(seen, 4, 0.0 if problem.input.any() else 1.0, 0.0)
        outside(record, seen)

    _, found = looked(look)
    assert found.seen.problem.input.any()


def test_error_of_few_bounds_is_not_made_smaller():
    def look(record, problem, seen):
        outside(record, seen, ratio=1.5 if problem.input.any() else 1.4)

    _, found = looked(look)
    assert found.seen.problem.input.any()


def test_time_limit_is_kept_and_what_was_reached_until_then_too():
    def look(record, problem, seen):
        time.sleep(0.02)
        outside(record, seen)

    began = time.perf_counter()
    given, found = looked(look, seconds=0.2)
    assert time.perf_counter() - began < 1.5
    assert 0 < np.count_nonzero(numbers_of(found)) < np.count_nonzero(numbers_of(given))
    assert looked(look, seconds=0.0)[1].finding.simplified == ""


def test_interruption_keeps_the_best_so_far():
    calls = []

    def look(record, problem, seen):
        calls.append(problem)
        if len(calls) == 6:
            raise KeyboardInterrupt
        outside(record, seen)

    given, found = looked(look)
    assert 0 < np.count_nonzero(numbers_of(found)) < np.count_nonzero(numbers_of(given))


@pytest.mark.parametrize(("kind", "most"), [(TIMED_OUT, 1), (KILLED, 1 + DEADLY_TRIES)])
def test_calls_that_end_their_process_are_made_a_few_times_and_those_that_hang_not_again(kind, most):
    calls = []

    def look(record, problem, seen):
        calls.append(problem)
        outside(record, seen, failure=Failure(kind, number=9), element=None)

    looked(look)
    assert 1 <= len(calls) <= most


def test_numbers_that_a_claim_rests_on_as_a_whole_are_left():
    given, found = looked(
        lambda record, problem, seen: outside(record, seen),
        case=Case(2, 2, fill="digital"),
        family=cases(fill="digital"),
    )
    assert (numbers_of(found) == numbers_of(given)).all()
    assert found.finding.simplified == ""


def test_simplified_case_comes_out_the_same_each_time():
    def look(record, problem, seen):
        if problem.input.sum() > problem.parameters["weight_ih_l0"].sum():
            outside(record, seen)

    case = Case(2, 2, steps=2, fill="normal", seed=8)
    once, again = (looked(look, case)[1] for _ in range(2))
    assert isinstance(once, Found)
    assert (numbers_of(once) == numbers_of(again)).all()
    assert once.finding == again.finding


def test_model_s_weights_give_way_to_drawn_ones_where_these_show_it_too():
    arrays = {name: np.full(shape, 0.3) for name, shape in CASE.architecture(GRU).parameter_shapes().items()}
    case = replace(CASE, weights=Weights("encoder.rnn", arrays))
    family = at(cases(), Configuration(GRU, CASE, (("a:build", "encoder.rnn"),)), True)
    given, found = looked(lambda record, problem, seen: outside(record, seen), case, family=family)
    assert " weights=encoder.rnn " in given.finding.case
    assert "weights" not in found.finding.simplified

    def only_of_these(record, problem, seen):
        if problem.parameters["weight_hh_l0"].flat[0] == 0.3:
            outside(record, seen)

    _, found = looked(only_of_these, case, family=family)
    assert " weights=encoder.rnn " in found.finding.simplified


def test_search_looks_at_the_clock_where_nothing_is_simpler_either(monkeypatch):
    """Numbers that are as simple as can be are compared and not tried: that takes time too."""
    compared = []

    def cost(numbers):
        compared.append(numbers)
        return 0.0

    def look(record, problem, seen):
        monkeypatch.setattr(minimise, "cost_of_numbers", cost)
        outside(record, seen)

    looked(look, replace(CASE, hidden_size=100), seconds=-1.0)
    assert not [numbers for numbers in compared if numbers.size == 1]
    search = object.__new__(minimise._Search)
    search.deadline = 0.0
    with pytest.raises(minimise._OutOfTime):
        search.tries(("weight_hh_l0", 0), np.zeros(3))


def test_of_many_numbers_some_are_read(monkeypatch):
    read = []

    def cost_of(number):
        read.append(number)
        return 2

    monkeypatch.setattr(simpler, "_cost_of_one", cost_of)
    assert simpler.cost_of_numbers(np.ones(10**6)) == 2 * 10**6
    assert 1000 < len(read) <= simpler.MOST_READ
