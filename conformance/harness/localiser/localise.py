"""From an observation that is out of its bounds to what it would be right for."""

from __future__ import annotations

from conformance.harness.execution.lived import AfterOperation
from conformance.harness.execution.observation import Differentiated, Observation
from conformance.harness.findings.recorder import Finding
from conformance.harness.foreign_text import one_line
from conformance.harness.localiser import results
from conformance.harness.localiser.evidence import wrong
from conformance.harness.localiser.limits import MOST_OF_A_CALL, is_small, products
from conformance.harness.localiser.of_gradients import WrongGradients
from conformance.harness.localiser.of_results import Results
from conformance.harness.localiser.stale import stale
from reference.network import forward
from reference.problem import Problem, differentiable, results_of
from reference.roundings import Rounding

OUTSIDE = ("outside its bound", "is missing")
"""The kinds of findings about gradients of the observation's own loss, and of one pass."""


def explained(finding: Finding, seen: Observation, rounding: Rounding) -> tuple[str, ...]:
    """The finding's lines `what`. That they cannot be found takes nothing from the finding, so they say so."""
    of_results = finding.field in results_of(seen.problem)
    name = finding.field.removeprefix("gradient of ")
    of_gradients = finding.kind in OUTSIDE and name in differentiable(seen.problem)
    try:
        if isinstance(seen, AfterOperation):
            return tuple(stale(seen, rounding))
        return tuple(localise(seen, rounding, of_gradients)) if of_results or of_gradients else ()
    except Exception as error:  # an error of this suite
        return (one_line(f"not found out: {type(error).__name__}: {error}"),)


def localise(seen: Observation, rounding: Rounding, gradients_too: bool = True) -> list[str]:
    """What the results of a call, or else its gradients, would be right for. Nothing where all are within bounds.

    rounding       the model whose bounds they are out of
    gradients_too  whether the gradients are those of the observation's loss
    """
    problem = seen.problem
    is_large = products(problem, problem.batch_size) > MOST_OF_A_CALL
    if seen.failure is not None or seen.misshapen or _drops_out(problem) or is_large:
        return []
    values = {name: getattr(seen, name).values for name in results_of(problem) if name in seen.raw}
    if len(values) == len(results_of(problem)):
        right = results.by_name(forward(problem, rounding), problem)
        if any(mask.any() for mask in wrong(values, right).values()):
            return Results(problem, rounding, values, right).sentences()
    differentiated = gradients_too and is_small(problem, problem.batch_size)
    if differentiated and isinstance(seen, Differentiated) and seen.loss is not None:
        found = seen.gradients
        got = {name: found.get(name, seen.zero_gradient(name)).values for name in seen.loss.wanted}
        return WrongGradients(problem, seen.loss, rounding, got).sentences()
    return []


def _drops_out(problem: Problem) -> bool:
    a = problem.architecture
    return a.dropout > 0 and problem.training and a.num_layers > 1
