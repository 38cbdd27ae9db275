"""A module as its weights: arrays alone, and what must be true of a module that has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from reference.formats import FORMATS
from reference.problem import Problem

FACTOR = 2.0
"""What an operation multiplies weights by that changes them: exact, also where they are subnormal."""

DIRECTION, MULTIPLE, ORTHOGONAL = "up to roundings", "a multiple", "orthogonal"
"""What is known of a weight that an operation makes in its own way: its values up to roundings; up to roundings and a
factor that is the same for all of them; that its rows or columns are orthogonal, and of length 1."""


@dataclass(frozen=True)
class Held:
    """A parameter that the user holds, through which a weight is made.

    name    as the module names it
    factor  the derivative of each element of the weight by that of the parameter: an array, or a number; None where
            it is not elementwise
    """

    name: str
    factor: np.ndarray | float | None = 1.0


@dataclass(frozen=True)
class Life:
    """A module as its weights.

    weights   by their documented names, float64, numbers that `dtype` stores exactly
    dtype     of weights, inputs and states
    training  the mode
    names     of the state_dict, in order
    held      the parameter behind each weight, by the weight's name
    frozen    names of parameters that want no gradient
    together  weights that are one tensor with the value: the name of another weight
    made      how a weight is made, where it is no parameter itself: the name of the operation
    loose     weights that an operation has made in a way that is its own, and the law that they keep: `DIRECTION`,
              `MULTIPLE` or `ORTHOGONAL`
    further   names of parameters that are held beside those in `held`
    """

    weights: Mapping[str, np.ndarray]
    dtype: str
    training: bool
    names: tuple[str, ...]
    held: Mapping[str, Held]
    frozen: frozenset[str] = frozenset()
    together: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    loose: Mapping[str, str] = field(default_factory=dict)
    further: frozenset[str] = frozenset()

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray], dtype: str, training: bool) -> Life:
        """The life of a module that was built and given its weights."""
        return cls(dict(weights), dtype, training, tuple(weights), {name: Held(name) for name in weights})

    @property
    def first(self) -> str:
        """The weight that operations of one weight are about."""
        return next(iter(self.weights))

    @property
    def is_plain(self) -> bool:
        """Whether every weight is a parameter of its own name, and none is another too."""
        return not self.made and not self.together

    @property
    def wants_gradients(self) -> bool:
        """Whether some weight wants a gradient."""
        return any(held.name not in self.frozen for held in self.held.values())

    @property
    def is_frozen_in_part(self) -> bool:
        """Whether some weights want gradients and others do not."""
        return self.wants_gradients and any(held.name in self.frozen for held in self.held.values())

    @property
    def is_known_by_law(self) -> bool:
        """Whether the values of some weight are not known."""
        return any(law != DIRECTION for law in self.loose.values())

    def twice(self, *names: str) -> Life:
        """These weights doubled; exact until they overflow."""
        with np.errstate(over="ignore"):
            return self.valued({name: FORMATS[self.dtype].round(self.weights[name] * FACTOR) for name in names})

    def valued(self, weights: Mapping[str, np.ndarray]) -> Life:
        """Other weights."""
        return replace(self, weights=dict(self.weights) | dict(weights))

    def moved(self, name: str, *names: str) -> Life:
        """The state_dict without a name, and with others in the end."""
        return replace(self, names=(*(one for one in self.names if one != name), *names))

    def holding(self, name: str, held: Held, made: str) -> Life:
        """A weight that is made of another parameter; made: how, "" where it is a parameter."""
        others = {n: how for n, how in self.made.items() if n != name}
        return replace(self, held=dict(self.held) | {name: held}, made=others | ({name: made} if made else {}))


def called(problem: Problem, life: Life) -> Problem:
    """The same call of a module with these weights, of their dtype."""
    h_0, c_0 = (None if one is None else FORMATS[life.dtype].round(one) for one in (problem.h_0, problem.c_0))
    return replace(
        problem,
        dtype=life.dtype,
        parameters=life.weights,
        input=FORMATS[life.dtype].round(problem.input),
        h_0=h_0,
        c_0=c_0,
        training=life.training,
        granule=0.0,
    )


@dataclass(frozen=True)
class Facts:
    """What a module says of itself.

    names        of the state_dict, in order
    together     parameters that are one tensor, by all their names
    wanting      names of parameters that want gradients
    in_training  its mode
    """

    names: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    wanting: tuple[str, ...] = ()
    in_training: bool = True


def facts(life: Life) -> Facts:
    """What a module says of itself that has these weights."""
    groups: dict[str, list[str]] = {}
    for weight, other in life.together.items():
        groups.setdefault(other, [other]).append(weight)
    held = {one.name for one in life.held.values()} | set(life.together) | life.further
    wanting = (one for one in held if life.together.get(one, one) not in life.frozen)
    together = sorted(tuple(sorted(group)) for group in groups.values())
    return Facts(life.names, tuple(together), tuple(sorted(wanting)), life.training)


def wanted_gradients(life: Life, gradients: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gradient that each parameter that is held and not frozen gets, from those of the weights it is behind.

    A parameter whose derivative is not elementwise is left out.
    """
    found: dict[str, np.ndarray] = {}
    for name, held in life.held.items():
        if held.factor is None or held.name in life.frozen or name not in gradients:
            continue
        own = gradients[name] * held.factor
        found[held.name] = own if held.name not in found else FORMATS[life.dtype].round(found[held.name] + own)
    return found
