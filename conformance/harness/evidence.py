"""What is found out about a finding that is shown, once and after the verdict: a witness, the least sizes, a rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from conformance.harness.checks.case_record import Found
from conformance.harness.checks.refusals import CHANGES
from conformance.harness.execution import by_hand
from conformance.harness.execution.observation import INDEX, Differentiated, Observation
from conformance.harness.execution.requests.invalid.state import OF_CLASS, SETTINGS
from conformance.harness.findings.recorder import Element, Evidence, Finding, Witness
from reference.problem import Problem
from strategies import Case

Look = Callable[[Case], list[Found]]
"""What a property finds in a case."""

CALLS = 8
"""A case is called so often, to see whether it gives the finding each time."""

SECONDS = 1.0
"""The time after which no further call is made for a rate, and none for sizes."""

SIZES = ("batch_size", "steps", "hidden_size", "input_size", "num_layers")
LARGEST_PLAIN = 3
"""Sizes up to this one need no explanation."""

JUDGED_KINDS = ("outside its bound", "does not agree")
"""Kinds of findings about single numbers that the equations give."""

MOST_STEPS, MOST_PRODUCTS = 3000, 2**28
"""The largest calls that are computed by hand: steps over all layers and directions, and products."""

NOISE = 2.0**-40
"""The relative error of the equations in float64 where no error is allowed at all."""

AXES = {
    "output": ("row", "step", "direction", "unit"),
    "h_n": ("layer", "direction", "row", "unit"),
    "gradient of input": ("row", "step", "feature"),
    "gradient of h_0": ("layer", "direction", "row", "unit"),
}
AXES |= {"c_n": AXES["h_n"], "gradient of c_0": AXES["gradient of h_0"]}
"""The axes of what is computed by hand; parameters have those of `INDEX`."""


def explained(finding: Finding, case: Case, look: Look, fits: Callable[[Case], bool]) -> Finding:
    """The finding with its evidence. look: calls the subject again; fits: whether a case is one of the property's."""
    began = time.perf_counter()
    first = _same(finding, look(case))
    took = time.perf_counter() - began
    evidence = Evidence(_witness_of(finding, first.seen) if first is not None else None)
    if _is_lasting(finding.kind):
        return replace(finding, evidence=evidence)
    calls, failing = _rate(finding, case, look, first is not None, SECONDS - took)
    least = _least(finding, case, look, fits, SECONDS - took) if failing == calls else ()
    return replace(finding, evidence=replace(evidence, least=least, calls=calls, failing=failing))


def _is_lasting(kind: str) -> bool:
    """Whether a finding is of what one call may have changed for all later ones, which then do not change it."""
    name = kind.removeprefix(CHANGES)
    return kind.startswith(CHANGES) and (name in SETTINGS or name.startswith(OF_CLASS))


def _same(finding: Finding, found: list[Found]) -> Found | None:
    """What has the signature of a finding, on its route if it is there."""
    alike = [one for one in found if one.finding.signature == finding.signature]
    return min(alike, key=lambda one: one.finding.route != finding.route, default=None)


def _rate(finding: Finding, case: Case, look: Look, again: bool, seconds: float) -> tuple[int, int]:
    """In how many calls the case was made, and how many gave the finding; `again`: whether the second did."""
    calls, failing, deadline = 2, 1 + again, time.perf_counter() + seconds
    while calls < CALLS and time.perf_counter() < deadline:
        calls, failing = calls + 1, failing + (_same(finding, look(case)) is not None)
    return calls, failing


def _least(
    finding: Finding, case: Case, look: Look, fits: Callable[[Case], bool], seconds: float
) -> tuple[tuple[str, int], ...]:
    """The sizes that the finding needs: with one less, the case passes."""
    deadline, least = time.perf_counter() + seconds, []
    for name in SIZES:
        size = getattr(case, name)
        smaller = case.of_size(name, size - 1) if size > LARGEST_PLAIN else case
        if smaller is not case and time.perf_counter() < deadline and fits(smaller):
            least += [(name, size)] if _same(finding, look(smaller)) is None else []
    return tuple(least)


def _witness_of(finding: Finding, seen: Observation) -> Witness | None:
    """What the equations by hand say of the element that a finding shows; None where they cannot tell."""
    element = finding.element
    if element is None or finding.kind not in JUDGED_KINDS or not is_cheap(seen.problem):
        return None
    found = [one for returned in _starts(seen) if (one := _witness(element, seen, returned)) is not None]
    return next((one for one in found if one.agrees), found[0] if found else None)


def is_cheap(problem: Problem) -> bool:
    """Whether the equations give what a call returns, and within about a second."""
    a = problem.architecture
    masked = a.dropout and problem.training and a.num_layers > 1
    products = sum(numbers.size for numbers in problem.parameters.values()) * problem.batch_size * problem.steps
    return not masked and problem.steps * a.num_layers * a.directions <= MOST_STEPS and products <= MOST_PRODUCTS


def _starts(seen: Observation) -> Iterator[np.ndarray | None]:
    """The outputs that steps may have been judged from: none but the equations' own, or what the call returned."""
    yield None
    if seen.problem.architecture.num_layers == 1 and "output" in seen.raw:
        yield seen.output.values


def _witness(element: Element, seen: Observation, returned: np.ndarray | None) -> Witness | None:
    """What the equations say of an element, from these states."""
    problem = seen.problem
    loss = seen.loss if isinstance(seen, Differentiated) and element.name.startswith("gradient") else None
    exact = by_hand.computed(problem, "float64", loss, returned).get(element.name)
    if exact is None or (at := place_in(exact.shape, element, seen)) is None:
        return None
    value, working_error = float(exact[at]), None
    if problem.dtype == "float64":
        working_error = abs(value - element.wanted)
    else:
        with suppress(RuntimeError):
            working = by_hand.computed(problem, problem.dtype, loss, returned)[element.name]
            working_error = float(np.abs(working - exact).max())
    agrees = bool(element.other) or abs(value - element.wanted) <= element.allowed + abs(value) * NOISE
    return Witness(value, working_error, returned is not None, agrees)


def place_in(shape: tuple[int, ...], element: Element, seen: Observation) -> tuple[int, ...] | None:
    """The index of an element in an array of this shape; None where it has none."""
    begins = {"layer": seen.layer, "step": seen.step}
    names = AXES.get(element.name, INDEX[: len(shape)])
    at = tuple(element.where.get(name, -1) - begins.get(name, 0) for name in names)
    inside = len(at) == len(shape) and all(0 <= i < n for i, n in zip(at, shape, strict=True))
    return at if inside else None
