"""Back-propagation through time, by hand: the enclosure of every gradient of a call.

A correct implementation differentiates at the values that it computed itself, errors included. The forward pass is
therefore run again, and its balls enter the gradients. As in `forward`, the whole stack runs from its inputs alone, so
bounds grow with the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reference.ball import Ball, Summand, alone, concatenate, linear, outer, stack, summed, where
from reference.cells import Weights, lstm_gates
from reference.network import (
    cell_states,
    given,
    in_own_time,
    layer_weights,
    reversed_in_time,
    running_rows,
    states_before,
)
from reference.problem import GATES, LSTM, RNN_RELU, Problem
from reference.roundings import Rounding
from reference.steps import STEPS, ReluStep, Step, Steps


@dataclass(frozen=True)
class Gradients:
    """The gradients that a correct implementation may return.

    input       (N, T, I), zero past the end of a row of a packed sequence
    h_0         (L, D, N, R)
    c_0         (L, D, N, H) for LSTM, else None
    parameters  by name, in the shape of each parameter
    """

    input: Ball
    h_0: Ball
    c_0: Ball | None
    parameters: Mapping[str, Ball]

    def of(self, name: str) -> Ball:
        """The gradient of `input`, `h_0`, `c_0` or a parameter. Raises KeyError."""
        states = {"input": self.input, "h_0": self.h_0} | ({"c_0": self.c_0} if self.c_0 is not None else {})
        return states[name] if name in states else self.parameters[name]


@dataclass(frozen=True)
class LayerRun:
    """The forward pass of one layer: input x (D, N, T, features), states before each step (D, N, T, R), and steps."""

    weights: Weights
    x: Ball
    before: Ball
    steps: Sequence[Step]


@dataclass(frozen=True)
class LayerGradients:
    """The gradients of one layer.

    x           (D, N, T, features), in each direction's own time
    h_0         (D, N, R)
    c_0         (D, N, H) for LSTM, else None
    parameters  by name without suffix, directions stacked
    """

    x: Summand
    h_0: Ball
    c_0: Ball | None
    parameters: Mapping[str, Ball]


@dataclass(frozen=True)
class Rules:
    """The chain rule: the steps of each cell, and from the gradient of W_hh h + b_hh to that of h."""

    steps: Steps = field(default_factory=lambda: STEPS)
    to_h: Callable[[Ball, np.ndarray], Summand] = linear


CHAIN_RULE = Rules()


@np.errstate(all="ignore")  # a vacuous ball carries inf and nan through the arithmetic
def backward(
    problem: Problem, rounding: Rounding, cotangents: Mapping[str, np.ndarray], rules: Rules = CHAIN_RULE
) -> Gradients:
    """All gradients of a loss, given the `cotangents`: its gradients with respect to the results of the call.

    Cotangents are output (N, T, D, R), h_n (L, D, N, R) and an LSTM's c_n (L, D, N, H), in numbers that the problem's
    dtype stores. Missing ones are zero, and the padding of a packed output is ignored. Dropout is not applied.
    rules: the chain rule; others than the default give the gradients of an implementation that is wrong.

    Raises ValueError for an unknown name or a wrong shape.
    """
    output, h_n, c_n = _complete(problem, cotangents)
    layers, done = _forward(problem, rounding, rules.steps), []
    seen = [_output_in_own_time(problem, alone(Ball.exact(output, rounding)))]
    for layer in reversed(range(len(layers))):
        at_end = [_at_last_step(problem, Ball.exact(state[layer], rounding)) for state in (h_n, c_n)]
        done.append(_layer_backward(layers[layer], [*seen, at_end[0]], at_end[1], rules))
        read = _in_input_time(problem, done[-1].x)
        seen = [_output_in_own_time(problem, part) for part in read] if layer else read
    done.reverse()
    return _gradients(problem, summed(*seen), done)


@np.errstate(all="ignore")
def backward_forced(
    problem: Problem, rounding: Rounding, cotangents: Mapping[str, np.ndarray], output: np.ndarray, of_input: np.ndarray
) -> Gradients:
    """The gradients of a call of one layer, each step from the gradient that the subject found for the step after it.

    In the weights of the input, direction k is an identity from column k * G*H on, and zero elsewhere. The gradient of
    the input therefore shows that of every pre-activation, and bounds do not grow with the steps; what an LSTM's c and
    a GRU's blend hand on from step to step is carried.

    output    (N, T, D, R), as the subject returned it
    of_input  (N, T, I), the gradient of the input that the subject found

    Raises ValueError as `backward` does, and for other weights of the input.
    """
    expected = identity_weights(problem)
    if problem.architecture.num_layers > 1 or any((problem.parameters[n] != w).any() for n, w in expected.items()):
        raise ValueError("forced gradients need one layer whose weights of the input are an identity")
    output_loss, h_n, c_n = _complete(problem, cotangents)
    layer = _forward_forced(problem, rounding, output)
    from_h = [
        _output_in_own_time(problem, alone(Ball.exact(output_loss, rounding))),
        _at_last_step(problem, Ball.exact(h_n[0], rounding)),
    ]
    from_c = _at_last_step(problem, Ball.exact(c_n[0], rounding))
    done = _layer_backward_forced(layer, from_h, from_c, _found(problem, rounding, of_input))
    parts = _in_input_time(problem, done.x)
    return _gradients(problem, summed(*parts), [done])


def identity_weights(problem: Problem) -> dict[str, np.ndarray]:
    """The weights of the input, by name, with which every gate of layer 0 reads an input of its own.

    Raises ValueError if there are fewer inputs than gates.
    """
    a, rows = problem.architecture, len(GATES[problem.architecture.cell]) * problem.architecture.hidden_size
    if a.input_size < a.directions * rows:
        raise ValueError(f"{a.directions * rows} gates need as many inputs, not {a.input_size}")
    return {
        "weight_ih" + a.end(0, direction): np.eye(rows, a.input_size, direction * rows)
        for direction in range(a.directions)
    }


def _gradients(problem: Problem, x: Ball, layers: Sequence[LayerGradients]) -> Gradients:
    """All gradients, from that of the input (N, T, I) and those of each layer."""
    nothing = Ball.exact(np.zeros(problem.input.shape), x.rounding)
    c_0 = [layer.c_0 for layer in layers if layer.c_0 is not None]
    return Gradients(
        (x if problem.lengths is None else where(running_rows(problem)[..., None], x, nothing)).slackened(),
        stack([layer.h_0 for layer in layers], 0).slackened(),
        stack(c_0, 0).slackened() if c_0 else None,
        _named(problem, layers),
    )


def _complete(problem: Problem, cotangents: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cotangents of output, h_n and c_n, zeros for missing ones. Raises ValueError as `backward` does."""
    a = problem.architecture
    states = (a.num_layers, a.directions, problem.batch_size)
    shapes = {
        "output": (problem.batch_size, problem.steps, a.directions, a.output_size),
        "h_n": (*states, a.output_size),
        "c_n": (*states, a.hidden_size),
    }
    results = [name for name in shapes if name != "c_n" or a.cell == LSTM]
    for name, values in cotangents.items():
        if name not in results:
            raise ValueError(f"{a.name} has no result {name!r}; it has {', '.join(results)}")
        if np.shape(values) != shapes[name]:
            raise ValueError(f"the gradient of {name} has shape {np.shape(values)}, {name} has shape {shapes[name]}")
    output, h_n, c_n = (np.asarray(cotangents.get(name, np.zeros(shape))) for name, shape in shapes.items())
    if problem.lengths is not None:
        output = np.where(running_rows(problem)[:, :, None, None], output, 0)
    return output, h_n, c_n


def _forward(problem: Problem, rounding: Rounding, of_cell: Steps = STEPS) -> list[LayerRun]:
    """Every layer, run from the inputs alone. A row that has ended continues from zeros, which no gradient reaches."""
    below, layers = Ball.exact(given(problem), rounding, problem.granule), []
    running = np.ones(problem.input.shape[:2], bool) if problem.lengths is None else running_rows(problem)
    for layer in range(problem.architecture.num_layers):
        x, weights = in_own_time(problem, below), layer_weights(problem, layer)
        h, c = (Ball.exact(problem.state(name)[layer], rounding, problem.granule) for name in ("h_0", "c_0"))
        nothing, no_c = (Ball.exact(np.zeros(state.midpoint.shape), rounding) for state in (h, c))
        steps: list[Step] = []
        states = [h]
        for t in range(problem.steps):
            steps.append(of_cell[problem.architecture.cell].forward(x[:, :, t], h, c, weights))
            goes_on = running[:, t, None]
            h = where(goes_on, steps[-1].h, nothing)
            c = c if steps[-1].c is None else where(goes_on, steps[-1].c, no_c)
            states.append(h)
        layers.append(LayerRun(weights, x, stack(states[:-1], 2), steps))
        output = _in_input_time(problem, alone(stack(states[1:], 2)))
        below = concatenate([part.ball for part in output], -1)
    return layers


def _forward_forced(problem: Problem, rounding: Rounding, output: np.ndarray) -> LayerRun:
    """The only layer, each step run from the state that the subject returned before it, all steps as one."""
    weights, x = layer_weights(problem, 0), in_own_time(problem, Ball.exact(given(problem), rounding, problem.granule))
    before = states_before(problem, rounding, output)
    c = None
    if problem.architecture.cell == LSTM:
        states = cell_states(problem, rounding, *lstm_gates(x, before, weights)[:3])
        c = stack([Ball.exact(problem.state("c_0")[0], rounding), *states[:-1]], 2)
    return LayerRun(weights, x, before, [STEPS[problem.architecture.cell].forward(x, before, c, weights)])


def _found(problem: Problem, rounding: Rounding, of_input: np.ndarray) -> Ball:
    """The gradients of the pre-activations (D, N, T, G*H) that the subject found, in each direction's own time.

    They may have been rounded, or flushed to zero, on their way through the identity.
    """
    a = problem.architecture
    rows = len(GATES[a.cell]) * a.hidden_size
    apart = [of_input[..., direction * rows : (direction + 1) * rows] for direction in range(a.directions)]
    own = np.stack([apart[0], *(reversed_in_time(problem, late) for late in apart[1:])])
    lost = rounding.unit_roundoff * np.abs(own) + rounding.floor + rounding.flushed_operands
    running = np.ones(own.shape[1:3], bool) if problem.lengths is None else running_rows(problem)
    return Ball.exact(np.where(running[..., None], own, 0), rounding).widened(np.where(running[..., None], lost, 0))


def distance_from_kinks(problem: Problem, rounding: Rounding) -> float:
    """The smallest abs(pre-activation) of an RNN(relu), since relu has no derivative at 0; inf for other cells."""
    if problem.architecture.cell != RNN_RELU:
        return float("inf")
    steps = [step for layer in _forward(problem, rounding) for step in layer.steps]
    return min(float(np.abs(step.z.midpoint).min()) for step in steps if isinstance(step, ReluStep))


def _layer_backward(layer: LayerRun, from_h: Sequence[Summand], from_c: Summand, rules: Rules) -> LayerGradients:
    """The gradients of one layer, last step first.

    from_h  the parts of the gradient of h (D, N, T, R) that come from above and from the loss
    from_c  the part of the gradient of c (D, N, T, H) that comes from the loss
    """
    w, pulled = layer.weights, []
    dh: list[Summand] = []
    dc: list[Summand] = []
    for t in reversed(range(len(layer.steps))):
        dh_now = summed(*(_at(t, part) for part in from_h), *dh)
        step = layer.steps[t].backward(dh_now, [_at(t, from_c), *dc], w)
        dh = [rules.to_h(step.hh, w.weight_hh), *step.h]
        dc = [] if step.c is None else [alone(step.c)]
        pulled.append(step)
    pulled.reverse()
    ih, hh = (stack([getattr(step, name) for step in pulled], 2) for name in ("ih", "hh"))
    pairs = [step.projection for step in pulled if step.projection is not None]
    projection = (stack([dh for dh, _ in pairs], 2), stack([m for _, m in pairs], 2)) if pairs else None
    parameters = _parameters(layer, ih, hh, projection)
    return LayerGradients(linear(ih, w.weight_ih), summed(*dh), pulled[0].c, parameters)


def _layer_backward_forced(layer: LayerRun, from_h: Sequence[Summand], from_c: Summand, found: Ball) -> LayerGradients:
    """The same of a layer whose only step stands for all, from the gradients of the pre-activations that were found.

    found  (D, N, T, G*H)
    """
    w, (step,) = layer.weights, layer.steps
    hh = step.hidden(found)
    through_weights = linear(hh, w.weight_hh)
    dh, dc = step.carried([*from_h, through_weights.rearranged(_one_step_earlier)], [from_c], w)
    pulled = step.backward(summed(*dh), dc, w)
    first = [_at(0, through_weights), *(_at(0, part) for part in pulled.h)]
    c_0 = None if pulled.c is None else pulled.c[:, :, 0]
    parameters = _parameters(layer, found, hh, pulled.projection)
    return LayerGradients(linear(pulled.ih, w.weight_ih), summed(*first), c_0, parameters)


def _one_step_earlier(values: np.ndarray) -> np.ndarray:
    """values (D, N, T, features) with those of step t + 1 at step t, zero at the last."""
    return np.concatenate([values[:, :, 1:], np.zeros_like(values[:, :, :1])], 2)


def _parameters(layer: LayerRun, ih: Ball, hh: Ball, projection: tuple[Ball, Ball] | None) -> dict[str, Ball]:
    """The gradients of a layer's parameters: sums over rows and steps of gradients times the values they multiplied."""
    gradients = {"weight_ih": outer(ih, layer.x), "weight_hh": outer(hh, layer.before)}
    if layer.weights.bias_ih is not None:
        one = Ball.exact(np.ones((*ih.midpoint.shape[:3], 1)), ih.rounding)
        gradients |= {"bias_ih": outer(ih, one)[..., 0], "bias_hh": outer(hh, one)[..., 0]}
    if projection is not None:
        gradients["weight_hr"] = outer(*projection)
    return gradients


def _named(problem: Problem, layers: Sequence[LayerGradients]) -> dict[str, Ball]:
    """The gradients of all parameters, in their documented order."""
    a, gradients = problem.architecture, {}
    for k, layer in enumerate(layers):
        for direction in range(a.directions):
            for name, both in layer.parameters.items():
                gradients[name + a.end(k, direction)] = both[direction].slackened()
    return {name: gradients[name] for name in a.parameter_shapes()}


def _at(t: int, part: Summand) -> Summand:
    """Step `t` of a summand (D, N, T, features)."""
    return part.rearranged(lambda values: values[:, :, t])


def _at_last_step(problem: Problem, state: Ball) -> Summand:
    """Gradients of the last state (D, N, features), placed at each row's last step, else zero (D, N, T, features)."""
    lengths = np.full(problem.batch_size, problem.steps) if problem.lengths is None else np.array(problem.lengths)
    is_last = np.arange(problem.steps) == lengths[:, None] - 1
    return alone(state.rearranged(lambda values: np.where(is_last[..., None], values[:, :, None], 0)))


def _output_in_own_time(problem: Problem, part: Summand) -> Summand:
    """A summand of an output's gradient (N, T, D, R) or (N, T, D*R), as (D, N, T, R) in each direction's own time."""
    directions = problem.architecture.directions

    def turned(values: np.ndarray) -> np.ndarray:
        apart = values.reshape(*values.shape[:2], directions, -1)
        own = [apart[:, :, 0], *(reversed_in_time(problem, apart[:, :, k]) for k in range(1, directions))]
        return np.stack(own)

    return part.rearranged(turned)


def _in_input_time(problem: Problem, part: Summand) -> list[Summand]:
    """A summand (D, N, T, features) in each direction's own time, as D summands (N, T, features) in input order."""
    forward_half = part.rearranged(lambda values: values[0])
    if len(part.size) == 1:
        return [forward_half]
    return [forward_half, part.rearranged(lambda values: reversed_in_time(problem, values[1]))]
