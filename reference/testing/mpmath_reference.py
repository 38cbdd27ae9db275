"""A second reference, scalar and slow, for tests: the values and bounds of `network`, derived independently.

Numbers have 50 digits and lie in plain lists. Rows of the batch, directions and units are computed one at a time, in
the time of the input. The error rules are derived again from the fields of `Rounding` and share no code with `ball`,
so a mistake in the vectorised arithmetic shows as a disagreement. Sources: Higham, Accuracy and Stability of Numerical
Algorithms, chapter 3, and Jeannerod and Rump (2013) for sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import mpmath
import numpy as np

from reference.problem import GRU, LSTM, RNN_TANH, Problem
from reference.roundings import Rounding

mp = mpmath.mp.clone()
mp.dps = 50


class Value(NamedTuple):
    """A number, and the largest error of a correct implementation; an infinite error is vacuous."""

    exact: Any
    error: Any


class Coarse(Value):
    """A number of a problem with a granule, see `Problem.granule`."""


VACUOUS = Value(mp.mpf(0), mp.inf)

Vector = list[Value]


class Sum(NamedTuple):
    """One summand of a pre-activation: the products of `values` and `weights`, plus the bias or None."""

    values: Vector
    weights: list[Any]
    bias: Any


class LayerParameters(NamedTuple):
    """The parameters of one layer and direction: matrices as lists of rows, biases as lists; None if absent."""

    weight_ih: list[list[Any]]
    weight_hh: list[list[Any]]
    bias_ih: list[Any] | None
    bias_hh: list[Any] | None
    weight_hr: list[list[Any]] | None

    def of_input(self, row: int, x: Vector) -> Sum:
        return Sum(x, self.weight_ih[row], self.bias_ih and self.bias_ih[row])

    def of_state(self, row: int, h: Vector) -> Sum:
        return Sum(h, self.weight_hh[row], self.bias_hh and self.bias_hh[row])


class Results(NamedTuple):
    """The enclosure of a call's results, as nested lists of `Value`.

    output  [n][t][d][r]
    h_n     [l][d][n][r]
    c_n     [l][d][n][h] for LSTM, else None
    """

    output: list[Any]
    h_n: list[Any]
    c_n: list[Any] | None


class Run(NamedTuple):
    """One direction of one layer for one row: h after each step, in the time of the input, and the last h and c."""

    states: list[Vector]
    h: Vector
    c: Vector


def number(x: Any) -> Any:
    """A float64 or longdouble, converted without rounding."""
    if not np.isfinite(x):
        return mp.mpf(float(x))
    fraction, exponent = np.frexp(x)
    high = float(fraction)
    return mp.ldexp(mp.mpf(high) + mp.mpf(float(fraction - high)), int(exponent))


class Rules:
    """The error rules of one rounding model, one method for each operation."""

    def __init__(self, rounding: Rounding, granule: float = 0.0) -> None:
        self.allowed = rounding
        self.granule = mp.mpf(granule)
        self.u = mp.mpf(rounding.unit_roundoff)
        self.u_sum = mp.mpf(rounding.accumulation)
        self.floor = mp.mpf(rounding.floor)

    def given(self, x: Any) -> Value:
        """A number that is an argument of the call, without error; vacuous if it is not finite."""
        kind = Coarse if self.granule else Value
        return kind(number(x), mp.mpf(0)) if np.isfinite(x) else VACUOUS

    def returned(self, x: Any) -> Value:
        """A state that the call returned; the implementation may have continued with a wider type."""
        value = self.given(x)
        more = self.u * abs(value.exact) if self.allowed.wider_states else 0
        return Value(value.exact, value.error + more)

    def result(self, exact: Any, error: Any, summed: Any = 0) -> Value:
        """A result, vacuous if it or a partial sum may overflow.

        summed  the sum of the absolute values of its summands
        """
        reach = abs(exact) + error + summed
        return Value(exact, error) if reach < self.allowed.format.largest else VACUOUS

    def rounded(self, exact: Any, error: Any) -> Any:
        """The error after one more rounding of a result whose computed value is at most abs(exact) + error."""
        return error + self.u * (abs(exact) + error)

    def plus(self, a: Value, b: Value) -> Value:
        exact = a.exact + b.exact
        return self.result(exact, self.rounded(exact, a.error + b.error))

    def times(self, a: Value, b: Value) -> Value:
        """(a + da)(b + db) - ab = a db + b da + da db, then rounded, or underflowed to zero."""
        exact = a.exact * b.exact
        error = abs(a.exact) * b.error + abs(b.exact) * a.error + a.error * b.error
        return self.result(exact, self.rounded(exact, error) + self.floor)

    def pre_activation(self, *sums: Sum) -> Value:
        """The total of all `sums`, whose summands are added in any order."""
        z = self.stored(*sums) if self.allowed.stored else self.summed(*sums)
        size = mp.fsum(sizes(s) + abs(s.bias or 0) for s in sums)
        coarse = all(isinstance(x, Coarse) for s in sums for x in s.values)
        return Value(z.exact, mp.mpf(0)) if coarse and size * self.u <= self.granule**2 else z

    def summed(self, *sums: Sum) -> Value:
        """float32 and float64: each summand may pass through one rounding for every summand, and a last one."""
        summands = sum(len(s.values) + (s.bias is not None) for s in sums)
        exact = mp.fsum(products(s) + (s.bias or 0) for s in sums)
        size = mp.fsum(sizes(s) + abs(s.bias or 0) for s in sums)
        error = mp.fsum(carried(s) + self.underflow(s) for s in sums)
        return self.result(exact, error + (summands + 1) * self.u_sum * size, size)

    def stored(self, *sums: Sum) -> Value:
        """16-bit types: each sum is accumulated, rounded, added to its bias, rounded; then they are added, rounded."""
        total = self.stored_sum(sums[0])
        for s in sums[1:]:
            total = self.plus(total, self.stored_sum(s))
        if self.allowed.fused_biases and len(sums) == 2 and not mp.isinf(total.error):
            a, b = sums
            size_a, size_b = (sizes(s) + abs(s.bias or 0) for s in sums)
            together = self.u_sum * (len(a.values) * size_b + len(b.values) * size_a)
            total = Value(total.exact, total.error + self.u * abs((a.bias or 0) + (b.bias or 0)) + together)
        return total

    def stored_sum(self, s: Sum) -> Value:
        """The bias may be added anywhere in the sum; the sum may be rounded before and after it is added."""
        size = sizes(s) + abs(s.bias or 0)
        error = carried(s) + (len(s.values) + 1) * self.u_sum * size + self.underflow(s)
        error = self.rounded(products(s), error)
        exact = products(s) + (s.bias or 0)
        return self.result(exact, self.rounded(exact, error), size)

    def underflow(self, s: Sum) -> Any:
        """The error from products that underflow to zero, and from operands that are read as zero."""
        vanished = len(s.values) * self.floor
        if not self.allowed.flushed_operands:
            return vanished
        others = mp.fsum(largest(x) + abs(w) for x, w in zip(s.values, s.weights, strict=True))
        return vanished + self.allowed.flushed_operands * others

    def moved(self, function: Callable[[Any], Any], z: Value) -> Any:
        """The largest change of `function` over the error of z, slack included.

        The function is increasing, steepest at zero and symmetric about it, so an error towards zero changes it most.
        The change is computed on the negative side, where a sigmoid is small and no digits cancel.
        """
        return function(z.error * self.allowed.inner_slack - abs(z.exact)) - function(-abs(z.exact))

    def sigmoid(self, z: Value) -> Value:
        if mp.isinf(z.error):
            return VACUOUS
        exact, moved = logistic(z.exact), self.moved(logistic, z)
        accuracy = self.allowed.sigmoid + self.allowed.sigmoid_slope * largest(z)
        error = moved + accuracy * self.u * min(exact + moved, 1) + self.allowed.sigmoid_floor
        return self.result(exact, error)

    def tanh(self, z: Value) -> Value:
        if mp.isinf(z.error):
            return VACUOUS
        exact, moved = mp.tanh(z.exact), self.moved(mp.tanh, z)
        error = moved + self.allowed.tanh * self.u * min(abs(exact) + moved, 1) + self.floor
        return self.result(exact, error)

    def relu(self, z: Value) -> Value:
        """max(z, 0); exactly zero if the whole ball is negative."""
        if z.exact + z.error * self.allowed.slack <= 0:
            return Value(mp.mpf(0), mp.mpf(0))
        return Value(max(z.exact, mp.mpf(0)), z.error)

    def blend(self, z: Value, n: Value, h: Value) -> Value:
        """(1 - z) n + z h, or (h - n) z + n: the carried error, plus the larger rounding error of the two forms."""
        exact = (1 - z.exact) * n.exact + z.exact * h.exact
        error = abs(h.exact - n.exact) * z.error + abs(1 - z.exact) * n.error + abs(z.exact) * h.error
        error += z.error * (h.error + n.error)
        last = abs(exact) + error
        difference = largest(Value(h.exact - n.exact, h.error + n.error))
        rest = largest(Value(1 - z.exact, z.error))
        roundings = max(
            2 * difference * largest(z) + last,  # h - n, times z, plus n
            2 * rest * largest(n) + largest(z) * largest(h) + last,  # 1 - z, times n; z times h; their sum
        )
        return self.result(exact, error + self.u * roundings + 3 * self.floor)


def largest(x: Value) -> Any:
    """The largest absolute value of a number that is at most `x.error` from `x.exact`."""
    return abs(x.exact) + x.error


def logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def products(s: Sum) -> Any:
    return mp.fdot(zip((x.exact for x in s.values), s.weights, strict=True))


def sizes(s: Sum) -> Any:
    """The sum of the absolute values of the terms of `products`, at their largest."""
    return mp.fdot(zip(map(largest, s.values), map(abs, s.weights), strict=True))


def carried(s: Sum) -> Any:
    """The error of `products` that comes from the errors of the values."""
    return mp.fdot(zip((x.error for x in s.values), map(abs, s.weights), strict=True))


def forward(problem: Problem, rounding: Rounding) -> Results:
    """The results of a call on `problem`, computed from its inputs alone."""
    rules = Rules(rounding, problem.granule)
    rows = []
    for n in range(problem.batch_size):
        x = [[rules.given(value) for value in features] for features in problem.input[n]]
        runs: list[list[Run]] = []
        for layer in range(problem.architecture.num_layers):
            runs.append(both_directions(problem, rules, layer, n, x))
            x = [[value for run in runs[-1] for value in run.states[t]] for t in range(problem.steps)]
        rows.append(runs)
    return results_of_rows(problem, rounding, rows)


def forward_forced(problem: Problem, rounding: Rounding, output: np.ndarray) -> Results:
    """The results of a one-layer call on `problem`, given the `output` (N, T, D, R) that the subject returned.

    Each step starts from the output of the step before.
    """
    rules = Rules(rounding, problem.granule)
    rows = []
    for n in range(problem.batch_size):
        x = [[rules.given(value) for value in features] for features in problem.input[n]]
        seen = [[[rules.returned(value) for value in h] for h in directions] for directions in output[n]]
        rows.append([both_directions(problem, rules, 0, n, x, seen)])
    return results_of_rows(problem, rounding, rows)


def both_directions(
    problem: Problem, rules: Rules, layer: int, n: int, x: list[Vector], seen: list[list[Vector]] | None = None
) -> list[Run]:
    """Row `n` of one layer over x [t][i]: a run for each direction.

    seen  returned states [t][d][r]; each step starts from the one before it instead of from the computed state
    """
    runs = []
    for direction in range(2 if problem.architecture.bidirectional else 1):
        h = [rules.given(value) for value in problem.state("h_0")[layer, direction, n]]
        if seen is not None and problem.steps > 1:  # `network` has no granule for states stacked over steps
            h = [Value(*value) for value in h]
        c = [rules.given(value) for value in problem.state("c_0")[layer, direction, n]]
        parameters = parameters_of(problem, problem.architecture.end(layer, direction))
        length = problem.steps if problem.lengths is None else problem.lengths[n]
        time = range(length) if direction == 0 else range(length - 1, -1, -1)
        states: list[Vector] = [[Value(mp.mpf(0), mp.mpf(0))] * len(h)] * problem.steps
        before = h
        for t in time:
            h, c = step(problem.architecture.cell, rules, parameters, x[t], before, c)
            states[t] = h
            before = h if seen is None else seen[t][direction]
        runs.append(Run(states, h, c))
    return runs


def parameters_of(problem: Problem, end: str) -> LayerParameters:
    """The parameters whose names end in `end`, as numbers."""

    def matrix(name: str) -> list[list[Any]]:
        return [[number(w) for w in row] for row in problem.parameters[name + end]]

    def vector(name: str) -> list[Any] | None:
        return [number(b) for b in problem.parameters[name + end]] if problem.architecture.bias else None

    w_hr = matrix("weight_hr") if problem.architecture.proj_size else None
    return LayerParameters(matrix("weight_ih"), matrix("weight_hh"), vector("bias_ih"), vector("bias_hh"), w_hr)


def step(cell: str, rules: Rules, layer: LayerParameters, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    """h' and c' of every unit after one step of `cell`; cells other than LSTM return c unchanged."""
    if cell == LSTM:
        both = [lstm_unit(rules, layer, unit, x, h, c) for unit in range(len(c))]
        new_h, new_c = [state for state, _ in both], [state for _, state in both]
        if layer.weight_hr is None:
            return new_h, new_c
        return [rules.pre_activation(Sum(new_h, row, None)) for row in layer.weight_hr], new_c
    units = range(len(h))
    if cell == GRU:
        return [gru_unit(rules, layer, unit, x, h) for unit in units], c
    function = rules.tanh if cell == RNN_TANH else rules.relu
    return [function(rules.pre_activation(layer.of_input(unit, x), layer.of_state(unit, h))) for unit in units], c


def lstm_unit(
    rules: Rules, layer: LayerParameters, unit: int, x: Vector, h: Vector, states: Vector
) -> tuple[Value, Value]:
    """o tanh(c') and c' = f c + i g; rows of the parameters: all units of i, then of f, g and o."""
    size, c = len(states), states[unit]
    z = [rules.pre_activation(layer.of_input(row, x), layer.of_state(row, h)) for row in range(unit, 4 * size, size)]
    kept = rules.times(rules.sigmoid(z[1]), c)
    c = rules.plus(kept, rules.times(rules.sigmoid(z[0]), rules.tanh(z[2])))
    return rules.times(rules.sigmoid(z[3]), rules.tanh(c)), c


def gru_unit(rules: Rules, layer: LayerParameters, unit: int, x: Vector, h: Vector) -> Value:
    """h' = (1 - z) n + z h with n = tanh(W_in x + b_in + r (W_hn h + b_hn)); rows: all units of r, then z and n."""
    reset, update, new = unit, unit + len(h), unit + 2 * len(h)
    r = rules.sigmoid(rules.pre_activation(layer.of_input(reset, x), layer.of_state(reset, h)))
    z = rules.sigmoid(rules.pre_activation(layer.of_input(update, x), layer.of_state(update, h)))
    gated = rules.times(r, rules.pre_activation(layer.of_state(new, h)))
    n = rules.tanh(rules.plus(rules.pre_activation(layer.of_input(new, x)), gated))
    return rules.blend(z, n, h[unit])


def results_of_rows(problem: Problem, rounding: Rounding, rows: Sequence[Sequence[Sequence[Run]]]) -> Results:
    """The runs [n][l][d] of all rows, in the order in which a call returns them, errors times `Rounding.slack`."""

    def with_room(values: Vector) -> Vector:
        return [Value(value.exact, value.error * rounding.slack) for value in values]

    directions = range(problem.architecture.directions)
    layers = range(len(rows[0]))
    output = [[[with_room(row[-1][d].states[t]) for d in directions] for t in range(problem.steps)] for row in rows]
    h_n = [[[with_room(row[layer][d].h) for row in rows] for d in directions] for layer in layers]
    if problem.architecture.cell != LSTM:
        return Results(output, h_n, None)
    return Results(
        output, h_n, [[[with_room(row[layer][d].c) for row in rows] for d in directions] for layer in layers]
    )


# Gradients without bounds, by automatic differentiation: no equation of back-propagation is written down. Each
# operation records the derivatives of its result; a sweep over all operations, last one first, applies the chain rule.


@dataclass(eq=False)
class Node:
    """A number of a computation, its derivatives with respect to its operands and, after a sweep, its gradient."""

    exact: Any
    slopes: list[tuple[Node, Any]] = field(default_factory=list)
    gradient: Any = field(default_factory=lambda: mp.mpf(0))


class Tape:
    """The operations of `Rules` on nodes, recorded in the order of execution."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def noted(self, exact: Any, *slopes: tuple[Node, Any]) -> Node:
        self.nodes.append(Node(exact, list(slopes)))
        return self.nodes[-1]

    def given(self, values: np.ndarray) -> np.ndarray:
        """A leaf for each of `values`, in an array of their shape."""
        leaves = np.empty(values.shape, object)
        for index, value in np.ndenumerate(values):
            leaves[index] = self.noted(number(value))
        return leaves

    def plus(self, a: Node, b: Node) -> Node:
        return self.noted(a.exact + b.exact, (a, 1), (b, 1))

    def times(self, a: Node, b: Node) -> Node:
        return self.noted(a.exact * b.exact, (a, b.exact), (b, a.exact))

    def pre_activation(self, *sums: Sum) -> Node:
        pairs: list[tuple[Any, Any]] = [pair for s in sums for pair in zip(s.values, s.weights, strict=True)]
        biases = [s.bias for s in sums if s.bias is not None]
        exact = mp.fsum([x.exact * w.exact for x, w in pairs] + [bias.exact for bias in biases])
        slopes = [(x, w.exact) for x, w in pairs] + [(w, x.exact) for x, w in pairs] + [(bias, 1) for bias in biases]
        return self.noted(exact, *slopes)

    def sigmoid(self, z: Node) -> Node:
        return self.noted(1 / (1 + mp.exp(-z.exact)), (z, mp.sech(z.exact / 2) ** 2 / 4))

    def tanh(self, z: Node) -> Node:
        return self.noted(mp.tanh(z.exact), (z, mp.sech(z.exact) ** 2))

    def relu(self, z: Node) -> Node:
        return self.noted(max(z.exact, mp.mpf(0)), (z, int(z.exact > 0)))

    def blend(self, z: Node, n: Node, h: Node) -> Node:
        rest = self.noted(1 - z.exact, (z, -1))
        return self.plus(self.times(rest, n), self.times(z, h))

    def sweep(self) -> None:
        """Propagates the gradients of the results to every node."""
        for node in reversed(self.nodes):
            if node.gradient:
                for before, slope in node.slopes:
                    before.gradient += node.gradient * slope


def gradients(problem: Problem, cotangents: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gradients of input, h_0, c_0 and every parameter, by name, as arrays of 50-digit numbers.

    cotangents  the gradients of the loss with respect to output, h_n and c_n, in their shapes; missing ones are zero
    """
    a, tape = problem.architecture, Tape()
    leaves = {name: tape.given(values) for name, values in problem.parameters.items()}
    leaves |= {name: tape.given(problem.state(name)) for name in ("h_0", "c_0")} | {"input": tape.given(problem.input)}
    directions = 2 if a.bidirectional else 1
    for n in range(problem.batch_size):
        length = problem.steps if problem.lengths is None else problem.lengths[n]
        below = [list(features) for features in leaves["input"][n, :length]]
        for k in range(a.num_layers):
            above: list[list[Any]] = [[] for _ in below]
            for d in range(directions):
                layer = _layer_of(leaves, a.end(k, d))
                h, c = list(leaves["h_0"][k, d, n]), list(leaves["c_0"][k, d, n])
                for t in range(length) if d == 0 else reversed(range(length)):
                    h, c = step(a.cell, tape, layer, below[t], h, c)  # type: ignore[arg-type]
                    above[t] += h
                _seed(h, cotangents.get("h_n"), (k, d, n))
                _seed(c, cotangents.get("c_n"), (k, d, n))
            below = above
        for t, both in enumerate(below):
            for d in range(directions):
                _seed(both[d * a.output_size : (d + 1) * a.output_size], cotangents.get("output"), (n, t, d))
    tape.sweep()
    return {name: np.vectorize(lambda node: node.gradient, otypes=[object])(nodes) for name, nodes in leaves.items()}


def _layer_of(leaves: Mapping[str, np.ndarray], end: str) -> LayerParameters:
    """The parameters whose names end in `end`, as nodes."""

    def nodes(name: str) -> Any:
        return leaves[name + end].tolist() if name + end in leaves else None

    return LayerParameters(*map(nodes, LayerParameters._fields))


def _seed(results: list[Any], cotangent: np.ndarray | None, index: tuple[int, ...]) -> None:
    """Adds the cotangents of `results`, at `index`, to their gradients."""
    if cotangent is not None:
        for node, value in zip(results, cotangent[index], strict=True):
            node.gradient += number(value)
