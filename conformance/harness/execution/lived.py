"""What was seen of a module after each operation of its life cycle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from conformance.harness.execution.observation import Differentiated, Observation
from reference.life import Facts
from reference.problem import Problem


@dataclass(frozen=True, eq=False)
class AfterOperation(Differentiated):
    """A module's call after an operation, differentiated; gradients by the names that the module has for parameters.

    operation  its name; the failure, if there is one, is its own or the call's
    place      of it in the history, from 0
    fresh      the same call of a fresh module that was given the weights
    facts_of   what the module says of itself
    of_linear  the names of facts of torch.nn.Linear, in the same history, that are not as documented either
    weights    the values that the module has, float64
    told       what the operation tells of itself, and what torch.nn.Linear tells in the same history
    begun      the call of the module before its history; None where it is not known
    done       the operations that were done by then, in order, itself the last
    """

    operation: str = ""
    place: int = 0
    fresh: tuple[Differentiated, ...] = ()
    facts_of: Facts = field(default_factory=Facts)
    of_linear: tuple[str, ...] = ()
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    told: str = ""
    told_by_linear: str = ""
    begun: Problem | None = None
    done: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Lived(Observation):
    """A module's life: what was seen after each operation that applies, and that a linear layer takes too.

    done   the operations that were done, in order: those that apply
    ended  the operation in which a linear layer fails, and how; "" where it fails in none
    """

    history: tuple[str, ...] = ()
    after: tuple[AfterOperation, ...] = ()
    done: tuple[str, ...] = ()
    ended: str = ""
