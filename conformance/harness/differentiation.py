"""What properties of other ways to differentiate are written in: which calls are made, and what is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import reference
from conformance.clauses import AMBER
from conformance.harness import runner, session
from conformance.harness.capabilities import features, smallest
from conformance.harness.observation import Labelled, Observation
from conformance.harness.property import MODULES, SINGLE_STEPS
from conformance.harness.runner import Plan
from conformance.harness.second import MISSING
from conformance.harness.session import current_case
from conformance.harness.verdict import one_line, usable
from conformance.harness.ways import DOUBLE_BACKWARD, GRADGRADCHECK
from reference.problem import CELL_SUFFIX, LSTM, Loss, Problem
from strategies import Case, losses

ROUNDINGS = 64
"""At least as many as lie between the numbers of the smallest call, 1 at most, and one of its second derivatives."""


def check_second_derivatives(problem: Problem, loss: Loss, pick: int) -> list[Observation]:
    """What gradgradcheck says of the loss, on one of the run's routes that can be differentiated, as `pick` chooses."""
    here = session.current()
    routes = [route for route in runner.BACKWARD_ROUTES if route in here.routes]
    chosen = (routes[pick % len(routes)],) if routes else ()
    return [one for one in here.observe(problem, Plan(chosen, loss=loss, way=GRADGRADCHECK)) if usable(one)]


def distance_from_kinks(problem: Problem) -> float:
    """How near a pre-activation of RNN(relu) comes to 0, where relu has no derivative; inf for other cells."""
    return reference.distance_from_kinks(problem, session.current().judgement(problem).red)


def assert_second_derivatives(seen: Observation) -> None:
    """gradgradcheck has nothing to object."""
    case = current_case()
    case.checked(1, 0.0, 0.0)
    if seen.text:
        kind = "is missing" if seen.text == MISSING else "is not the derivative of the first"
        case.found(seen, "second derivative", kind, [f"second derivative {one_line(seen.text)}"])


def in_another_way(cell: str, way: str) -> list[Observation]:
    """The smallest calls of a cell, of each dtype, device, kind and route, in a way of `WAYS`; failed ones too.

    Left out are calls that cannot be differentiated by a plain backward pass either, which is another matter.
    """
    here, seen = session.current(), list[Observation]()
    for dtype in here.axes.dtypes:
        for device in here.axes.devices:
            for wanted in _kinds_of_calls(cell):
                problem = _with_sizes(smallest(cell, dtype, device, wanted))
                loss = _loss(problem)
                plain = here.observe(problem, Plan(runner.BACKWARD_ROUTES, loss=loss))
                routes = tuple(one.route for one in plain if one.failure is None and not one.misshapen)
                seen += here.observe(problem, Plan(routes, loss=loss, way=way))
    return seen


def _with_sizes(problem: Problem) -> Problem:
    """The same call with the size of every number in its place, so that relu is open."""
    h_0, c_0 = (None if values is None else np.abs(values) for values in (problem.h_0, problem.c_0))
    parameters = {name: np.abs(values) for name, values in problem.parameters.items()}
    return replace(problem, parameters=parameters, input=np.abs(problem.input), h_0=h_0, c_0=c_0)


def _kinds_of_calls(cell: str) -> tuple[tuple[str, ...], ...]:
    """Features of the smallest calls that may reach a kernel of their own."""
    if cell.endswith(CELL_SUFFIX):
        return ((), ("unbatched input",))
    kinds: tuple[tuple[str, ...], ...] = ((), ("unbatched input",), ("packed sequences",))
    return (*kinds, ("projection",)) if cell == LSTM else kinds


def _loss(problem: Problem) -> Loss:
    return losses.loss(Case(dtype=problem.dtype), problem)


def assert_open(way: str, calls: Sequence[Observation]) -> None:
    """A way of differentiating is open to all of a cell's calls; where to none, then to no call of other cells."""
    case = current_case()
    opened = [seen for seen in calls if seen.failure is None]
    refused = [seen for seen in calls if seen.failure is not None]
    case.checked(len(calls), 0.0, 0.0)
    for seen in refused:
        others = dict.fromkeys(_which(other) for other in opened or _open_to_siblings(way, seen))
        if others and seen.failure is not None:
            line = f"{_which(seen)}:  {one_line(': '.join(seen.failure), 120)}"
            more = "; …" if len(others) > 3 else ""
            case.found(seen, way, _refusal(seen, refused), [line, f"open to {'; '.join(list(others)[:3])}{more}"])


def _refusal(seen: Observation, refused: Sequence[Observation]) -> str:
    """`refused`, and for which kind of call if the plain one of its dtype is not refused too."""
    like = [one for one in refused if (one.problem.dtype, one.route) == (seen.problem.dtype, seen.route)]
    plain = any(not features(one.problem) for one in like)
    return "refused" if plain else ", ".join(["refused", *features(seen.problem)])


def _open_to_siblings(way: str, seen: Observation) -> list[Observation]:
    """The calls of other cells, but otherwise like `seen`, that a way is open to."""
    here, problem, opened = session.current(), seen.problem, list[Observation]()
    wanted = [feature for feature in features(problem) if feature != "projection"]
    for cell in SINGLE_STEPS if problem.architecture.single_step else MODULES:
        if cell not in here.subject.classes:
            continue
        other = _with_sizes(smallest(cell, problem.dtype, problem.device, wanted))
        opened += here.observe(other, Plan((seen.route,), loss=_loss(other), way=way))
    return [one for one in opened if one.failure is None]


def _which(seen: Observation) -> str:
    """A call in a few words: `lstm float32 grad, projection`."""
    problem = seen.problem
    return ", ".join([f"{problem.architecture.name} {problem.dtype} {seen.route}", *features(problem)])


def in_float64(seen: Observation) -> Observation | None:
    """The call of `seen` with the same numbers in float64, differentiated twice; None where that is refused."""
    wide = replace(seen.problem, dtype="float64")
    found = session.current().observe(wide, Plan((seen.route,), loss=seen.loss, way=DOUBLE_BACKWARD))
    return next((one for one in found if one.failure is None), None)


def assert_second_derivatives_near(seen: Observation, wide: Observation) -> None:
    """Second derivatives differ from those in float64 by `ROUNDINGS` of numbers up to the largest of these, or to 1.

    Amber beyond: nobody derived a bound for them.
    """
    case = current_case()
    (got,), (wanted,) = ([{n: g.values for n, g in one.gradients.items()} for one in of.again] for of in (seen, wide))
    largest = max(1.0, *(float(np.abs(values).max(initial=0.0)) for values in wanted.values()))
    allowed = ROUNDINGS * seen.judgement.red.unit_roundoff * largest
    for name, exact in wanted.items():
        values = got.get(name, np.zeros(exact.shape))
        error = np.abs(values - exact)
        case.checked(exact.size, 0.0, float(error.max(initial=0.0)) / allowed)
        if not error.max(initial=0.0) <= allowed:
            at = tuple(int(i) for i in np.unravel_index(int(np.nan_to_num(error, nan=np.inf).argmax()), error.shape))
            place = Labelled(name, exact, wide.gradients[name].axes).at(at)
            line = f"{place}:  got {values[at]:.9g}   in float64 {exact[at]:.9g}   allowed to differ by {allowed:.2g}"
            case.found(seen, "second derivative", "does not agree", [line], severity=AMBER, clause="C3")
