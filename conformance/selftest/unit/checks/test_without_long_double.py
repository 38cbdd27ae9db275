"""Where long double is no wider than float64, the bounds of float64 are doubled: still sound, and still sharp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import product

import numpy as np
import pytest

from conformance.clauses import RED
from conformance.harness import session
from conformance.harness.cells import MODULES, SINGLE_STEPS
from conformance.harness.execution.subject import Subject, torch_nn
from conformance.harness.session import Session
from conformance.selftest import trial
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.implementations.plain import subject
from reference import roundings
from reference.ball import Ball
from reference.network import Enclosure, forward, forward_forced
from reference.problem import RNN_RELU, Problem
from reference.roundings import Rounding, lacks_wider_type, model
from strategies import Axes, parse
from strategies.values import FILLS

pytestmark = pytest.mark.skipif(lacks_wider_type(), reason="here long double is no wider than float64 anyway")

CASES = 5
"""For each property, cell and seed, all of them float64: as many as there are among the 20 of an ordinary trial."""


@contextmanager
def no_wider_type() -> Iterator[None]:
    """As where long double is no wider than float64; nothing that was judged outside is reused inside, or after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roundings, "WIDEST", np.float64)
        _forget()
        try:
            yield
        finally:
            _forget()


def _forget() -> None:
    """Lets go of rounding models that are kept."""
    session._judgement.cache_clear()


@pytest.fixture
def without_long_double() -> Iterator[None]:
    with no_wider_type():
        yield


@pytest.fixture
def float64_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials draw float64 cases and no others."""
    monkeypatch.setattr(trial, "Axes", partial(Axes, ("float64",)))
    monkeypatch.setitem(trial.EFFORTS, "few", CASES)


@pytest.mark.usefixtures("without_long_double", "float64_alone")
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.thorough(reason="every property of B1 and B2"))])
@pytest.mark.parametrize("sound", [torch_nn(), subject("plain")], ids=lambda sound: sound.name)
def test_sound_implementation_lies_within_the_bounds(sound: Subject, seed: int) -> None:
    found = trial.findings(sound, ("B1", "B2"), MODULES + SINGLE_STEPS, seed, "few")
    assert [finding.text() for finding in found if finding.severity == RED] == []


@pytest.mark.usefixtures("without_long_double", "float64_alone")
@pytest.mark.parametrize("clause", ["B1", "B2"])
@pytest.mark.parametrize("cell", MODULES)
def test_float64_that_is_computed_in_float32_is_caught(cell: str, clause: str) -> None:
    fault = next(fault for fault in faults() if fault.name == "computes-float64-in-float32")
    caught = next(trial.findings(fault.subject, (clause,), (cell,), 0, "few"))
    assert (caught.severity, caught.dtype, caught.kind) == (RED, "float64", "outside its bound")


# Beside the bounds of long double

LINES = [f"i3 h4 l2 n3 t5 bi fill={fill} seed=3" for fill in FILLS]
LINES += ["i9 h17 n2 t12 fill=normal", "i1 h1 t1 fill=dyadic", "i5 h4 l3 t3,5,1,5 bi fill=uniform seed=7"]
CAPABILITIES = ["AVX2", "AVX512"]


def posed(line: str, cell: str) -> Problem:
    return parse(f"v1 {line} float64")[0].on(cell)


def red(cell: str, capability: str) -> Rounding:
    """What float64 is judged by, as measured or, on AVX512, as any correct implementation may round."""
    return model(cell, "float64", "cpu", capability, "2.13", "torch.nn").red


@cache
def enclosures(line: str, cell: str, capability: str) -> list[tuple[Enclosure, Enclosure]]:
    """The whole call, then one layer of it step by step: each with long double, and without."""
    whole, layer = posed(line, cell), posed(line, cell)
    layer = layer.layer(0, layer.input)
    rounding = red(cell, capability)
    first = forward(whole, rounding)
    seen = forward(layer, rounding).output.midpoint.astype(np.float64)
    forced = forward_forced(layer, rounding, seen)
    with no_wider_type():
        rounding = red(cell, capability)
        return [(first, forward(whole, rounding)), (forced, forward_forced(layer, rounding, seen))]


def balls(line: str, cell: str, capability: str) -> list[tuple[Ball, Ball]]:
    """Everything enclosed, with long double and without."""
    pairs = enclosures(line, cell, capability)
    found = [(getattr(one, name), getattr(other, name)) for one, other in pairs for name in ("output", "h_n", "c_n")]
    return [(wide, narrow) for wide, narrow in found if wide is not None]


each_model = pytest.mark.parametrize("capability", CAPABILITIES, ids=["measured", "union"])

PROBLEMS = list(product(LINES, MODULES))
WITHOUT_CANCELLATION = [(line, cell) for line, cell in PROBLEMS if cell != RNN_RELU or "digital" not in line]
"""A relu of digital data meets sums that cancel: what is surely below 0 by one radius is not by two."""


@pytest.mark.parametrize(("line", "cell"), PROBLEMS)
@each_model
def test_bounds_hold_what_those_of_long_double_hold(line: str, cell: str, capability: str) -> None:
    for wide, narrow in balls(line, cell, capability):
        assert (wide.midpoint.dtype, narrow.midpoint.dtype) == (np.longdouble, np.float64)
        apart = np.abs(narrow.midpoint - wide.midpoint)
        known = np.isfinite(narrow.radius)
        assert (apart + wide.radius <= narrow.radius)[known].all()


@pytest.mark.parametrize(("line", "cell"), WITHOUT_CANCELLATION)
@each_model
def test_bounds_are_twice_as_wide_as_those_of_long_double_and_hardly_more(
    line: str, cell: str, capability: str
) -> None:
    for wide, narrow in balls(line, cell, capability):
        assert (narrow.radius <= 2.1 * wide.radius).all()
        assert (narrow.radius >= 1.9 * wide.radius).all()


def test_what_is_judged_without_long_double_is_forgotten_afterwards() -> None:
    problem, here = posed("i1 h1 t1", "gru"), Session(torch_nn())
    before = here.judgement(problem)
    with no_wider_type():
        within = here.judgement(problem)
        assert within.red.slack > 2
        assert within.red.working_type is np.float64
    assert here.judgement(problem) == before
    assert before.red.slack < 2
    assert before.red.working_type is np.longdouble
