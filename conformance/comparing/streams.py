"""The random streams of both sides: what one seed gives on each."""

from __future__ import annotations

import numpy as np

from conformance import relations
from conformance.comparing.sides import Side
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.execution.requests.parameters import DrawParameters
from reference.problem import Problem
from strategies import Case
from strategies.values import INITIAL

SEED = 0

APART = 1e-6
"""In float64 another mask changes an output by far more, and another order of additions by far less."""


def weights_changed(cell: str, old: Side, new: Side) -> bool:
    """Whether the modules of one seed draw other initial weights."""
    request = DrawParameters(SEED, (_case().on(cell).architecture,) * 2)
    (before,), (after,) = old.ask(request), new.ask(request)
    return len(before.drawn) != len(after.drawn) or any(
        one.keys() != other.keys() or any(not np.array_equal(one[name], other[name]) for name in one)
        for one, other in zip(before.drawn, after.drawn, strict=True)
    )


def masks_changed(cell: str, old: Side, new: Side) -> bool:
    """Whether calls of one seed drop other elements between the layers of a stack in training."""
    request = Forward(training(cell), ("no_grad",))
    (before,), (after,) = old.ask(request), new.ask(request)
    if before.failure is not None or after.failure is not None:
        return before.failure != after.failure
    return bool(np.abs(before.raw["output"] - after.raw["output"]).max() > APART)


def training(cell: str) -> Problem:
    """A stack with active dropout."""
    return relations.with_active_dropout(_case(num_layers=2, dtype="float64").on(cell))


def _case(**given: object) -> Case:
    return Case(3, 8, batch_size=4, steps=5, fill=INITIAL, **given)  # type: ignore[arg-type]
