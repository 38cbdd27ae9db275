"""Variants of gradients: of another loss, of a path left out, in another place, or times a factor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np

from conformance.harness.localiser.evidence import ENOUGH, Arrays, Balls, bits, inside
from conformance.harness.localiser.problems import (
    STACKED,
    Places,
    gate_orders,
    reordered,
    terms_dropped,
    transposed,
    with_tensors,
)
from reference.backward import Gradients, Rules, backward
from reference.ball import Ball, Summand, alone, linear, where
from reference.cells import Weights
from reference.network import forward, reversed_in_time
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH, Loss, Problem
from reference.roundings import Rounding
from reference.steps import STEPS, GruStep, LstmStep, Slopes, StepGradients, TanhStep


@dataclass(frozen=True)
class Differentiation:
    """A call and the loss that was differentiated.

    right  the enclosures of its documented gradients, by name
    """

    problem: Problem
    loss: Loss
    rounding: Rounding
    right: Balls

    def of(self, problem: Problem | None = None, cotangents: Mapping[str, np.ndarray] | None = None) -> Balls:
        """The gradients of another problem or of other cotangents."""
        given = self.loss.cotangents if cotangents is None else cotangents
        return by_name(backward(problem or self.problem, self.rounding, given), self.loss)

    def with_cotangent(self, name: str, values: np.ndarray) -> Balls:
        """The gradients with one other cotangent."""
        return self.of(cotangents={**self.loss.cotangents, name: values})


Varied = Iterator[tuple[str, Balls]]
"""The words that complete `the gradient of ... equals the documented one ...`, and enclosures of all gradients."""


def by_name(gradients: Gradients, loss: Loss) -> dict[str, Ball]:
    """The enclosures of the gradients that were asked for."""
    return {name: gradients.of(name) for name in loss.wanted}


def times(ball: Ball, factor: float) -> Ball:
    """A ball, midpoint and radius times a number."""
    return Ball(ball.midpoint * factor, ball.radius * abs(factor), ball.rounding, ball.overflows)


def factors(call: Differentiation) -> Varied:
    """The sign, and sums taken twice or as means."""
    n, t, d = call.problem.batch_size, call.problem.steps, call.problem.architecture.directions
    named = {"with the opposite sign": Fraction(-1), "times 2": Fraction(2), "times 1/2": Fraction(1, 2)}
    for words, size in (("rows", n), ("steps", t), ("rows and steps", n * t), ("directions", d)):
        named[f"times the number of {words}, {size}"] = Fraction(size)
        named[f"divided by the number of {words}, {size}"] = Fraction(1, size)
    seen = {Fraction(1)}
    for words, factor in named.items():
        if factor not in seen:
            seen.add(factor)
            yield words, {name: times(ball, float(factor)) for name, ball in call.right.items()}


def proportional(values: Arrays, right: Balls, out: Mapping[str, np.ndarray]) -> Iterator[str]:
    """All numbers out of bounds are the same multiple of the documented ones; the largest says which."""
    sizes = {name: np.where(mask, np.abs(right[name].midpoint), 0) for name, mask in out.items()}
    name = max(sizes, key=lambda name: float(sizes[name].max()))
    at = np.unravel_index(int(sizes[name].argmax()), sizes[name].shape)
    middle, radius = float(right[name].midpoint[at]), float(right[name].radius[at])
    factor = float(values[name][at]) / middle if middle else 0.0
    if not factor or not np.isfinite(factor) or not radius < abs(middle) / 8:
        return
    error = radius / abs(middle)
    scaled = {each: times(right[each], factor) for each in out}
    scaled = {each: ball.widened(ball.radius + np.abs(ball.midpoint) * error) for each, ball in scaled.items()}
    multiples = {each: where(out[each], ball, right[each]) for each, ball in scaled.items()}
    others = {each: mask.copy() for each, mask in out.items()}
    others[name][at] = False
    fits = all(inside(values[each], ball).all() for each, ball in multiples.items())
    if fits and bits({each: values[each] for each in out}, multiples, right, others) >= ENOUGH:
        digits = max(1, min(6, int(-np.log10(max(error, 1e-9)))))
        yield f"the numbers out of bounds are the documented ones times {factor:.{digits}g}"


def cotangents_missing(call: Differentiation) -> Varied:
    """Without one of the cotangents; of the last step's output alone."""
    given = call.loss.cotangents
    for name in given if len(given) > 1 else ():
        yield f"without the cotangent of {name}", call.of(cotangents={n: v for n, v in given.items() if n != name})
        yield f"with the cotangent of {name} alone", call.of(cotangents={name: given[name]})
    for name in given:
        yield f"with the cotangent of {name} doubled", call.with_cotangent(name, 2 * given[name])
    if "output" in given and call.problem.steps > 1 and call.problem.lengths is None:
        output = given["output"]
        for words, kept in (("last", slice(-1, None)), ("first", slice(0, 1))):
            only = np.zeros_like(output)
            only[:, kept] = output[:, kept]
            yield f"with the cotangent of the {words} step's output alone", call.with_cotangent("output", only)
            rest = output.copy()
            rest[:, kept] = 0
            yield f"without the cotangent of the {words} step's output", call.with_cotangent("output", rest)


def cotangents_moved(call: Differentiation) -> Varied:
    """Cotangents read in another order."""
    a, given = call.problem.architecture, call.loss.cotangents
    if "output" in given and call.problem.steps > 1:
        turned = reversed_in_time(call.problem, given["output"])
        yield "with the cotangent of output reversed in time", call.with_cotangent("output", turned)
    for name, axes in {"output": {"directions": 2}, "h_n": {"directions": 1, "layers": 0}}.items():
        for what, axis in axes.items():
            if name in given and given[name].shape[axis] > 1:
                words = f"with the {what} of the cotangent of {name} in reverse"
                yield words, call.with_cotangent(name, np.flip(given[name], axis))
    if a.cell == LSTM and {"h_n", "c_n"} <= given.keys() and given["h_n"].shape == given["c_n"].shape:
        exchanged = {**given, "h_n": given["c_n"], "c_n": given["h_n"]}
        yield "with the cotangents of h_n and c_n exchanged", call.of(cotangents=exchanged)
    if "output" in given and call.problem.batch_size == call.problem.steps > 1:
        swapped = given["output"].swapaxes(0, 1)
        yield "with rows and steps of the cotangent of output exchanged", call.with_cotangent("output", swapped)


def rows_missing(call: Differentiation) -> Varied:
    """Sums over the rows that leave out some."""
    n = call.problem.batch_size
    for row in range(min(n, 3)) if n > 1 else ():
        for words, kept in (("of row {} alone", {row}), ("without row {}", set(range(n)) - {row})):
            found = {}
            for name, values in call.loss.cotangents.items():
                axis = 0 if name == "output" else 2
                mask = np.isin(np.arange(n), list(kept)).reshape([-1 if k == axis else 1 for k in range(values.ndim)])
                found[name] = np.where(mask, values, 0.0)
            yield words.format(row), call.of(cotangents=found)


def steps_cut(call: Differentiation) -> Varied:
    """Back-propagation through time that stops between two steps, or between all."""
    p = call.problem
    if p.lengths is not None or p.architecture.directions > 1 or p.steps == 1:
        return
    every = _in_chunks(call, range(1, p.steps))
    if p.h_0 is not None:
        yield "without what a step hands back to another step", every
    for since in range(1, p.steps) if 2 < p.steps <= 8 else ():
        yield f"with what step {since} hands back left out", _in_chunks(call, [since])
    last = _chunk(call, p.steps - 1, p.steps, _states_after(call, p.steps - 1))
    only = {name: ball for name, ball in last.items() if name in p.parameters}
    yield "of the last step alone", {**call.right, **only}


def _in_chunks(call: Differentiation, cuts: range | list[int]) -> Balls:
    """The gradients with nothing handed back over these steps: parameters add up, inputs stand beside each other."""
    bounds = [0, *cuts, call.problem.steps]
    parts = [_chunk(call, a, b, _states_after(call, a)) for a, b in pairwise(bounds)]
    found = dict(parts[0])
    for name in call.loss.wanted:
        if name == "input":
            midpoint, radius = (np.concatenate([getattr(p[name], k) for p in parts], 1) for k in ("midpoint", "radius"))
            found[name] = Ball(midpoint, radius, call.rounding, overflows=True)
        elif name in call.problem.parameters:
            total = parts[0][name]
            for part in parts[1:]:
                total = total + part[name]
            found[name] = total
    return {name: ball.widened(call.right[name].radius) for name, ball in found.items()}  # for the states between


def _states_after(call: Differentiation, steps: int) -> Mapping[str, np.ndarray | None]:
    """The states that step number `steps` starts from."""
    p = call.problem
    if not steps:
        return {"h_0": p.h_0, "c_0": p.c_0}
    states = forward(replace(p, input=p.input[:, :steps]), call.rounding)
    return {"h_0": states.h_n.midpoint, "c_0": None if states.c_n is None else states.c_n.midpoint}


def _chunk(call: Differentiation, since: int, end: int, states: Mapping[str, np.ndarray | None]) -> Balls:
    """The gradients of some steps as a call of their own, from known states."""
    p, given = call.problem, call.loss.cotangents
    part = replace(p, input=p.input[:, since:end], h_0=states["h_0"], c_0=states["c_0"], granule=0.0)
    kept = {name: v[:, since:end] if name == "output" else v for name, v in given.items()}
    if end < p.steps:
        kept = {name: values for name, values in kept.items() if name == "output"}
    return call.of(part, kept)


def of_another_problem(call: Differentiation) -> Varied:
    """Differentiated as if the call had had other numbers: what a backward pass that recomputes may get wrong."""
    p = call.problem
    for name in ("h_0", "c_0"):
        if getattr(p, name) is not None:
            yield f"as if {name} were zeros", call.of(with_tensors(p, {name: np.zeros_like(getattr(p, name))}))
    ends = tuple(
        p.architecture.end(k, d) for k in range(p.architecture.num_layers) for d in range(p.architecture.directions)
    )
    for words, changed in terms_dropped(p, Places({"": ends})):
        if words.startswith("without"):
            yield f"computed {words}", call.of(changed)


def in_another_place(call: Differentiation) -> Varied:
    """Documented gradients, transposed, reordered, or each in the place of another."""
    right, p = call.right, call.problem
    for words, order in gate_orders(p.architecture.cell).items():
        changed = {n: b.rearranged(reordered(order)) for n, b in right.items() if n.startswith(STACKED)}
        yield f"with {words}", {**right, **changed}
    gates = len(GATES[p.architecture.cell])
    weights = {n: b for n, b in right.items() if n.startswith(("weight_ih", "weight_hh"))}
    changed = {n: b.rearranged(partial(transposed, gates)) for n, b in weights.items()}
    yield "with each gate's block transposed", {**right, **changed}
    for what, (one, other) in {
        "of the two biases": ("bias_ih", "bias_hh"),
        "of the two weights": ("weight_ih", "weight_hh"),
        "of the two directions": ("", "_reverse"),
        "of layers 0 and 1": ("_l0", "_l1"),
        "of the two states": ("h_0", "c_0"),
    }.items():
        yield from _exchanged(right, what, one, other)


def _exchanged(right: Balls, what: str, one: str, other: str) -> Varied:
    """Gradients exchanged, or the first in both places, where the names differ in these parts."""
    pairs = {n: n.replace(one, other) if one else n + other for n in right}
    pairs = {
        n: m for n, m in pairs.items() if m != n and m in right and right[n].midpoint.shape == right[m].midpoint.shape
    }
    if pairs:
        there, back = {n: right[m] for n, m in pairs.items()}, {m: right[n] for n, m in pairs.items()}
        yield f"{what} exchanged", {**right, **there, **back}
        yield f"{what}, that of {one or 'the forward one'} in both", {**right, **back}
        yield f"{what}, that of {other.strip('_')} in both", {**right, **there}


def moved_along(call: Differentiation) -> Varied:
    """The gradient of the input at another step or row; those of states at another layer, direction or row."""
    right = call.right
    axes = {"input": {"row": 0, "step": 1}, "h_0": {"layer": 0, "direction": 1, "row": 2}}
    axes["c_0"] = axes["h_0"]
    for name in [name for name in axes if name in right]:
        for what, axis in axes[name].items():
            size = right[name].midpoint.shape[axis]
            if size > 1:
                turned = right[name].rearranged(lambda v, axis=axis: np.flip(v, axis))  # type: ignore[misc]
                yield f"with the {what}s in reverse", {**right, name: turned}
            for by, words in ((1, "before"), (-1, "after")) if size > 2 else ():
                rolled = right[name].rearranged(lambda v, axis=axis, by=by: np.roll(v, by, axis))  # type: ignore[misc]
                yield f"of the {what} {words}", {**right, name: rolled}


def _one(y: Ball) -> Ball:
    return Ball.exact(np.ones(y.midpoint.shape), y.rounding)


def _one_minus(y: Ball) -> Ball:
    return _one(y) + y * Ball.exact(np.full(y.midpoint.shape, -1.0), y.rounding)


def _itself(y: Ball) -> Ball:
    return y


class _NoCellState(LstmStep):
    def backward(self, dh: Ball, dc: object, w: Weights) -> StepGradients:
        found = super().backward(dh, dc, w)  # type: ignore[arg-type]
        return found._replace(c=Ball.exact(np.zeros(self.c.midpoint.shape), self.c.rounding))


class _NoTanhOfCellState(LstmStep):
    def _through_h(self, dm: Ball) -> Ball:
        return dm * self.o


class _NothingThroughH(LstmStep):
    def _through_h(self, dm: Ball) -> Ball:
        return Ball.exact(np.zeros(dm.midpoint.shape), dm.rounding)


class _NoBlend(GruStep):
    def backward(self, dh: Ball, dc: object, w: Weights) -> StepGradients:
        return super().backward(dh, dc, w)._replace(h=())  # type: ignore[arg-type]


class _NoReset(GruStep):
    def hidden(self, ih: Ball) -> Ball:
        return ih


def _slopes(step: type[TanhStep] | type[LstmStep] | type[GruStep]) -> dict[str, type]:
    """The step with other derivatives of its functions."""
    found = {}
    for words, slope in (("1", _one), ("1 - y", _one_minus), ("y", _itself)):
        for function, slopes in (("tanh", Slopes(tanh=slope)), ("sigmoid", Slopes(sigmoid=slope))):
            if function == "tanh" or step is not TanhStep:
                varied = type(step.__name__, (step,), {"slopes": slopes})
                found[f"with {words} as the derivative of y = {function}"] = varied
    return found


def _nothing(g: Ball, weight: np.ndarray) -> Summand:
    """No gradient of h through W_hh."""
    return alone(Ball.exact(np.zeros((*g.midpoint.shape[:-1], weight.shape[-1])), g.rounding))


def _transposed(g: Ball, weight: np.ndarray) -> Summand:
    """That through W_hh with each gate's block transposed."""
    gates = np.split(weight, weight.shape[1] // weight.shape[2], axis=1)
    return linear(g, np.concatenate([gate.swapaxes(1, 2) for gate in gates], 1))


def rules(cell: str, hidden_is_square: bool) -> dict[str, Rules]:
    """The chain rule with a path or a derivative that is wrong, by its words."""
    steps: dict[str, dict[str, type]] = {
        RNN_TANH: _slopes(TanhStep),
        RNN_RELU: {},
        LSTM: {
            "without what the cell state hands to the step before": _NoCellState,
            "without the derivative of tanh(c')": _NoTanhOfCellState,
            "without what c' gets through h'": _NothingThroughH,
            **_slopes(LstmStep),
        },
        GRU: {
            "without the path of z * h": _NoBlend,
            "without the reset gate in the gradient of W_hn h + b_hn": _NoReset,
            **_slopes(GruStep),
        },
    }
    detached = {LSTM: _NoCellState, GRU: _NoBlend}.get(cell, STEPS[cell])
    found = {
        "without what a step hands back, to the initial states too": Rules({cell: detached}, _nothing),
        "without the gradient of h through W_hh": Rules(to_h=_nothing),
    }
    if hidden_is_square:
        found["with each gate's block of W_hh transposed on the way to h"] = Rules(to_h=_transposed)
    return found | {words: Rules({cell: step}) for words, step in steps[cell].items()}


def chain_rule_wrong(call: Differentiation) -> Varied:
    a = call.problem.architecture
    for words, rule in rules(a.cell, a.output_size == a.hidden_size > 1).items():
        found = backward(call.problem, call.rounding, call.loss.cotangents, rule)
        yield words, by_name(found, call.loss)


KINDS: tuple[Callable[[Differentiation], Varied], ...] = (
    factors,
    cotangents_missing,
    in_another_place,
    moved_along,
    steps_cut,
    rows_missing,
    chain_rule_wrong,
    cotangents_moved,
    of_another_problem,
)
