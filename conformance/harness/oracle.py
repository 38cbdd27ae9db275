"""The enclosures that observations are judged by, each computed once for observations that share it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import reference
from conformance.harness.observation import Observation
from reference.backward import Gradients
from reference.network import Enclosure
from reference.roundings import Rounding

T = TypeVar("T")

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
    assert seen.loss is not None, "only a call with a loss has gradients"
    loss = seen.loss
    return _once(seen, rounding, loss, lambda: reference.backward(seen.problem, rounding, loss.cotangents))


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
