"""A call as data: the problem that it is, and one or several results of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import reference
from conformance.harness.execution.observation import Differentiated, Observation, documented_shapes
from conformance.judging.entries import MODULE, Entries, shown
from conformance.judging.errors import JudgeError
from conformance.judging.module_arguments import Arguments, parsed
from reference.formats import BFLOAT16, FORMATS
from reference.problem import LSTM, Architecture, Loss, Problem, differentiable
from reference.roundings import Rounding

RESULTS = ("output", "h_n", "c_n")
STATES = ("h_0", "c_0")
GRADIENT, COTANGENT = "grad", "cotangent"

MOST_RESULTS = 16
"""Each two of them are compared."""

NO_LABEL = "(no label)"
"""What a result without a label is called beside others; no label of a file has brackets."""

_ENTRY = re.compile(r"(?:(grad|cotangent)\.)?(\w+)(?:\.([A-Za-z0-9_-]{1,40}))?", re.ASCII)

FILE_ROUTE = "recorded"
"""The route of an observation that was read and not made."""


@dataclass(frozen=True, eq=False)
class RecordedCall:
    """One call and its results, by label; "" labels the only one.

    rounding  the model that judges every result
    """

    problem: Problem
    results: Mapping[str, Differentiated]
    rounding: Rounding


def of_entries(entries: Entries) -> RecordedCall:
    """The call that a file holds. Raises JudgeError, which names the entry and the remedy."""
    arguments = parsed(entries.module)
    given, parts = _sorted(entries, arguments)
    problem = problem_of(arguments, given)
    observed = _observed(problem, given, parts)
    return RecordedCall(problem, observed, _rounding(arguments, len(observed)))


def _rounding(arguments: Arguments, results: int) -> Rounding:
    """The constants of measured kernels if a single result says that it was made by them, else the widest."""
    made_by = (arguments.device, arguments.capability, arguments.release) if results == 1 else ("", "", "")
    return reference.model(arguments.architecture.name, arguments.dtype, *made_by, "torch.nn").red


@dataclass(frozen=True, eq=False)
class Part:
    """The entries of one result: its arrays, and its gradients by the name of what they are of."""

    raw: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


def _sorted(entries: Entries, arguments: Arguments) -> tuple[dict[str, np.ndarray], dict[str, Part]]:
    """What the call was given, float64 by name and cotangents as `cotangent.output`; and its results, by label."""
    taken = {"input", "lengths", *STATES, *arguments.architecture.parameter_shapes()}
    given: dict[str, np.ndarray] = {}
    parts: dict[str, Part] = {}
    for entry, stored in entries.arrays.items():
        match = _ENTRY.fullmatch(entry)
        kind, name, label = match.groups() if match else ("", "", "")
        values = stored if name == "lengths" else _numbers(entry, stored, arguments.dtype)
        if (kind is None and name in taken and not label) or (kind == COTANGENT and name in RESULTS and not label):
            given[entry] = values
        elif kind is None and name in RESULTS:
            parts.setdefault(label or "", Part({}, {})).raw[name] = values
        elif kind == GRADIENT and name in taken - {"lengths"}:
            parts.setdefault(label or "", Part({}, {})).gradients[name] = values
        else:
            raise JudgeError(f"entry {shown(entry)}: {_misplaced(entry, taken)}")
    if len(parts) > MOST_RESULTS:
        raise JudgeError(f"{len(parts)} results, up to {MOST_RESULTS} are judged together; leave out the others")
    return given, parts


def _misplaced(entry: str, taken: set[str]) -> str:
    """Why an entry is none of a file, and the remedy; `taken` names what the call was given."""
    kind, _, rest = entry.partition(".") if entry.startswith((GRADIENT + ".", COTANGENT + ".")) else ("", "", entry)
    name, _, label = rest.partition(".")
    if (kind == "" and name in RESULTS) or (kind == GRADIENT and name in taken - {"lengths"}):
        return "its label has other characters than letters, digits, _ and -, or not 1 to 40 of them; give it another"
    if label and ((kind == "" and name in taken) or (kind == COTANGENT and name in RESULTS)):
        return f"only results and gradients have labels; store {shown(entry.removesuffix('.' + label))} once for all"
    if kind == GRADIENT:
        return "no gradient of this call; name it after the entry of the input, state or parameter that it is of"
    if kind == COTANGENT:
        return f"no cotangent of this call; give those of {', '.join(RESULTS)}"
    if name.startswith(("weight_", "bias_")):
        return f"no parameter of this module; correct the entry {MODULE}, or leave it out"
    names = ", ".join(("input", "lengths", *STATES, "the parameters", *RESULTS))
    return f"unknown; use {names}, grad.NAME, cotangent.NAME, and output.LABEL"


def _numbers(entry: str, stored: np.ndarray, dtype: str) -> np.ndarray:
    """An array as float64. Raises JudgeError if it holds a number that the dtype does not store."""
    format = FORMATS[dtype]
    if stored.dtype == np.uint16 and format is BFLOAT16:
        return (stored.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if stored.dtype.kind != "f" or stored.dtype.itemsize > 8:
        raise JudgeError(f"entry {shown(entry)}: of type {stored.dtype}; store numbers of {dtype}")
    values = stored.astype(np.float64)
    with np.errstate(all="ignore"):
        if not format.holds(values):
            raise JudgeError(f"entry {shown(entry)}: holds numbers that {dtype} does not store; keep those of the call")
    return values


def problem_of(arguments: Arguments, given: Mapping[str, np.ndarray]) -> Problem:
    """The problem of a call that was given these arrays, in the shapes that the module takes.

    given: input, h_0, c_0, parameters (float64) and lengths (integers), by name. Raises JudgeError.
    """
    a = arguments.architecture
    parameters = {name: _of_shape(given, name, shape) for name, shape in a.parameter_shapes().items()}
    if "input" not in given:
        raise JudgeError("entry input: missing; add what the module was called with")
    x, unbatched = _input(a, given["input"])
    lengths = _lengths(given["lengths"], x, a, unbatched) if "lengths" in given else None
    if lengths is not None:
        running = np.arange(x.shape[1]) < np.array(lengths)[:, None]
        x = np.where(running[..., None], x, 0)
    batch = () if unbatched else (len(x),)
    stacked = () if a.single_step else (a.num_layers * a.directions,)
    widths = {"h_0": a.output_size} | ({"c_0": a.hidden_size} if a.cell == LSTM else {})
    states = {
        name: _of_shape(given, name, (*stacked, *batch, width)).reshape(a.num_layers, a.directions, len(x), width)
        for name, width in widths.items()
        if any(state in given for state in STATES)
    }
    if "c_0" in given and "c_0" not in widths:
        raise JudgeError(f"entry c_0: {a.name} has no cell state; leave it out")
    for name, values in {"input": x, **states, **parameters}.items():
        if not np.isfinite(values).all():
            raise JudgeError(f"entry {name}: holds NaN or infinite numbers, of which nothing follows; give finite ones")
    return Problem(
        a,
        arguments.dtype,
        arguments.device,
        parameters,
        x,
        states.get("h_0"),
        states.get("c_0"),
        lengths,
        unbatched,
    )


def _of_shape(given: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of the call. Raises JudgeError if it is missing or has another shape."""
    if name not in given:
        raise JudgeError(f"entry {name}: missing; add it, of shape {_sizes(shape)}")
    if given[name].shape != shape:
        raise JudgeError(f"entry {name}: has shape {_sizes(given[name].shape)}; give {_sizes(shape)}")
    return given[name]


def _sizes(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _input(a: Architecture, values: np.ndarray) -> tuple[np.ndarray, bool]:
    """The input (N, T, I), and whether the call is unbatched."""
    axes = 2 if a.single_step else 3
    if values.ndim not in (axes - 1, axes) or values.shape[-1] != a.input_size:
        layout = "(N, I) or (I)" if a.single_step else f"{'(N, T, I)' if a.batch_first else '(T, N, I)'} or (T, I)"
        raise JudgeError(f"entry input: has shape {_sizes(values.shape)}; give {layout} with I = {a.input_size}")
    if not values.size:
        raise JudgeError(
            f"entry input: has no numbers, in shape {_sizes(values.shape)}; give a row and a step at least"
        )
    unbatched = values.ndim < axes
    if a.single_step:
        return values.reshape(-1, 1, a.input_size), unbatched
    if unbatched:
        return values[None], True
    return (values if a.batch_first else values.swapaxes(0, 1)), False


def _lengths(values: np.ndarray, x: np.ndarray, a: Architecture, unbatched: bool) -> tuple[int, ...]:
    """The lengths of a packed sequence's rows. Raises JudgeError."""
    rows, steps = x.shape[:2]
    if a.single_step or unbatched:
        raise JudgeError("entry lengths: only a batch of sequences is packed; leave it out")
    if values.dtype.kind not in "iu" or values.shape != (rows,):
        raise JudgeError(f"entry lengths: give {rows} whole numbers, one for each row")
    lengths = tuple(values.tolist())
    if min(lengths) < 1 or max(lengths) != steps:
        raise JudgeError(f"entry lengths: give numbers from 1 to {steps}, the longest {steps} as the input has steps")
    return lengths


def _observed(
    problem: Problem, given: Mapping[str, np.ndarray], parts: Mapping[str, Part]
) -> dict[str, Differentiated]:
    """The results by label. Raises JudgeError for a wrong shape, and where there is none."""
    shapes = documented_shapes(problem)
    cotangents = {name.partition(".")[2]: values for name, values in given.items() if name.startswith(COTANGENT)}
    loss = loss_of(problem, cotangents) if cotangents else None
    for label, part in parts.items():
        end = f".{label}" if label else ""
        if not part.raw:
            raise JudgeError(f"entry {GRADIENT}.{next(iter(part.gradients))}{end}: of which call? add output{end}")
        for name, values in part.raw.items():
            _require_shape(name + end, values, shapes.get(name))
        for name, values in part.gradients.items():
            if loss is None:
                raise JudgeError(f"entry {GRADIENT}.{name}{end}: of which loss? add {COTANGENT}.output, or of h_n, c_n")
            _require_shape(f"{GRADIENT}.{name}{end}", values, given[name].shape if name in given else None)
    if not parts:
        raise JudgeError("no result; add output, h_n or c_n, or several as output.cpu and output.cuda")
    names = {label: label or (NO_LABEL if len(parts) > 1 else "") for label in parts}
    return {names[label]: observation(problem, names[label], p.raw, loss, p.gradients) for label, p in parts.items()}


def _require_shape(entry: str, values: np.ndarray, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        raise JudgeError(f"entry {entry}: this call has no such result; leave it out")
    if values.shape != shape:
        raise JudgeError(f"entry {entry}: has shape {_sizes(values.shape)}; documented is {_sizes(shape)}")


def loss_of(problem: Problem, cotangents: Mapping[str, np.ndarray]) -> Loss:
    """The loss of cotangents in the shapes of the results. Raises JudgeError."""
    shapes = documented_shapes(problem)
    for name, values in cotangents.items():
        _require_shape(f"{COTANGENT}.{name}", values, shapes.get(name))
        if not np.isfinite(values).all():
            raise JudgeError(f"entry {COTANGENT}.{name}: holds NaN or infinite numbers; give finite ones")
    canonical = Observation(problem, "", FILE_ROUTE, raw=dict(cotangents)).results
    return Loss({name: labelled.values for name, labelled in canonical.items()}, differentiable(problem))


def observation(
    problem: Problem,
    label: str,
    raw: dict[str, np.ndarray],
    loss: Loss | None = None,
    gradients: dict[str, np.ndarray] | None = None,
) -> Differentiated:
    """A result of the call, each array as the module returned it (float64); `label` names who computed it."""
    return Differentiated(problem, label, FILE_ROUTE, raw=raw, loss=loss, raw_gradients=gradients or {})
