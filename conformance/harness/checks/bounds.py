"""The enclosures that observations are judged by, each computed once for observations that share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np

import reference
from conformance.harness.checks import case_record
from conformance.harness.execution.observation import Differentiated, Observation
from reference.backward import Gradients
from reference.network import Enclosure
from reference.roundings import Judgement, Rounding

T = TypeVar("T")

NOISE = 2.0**-44
"""Relative error of the difference of two bounds, each a sum of some hundred float64 numbers."""


def judgement(seen: Observation) -> Judgement:
    """The rounding models that judge an observation in the run at hand."""
    return case_record.current().run.judgement(seen.problem)


def allowed(seen: Observation) -> Rounding:
    """The rounding model beyond which a value is red."""
    return judgement(seen).red


def from_inputs(seen: Observation, rounding: Rounding | None = None) -> Enclosure:
    """Everything from the call's inputs: the whole stack, all steps."""
    model = rounding or allowed(seen)
    return _once(seen, model, None, lambda: reference.forward(seen.problem, model))


def from_own_states(seen: Observation, rounding: Rounding | None = None) -> Enclosure:
    """One layer, each step from the subject's own state before it."""
    output, model = seen.output.values, rounding or allowed(seen)
    return _once(seen, model, output.tobytes(), lambda: reference.forward_forced(seen.problem, model, output))


def from_cotangents(seen: Differentiated, rounding: Rounding | None = None) -> Gradients:
    """All gradients of the loss that was differentiated, from the call's inputs."""
    model = rounding or allowed(seen)
    return _once(seen, model, seen.loss, lambda: _from_cotangents(seen, model))


def _from_cotangents(seen: Differentiated, rounding: Rounding) -> Gradients:
    assert seen.loss is not None, "only a call with a loss has gradients"
    return reference.backward(seen.problem, rounding, seen.loss.cotangents)


def underflow_of_gradients(seen: Differentiated) -> dict[str, np.ndarray]:
    """How much of each gradient may be lost where something underflows, by its name; inf where nothing is known.

    It is what the bounds have more than they would have if nothing underflowed, and what is lost of them to rounding.
    """
    without = replace(allowed(seen), floor=0.0, sigmoid_floor=0.0, flushed_operands=0.0)
    with_it, without_it = from_cotangents(seen), _from_cotangents(seen, without)
    lost = {}
    for name in seen.gradients:
        radius = with_it.of(name).radius
        with np.errstate(invalid="ignore"):
            difference = radius - without_it.of(name).radius
        lost[name] = np.where(np.isfinite(difference), np.maximum(difference, 0) + NOISE * radius, np.inf)
    return lost


def _once(seen: Observation, rounding: Rounding, asked: object, enclose: Callable[[], T]) -> T:
    """Kept for the problem at hand alone: routes that return equal bits share one enclosure."""
    kept = case_record.current().enclosures
    key = (id(seen.problem), id(rounding), asked)
    if key in kept and kept[key][0] is seen.problem:
        return cast(T, kept[key][1])
    if not any(problem is seen.problem for problem, _ in kept.values()):
        kept.clear()
    enclosure = enclose()
    kept[key] = (seen.problem, enclosure)
    return enclosure
