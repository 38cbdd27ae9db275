"""The enclosures that observations are compared with, each computed once and shared."""

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
    """The rounding models for an observation in the current run."""
    return case_record.current().run.judgement(seen.problem)


def allowed(seen: Observation) -> Rounding:
    """The rounding model beyond which a value is red."""
    return judgement(seen).red


def from_inputs(seen: Observation, rounding: Rounding | None = None) -> Enclosure:
    """The enclosure of all results, from the inputs of the call through all layers and steps."""
    model = rounding or allowed(seen)
    return _once(seen, model, None, lambda: reference.forward(seen.problem, model))


def from_own_states(seen: Observation, rounding: Rounding | None = None) -> Enclosure:
    """The enclosure of one layer, each step computed from the state that the subject returned before it."""
    output, model = seen.output.values, rounding or allowed(seen)
    return _once(seen, model, output.tobytes(), lambda: reference.forward_forced(seen.problem, model, output))


def from_cotangents(seen: Differentiated, rounding: Rounding | None = None) -> Gradients:
    """All gradients of the loss that was differentiated, from the call's inputs."""
    model = rounding or allowed(seen)
    return _once(seen, model, seen.loss, lambda: _from_cotangents(seen, model))


def from_own_gradients(seen: Differentiated, rounding: Rounding | None = None) -> Gradients:
    """All gradients of one layer whose gates read inputs of their own (`relations.gates_as_inputs`).

    Each step is computed from the gradient that the subject found for the step after it.
    """
    model, output = rounding or allowed(seen), seen.output.values
    of_input = seen.gradient("input").values
    assert seen.loss is not None, "only a call with a loss has gradients"
    cotangents, asked = seen.loss.cotangents, (seen.loss, output.tobytes(), of_input.tobytes())
    return _once(
        seen, model, asked, lambda: reference.backward_forced(seen.problem, model, cotangents, output, of_input)
    )


def _from_cotangents(seen: Differentiated, rounding: Rounding) -> Gradients:
    assert seen.loss is not None, "only a call with a loss has gradients"
    return reference.backward(seen.problem, rounding, seen.loss.cotangents)


def underflow_of_gradients(seen: Differentiated) -> dict[str, np.ndarray]:
    """The part of each gradient that underflow may lose, by name; inf if it is unknown.

    It is the increase of the bounds due to underflow, plus the rounding error of that difference.
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
    """Caches enclosures of the current problem, so routes that return equal bits share one."""
    kept = case_record.current().enclosures
    key = (id(seen.problem), id(rounding), asked)
    if key in kept and kept[key][0] is seen.problem:
        return cast(T, kept[key][1])
    if not any(problem is seen.problem for problem, _ in kept.values()):
        kept.clear()
    enclosure = enclose()
    kept[key] = (seen.problem, enclosure)
    return enclosure
