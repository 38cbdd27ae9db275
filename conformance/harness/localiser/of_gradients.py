"""The gradients of a call that are out of their bounds, and the variants that they equal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.harness.localiser import gradients, parts, problems
from conformance.harness.localiser.evidence import ENOUGH, Arrays, Balls, bits, inside, wrong
from conformance.harness.localiser.gradients import Differentiation
from conformance.harness.localiser.sentences import few, sentence
from reference.backward import backward
from reference.formats import Format
from reference.problem import Loss, Problem
from reference.roundings import Rounding


class WrongGradients:
    """The gradients of a loss that are out of their bounds.

    values  those tensors of which a number is out of its bounds, as returned, canonical
    out     masks of these numbers
    """

    def __init__(self, problem: Problem, loss: Loss, rounding: Rounding, values: Arrays) -> None:
        right = gradients.by_name(backward(problem, rounding, loss.cotangents), loss)
        self.call = Differentiation(problem, loss, rounding, right)
        self.out = {name: mask for name, mask in wrong(values, right).items() if mask.any()}
        self.values = {name: values[name] for name in self.out}

    def sentences(self) -> list[str]:
        """What the numbers have in common, then what they equal; nothing where all are within bounds."""
        if not self.out:
            return []
        found, right = list(parts.same_number(self.values, self.out)), self.call.right
        if all(bool(np.isfinite(numbers).all()) for numbers in self.values.values()):
            found += parts.lower_precision(self.values, right, self.out, self.call.problem, self._in_lower_precision)
        candidates = list(dict.fromkeys(self._equal()))
        some = f" of {few(list(self.out))}" if len(self.out) in range(1, len(right)) or len(right) == 1 else ""
        one = len(self.out) == 1
        equal = (
            f"the gradient{some} equals the documented one" if one else f"the gradients{some} equal the documented ones"
        )
        found += sentence(equal, candidates)
        return found if candidates else [*found, *gradients.proportional(self.values, right, self.out)]

    def _equal(self) -> Iterator[str]:
        """The words of every variant that all of them equal, and not by chance."""
        for kind in gradients.KINDS:
            for words, balls in kind(self.call):
                fits = all(inside(numbers, balls[name]).all() for name, numbers in self.values.items())
                if fits and bits(self.values, balls, self.call.right, self.out) >= ENOUGH:
                    yield words

    def _in_lower_precision(self, format: Format) -> Balls:
        problem, loss = problems.rounded(self.call.problem, format), self.call.loss
        return gradients.by_name(backward(problem, problems.widest_model(problem), loss.cotangents), loss)
