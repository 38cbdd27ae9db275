"""Whether changed bits matter: training on the new side beside that of old weights changed by a rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from conformance.comparing.cases import Module
from conformance.comparing.sides import Side
from conformance.harness.execution.observation import Trained
from conformance.harness.execution.requests.training import Train
from reference.formats import FORMATS
from reference.problem import Problem

MEMBERS = 10
"""Runs of the old side whose weights were changed by one unit in the last place."""


@dataclass(frozen=True)
class Drift:
    """How far weights are from those of the old side after training, at most over all weights.

    new       on the new side
    spread    in the ensemble on the old side, at most
    steps     of training
    cannot    why there are none
    """

    label: str
    new: float = 0.0
    spread: float = 0.0
    steps: int = 0
    cannot: str = ""

    @property
    def is_inside(self) -> bool:
        return not self.cannot and self.new <= self.spread


def drift(of: Module, old: Side, new: Side) -> Drift:
    """Trains a module on both sides, and on the old one from weights changed by a rounding."""
    label, problem = f"{of.name}: {of.case.line(of.cell)}", of.case.on(of.cell)
    request = Train(problem, ("grad",))
    (base,), (other,) = old.ask(request), new.ask(request)
    members = [old.ask(replace(request, problem=_nudged(problem, seed)))[0] for seed in range(MEMBERS)]
    failed = next((one.failure for one in (base, other, *members) if one.failure is not None), None)
    if failed is not None:
        return Drift(label, cannot=failed.title)
    spread = max(_distance(base, one) for one in members)
    return Drift(label, _distance(base, other), spread, request.steps)


def _nudged(problem: Problem, seed: int) -> Problem:
    """The problem with every weight one unit in the last place up, down or as it was."""
    draw, epsilon = np.random.default_rng(seed), 2 * FORMATS[problem.dtype].unit_roundoff
    changed = {
        name: values + draw.integers(-1, 2, values.shape) * epsilon * np.abs(values)
        for name, values in problem.parameters.items()
    }
    return replace(problem, parameters=changed)


def _distance(one: Trained, other: Trained) -> float:
    return max(float(np.abs(values - other.weights[name]).max()) for name, values in one.weights.items())
