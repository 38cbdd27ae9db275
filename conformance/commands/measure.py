"""How accurate this machine's tanh, sigmoid and products are, kernel by kernel, beside the constants that judge them.

It compares and never writes: a defective function must not license itself. Errors are in units of u, the unit
roundoff of the dtype, relative to a wider truth (float64; np.longdouble for float64), less the model's floor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch

import reference
from conformance.clauses import AMBER, RED
from conformance.harness.execution import kernels, machine, tensors
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.execution.routes import EAGER_ROUTES, ROUTES
from conformance.harness.execution.subject import Subject, torch_nn
from conformance.harness.foreign_text import one_line, say
from reference.formats import FORMATS
from reference.problem import GATES, GRU, LSTM, RNN_TANH, Architecture, Problem
from reference.roundings import Judgement, Rounding

DTYPES = ("float64", "float32", "float16", "bfloat16")

Truth = Callable[[np.ndarray], np.ndarray]


def _logistic(x: np.ndarray) -> np.ndarray:
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, decay) / (1 + decay)


TRUTHS: dict[str, Truth] = {"tanh": np.tanh, "sigmoid": _logistic}


@dataclass(frozen=True)
class KernelRow:
    """One function of one kernel: its worst error in u, the argument it was seen at, and what the model allows there.

    For products the argument is the number of summands. severity is "" within the constant, amber beyond that
    of the sharper model, red beyond what any correct implementation may do. refused: the message of a call that
    raised; the other numbers are then 0.
    """

    kernel: str
    function: str
    dtype: str
    worst: float = 0.0
    at: float = 0.0
    constant: float = 0.0
    severity: str = ""
    refused: str = ""

    @property
    def within(self) -> bool:
        """Whether it came back and no error exceeds the constant."""
        return not self.severity and not self.refused


def measure(subject: Subject | None = None, quick: bool = False, dtypes: Sequence[str] = DTYPES) -> Iterator[KernelRow]:
    """Every row for ATen's own functions, for `subject`'s modules (torch.nn's unless given), and for products.

    All values of the 16-bit types; about two million of float32, a tenth of it where `quick`.
    """
    machine.pin()
    modules = subject or torch_nn()
    for dtype in dtypes:
        x = arguments(dtype, quick)
        yield from _aten_functions(x, dtype)
        for cell, function in dict.fromkeys((window.cell, window.function) for window in WINDOWS):
            yield from _seen_through(modules, cell, function, x, dtype)
        yield from _products(dtype)
        yield from _products_in_lstm(modules, dtype)


FLOAT32_STRIDE = 211
"""Every 211th float32 between 2^-20 and 128, of both signs; prime, so that the last bits vary."""

WIDTHS = (1, 32)
"""Units side by side: of one unit a kernel takes its scalar path, of 32 its vectorised one."""


def arguments(dtype: str, quick: bool = False) -> np.ndarray:
    """Finite arguments, numbers of `dtype` held as float64, a multiple of 32 of them."""
    if dtype == "float16":
        values = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)
    elif dtype == "bfloat16":
        bits = np.arange(2**16, dtype=np.uint32) << 16
        values = bits.view(np.float32)[np.isfinite(bits.view(np.float32))].astype(np.float64)
    elif dtype == "float32":
        first, last = np.array([2.0**-20, 128.0], np.float32).view(np.uint32).tolist()
        bits = np.arange(first, last, FLOAT32_STRIDE * (10 if quick else 1), dtype=np.uint32)
        values = np.concatenate([bits.view(np.float32), -bits.view(np.float32)]).astype(np.float64)
    else:
        rng = np.random.default_rng(0)
        count = 2**14 if quick else 2**17
        magnitudes = np.concatenate([np.exp2(rng.uniform(-20, 10, count)), rng.uniform(0, 40, count)])
        values = np.concatenate([magnitudes, -magnitudes])
    values = values[np.isfinite(values)]
    return np.concatenate([values, np.zeros(-len(values) % max(WIDTHS))])


def _aten_functions(x: np.ndarray, dtype: str) -> Iterator[KernelRow]:
    """torch.tanh and torch.sigmoid on contiguous values, which are vectorised, and on every second one of a tensor."""
    judgement = _judgement(GRU, dtype)
    for function in TRUTHS:
        operator = getattr(torch, function)
        layouts = {"contiguous": tensors.tensor(x, dtype), "strided": tensors.tensor(np.repeat(x, 2), dtype)[::2]}
        for layout, argument in layouts.items():
            try:
                got = tensors.array(operator(argument))
            except RuntimeError as error:
                yield KernelRow(f"ATen, {layout}", function, dtype, refused=str(error))
                continue
            yield _compared(f"ATen, {layout}", function, dtype, x, got, judgement)


class Window(NamedTuple):
    """How one step of a module shows a function of its input and nothing else.

    gate           the block that reads the input, its weight 1; "" where c_0 holds the input
    biases         of the other gates: 0, or +-1000, which saturates them to exactly 0 or 1
    h_0, c_0       initial states
    shows          the result that holds the function's value
    """

    cell: str
    function: str
    gate: str
    biases: dict[str, float]
    h_0: float
    c_0: float
    shows: str


OPEN, SHUT = 1000.0, -1000.0

WINDOWS = (
    Window(RNN_TANH, "tanh", "h", {}, 0.0, 0.0, "h_n"),
    Window(GRU, "sigmoid", "z", {}, 1.0, 0.0, "h_n"),
    Window(GRU, "tanh", "n", {"z": SHUT}, 0.0, 0.0, "h_n"),
    Window(LSTM, "sigmoid", "i", {"f": SHUT, "g": OPEN}, 0.0, 0.0, "c_n"),
    Window(LSTM, "sigmoid", "f", {"i": SHUT}, 0.0, 1.0, "c_n"),
    Window(LSTM, "tanh", "g", {"i": OPEN, "f": SHUT}, 0.0, 0.0, "c_n"),
    Window(LSTM, "sigmoid", "o", {"i": SHUT, "f": OPEN}, 0.0, 1000.0, "h_n"),
    Window(LSTM, "tanh", "", {"i": SHUT, "f": OPEN, "o": OPEN}, 0.0, 0.0, "h_n"),
)
"""RNN: h' = tanh(x). GRU: (1 - z) 0 + z 1 = z, and n where z is shut. LSTM: c' = f c + i g, h' = o tanh(c')."""


def _seen_through(subject: Subject, cell: str, function: str, x: np.ndarray, dtype: str) -> Iterator[KernelRow]:
    """The function through every window that shows it, a row for each route that reaches a kernel of its own."""
    judgement = _judgement(cell, dtype)
    windows = [window for window in WINDOWS if (window.cell, window.function) == (cell, function)]
    routes = EAGER_ROUTES if cell == LSTM else ("grad",)
    sights: dict[str, list[np.ndarray]] = {route: [] for route in routes}
    refused: dict[str, str] = {}
    for window, width in product(windows, WIDTHS):
        for seen in _run(subject, _problem(window, x, width, dtype), routes):
            if seen.failure:
                refused[seen.route] = seen.failure.message
            else:
                sights[seen.route].append(seen.raw[window.shows].reshape(-1))
    for route in routes:
        kernel = f"{cell}, {route}"
        if route in refused:
            yield KernelRow(kernel, function, dtype, refused=refused[route])
        else:
            every = np.concatenate(sights[route])
            yield _compared(kernel, function, dtype, np.tile(x, len(sights[route])), every, judgement)


def _run(subject: Subject, problem: Problem, routes: tuple[str, ...]) -> tuple[Observation, ...]:
    return Forward(problem, routes).execute(subject)


def _problem(window: Window, x: np.ndarray, width: int, dtype: str) -> Problem:
    """`width` units, each of which sees a feature of its own: len(x) / width rows of one step."""
    rows = x.reshape(-1, width)
    gates = GATES[window.cell]
    weight = np.concatenate([np.eye(width) * (gate == window.gate) for gate in gates])
    bias = np.repeat([window.biases.get(gate, 0.0) for gate in gates], width)
    parameters = {
        "weight_ih_l0": weight,
        "weight_hh_l0": np.zeros((len(gates) * width, width)),
        "bias_ih_l0": bias,
        "bias_hh_l0": np.zeros_like(bias),
    }
    c_0 = np.full(rows.shape, window.c_0) if window.gate else rows
    return Problem(
        Architecture(window.cell, width, width),
        dtype,
        "cpu",
        parameters,
        rows[:, None],
        np.full((1, 1, *rows.shape), window.h_0),
        c_0[None, None] if window.cell == LSTM else None,
    )


def _judgement(cell: str, dtype: str) -> Judgement:
    """The models that judge torch.nn on this machine's CPU."""
    return reference.model(cell, dtype, "cpu", machine.capability(), machine.release(), "torch.nn")


def _compared(
    kernel: str, function: str, dtype: str, x: np.ndarray, got: np.ndarray, judgement: Judgement
) -> KernelRow:
    """The row of a function that gave `got` at arguments x."""
    sharp = judgement.amber or judgement.red
    truth = TRUTHS[function](x.astype(sharp.working_type))
    in_u = _error(sharp, function, got, truth)
    worst = int(in_u.argmax())
    allowed = _constant(sharp, function, x)
    severity = AMBER if (in_u > allowed).any() else ""
    if (_error(judgement.red, function, got, truth) > _constant(judgement.red, function, x)).any():
        severity = RED
    return KernelRow(kernel, function, dtype, float(in_u[worst]), float(x[worst]), float(allowed[worst]), severity)


def _error(rounding: Rounding, function: str, got: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Relative error in u, less the model's floor; NaN is infinitely wrong."""
    floor = rounding.sigmoid_floor if function == "sigmoid" else rounding.floor
    error = np.abs(got - truth)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        in_u = np.where(error <= floor, 0, (error - floor) / (np.abs(truth) * rounding.unit_roundoff))
    return np.where(np.isnan(in_u), np.inf, in_u).astype(np.float64)


def _constant(rounding: Rounding, function: str, x: np.ndarray) -> np.ndarray:
    """What the model allows at each argument, in u."""
    if function == "tanh":
        return np.full(x.shape, rounding.tanh)
    return rounding.sigmoid + rounding.sigmoid_slope * np.abs(x)


SUMMANDS = 1024

Layout = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def _columns(matrix: torch.Tensor) -> torch.Tensor:
    """The same matrix, its columns contiguous in memory."""
    return matrix.t().contiguous().t()


LAYOUTS: dict[str, Layout] = {
    "x @ W.T": lambda left, right: (left, _columns(right)),
    "x @ W.T, x column-major": lambda left, right: (_columns(left), _columns(right)),
    "dz @ W": lambda left, right: (left, right),
    "dz.T @ x": lambda left, right: (_columns(left), right),
}
"""The operands' layouts as a forward call, a transposed input and the two products of a gradient have them."""

BATCHES: dict[str, tuple[int, ...]] = {"batch 1": (1,), "batch 16 and 64": (16, 64)}
OUTPUTS = (1, 17)
PRODUCT_ROUTES = ("grad", "no_mkldnn")


def _products(dtype: str) -> Iterator[KernelRow]:
    """Sums of 1024 products between 1 and 4: one rounding in all where the running sum is wide enough."""
    judgement = _judgement(GRU, dtype)
    for route, (name, layout), (batch, sizes) in product(PRODUCT_ROUTES, LAYOUTS.items(), BATCHES.items()):
        kernel, function = f"mm, {route}", f"{name}, {batch}"
        try:
            with ROUTES[route].settings():
                worst = max(_product_error(layout, size, outputs, dtype) for size, outputs in product(sizes, OUTPUTS))
        except RuntimeError as error:
            yield KernelRow(kernel, function, dtype, refused=str(error))
        else:
            yield _of_products(kernel, function, dtype, worst, judgement)


def _product_error(layout: Layout, size: int, outputs: int, dtype: str) -> float:
    """The worst relative error, in u, of a product (size, 1024) @ (1024, outputs), alone and with a bias of zeros."""
    x, w = _between_one_and_two(dtype, (size, SUMMANDS)), _between_one_and_two(dtype, (SUMMANDS, outputs))
    left, right = layout(tensors.tensor(x, dtype), tensors.tensor(w, dtype))
    results = torch.mm(left, right), torch.addmm(left.new_zeros(outputs), left, right)
    exact = x.astype(np.longdouble) @ w.astype(np.longdouble)
    errors = [np.abs(tensors.array(got) - exact) / exact for got in results]
    return float(max(error.max() for error in errors) / FORMATS[dtype].unit_roundoff)


def _between_one_and_two(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of `dtype` in [1, 2), the same at each call."""
    return FORMATS[dtype].round(np.random.default_rng(shape[0]).uniform(1, 1.9921875, shape))


def _of_products(
    kernel: str, function: str, dtype: str, worst: float, judgement: Judgement, more: float = 0.0
) -> KernelRow:
    """The row of a sum of positive products; the model allows one rounding, the running sum's, and `more`."""

    def constant(rounding: Rounding) -> float:
        return SUMMANDS * rounding.accumulation / rounding.unit_roundoff + (1.0 if rounding.stored else 0.0) + more

    allowed = constant(judgement.amber or judgement.red)
    severity = RED if not worst <= constant(judgement.red) else AMBER if worst > allowed else ""
    return KernelRow(kernel, function, dtype, worst, SUMMANDS, allowed, severity)


def _products_in_lstm(subject: Subject, dtype: str) -> Iterator[KernelRow]:
    """The products inside an LSTM's kernel: c' = g = tanh of a sum small enough for tanh to hand its error on."""
    judgement = _judgement(LSTM, dtype)
    sharp = judgement.amber or judgement.red
    for batch, sizes in BATCHES.items():
        x = _between_one_and_two(dtype, (max(sizes), SUMMANDS))
        problem = _summing(x, dtype)
        weight = problem.parameters["weight_ih_l0"][2 * max(OUTPUTS) : 3 * max(OUTPUTS)]
        exact = np.tanh(x.astype(np.longdouble) @ weight.T.astype(np.longdouble))
        for seen in _run(subject, problem, EAGER_ROUTES):
            kernel, function = f"{LSTM}, {seen.route}", f"tanh(x @ W.T), {batch}"
            if seen.failure:
                yield KernelRow(kernel, function, dtype, refused=seen.failure.message)
                continue
            error = np.abs(seen.raw["c_n"][0] - exact) / exact / FORMATS[dtype].unit_roundoff
            yield _of_products(kernel, function, dtype, float(error.max()), judgement, more=sharp.tanh)


def _summing(x: np.ndarray, dtype: str) -> Problem:
    """An LSTM whose c' is the tanh of the products of x (N, I) with gate g's weights, 2^-14 times [1, 2)."""
    width = max(OUTPUTS)
    rows = _between_one_and_two(dtype, (width, SUMMANDS)) * 2.0**-14
    biases = {"i": OPEN, "f": SHUT}
    parameters = {
        "weight_ih_l0": np.concatenate([rows * (gate == "g") for gate in GATES[LSTM]]),
        "weight_hh_l0": np.zeros((4 * width, width)),
        "bias_ih_l0": np.repeat([biases.get(gate, 0.0) for gate in GATES[LSTM]], width),
        "bias_hh_l0": np.zeros(4 * width),
    }
    return Problem(Architecture(LSTM, SUMMANDS, width), dtype, "cpu", parameters, x[:, None])


def line(row: KernelRow) -> str:
    """A row as the table shows it."""
    head = f"{row.kernel:<18} {row.function:<40} {row.dtype:<9}"
    if row.refused:
        return f"{head} refused: {one_line(row.refused, 60)}"
    verdict = {"": "within", AMBER: "BEYOND the measured constant", RED: "BEYOND any correct implementation"}
    return f"{head} {row.worst:>11.4g} {row.at:>12.6g} {row.constant:>10.4g}  {verdict[row.severity]}"


def report(quick: bool) -> int:
    """Prints torch.nn's table on this machine; returns 1 where a row is beyond any correct implementation, else 0."""
    machine.pin()
    say(machine.describe())
    say(kernels.describe())
    say(f"{'kernel':<18} {'function':<40} {'dtype':<9} {'worst, in u':>11} {'at':>12} {'allowed':>10}")
    rows = []
    for row in measure(quick=quick):
        say(line(row))
        rows.append(row)
    beyond, refused = [row for row in rows if row.severity], [row for row in rows if row.refused]
    say(f"{len(rows)} rows, {len(beyond)} beyond their constant, {len(refused)} refused")
    return int(any(row.severity == RED for row in rows))
