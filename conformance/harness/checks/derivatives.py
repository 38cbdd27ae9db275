"""Comparisons of derivatives other than one backward pass: which APIs work, and second derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conformance.clauses import AMBER
from conformance.harness.checks import case_record
from conformance.harness.checks.bounds import allowed
from conformance.harness.execution.observation import (
    NO_SECOND_DERIVATIVES,
    DifferentiatedByApi,
    GradgradChecked,
    LabelledArray,
    Observation,
)
from conformance.harness.foreign_text import one_line
from conformance.harness.support import features

ROUNDINGS = 64
"""At least as many as lie between the numbers of the smallest call, 1 at most, and one of its second derivatives."""


def assert_second_derivatives(seen: GradgradChecked) -> None:
    """gradgradcheck passes."""
    case = case_record.current()
    case.checked(seen, 1, 0.0, 0.0)
    if wrong := seen.gradgradcheck_failure:
        kind = "is missing" if wrong == NO_SECOND_DERIVATIVES else "is not the derivative of the first"
        case.found(seen, "second derivative", kind, [f"second derivative {one_line(wrong)}"])


def assert_open(api: str, calls: Sequence[Observation], siblings: Sequence[Observation] = ()) -> None:
    """An autograd API works for all calls of a cell; or for none, and then for no call of its siblings."""
    case = case_record.current()
    opened = [seen for seen in calls if seen.failure is None]
    refused = [seen for seen in calls if seen.failure is not None]
    for seen in calls:
        case.checked(seen, 1, 0.0, 0.0)
    for seen in refused:
        others = dict.fromkeys(_which(other) for other in opened or _taken(seen, siblings))
        if others and seen.failure is not None:
            line = f"{_which(seen)}:  {one_line(seen.failure.text, 120)}"
            more = "; …" if len(others) > 3 else ""
            case.found(seen, api, _refusal(seen, refused), [line, f"open to {'; '.join(list(others)[:3])}{more}"])


def _taken(seen: Observation, siblings: Sequence[Observation]) -> list[Observation]:
    """The siblings' calls that gave a result and differ from `seen` only in the cell."""

    def kind(one: Observation) -> tuple[object, ...]:
        wanted = [feature for feature in features(one.problem) if feature != "projection"]
        return (one.problem.dtype, one.problem.device, one.route, wanted)

    return [other for other in siblings if other.failure is None and kind(other) == kind(seen)]


def _refusal(seen: Observation, refused: Sequence[Observation]) -> str:
    """`refused`, and for which kind of call if the plain one of its dtype is not refused too."""
    like = [one for one in refused if (one.problem.dtype, one.route) == (seen.problem.dtype, seen.route)]
    plain = any(not features(one.problem) for one in like)
    return "refused" if plain else ", ".join(["refused", *features(seen.problem)])


def _which(seen: Observation) -> str:
    """A call in a few words: `lstm float32 grad, projection`."""
    problem = seen.problem
    return ", ".join([f"{problem.architecture.name} {problem.dtype} {seen.route}", *features(problem)])


def assert_second_derivatives_near(seen: DifferentiatedByApi, wide: DifferentiatedByApi) -> None:
    """Second derivatives differ from those in float64 by `ROUNDINGS` of numbers up to the largest of these, or to 1.

    Amber beyond that, because no bound has been derived for them.
    """
    case = case_record.current()
    assert seen.second is not None, "only an API that gives second derivatives has any"
    assert wide.second is not None, "only an API that gives second derivatives has any"
    got, wanted = ({n: g.values for n, g in one.gradients.items()} for one in (seen.second, wide.second))
    largest = max(1.0, *(float(np.abs(values).max(initial=0.0)) for values in wanted.values()))
    most = ROUNDINGS * allowed(seen).unit_roundoff * largest
    for name, exact in wanted.items():
        values = got.get(name, np.zeros(exact.shape))
        error = np.abs(values - exact)
        case.checked(seen, exact.size, 0.0, float(error.max(initial=0.0)) / most)
        if not error.max(initial=0.0) <= most:
            at = tuple(int(i) for i in np.unravel_index(int(np.nan_to_num(error, nan=np.inf).argmax()), error.shape))
            place = LabelledArray(name, exact, wide.gradients[name].axes).at(at)
            line = f"{place}:  got {values[at]:.9g}   in float64 {exact[at]:.9g}   allowed to differ by {most:.2g}"
            case.found(seen, "second derivative", "does not agree", [line], severity=AMBER, clause="C3")
