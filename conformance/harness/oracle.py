"""The enclosures that observations are judged by, each computed once for observations that share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np

import reference
from conformance.harness.observation import Observation
from reference.backward import Gradients
from reference.network import Enclosure
from reference.roundings import Rounding

T = TypeVar("T")

NOISE = 2.0**-44
"""Relative error of the difference of two bounds, each a sum of some hundred float64 numbers."""

_kept: dict[tuple[object, ...], tuple[object, Any]] = {}


def forget() -> None:
    """Lets go of every enclosure: those of large problems are large."""
    _kept.clear()


def from_inputs(seen: Observation, rounding: Rounding) -> Enclosure:
    """Everything from the call's inputs: the whole stack, all steps."""
    return _once(seen, rounding, None, lambda: reference.forward(seen.problem, rounding))


def from_own_states(seen: Observation, rounding: Rounding) -> Enclosure:
    """One layer, each step from the subject's own state before it."""
    output = seen.output.values
    return _once(seen, rounding, output.tobytes(), lambda: reference.forward_forced(seen.problem, rounding, output))


def from_cotangents(seen: Observation, rounding: Rounding) -> Gradients:
    """All gradients of the loss that was differentiated, from the call's inputs."""
    return _once(seen, rounding, seen.loss, lambda: _from_cotangents(seen, rounding))


def _from_cotangents(seen: Observation, rounding: Rounding) -> Gradients:
    assert seen.loss is not None, "only a call with a loss has gradients"
    return reference.backward(seen.problem, rounding, seen.loss.cotangents)


def underflow_of_gradients(seen: Observation) -> dict[str, np.ndarray]:
    """How much of each gradient may be lost where something underflows, by its name; inf where nothing is known.

    It is what the bounds have more than they would have if nothing underflowed, and what is lost of them to rounding.
    """
    allowed = seen.judgement.red
    without = replace(allowed, floor=0.0, sigmoid_floor=0.0, flushed_operands=0.0)
    with_it, without_it = from_cotangents(seen, allowed), _from_cotangents(seen, without)
    lost = {}
    for name in seen.gradients:
        radius = with_it.of(name).radius
        with np.errstate(invalid="ignore"):
            difference = radius - without_it.of(name).radius
        lost[name] = np.where(np.isfinite(difference), np.maximum(difference, 0) + NOISE * radius, np.inf)
    return lost


def _once(seen: Observation, rounding: Rounding, asked: object, enclose: Callable[[], T]) -> T:
    """Kept for the problem at hand alone: routes that return equal bits share one enclosure."""
    key = (id(seen.problem), id(rounding), asked)
    if key in _kept and _kept[key][0] is seen.problem:
        return cast(T, _kept[key][1])
    if not any(problem is seen.problem for problem, _ in _kept.values()):
        _kept.clear()
    enclosure = enclose()
    _kept[key] = (seen.problem, enclosure)
    return enclosure
