"""The results of a call that are out of their bounds, and the variants that they equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from conformance.harness.execution.observation import DIRECTION_NAMES
from conformance.harness.localiser import equations, parts, problems, results
from conformance.harness.localiser.evidence import ENOUGH, OF_SOME_STEPS, Arrays, Balls, bits, inside, wrong
from conformance.harness.localiser.limits import is_small
from conformance.harness.localiser.network import compute
from conformance.harness.localiser.sentences import few, sentence
from reference.formats import Format
from reference.network import Enclosure, forward
from reference.problem import FORWARD, REVERSE, Problem
from reference.roundings import Rounding


class Results:
    """The results of a call that are out of their bounds.

    values   as returned, canonical
    right    their documented enclosures
    """

    def __init__(self, problem: Problem, rounding: Rounding, values: Arrays, right: Balls) -> None:
        self.problem, self.rounding = problem, rounding
        self.values, self.right = values, right
        self.wrong = wrong(values, right)
        self.right_rows = self._rows(right)

    def sentences(self) -> list[str]:
        """What the numbers have in common, then what they equal."""
        found = [*parts.same_number(self.values, self.wrong), *parts.repeats(self.values, self.right, self.wrong)]
        if self._is_finite():
            found += parts.lower_precision(self.values, self.right, self.wrong, self.problem, self._in_lower_precision)
        whole, in_part = list[str](), dict[str, list[str]]()
        for words, rows in self._equal():
            (whole if not rows else in_part.setdefault(rows, [])).append(words)
        found += sentence("equals the documented results", whole)
        for rows, candidates in in_part.items() if not found else ():
            found += sentence(f"{rows} equals the documented results", candidates)
        return found

    def _is_finite(self) -> bool:
        return all(bool(np.isfinite(values).all()) for values in self.values.values())

    def _equal(self) -> Iterator[tuple[str, str]]:
        """The words of every variant that the results equal, and in which rows; "" for all."""
        for words, balls, needed in self._variants():
            rows = self._rows(balls)
            used = rows & ~self.right_rows
            if (rows | self.right_rows).all() and self._bits(balls, used) >= needed:
                part = (self.right_rows & ~rows).any()
                yield words, _named(used) if part else ""

    def _variants(self) -> Iterator[tuple[str, Balls, float]]:
        """All variants that are cheap enough to try, the simplest first, and the bits that each needs."""
        problem, rounding, cheap = self.problem, self.rounding, is_small(self.problem, 1)
        places = self._places()
        for kind in problems.KINDS if cheap else ():
            for words, changed in kind(problem, places):
                for balls in self._tried(changed, partial(forward, rounding=rounding)):
                    yield words, balls, ENOUGH
        for each in results.KINDS:
            for words, balls in each(problem, rounding, self.right):
                yield words, balls, ENOUGH
        for words, wiring in equations.wirings(problem, places.since) if cheap else ():
            needed = ENOUGH + (OF_SOME_STEPS if wiring.at is not None else 0)
            for balls in self._tried(problem, partial(compute, rounding=rounding, wiring=wiring)):
                yield words, balls, needed

    def _tried(self, problem: Problem, computed: Callable[[Problem], Enclosure]) -> Iterator[Balls]:
        """The enclosures of a variant, unless the first wrong row alone is not what was returned there: rows of a
        padded batch do not depend on each other."""
        if problem.batch_size > 1 and problem.lengths is None:
            row = int(np.argmax(~self.right_rows))
            alone = results.by_name(computed(problem.rows([row])), problem)
            own = {name: np.take(values, [row], results.ROWS[name]) for name, values in self.values.items()}
            if not all(inside(values, alone[name]).all() for name, values in own.items()):
                return
        yield results.by_name(computed(problem), problem)

    def _rows(self, balls: Balls) -> np.ndarray:
        """A mask (N,) of the rows whose results all lie in these enclosures."""
        masks = [np.moveaxis(inside(v, balls[name]), results.ROWS[name], 0) for name, v in self.values.items()]
        within: np.ndarray = np.logical_and.reduce([mask.reshape(len(mask), -1).all(1) for mask in masks])
        return within

    def _bits(self, balls: Balls, rows: np.ndarray) -> float:
        """What the numbers that are out of bounds in these rows tell, in bits."""
        chosen = {
            n: np.moveaxis(np.moveaxis(m, results.ROWS[n], -1) & rows, -1, results.ROWS[n])
            for n, m in self.wrong.items()
        }
        return bits(self.values, balls, self.right, chosen)

    def _places(self) -> problems.Places:
        """All layers and directions; the first layer that is wrong; its only wrong direction."""
        a = self.problem.architecture
        h_n = np.asarray(self.wrong["h_n"].any((2, 3)))
        every = [(k, d) for k in range(a.num_layers) for d in range(a.directions)]
        chosen: dict[str, list[tuple[int, int]]] = {"": every}
        layer = int(np.argmax(h_n.any(1))) if h_n.any() else a.num_layers - 1
        if a.num_layers > 1:
            chosen[f" in layer {layer}"] = [(layer, d) for d in range(a.directions)]
        off = [d for d in (FORWARD, REVERSE)[: a.directions] if h_n[layer, d]]
        if a.directions > 1 and len(off) == 1:
            name = DIRECTION_NAMES[off[0]]
            chosen[f" in the {name} direction"] = [(k, off[0]) for k in range(a.num_layers)]
            if a.num_layers > 1:
                chosen[f" in the {name} direction of layer {layer}"] = [(layer, off[0])]
        ends = {words: tuple(a.end(k, d) for k, d in places) for words, places in chosen.items()}
        return problems.Places(ends, self._since())

    def _since(self) -> int:
        """The first wrong step of the output in its direction's own time; 0 if it is unknown."""
        if "output" not in self.wrong or self.problem.lengths is not None:
            return 0
        own = [half if d == FORWARD else half[::-1] for d, half in enumerate(self.wrong["output"].any((0, 3)).T)]
        steps = np.logical_or.reduce(own)
        return int(np.argmax(steps)) if steps.any() else 0

    def _in_lower_precision(self, format: Format) -> Balls:
        problem = problems.rounded(self.problem, format)
        return results.by_name(forward(problem, problems.widest_model(problem)), problem)


def _named(rows: np.ndarray) -> str:
    places = [str(row) for row in np.flatnonzero(rows)]
    return f"row {places[0]}" if len(places) == 1 else f"each of rows {few(places)}"
