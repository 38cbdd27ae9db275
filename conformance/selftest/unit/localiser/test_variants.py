"""Every variant is named for results that are its own; what the numbers have in common is said; chance is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import pytest

from conformance.harness.execution.observation import Differentiated, Observation
from conformance.harness.execution.requests.backward import as_returned
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.recorder import Finding
from conformance.harness.localiser import equations, gradients, problems, results
from conformance.harness.localiser.evidence import Balls, bits, inside, significant_bits
from conformance.harness.localiser.localise import explained, localise
from conformance.harness.localiser.network import Wiring, compute
from conformance.harness.localiser.sentences import NOT_TOLD_APART, sentence
from reference.backward import backward
from reference.ball import Ball
from reference.formats import FLOAT16, FORMATS
from reference.network import forward
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH, Problem
from reference.testing.gradients import EACH_CELL_AND_SHAPE, shaped_problem
from reference.testing.models import red_model
from reference.testing.networks import assert_equal
from strategies import Case, losses

CASES = (
    Case(2, 2, 1, 3, 3),
    Case(2, 2, 2, 1, 2, bidirectional=True),
    Case(2, 2, 1, 3, 3, bidirectional=True, lengths=(3, 1, 2)),
    Case(2, 3, 3, 1, 2, proj_size=2),
)
CELLS = (RNN_TANH, RNN_RELU, GRU, LSTM)


def model(problem: Problem):
    return red_model(problem.architecture.cell, problem.dtype)


def enclosed(problem: Problem) -> Balls:
    return results.by_name(forward(problem, model(problem)), problem)


def stored(problem: Problem, balls: Balls) -> dict[str, np.ndarray]:
    """The midpoints as the dtype stores them."""
    return {name: FORMATS[problem.dtype].round(np.asarray(ball.midpoint, np.float64)) for name, ball in balls.items()}


def observed(problem: Problem, values: dict[str, np.ndarray]) -> Observation:
    """A call that returned these results, canonical."""
    return Observation(problem, "mine", "grad", raw={name: as_returned(problem, name, v) for name, v in values.items()})


def said_of(problem: Problem, values: dict[str, np.ndarray]) -> list[str]:
    return localise(observed(problem, values), model(problem))


def first_wrong(problem: Problem) -> int:
    """The step at which variants of a single step differ; in both directions and packed there are none."""
    return 0 if problem.architecture.bidirectional else problem.steps - 1


def of_problems(kind: Callable, problem: Problem) -> Iterator[tuple[str, Balls]]:
    a = problem.architecture
    ends = tuple(a.end(layer, direction) for layer in range(a.num_layers) for direction in range(a.directions))
    for words, changed in kind(problem, problems.Places({"": ends}, first_wrong(problem))):
        yield words, enclosed(changed)


def of_wirings(kind: Callable, problem: Problem) -> Iterator[tuple[str, Balls]]:
    for words, wiring in kind(problem, first_wrong(problem)):
        yield words, results.by_name(compute(problem, model(problem), wiring), problem)


def of_places(kind: Callable, problem: Problem) -> Iterator[tuple[str, Balls]]:
    yield from kind(problem, model(problem), enclosed(problem))


KINDS = {
    **{kind.__name__: partial(of_problems, kind) for kind in problems.KINDS},
    **{kind.__name__: partial(of_wirings, kind) for kind in equations.KINDS},
    **{kind.__name__: partial(of_places, kind) for kind in results.KINDS},
}


def injected(kind: str, case: Case, cell: str) -> Iterator[tuple[str, Problem, dict[str, np.ndarray]]]:
    """Every variant of a kind that this case tells from the documented results."""
    if case.proj_size and cell != LSTM:
        return
    problem = case.on(cell)
    right = enclosed(problem)
    for words, balls in KINDS[kind](problem):
        values = stored(problem, balls)
        if not all(inside(values[name], right[name]).all() for name in right):
            yield words, problem, values


def assert_named(words: str, said: list[str]) -> None:
    assert any(words in one or (NOT_TOLD_APART in one and " more;" in one) for one in said), (words, said)


@pytest.mark.parametrize("kind", KINDS)
def test_first_variant_of_each_kind_is_named(kind):
    words, problem, values = next(one for case in CASES for cell in CELLS for one in injected(kind, case, cell))
    assert_named(words, said_of(problem, values))


EVERY = 4
"""One in so many variants of each kind, from the first on, is tried of each case."""


@pytest.mark.thorough("some five hundred variants")
@pytest.mark.parametrize("case", CASES, ids=["padded", "stack", "packed", "projected"])
@pytest.mark.parametrize("cell", CELLS)
def test_variants_are_named(cell, case):
    """But those that the case at hand shows in too few bits, or of which it shows zeros; they are few."""
    tried, silent = 0, list[str]()
    for kind in KINDS:
        for words, problem, values in islice(injected(kind, case, cell), None, None, EVERY):
            said, tried = said_of(problem, values), tried + 1
            if any("documented" in one for one in said):
                assert_named(words, said)
            else:
                silent.append(words)
    assert len(silent) <= 1 + tried / 10, silent


def differentiated(problem: Problem, loss, values: dict[str, np.ndarray]) -> Differentiated:
    """A call whose results are right, and that returned these gradients."""
    seen = observed(problem, stored(problem, enclosed(problem)))
    given = {"input": values["input"] if problem.architecture.batch_first else values["input"].swapaxes(0, 1)}
    return Differentiated(problem, "mine", "grad", raw=seen.raw, loss=loss, raw_gradients={**values, **given})


def injected_gradients(kind: Callable, case: Case, cell: str) -> Iterator[tuple[str, Differentiated]]:
    if case.proj_size and cell != LSTM:
        return
    problem = case.on(cell)
    loss = losses.loss(case, problem)
    right = gradients.by_name(backward(problem, model(problem), loss.cotangents), loss)
    for words, balls in kind(gradients.Differentiation(problem, loss, model(problem), right)):
        values = stored(problem, balls)
        if not all(inside(values[name], right[name]).all() for name in right):
            yield words, differentiated(problem, loss, values)


@pytest.mark.parametrize("kind", gradients.KINDS)
def test_first_variant_of_each_kind_of_gradient_is_named(kind):
    words, seen = next(one for case in CASES for cell in CELLS for one in injected_gradients(kind, case, cell))
    assert_named(words, localise(seen, model(seen.problem)))


@pytest.mark.thorough("some two hundred variants")
@pytest.mark.parametrize("case", CASES, ids=["padded", "stack", "packed", "projected"])
@pytest.mark.parametrize("cell", CELLS)
def test_variants_of_gradients_are_named(cell, case):
    tried, silent = 0, list[str]()
    for kind in gradients.KINDS:
        for words, seen in islice(injected_gradients(kind, case, cell), None, None, EVERY):
            said, tried = localise(seen, model(seen.problem)), tried + 1
            if any("documented" in one for one in said):
                assert_named(words, said)
            else:
                silent.append(words)
    assert len(silent) <= 1 + tried / 10, silent


@EACH_CELL_AND_SHAPE
def test_network_without_a_variant_is_the_reference(cell, shape):
    problem = shaped_problem(cell, shape)
    assert_equal(compute(problem, model(problem), Wiring()), forward(problem, model(problem)))


PADDED = Case(2, 2, 1, 3, 3).on(RNN_TANH)


def changed(name: str, where: tuple, value: float | None = None, **also: tuple) -> list[str]:
    """What is said of results that are right but in one place, where they are a number or those of another place."""
    values = stored(PADDED, enclosed(PADDED))
    for each, at in {name: where, **also}.items():
        values[each][at[0]] = value if value is not None else values[each][at[1]]
    return said_of(PADDED, values)


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, "the number out of bounds is NaN"), (0.0, "the number out of bounds is 0")],
)
def test_single_number_that_is_lost_is_said(value, said):
    assert changed("output", ((0, 1, 0, 1),), value) == [said]


def test_place_that_repeats_another_is_said():
    assert changed("output", (np.s_[:, 1], np.s_[:, 0])) == ["step 1 of output equals step 0"]
    assert changed("output", (np.s_[2], np.s_[1]), h_n=(np.s_[:, :, 2], np.s_[:, :, 1])) == ["row 2 equals row 1"]


def test_variant_of_some_rows_says_which():
    values, others = stored(PADDED, enclosed(PADDED)), stored(PADDED, enclosed(replace(PADDED, h_0=None)))
    values["output"][1], values["h_n"][:, :, 1] = others["output"][1], others["h_n"][:, :, 1]
    assert said_of(PADDED, values) == ["row 1 equals the documented results with h_0 of zeros"]


def test_lower_precision_is_said():
    low = replace(PADDED, dtype="float16")
    values = {name: FLOAT16.round(v) for name, v in stored(low, enclosed(low)).items()}
    (said,) = said_of(PADDED, values)
    assert said == "every number is one of float16, and within the bounds of float16"


def test_nothing_is_said_within_bounds_or_where_dropout_is_active():
    assert said_of(PADDED, stored(PADDED, enclosed(PADDED))) == []
    stack = Case(2, 2, 2, 3, 3).on(RNN_TANH)
    values = stored(stack, enclosed(replace(stack, h_0=None)))
    assert said_of(stack, values) != []
    assert said_of(replace(stack, architecture=replace(stack.architecture, dropout=0.5)), values) == []


@pytest.mark.parametrize("fill", ["zeros", "digital"])
def test_nothing_is_said_where_numbers_tell_nothing(fill):
    problem = Case(1, 1, 1, 1, 2, fill=fill).on(LSTM)
    values = {name: v + 1.0 for name, v in stored(problem, enclosed(problem)).items()}
    assert said_of(problem, values) == []


def test_number_tells_its_significant_bits_and_those_by_which_it_excludes_what_is_documented():
    rounding = model(PADDED)

    def told(value: float, radius: float) -> float:
        one, other = (Ball(np.array([m]), np.array([radius]), rounding) for m in (value, value + 1.0))
        return bits({"h_n": np.array([value])}, {"h_n": one}, {"h_n": other}, {"h_n": np.array([True])})

    assert told(1 / 3, 2.0**-10) == 10
    assert told(0.5, 2.0**-10) == 4
    assert told(0.0, 2.0**-10) == 0
    assert told(1 / 3, 0.75) == 0
    assert significant_bits(np.array([0.0, 1.0, 0.75, 1 / 3])).tolist() == [0, 1, 2, 53]


def test_candidates_are_named_up_to_four():
    assert sentence("it equals", []) == []
    assert sentence("it equals", ["a"]) == ["it equals a"]
    assert sentence("it equals", ["a", "b"]) == [f"it equals a, or b; {NOT_TOLD_APART}"]
    assert sentence("it equals", list("abcdef")) == [f"it equals a, or b, or c, or d, or 2 more; {NOT_TOLD_APART}"]


FINDING = Finding("red", "B1", "test_one", "rnn_tanh", "mine", "grad", "float32", "output", "is wrong", (), "")


@pytest.mark.parametrize(
    ("field", "kind", "is_said"),
    [
        ("output", "differs from h_n", True),
        ("gradient of input", "outside its bound", True),
        ("gradient of input after 2 passes", "outside its bound", False),
        ("gradient of input", "two passes do not add up", False),
        ("call", "raised", False),
    ],
)
def test_only_findings_about_the_numbers_of_the_call_at_hand_are_explained(field, kind, is_said):
    loss = losses.loss(CASES[0], PADDED)
    right = gradients.by_name(backward(PADDED, model(PADDED), loss.cotangents), loss)
    seen = differentiated(PADDED, loss, {name: 2 * v for name, v in stored(PADDED, right).items()})
    if field == "output":
        seen = replace(seen, raw=observed(PADDED, stored(PADDED, enclosed(replace(PADDED, h_0=None)))).raw)
    said = explained(replace(FINDING, field=field, kind=kind), seen, model(PADDED))
    assert bool(said) is is_said


def test_finding_is_explained_where_it_is_shown_and_whatever_becomes_of_that():
    asked = iter([("equals that",)])
    deviation = Deviation.of(FINDING, lambda: next(asked))
    assert deviation.finding.what == ()
    assert deviation.explained().what == ("equals that",)
    broken = replace(observed(PADDED, {}), raw={"output": np.zeros(3), "h_n": np.zeros(3)})
    (said,) = explained(FINDING, broken, model(PADDED))
    assert said.startswith("not found out: ")
