"""Variants of the equations and of their wiring through layers, directions and time: each a name and a `Wiring`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from conformance.harness.localiser.network import NextState, State, Wiring
from reference.ball import Ball, Term, affine, blend, relu, sigmoid, tanh
from reference.cells import Weights, split
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH, Problem

Function = Callable[[Ball], Ball]


def identity(z: Ball) -> Ball:
    return z


def constant(value: float, like: Ball) -> Ball:
    """A number in every element."""
    return Ball.exact(np.full(like.midpoint.shape, value), like.rounding)


def complement(y: Ball) -> Ball:
    """1 - y"""
    return constant(1.0, y) + y * constant(-1.0, y)


def rnn(function: Function) -> NextState:
    """h' = function(W_ih x + b_ih + W_hh h + b_hh)"""
    return lambda x, h, c, w: (function(affine(w.input_term(x), w.hidden_term(h))), c)


def lstm(
    functions: tuple[Function, Function, Function, Function] = (sigmoid, sigmoid, tanh, sigmoid),
    cell: Callable[[Ball, Ball, Ball, Ball], Ball] = lambda i, f, g, c: f * c + i * g,
    hidden: Callable[[Ball, Ball, Ball], Ball] = lambda o, after, before: o * tanh(after),
) -> NextState:
    """An LSTM with other functions of its gates i, f, g, o, cell state (i, f, g, c) or hidden state (o, c', c)."""

    def step(x: Ball, h: Ball, c: Ball, w: Weights) -> State:
        blocks = split(affine(w.input_term(x), w.hidden_term(h)), 4)
        i, f, g, o = (function(z) for function, z in zip(functions, blocks, strict=True))
        after = cell(i, f, g, c)
        shown = hidden(o, after, c)
        return (shown if w.weight_hr is None else affine(Term(shown, w.weight_hr, None))), after

    return step


def gru(
    functions: tuple[Function, Function, Function] = (sigmoid, sigmoid, tanh),
    reset: Callable[[Ball, Ball, Ball, Weights], Ball] = lambda r, i, h, w: i + r * affine(w.hidden_term(h)),
    blended: Callable[[Ball, Ball, Ball], Ball] = blend,
) -> NextState:
    """A GRU with other functions of its gates r, z, n, pre-activation of n (r, W_in x + b_in, h) or blend (z, n, h)."""

    def step(x: Ball, h: Ball, c: Ball, w: Weights) -> State:
        both, new = w.rows(0, 2, of=3), w.rows(2, 3, of=3)
        z_r, z_z = split(affine(both.input_term(x), both.hidden_term(h)), 2)
        r, z = functions[0](z_r), functions[1](z_z)
        n = functions[2](reset(r, affine(new.input_term(x)), h, new))
        return blended(z, n, h), c

    return step


def _without_bias(r: Ball, i: Ball, h: Ball, w: Weights) -> Ball:
    """r times the product alone"""
    product = r * affine(Term(h, w.weight_hh, None))
    bias = None if w.bias_hh is None else affine(Term(constant(0.0, h), w.weight_hh, w.bias_hh))
    return i + product if bias is None else i + product + bias


EQUATIONS: Mapping[str, Mapping[str, NextState]] = {
    RNN_TANH: {
        "with relu in place of tanh": rnn(relu),
        "with sigmoid in place of tanh": rnn(sigmoid),
        "without tanh": rnn(identity),
    },
    RNN_RELU: {
        "with tanh in place of relu": rnn(tanh),
        "without relu": rnn(identity),
        "with sigmoid in place of relu": rnn(sigmoid),
    },
    LSTM: {
        "with h' = o * c', without tanh": lstm(hidden=lambda o, after, before: o * after),
        "with h' = tanh(c'), without the gate o": lstm(hidden=lambda o, after, before: tanh(after)),
        "with h' = o * tanh(c) of the cell state before the step": lstm(
            hidden=lambda o, after, before: o * tanh(before)
        ),
        "with h' = o * sigmoid(c')": lstm(hidden=lambda o, after, before: o * sigmoid(after)),
        "with c' = i * g, no cell state carried": lstm(cell=lambda i, f, g, c: i * g),
        "with c' = f * c + g, without the gate i": lstm(cell=lambda i, f, g, c: f * c + g),
        "with c' = c + i * g, without the gate f": lstm(cell=lambda i, f, g, c: c + i * g),
        "with c' = f * c - i * g": lstm(cell=lambda i, f, g, c: f * c + i * g * constant(-1.0, g)),
        "with c' = f * c + (1 - f) * g": lstm(cell=lambda i, f, g, c: f * c + complement(f) * g),
        "with c' = (1 - i) * c + i * g": lstm(cell=lambda i, f, g, c: complement(i) * c + i * g),
        "with c' = (1 - f) * c + i * g": lstm(cell=lambda i, f, g, c: complement(f) * c + i * g),
        "with 1 added to what enters the gate f": lstm(
            (sigmoid, lambda z: sigmoid(z + constant(1.0, z)), tanh, sigmoid)
        ),
        "with sigmoid in place of tanh in gate g": lstm((sigmoid, sigmoid, sigmoid, sigmoid)),
        "without tanh in gate g": lstm((sigmoid, sigmoid, identity, sigmoid)),
        "with relu in place of tanh in gate g": lstm((sigmoid, sigmoid, relu, sigmoid)),
        "with tanh in place of sigmoid in gate i": lstm((tanh, sigmoid, tanh, sigmoid)),
        "with tanh in place of sigmoid in gate f": lstm((sigmoid, tanh, tanh, sigmoid)),
        "with tanh in place of sigmoid in gate o": lstm((sigmoid, sigmoid, tanh, tanh)),
        "with tanh and sigmoid exchanged": lstm(
            (tanh, tanh, sigmoid, tanh), hidden=lambda o, c, before: o * sigmoid(c)
        ),
    },
    GRU: {
        "with the reset gate before the product, W_hn (r * h)": gru(
            reset=lambda r, i, h, w: i + affine(w.hidden_term(r * h))
        ),
        "with the reset gate on the product alone, r * (W_hn h) + b_hn": gru(reset=_without_bias),
        "with n without the reset gate": gru(reset=lambda r, i, h, w: i + affine(w.hidden_term(h))),
        "with the reset gate on both terms of n": gru(reset=lambda r, i, h, w: r * (i + affine(w.hidden_term(h)))),
        "with the reset gate as 1 - r": gru(reset=lambda r, i, h, w: i + complement(r) * affine(w.hidden_term(h))),
        "with z and 1 - z exchanged": gru(blended=lambda z, n, h: blend(z, h, n)),
        "with h' = n, without the gate z": gru(blended=lambda z, n, h: n),
        "with h' = (1 - z) * n, no state carried past W_hh": gru(blended=lambda z, n, h: complement(z) * n),
        "with h' = n + z * h": gru(blended=lambda z, n, h: n + z * h),
        "with h' = z * h, without n": gru(blended=lambda z, n, h: z * h),
        "with sigmoid in place of tanh in gate n": gru((sigmoid, sigmoid, sigmoid)),
        "without tanh in gate n": gru((sigmoid, sigmoid, identity)),
        "with relu in place of tanh in gate n": gru((sigmoid, sigmoid, relu)),
        "with tanh in place of sigmoid in gate r": gru((tanh, sigmoid, tanh)),
        "with tanh in place of sigmoid in gate z": gru((sigmoid, tanh, tanh)),
    },
}
"""Other equations of each cell, by the words that complete `equals the documented results ...`."""


def _h_from(other: Callable[[list[State]], State], states: list[State]) -> State:
    return other(states)[0], states[-1][1]


def _c_from(other: Callable[[list[State]], State], states: list[State]) -> State:
    return states[-1][0], other(states)[1]


def _initial(states: list[State]) -> State:
    return states[0]


def _step_before(states: list[State]) -> State:
    return states[max(len(states) - 2, 0)]


def _zeros(states: list[State]) -> State:
    h, c = states[0]
    return constant(0.0, h), constant(0.0, c)


CARRIED: Mapping[str, Callable[[list[State]], State]] = {
    "the initial states": _initial,
    "states of zeros": _zeros,
    "the states of the step before the last": _step_before,
}
"""What a step may start from instead of the latest states."""


def starts(problem: Problem) -> dict[str, Callable[[list[State]], State]]:
    """The same, for h and c of an LSTM apart too. A c of zeros is among its equations."""
    passed = problem.h_0 is not None
    found = {words: other for words, other in CARRIED.items() if passed or other is not _zeros}
    if problem.architecture.cell == LSTM:
        for words, other in list(found.items()):
            found[f"h of {words}"] = partial(_h_from, other)
            if other is not _zeros:
                found[f"c of {words}"] = partial(_c_from, other)
    return found


def _as_they_are(problem: Problem, values: np.ndarray) -> np.ndarray:
    return values


def _from_the_longest_end(problem: Problem, values: np.ndarray) -> np.ndarray:
    return values[:, ::-1]


def _before(t: int, steps: int) -> int:
    return max(t - 1, 0)


def _after(t: int, steps: int) -> int:
    return min(t + 1, steps - 1)


def _skipping(skipped: int, layer: int) -> int:
    return layer - 2 if layer == skipped else layer - 1


def _kept(x: Ball, h: Ball, c: Ball, w: Weights) -> State:
    return h, c


WITHOUT_GATES = (RNN_TANH, RNN_RELU)
"""Cells whose h of zeros is the same as no product W_hh h."""

READ: Mapping[str, Callable[[int, int], int]] = {"the step before": _before, "the step after": _after}
"""The step that is read instead of step t, of so many."""

Varied = Iterator[tuple[str, Wiring]]
"""The words that complete `equals the documented results ...`, and the wiring."""


def other_equations(problem: Problem, since: int) -> Varied:
    for words, step in EQUATIONS[problem.architecture.cell].items():
        yield words, Wiring(step=step)


def other_states_carried(problem: Problem, since: int) -> Varied:
    for words, start in starts(problem).items() if problem.steps > 1 else ():
        without_w_hh = words == "h of states of zeros" or (
            start is _zeros and problem.architecture.cell in WITHOUT_GATES
        )
        if not without_w_hh:
            yield f"with {words} before every step", Wiring(start=start)


def other_directions(problem: Problem, since: int) -> Varied:
    if problem.architecture.bidirectional and problem.steps > 1:
        yield "with the reverse direction in forward order", Wiring(turned=_as_they_are, back=_as_they_are)
        yield "with the input of the reverse direction in forward order", Wiring(turned=_as_they_are)
        yield "with the output of the reverse direction in its own order", Wiring(back=_as_they_are)
        if problem.lengths is not None:
            turn = _from_the_longest_end
            yield "with the reverse direction from the end of the longest row", Wiring(turned=turn, back=turn)


def other_layers(problem: Problem, since: int) -> Varied:
    a = problem.architecture
    if a.num_layers > 1 and a.input_size == a.layer_input_size(1):
        yield "with the input of the call in every layer", Wiring(below=lambda layer: -1)
    for layer in range(2, a.num_layers):
        yield f"with the input of layer {layer - 1} in layer {layer}", Wiring(below=partial(_skipping, layer))


def other_inputs(problem: Problem, since: int) -> Varied:
    """The input of another step in its own time; of one layer and direction, `problems` has them."""
    a = problem.architecture
    for words, reads in READ.items() if a.num_layers * a.directions > 1 and problem.steps > 1 else ():
        yield f"with the input of {words} in every layer and direction", Wiring(reads=reads)
        if since:
            at = range(since, since + 1)
            where = f"at step {since} of every layer and direction"
            yield f"with the input of {words} {where}", Wiring(reads=reads, at=at)


def from_a_step_on(problem: Problem, since: int) -> Varied:
    """At the first wrong step, or from there on."""
    spans = {f"at step {since}": range(since, since + 1), f"from step {since} on": range(since, problem.steps)}
    for when, at in spans.items() if since else ():
        if len(at) > 1 or when.startswith("at"):
            yield f"with the states kept {when}", Wiring(step=_kept, at=at)
            for words, start in starts(problem).items():
                yield f"with {words} before the step, {when}", Wiring(start=start, at=at)
            for words, step in EQUATIONS[problem.architecture.cell].items():
                yield f"{words}, {when}", Wiring(step=step, at=at)


KINDS: tuple[Callable[[Problem, int], Varied], ...] = (
    other_equations,
    other_states_carried,
    other_directions,
    other_layers,
    other_inputs,
    from_a_step_on,
)
"""The table, the simplest first. A kind yields its variants for a problem and its first wrong step in own time."""


def wirings(problem: Problem, since: int) -> Varied:
    """Every other wiring of a call."""
    for kind in KINDS:
        yield from kind(problem, since)
