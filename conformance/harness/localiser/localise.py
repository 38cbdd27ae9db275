"""From an observation that is out of its bounds to what it would be right for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

import reference
from conformance.harness.execution.observation import DIRECTION_NAMES, Differentiated, Observation
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.rendering import one_line
from conformance.harness.localiser import equations, gradients, parts, problems, results
from conformance.harness.localiser.evidence import ENOUGH, Arrays, Balls, bits, inside, wrong
from conformance.harness.localiser.gradients import Differentiation
from conformance.harness.localiser.network import compute
from conformance.harness.localiser.sentences import listed, sentence
from reference.formats import Format
from reference.network import forward
from reference.problem import FORWARD, GATES, REVERSE, Problem, differentiable, results_of
from reference.roundings import Rounding

MOST_PRODUCTS = 2**21
"""The products of a row, or of a whole call with its gradients, from which on variants cost too much to try."""

MOST_STEPS = 64
"""The same of layers times steps."""

MOST_OF_A_CALL = 2**30
"""The products of a call from which on nothing is looked for."""

MOST_NAMES = 3

OUTSIDE = ("outside its bound", "is missing")
"""The kinds of findings about gradients of the observation's own loss, and of one pass."""


def explained(finding: Finding, seen: Observation, rounding: Rounding) -> tuple[str, ...]:
    """The finding's lines `what`. That they cannot be found takes nothing from the finding, so they say so."""
    of_results = finding.field in results_of(seen.problem)
    of_gradients = finding.kind in OUTSIDE and finding.field.removeprefix("gradient of ") in differentiable(
        seen.problem
    )
    try:
        return tuple(localise(seen, rounding, of_gradients)) if of_results or of_gradients else ()
    except Exception as error:  # an error of this suite
        return (one_line(f"not found out: {type(error).__name__}: {error}"),)


def localise(seen: Observation, rounding: Rounding, gradients_too: bool = True) -> list[str]:
    """What the results of a call, or else its gradients, would be right for. Nothing where all are within bounds.

    rounding       the model whose bounds they are out of
    gradients_too  whether the gradients are those of the observation's loss
    """
    problem = seen.problem
    values = {name: getattr(seen, name).values for name in results_of(problem) if name in seen.raw}
    if seen.failure is not None or seen.misshapen or _drops_out(problem):
        return []
    if _products(problem, problem.batch_size) > MOST_OF_A_CALL:
        return []
    if values:
        right = results.by_name(forward(problem, rounding), problem)
        if any(mask.any() for mask in wrong(values, right).values()):
            return _Results(problem, rounding, values, {name: right[name] for name in values}).sentences()
    if gradients_too and isinstance(seen, Differentiated) and seen.loss is not None:
        found = seen.gradients
        got = {name: found.get(name, seen.zero_gradient(name)).values for name in seen.loss.wanted}
        return _of_gradients(seen, rounding, got) if _is_small(problem, problem.batch_size) else []
    return []


def _drops_out(problem: Problem) -> bool:
    a = problem.architecture
    return a.dropout > 0 and problem.training and a.num_layers > 1


def _is_small(problem: Problem, rows: int) -> bool:
    """Whether variants of so many rows of a call can be tried."""
    a = problem.architecture
    runs = a.num_layers * a.directions * problem.steps
    return runs <= MOST_STEPS and _products(problem, rows) <= MOST_PRODUCTS


def _products(problem: Problem, rows: int) -> int:
    """The products of a call of so many rows."""
    a = problem.architecture
    width = max(a.input_size, a.layer_input_size(a.num_layers - 1)) + a.output_size
    return a.num_layers * a.directions * problem.steps * rows * len(GATES[a.cell]) * a.hidden_size * width


class _Results:
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
            found += parts.lower_precision(
                self.values, self.right, self.wrong, self.problem.dtype, self._in_lower_precision
            )
        whole, in_part = list[str](), dict[str, list[str]]()
        for words, rows in self._equal():
            (whole if not rows else in_part.setdefault(rows, [])).append(words)
        found += sentence("equals the documented results", whole)
        for rows, candidates in in_part.items() if not whole else ():
            found += sentence(f"{rows} equals the documented results", candidates)
        return found

    def _is_finite(self) -> bool:
        return all(bool(np.isfinite(values).all()) for values in self.values.values())

    def _equal(self) -> Iterator[tuple[str, str]]:
        """The words of every variant that the results equal, and in which rows; "" for all."""
        for words, balls in self._variants():
            rows = self._rows(balls)
            used = rows & ~self.right_rows
            if (rows | self.right_rows).all() and self._bits(balls, used) >= ENOUGH:
                part = (self.right_rows & ~rows).any()
                yield words, _rows_named(used) if part else ""

    def _variants(self) -> Iterator[tuple[str, Balls]]:
        """All variants that are cheap enough to try, the simplest first."""
        first = int(np.argmax(~self.right_rows))
        if _is_small(self.problem, 1):
            places = self._places()
            for kind in problems.KINDS:
                for words, changed in kind(self.problem, places):
                    yield from self._tried(words, changed, first, partial(forward, rounding=self.rounding))
        for each in results.KINDS:
            yield from each(self.problem, self.rounding, self.right)
        if _is_small(self.problem, 1):
            for words, wiring in equations.wirings(self.problem, places.since):
                yield from self._tried(
                    words, self.problem, first, partial(compute, rounding=self.rounding, wiring=wiring)
                )

    def _tried(
        self, words: str, problem: Problem, row: int, computed: Callable[[Problem], reference.Enclosure]
    ) -> Iterator[tuple[str, Balls]]:
        """A variant, unless its first wrong row alone is not what was returned there: rows of a padded batch do not
        depend on each other."""
        if problem.batch_size > 1 and problem.lengths is None:
            alone = results.by_name(computed(problem.rows([row])), problem)
            if not all(
                inside(np.take(v, [row], results.ROWS[name]), alone[name]).all() for name, v in self.values.items()
            ):
                return
        yield words, results.by_name(computed(problem), problem)

    def _rows(self, balls: Balls) -> np.ndarray:
        """A mask (N,) of the rows whose results all lie in these enclosures."""
        masks = [np.moveaxis(inside(v, balls[name]), results.ROWS[name], 0) for name, v in self.values.items()]
        within: np.ndarray = np.logical_and.reduce([mask.reshape(len(mask), -1).all(1) for mask in masks])
        return within

    def _bits(self, balls: Balls, rows: np.ndarray) -> float:
        """The most that one result tells of these rows, in bits: results repeat each other's numbers."""
        told = []
        for name, mask in self.wrong.items():
            chosen = np.moveaxis(np.moveaxis(mask, results.ROWS[name], -1) & rows, -1, results.ROWS[name])
            told.append(bits(self.values[name], balls[name], self.right[name], chosen))
        return max(told, default=0.0)

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
        return results.by_name(forward(problem, _model(problem)), problem)


def _rows_named(rows: np.ndarray) -> str:
    places = [str(row) for row in np.flatnonzero(rows)]
    return f"row {places[0]}" if len(places) == 1 else f"each of rows {_few(places)}"


def _few(names: list[str]) -> str:
    """At most `MOST_NAMES` of them, and how many more."""
    return listed(names if len(names) <= MOST_NAMES else [*names[:MOST_NAMES], f"{len(names) - MOST_NAMES} more"])


def _model(problem: Problem) -> Rounding:
    """The rounding model of all correct implementations."""
    return reference.model(problem.architecture.name, problem.dtype, problem.device, "", "", "").red


def _of_gradients(seen: Differentiated, rounding: Rounding, values: Arrays) -> list[str]:
    """What gradients that are out of their bounds would be right for."""
    problem, loss = seen.problem, seen.loss
    assert loss is not None
    right = gradients.by_name(reference.backward(problem, rounding, loss.cotangents), loss)
    out = {name: mask for name, mask in wrong(values, right).items() if mask.any()}
    if not out:
        return []
    found = list(parts.same_number(values, out))

    def in_lower_precision(format: Format) -> Balls:
        other = problems.rounded(problem, format)
        return gradients.by_name(reference.backward(other, _model(other), loss.cotangents), loss)

    if all(bool(np.isfinite(values[name]).all()) for name in out):
        some = {name: values[name] for name in out}
        found += parts.lower_precision(some, right, out, problem.dtype, in_lower_precision)
    candidates: list[str] = []
    call = Differentiation(problem, loss, rounding, right)
    for kind in gradients.KINDS:
        candidates += [
            words for words, balls in kind(call) if words not in candidates and _equal(values, balls, right, out)
        ]
    one = len(out) == 1
    who = f"the gradient{'' if one else 's'} of {_few(list(out))} equal{'s' if one else ''}"
    return [*found, *sentence(f"{who} the documented {'one' if one else 'ones'}", candidates)]


def _equal(values: Arrays, balls: Balls, right: Balls, out: Mapping[str, np.ndarray]) -> bool:
    """Whether every gradient that is out of its bounds is that of a variant, and not by chance."""
    if not all(inside(values[name], balls[name]).all() for name in out):
        return False
    return max(bits(values[name], balls[name], right[name], mask) for name, mask in out.items()) >= ENOUGH
