"""Variants that are the documented computation of other numbers: each a name and a changed problem.

`KINDS` is the table, the simplest first. A kind yields its variants for a problem and the places that it may be about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, permutations
from typing import Any

import numpy as np

from reference.formats import FORMATS, Format
from reference.network import reversed_in_time
from reference.problem import FORWARD, GATES, LSTM, REVERSE, Problem
from reference.roundings import Rounding, model

Varied = Iterator[tuple[str, Problem]]
"""The words that complete `equals the documented results ...`, and the problem whose documented results are meant."""


@dataclass(frozen=True)
class Places:
    """Where a call first goes wrong: what a variant may be confined to.

    ends   the words and the parameters' suffixes of each set of layers and directions
    since  the first wrong step in own time, 0 if it is unknown
    """

    ends: Mapping[str, tuple[str, ...]]
    since: int = 0


WEIGHTS, BIASES = ("weight_ih", "weight_hh"), ("bias_ih", "bias_hh")
STACKED = (*WEIGHTS, *BIASES)
"""The parameters that stack the gates."""


def with_tensors(problem: Problem, changed: Mapping[str, np.ndarray | None]) -> Problem:
    """The problem with another input, h_0 or c_0."""
    given: dict[str, Any] = dict(changed)
    return replace(problem, **given)


def with_parameters(
    problem: Problem, ends: Iterable[str], names: Iterable[str], change: Callable[[np.ndarray], np.ndarray]
) -> Problem:
    """The problem with a change of the parameters of these names and suffixes."""
    chosen = {name + end for name in names for end in ends} & problem.parameters.keys()
    return replace(problem, parameters={**problem.parameters, **{n: change(problem.parameters[n]) for n in chosen}})


def reordered(order: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """Moves gate block `order[k]` of (G*H, ...) to place k."""
    return lambda values: np.concatenate([np.split(values, len(order))[k] for k in order])


def gate_orders(cell: str) -> dict[str, tuple[int, ...]]:
    """Every other order of the gates by what sets it apart: two of them swapped, or all of them named."""
    gates, found = GATES[cell], dict[str, tuple[int, ...]]()
    for a, b in combinations(range(len(gates)), 2):
        order = list(range(len(gates)))
        order[a], order[b] = b, a
        found[f"the gates {gates[a]} and {gates[b]} swapped"] = tuple(order)
    for other in permutations(range(len(gates))):
        if other != tuple(range(len(gates))) and other not in found.values():
            found[f"the gates in the order {', '.join(gates[k] for k in other)}"] = other
    return found


def states_of_zeros(problem: Problem, places: Places) -> Varied:
    for names in (("h_0",), ("c_0",), ("h_0", "c_0")):
        if all(getattr(problem, name) is not None for name in names):
            yield f"with {' and '.join(names)} of zeros", with_tensors(problem, dict.fromkeys(names))


def states_exchanged(problem: Problem, places: Places) -> Varied:
    h_0, c_0 = problem.h_0, problem.c_0
    if h_0 is not None and c_0 is not None and h_0.shape == c_0.shape:
        yield "with h_0 and c_0 exchanged", replace(problem, h_0=c_0, c_0=h_0)
        yield "with h_0 as c_0 too", replace(problem, c_0=h_0)
        yield "with c_0 as h_0 too", replace(problem, h_0=c_0)


def states_from_elsewhere(problem: Problem, places: Places) -> Varied:
    """States of another layer, direction or row; layers and directions laid out in the other order."""
    a, axes = problem.architecture, (("layer", 0), ("direction", 1), ("row", 2))

    def moved(words: str, move: Callable[[np.ndarray], np.ndarray]) -> Varied:
        for names in (("h_0", "c_0"), ("h_0",), ("c_0",)) if a.cell == LSTM else (("h_0",),):
            given = {name: getattr(problem, name) for name in names}
            if all(values is not None for values in given.values()):
                changed = {name: move(values) for name, values in given.items()}
                yield f"with {' and '.join(names)} {words}", with_tensors(problem, changed)

    for name, axis in axes:
        size = (a.num_layers, a.directions, problem.batch_size)[axis]
        if size > 1:
            yield from moved(f"in the reverse order of {name}s", lambda values, axis=axis: np.flip(values, axis))  # type: ignore[misc]
        if size > 2:
            for by in (1, -1):
                words = f"of the {name} {'before' if by == 1 else 'after'}"
                yield from moved(words, lambda values, axis=axis, by=by: np.roll(values, by, axis))  # type: ignore[misc]
        for place in range(min(size, 3) if size > 1 else 0):
            words = f"of {name} {place} in every {name}"
            yield from moved(words, lambda v, axis=axis, k=place: np.take(v, np.full(v.shape[axis], k), axis))  # type: ignore[misc]
    if a.num_layers > 1 and a.directions > 1:

        def other_order(values: np.ndarray) -> np.ndarray:
            turned: np.ndarray = values.reshape(values.shape[1], values.shape[0], *values.shape[2:]).swapaxes(0, 1)
            return turned

        yield from moved("read direction by direction instead of layer by layer", other_order)


def terms_dropped(problem: Problem, places: Places) -> Varied:
    """A product or a bias left out, subtracted, doubled, or read from the wrong parameter."""
    terms = {"weight_ih": "W_ih x", "weight_hh": "W_hh h", "bias_ih": "bias_ih", "bias_hh": "bias_hh"}
    there = [name for name in terms if name + problem.architecture.end(0, 0) in problem.parameters]
    for where, ends in places.ends.items():
        for name in there:
            yield f"without {terms[name]}{where}", with_parameters(problem, ends, [name], np.zeros_like)
        if "bias_ih" in there:
            yield f"without both biases{where}", with_parameters(problem, ends, BIASES, np.zeros_like)
            for name in BIASES:
                yield f"with {name} doubled{where}", with_parameters(problem, ends, [name], lambda b: 2 * b)
                other = {"bias_ih": "bias_hh", "bias_hh": "bias_ih"}[name]
                taken = {name + end: problem.parameters[other + end] for end in ends}
                words = f"with {other} in place of {name}{where}"
                yield words, replace(problem, parameters={**problem.parameters, **taken})
        for name in there:
            yield f"with {terms[name]} subtracted{where}", with_parameters(problem, ends, [name], np.negative)


def terms_of_a_gate_dropped(problem: Problem, places: Places) -> Varied:
    """The same for a single gate."""
    gates = GATES[problem.architecture.cell]
    for k, gate in enumerate(gates if len(gates) > 1 else ()):
        block = [k == other for other in range(len(gates))]

        def zeroed(values: np.ndarray, block: Sequence[bool] = block) -> np.ndarray:
            return np.concatenate([0 * v if out else v for v, out in zip(np.split(values, len(block)), block)])  # noqa: B905

        for name, words in (("weight_ih", "W_ih x"), ("weight_hh", "W_hh h"), *zip(BIASES, BIASES, strict=True)):
            for where, ends in places.ends.items():
                if name + ends[0] in problem.parameters:
                    yield f"without {words} in gate {gate}{where}", with_parameters(problem, ends, [name], zeroed)


def gates_reordered(problem: Problem, places: Places) -> Varied:
    for words, order in gate_orders(problem.architecture.cell).items():
        for where, ends in places.ends.items():
            yield f"with {words}{where}", with_parameters(problem, ends, STACKED, reordered(order))


def gates_reordered_in_part(problem: Problem, places: Places) -> Varied:
    """Two gates swapped in one term alone."""
    for words, order in gate_orders(problem.architecture.cell).items():
        if words.endswith("swapped"):
            for names in (("weight_ih", "bias_ih"), ("weight_hh", "bias_hh"), *((name,) for name in STACKED)):
                if names[0] + problem.architecture.end(0, 0) in problem.parameters:
                    changed = with_parameters(problem, places.ends[""], names, reordered(order))
                    yield f"with {words} in {' and '.join(names)}", changed


def gates_negated(problem: Problem, places: Places) -> Varied:
    """Not r and z of a GRU, which are then 1 - r and 1 - z."""
    gates = GATES[problem.architecture.cell]
    for k, gate in enumerate(gates):
        if gate in ("r", "z"):
            continue
        signs = [-1.0 if k == other else 1.0 for other in range(len(gates))]

        def signed(values: np.ndarray, signs: Sequence[float] = signs) -> np.ndarray:
            return np.concatenate([s * part for s, part in zip(signs, np.split(values, len(signs)), strict=True)])

        for where, ends in places.ends.items():
            words = f"with the opposite sign of what enters gate {gate}{where}"
            yield words, with_parameters(problem, ends, STACKED, signed)


def signs_flipped(problem: Problem, places: Places) -> Varied:
    yield "with the opposite sign of the input", replace(problem, input=-problem.input)
    for name in ("h_0", "c_0"):
        if (state := getattr(problem, name)) is not None:
            yield f"with the opposite sign of {name}", with_tensors(problem, {name: -state})


def transposed(gates: int, values: np.ndarray) -> np.ndarray:
    """Weights (G*H, features) with each gate's block transposed; unchanged where blocks are not square."""
    blocks = np.split(values, gates)
    return np.concatenate([block.T for block in blocks]) if blocks[0].shape[0] == blocks[0].shape[1] else values


def weights_transposed(problem: Problem, places: Places) -> Varied:
    """Of each gate's block, where it is square; and all blocks read with the gates beside each other."""
    gates = len(GATES[problem.architecture.cell])

    def interleaved(values: np.ndarray) -> np.ndarray:
        """Row k * G + g taken for row g * H + k."""
        return values.reshape(-1, gates, *values.shape[1:]).swapaxes(0, 1).reshape(values.shape)

    for where, ends in places.ends.items():
        for name in WEIGHTS:
            rows, columns = problem.parameters[name + ends[0]].shape
            if rows // gates == columns > 1:
                changed = with_parameters(problem, ends, [name], partial(transposed, gates))
                yield f"with each gate's block of {name} transposed{where}", changed
        if gates > 1 and problem.architecture.hidden_size > 1:
            changed = with_parameters(problem, ends, STACKED, interleaved)
            yield f"with the gates of each unit beside each other in the parameters{where}", changed


def units_and_features_reversed(problem: Problem, places: Places) -> Varied:
    if problem.architecture.input_size > 1:
        yield "with the features of the input in reverse", replace(problem, input=problem.input[..., ::-1])
    if problem.architecture.output_size > 1:
        for where, ends in places.ends.items():
            changed = with_parameters(problem, ends, ["weight_hh"], lambda w: w[:, ::-1])
            yield f"with the units that W_hh reads in reverse{where}", changed


def input_from_elsewhere(problem: Problem, places: Places) -> Varied:
    """The input of another step or row; steps are those of the forward direction."""
    x, last = problem.input, problem.steps - 1
    if last and problem.lengths is None and places.since:
        t = places.since
        for other in (t - 1, t + 1):
            if other <= last:
                taken = x.copy()
                taken[:, t] = x[:, other]
                yield f"with the input of step {other} at step {t}", replace(problem, input=taken)
        if 1 < t < last:
            taken = x.copy()
            taken[:, t:] = x[:, t - 1 : -1]
            yield f"with the input of the step before from step {t} on", replace(problem, input=taken)
        taken = x.copy()
        taken[:, t] = 0
        yield f"with an input of zeros at step {t}", replace(problem, input=taken)
    if last:
        yield "with the input reversed in time", replace(problem, input=reversed_in_time(problem, x))
        first, end = np.zeros_like(x[:, :1]), np.zeros_like(x[:, :1])
        for edge, words in ((first, "zeros"), (x[:, :1], "its own")):
            moved = np.concatenate([edge, x[:, :-1]], 1)
            yield f"with the input of the step before, {words} at step 0", replace(problem, input=moved)
        for edge, words in ((end, "zeros"), (x[:, -1:], "its own")):
            moved = np.concatenate([x[:, 1:], edge], 1)
            yield f"with the input of the step after, {words} at the last", replace(problem, input=moved)
        yield "with the input of step 0 at every step", replace(problem, input=np.repeat(x[:, :1], last + 1, 1))
    if problem.batch_size > 1 and problem.lengths is None:
        for by, words in ((1, "before"), (-1, "after")):
            yield f"with the input of the row {words}", replace(problem, input=np.roll(x, by, 0))
        yield "with the input of row 0 in every row", replace(problem, input=np.repeat(x[:1], len(x), 0))


def parameters_from_elsewhere(problem: Problem, places: Places) -> Varied:
    """The parameters of another layer or direction, where they have the same shapes."""
    a = problem.architecture
    names = [name for name in (*STACKED, "weight_hr") if name + a.end(0, 0) in problem.parameters]

    def taken(pairs: Mapping[str, str]) -> Problem | None:
        changed = {name + end: problem.parameters[name + other] for end, other in pairs.items() for name in names}
        fits = all(values.shape == problem.parameters[name].shape for name, values in changed.items())
        return replace(problem, parameters={**problem.parameters, **changed}) if fits else None

    layers = range(a.num_layers)
    both = [(a.end(k, FORWARD), a.end(k, REVERSE)) for k in layers] if a.bidirectional else []
    found: dict[str, Problem | None] = {}
    if both:
        found["with the parameters of the two directions exchanged"] = taken(dict(both) | {b: f for f, b in both})
        found["with the forward parameters in both directions"] = taken({b: f for f, b in both})
        found["with the reverse parameters in both directions"] = taken(dict(both))
    for layer in layers:
        for other in layers:
            if layer != other:
                words = f"with the parameters of layer {other} in layer {layer}"
                found[words] = taken({a.end(layer, d): a.end(other, d) for d in range(a.directions)})
    yield from ((words, changed) for words, changed in found.items() if changed is not None)


def projection_ignored(problem: Problem, places: Places) -> Varied:
    if problem.architecture.proj_size:
        for where, ends in places.ends.items():
            changed = with_parameters(problem, ends, ["weight_hr"], lambda w: np.eye(*w.shape))
            yield f"with the first units instead of their projection{where}", changed


def rounded(problem: Problem, format: Format) -> Problem:
    """The same call in a lower precision, its numbers rounded to that."""
    given = {name: getattr(problem, name) for name in ("input", "h_0", "c_0")}
    tensors = {name: format.round(values) for name, values in given.items() if values is not None}
    parameters = {name: format.round(values) for name, values in problem.parameters.items()}
    return replace(with_tensors(problem, tensors), dtype=format.name, parameters=parameters, granule=0.0)


def widest_model(problem: Problem) -> Rounding:
    """The rounding model of all correct implementations."""
    return model(problem.architecture.name, problem.dtype, problem.device, "", "", "").red


def numbers_of_a_lower_precision(problem: Problem, places: Places) -> Varied:
    for format in FORMATS.values():
        if format.precision < FORMATS[problem.dtype].precision:
            low = replace(rounded(problem, format), dtype=problem.dtype)
            high = replace(low, input=problem.input, h_0=problem.h_0, c_0=problem.c_0)
            yield f"with the parameters rounded to {format.name}", high
            yield f"with all that the call is given rounded to {format.name}", low


KINDS: tuple[Callable[[Problem, Places], Varied], ...] = (
    states_of_zeros,
    terms_dropped,
    gates_reordered,
    input_from_elsewhere,
    states_exchanged,
    states_from_elsewhere,
    parameters_from_elsewhere,
    signs_flipped,
    gates_negated,
    weights_transposed,
    projection_ignored,
    terms_of_a_gate_dropped,
    gates_reordered_in_part,
    units_and_features_reversed,
    numbers_of_a_lower_precision,
)
