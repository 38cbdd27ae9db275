"""A module that computes with weights that it had before: which, and since which operation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from conformance.harness.execution.lived import AfterOperation
from conformance.harness.findings.life_words import word_of
from conformance.harness.localiser import results
from conformance.harness.localiser.evidence import ENOUGH, bits, inside, wrong
from conformance.harness.localiser.limits import MOST_OF_A_CALL, products
from conformance.harness.localiser.sentences import sentence
from reference.histories import lives
from reference.life import Life
from reference.network import forward
from reference.problem import Problem, results_of
from reference.roundings import Rounding

Weights = Mapping[str, np.ndarray]


def stale(seen: AfterOperation, rounding: Rounding) -> list[str]:
    """The earlier weights that the results after an operation are right for; nothing where today's fit as well."""
    problem = seen.problem
    if seen.begun is None or seen.failure is not None or products(problem, problem.batch_size) > MOST_OF_A_CALL:
        return []
    values = {name: getattr(seen, name).values for name in results_of(problem) if name in seen.raw}
    right = results.by_name(forward(problem, rounding), problem)
    off = wrong(values, right)
    if set(values) != set(right) or not any(mask.any() for mask in off.values()):
        return []
    fitting = []
    for words, weights in _earlier(seen.begun, seen.done, problem):
        balls = results.by_name(forward(replace(problem, parameters=weights), rounding), problem)
        fits = all(inside(numbers, balls[name]).all() for name, numbers in values.items())
        if fits and bits(values, balls, right, off) >= ENOUGH:
            fitting.append(words)
    return sentence("still computes with", fitting)


def _earlier(begun: Problem, done: tuple[str, ...], problem: Problem) -> Iterator[tuple[str, Weights]]:
    """Every mix of today's weights and those of before one operation: all of them, or one; the latest first."""
    now, cell = problem.parameters, problem.architecture.name
    lived = [Life.of(begun.parameters, begun.dtype, begun.training), *(one for one in lives(begun, done) if one)]
    for place in reversed(range(len(done))):
        before = lived[place]
        other = [name for name in now if name in before.weights and not _same(before.weights[name], now[name])]
        if before.dtype != problem.dtype or not other:
            continue
        when = f"as before ({word_of(done[place], cell)})"
        for name in other if len(other) > 1 else ():
            yield f"{name} {when}{_values(before.weights, now, name)}", {**now, name: before.weights[name]}
        which = "all weights" if len(other) > 1 else other[0]
        values = {**now, **{name: before.weights[name] for name in other}}
        yield f"{which} {when}{_values(before.weights, now, other[0])}", values


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool((one == other).all())


def _values(before: Weights, now: Weights, name: str) -> str:
    """Where the weight differs first, as `: weight_ih[0, 0] is 1, was 0.5`."""
    if before[name].shape != now[name].shape:
        return ""
    at = np.unravel_index(int(np.argmax(before[name] != now[name])), now[name].shape)
    return f": {name}[{', '.join(map(str, at))}] is {now[name][at]:.6g}, was {before[name][at]:.6g}"
