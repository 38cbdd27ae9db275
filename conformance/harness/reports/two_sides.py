"""Which of two values that must be the same is wrong: what they are, and what the documented equations say of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.harness.checks.case_record import Found
from conformance.harness.evidence import is_cheap, place_in
from conformance.harness.execution import by_hand
from conformance.harness.execution.lived import AfterOperation
from conformance.harness.execution.observation import Differentiated, Observation, Poisoned, Repeated
from conformance.harness.findings.recorder import Element
from conformance.harness.reports.calls.loss_text import OF

MUCH = 16
"""One of two values is the wrong one if its error is so many times that of the other."""

ADDED_ONCE_MORE = "two passes do not add up"

PASSES = {
    ADDED_ONCE_MORE: "The second backward pass, or the first, of which it must add the same once more",
    "does not grow with the loss": "One of two backward passes: that of the loss, or that of a multiple of it",
}
"""What is compared, by the kind of a finding about passes of one call."""


def compared_with(found: Found, element: Element) -> str:
    """In words which two values are compared; "" if there is but one."""
    kind = found.finding.kind
    if kind in PASSES:
        return PASSES[kind]
    if isinstance(found.seen, AfterOperation) and found.other is not None:
        return "What the module gives, or what a fresh module with its weights gives, which must be the same"
    if _is_at_one_place(found, element):
        return "The gradient of the call, or the sum of those of its parts, which must be the same"
    of = "gradients" if element.name.startswith(OF) else "sums" if element.name.startswith("<") else "results"
    if isinstance(found.seen, Repeated | Poisoned) and found.other is not None:
        return "One of two calls of the same module, which must return the same"
    if found.other is not None:
        return f"One of two calls, whose {of} must be the same"
    if element.other:
        must = "differ" if kind.startswith("equals") else "be the same"
        return f"One of two {of} of the same call, which must {must}"
    return ""


def _is_at_one_place(found: Found, element: Element) -> bool:
    """Whether what a call gives is compared with what its parts, or a fresh module, give at the same place."""
    return not element.other and isinstance(found.other, Differentiated)


def by_the_equations(found: Found, element: Element) -> str:
    """What the documented equations give for both, and so which is wrong; "" where they say nothing of either."""
    if found.finding.kind == ADDED_ONCE_MORE:
        return ""
    first, second = _documented(found.seen, element), None
    if _is_at_one_place(found, element):
        second = first
    elif element.other:
        there = replace(element, name=element.other, where=element.there)
        second = _documented(found.other or found.seen, there)
    if first is None or second is None:
        return ""
    errors = abs(element.got - first), abs(element.wanted - second)
    given = f"{first:.9g}" if first == second else f"{first:.9g} and {second:.9g}"
    said = (f"is off by {error:.2g}" if error < np.inf else "is no number" for error in errors)
    return (
        f"The documented equations in float64 give {given}: the first {', the second '.join(said)}. {_wrong(*errors)}"
    )


def _wrong(first: float, second: float) -> str:
    if not first <= MUCH * second:
        return "So the first is wrong."
    return "So the second is wrong." if not second <= MUCH * first else "That does not tell which is wrong."


def _documented(seen: Observation, element: Element) -> float | None:
    """An element of a call's results or gradients by the documented equations in float64; None where there is none."""
    if not is_cheap(seen.problem):
        return None
    loss = seen.loss if isinstance(seen, Differentiated) and element.name.startswith(OF) else None
    exact = by_hand.computed(seen.problem, "float64", loss).get(element.name)
    at = None if exact is None else place_in(exact.shape, element, seen)
    return None if exact is None or at is None else float(exact[at])
