"""The parameters of a module that exists, under the name that a case line gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

LONGEST_NAME = 200


class NoWeights(LookupError):
    """A case names weights that are not there, or that have other shapes than its module."""


@dataclass(frozen=True)
class Weights:
    """Parameters by their documented names, float64 arrays of numbers that the module's dtype stores.

    Two are equal if their names are: a case line holds the name alone. model: as --like names the one that has them.
    """

    name: str
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    model: str = field(default="", compare=False)

    def of(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The parameter of this name. Raises NoWeights if it is not there in this shape."""
        found = self.arrays.get(name)
        if found is None or found.shape != shape:
            there = "absent" if found is None else str(found.shape)
            raise NoWeights(f"weights={self.name}: {name} is {there}, the case has {shape}")
        return found


def is_name(text: str) -> bool:
    """Whether a case line can hold this name: printable, one word, no quotes that a shell would take."""
    return (
        0 < len(text) <= LONGEST_NAME and text.isprintable() and not any(c.isspace() or c in "\"'`$\\!" for c in text)
    )
