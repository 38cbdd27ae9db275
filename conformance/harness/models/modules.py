"""The recurrent modules inside a model: which there are, what configuration each has, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.tensors import DTYPES, dtype_name
from conformance.harness.foreign_text import one_line
from conformance.harness.models.recording import Recorded
from reference.problem import CELL_SUFFIX
from strategies import Case
from strategies.axes import LAYOUT_WORDS
from strategies.case_line import LARGEST_SIZE, MOST_NUMBERS
from strategies.configurations import Configuration, of_module
from strategies.weights import Weights, is_name

CLASSES = (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU, torch.nn.RNNCell, torch.nn.LSTMCell, torch.nn.GRUCell)

NAMES = frozenset(kind.__name__ for kind in CLASSES)

ROWS, STEPS = 8, 20
"""A call in full, where no example shows one."""


@dataclass(frozen=True)
class LeftOut:
    """A module that is not tried, and why; or something to say of one that is."""

    model: str
    name: str
    reason: str


def modules_of(
    model: torch.nn.Module, source: str, recorded: Mapping[str, Sequence[Recorded]]
) -> tuple[list[Configuration], list[LeftOut]]:
    """The recurrent modules of a model in the order of their names, and what is said of others."""
    found, left, first = list[Configuration](), list[LeftOut](), dict[int, str]()
    for path, module in model.named_modules(remove_duplicate=False):
        name = one_line(path) or type(module).__name__
        if not isinstance(module, CLASSES):
            left += [LeftOut(source, name, why)] if (why := _foreign(module)) else []
            continue
        if before := first.get(id(module)):
            left.append(LeftOut(source, name, f"the same module as {before}"))
            continue
        first[id(module)] = name
        made = _configuration(module, source, name, recorded.get(path, ()))
        if isinstance(made, str):
            left.append(LeftOut(source, name, made))
            continue
        found.append(made)
        left += [LeftOut(source, name, note) for note in _notes(module, made)]
    return found, left


def _configuration(module: Any, source: str, name: str, recorded: Sequence[Recorded]) -> Configuration | str:
    """The configuration of a module, or why it has none; recorded: its calls, the largest first."""
    dtypes = {parameter.dtype for parameter in module.parameters()}
    if len(dtypes) != 1 or dtype_name(next(iter(dtypes))) not in DTYPES:
        return f"its parameters are {', '.join(sorted(map(dtype_name, dtypes))) or 'none'}; one of {', '.join(DTYPES)}"
    single = isinstance(module, torch.nn.RNNCellBase)
    cell = _cell(module) + (CELL_SUFFIX if single else "")
    words = {
        "bf": getattr(module, "batch_first", False),
        "nobias": not module.bias,
        "drop": getattr(module, "dropout", 0) > 0,
    }
    sizes: dict[str, Any] = {name: getattr(module, name, 1) for name in ("input_size", "hidden_size", "num_layers")}
    if max(sizes.values()) > LARGEST_SIZE:
        return f"a size above {LARGEST_SIZE}"
    case = Case(
        **sizes,
        bidirectional=bool(getattr(module, "bidirectional", False)),
        proj_size=getattr(module, "proj_size", 0),
        dtype=dtype_name(next(iter(dtypes))),
        fill="initial",
    )
    case = _of_call(cell, case, words, recorded[0] if recorded else Recorded(ROWS, STEPS))
    if replace(case, batch_size=1, steps=1, lengths=()).numbers() > MOST_NUMBERS:
        return f"more than {MOST_NUMBERS:,} parameters"
    calls = tuple(_of_call(cell, case, words, one) for one in recorded[1:])
    weights = _weights(module, source, name, cell, case)
    return Configuration(cell, case, ((source, name),), weights, calls=tuple(dict.fromkeys(calls)))


def _of_call(cell: str, case: Case, words: Mapping[str, bool], call: Recorded) -> Case:
    """The case of a module at the sizes of a call; words: those of a layout that are the module's own."""
    made = call.on(case)
    return of_module(cell, replace(made, layout=tuple(w for w in LAYOUT_WORDS if words.get(w) or w in made.layout)))


def _cell(module: Any) -> str:
    """The cell without suffix; RNN tells two of them apart by nonlinearity."""
    kind = next(kind for kind in CLASSES if isinstance(module, kind)).__name__.removesuffix("Cell").lower()
    return f"{kind}_{module.nonlinearity}" if kind == "rnn" else kind


def _weights(module: Any, source: str, name: str, cell: str, case: Case) -> Weights | None:
    """The parameters as attributes, so that tied and parametrized ones are taken as they are used."""
    if not (is_name(name) and is_name(f"{source}:{name}")):
        return None
    arrays = {}
    for wanted, shape in case.architecture(cell).parameter_shapes().items():
        found = getattr(module, wanted, None)
        if not isinstance(found, torch.Tensor) or found.device.type == "meta" or tuple(found.shape) != shape:
            return None
        if found.dtype != DTYPES[case.dtype]:
            return None
        arrays[wanted] = tensors.array(found)
    return Weights(name, arrays, source)


def _notes(module: Any, made: Configuration) -> Iterator[str]:
    """What the user should know of a module that is tried."""
    own = next(kind for kind in CLASSES if isinstance(module, kind))
    if type(module).forward is not own.forward:
        yield f"tried as the torch.nn.{own.__name__} it derives from; a forward of its own is not"
    if made.weights is None:
        yield "its weights are not those of the documentation; drawn ones alone are tried"


def _foreign(module: torch.nn.Module) -> str:
    """Why a module that is called like a recurrent one is left out; "" for any other."""
    name = getattr(module, "original_name", type(module).__name__)
    if name not in NAMES:
        return ""
    if isinstance(module, torch.jit.ScriptModule):
        return "scripted; build the model without torch.jit"
    where = type(module).__module__
    if "quantiz" in where:
        return "quantized, for which the contract has no bounds"
    return one_line(f"{where}.{name} is no torch.nn.{name}; judge it with --subject", 120)
