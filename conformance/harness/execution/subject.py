"""The subject: the class for each cell, and the construction of its module from a problem."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

from conformance.harness.execution import callables, tensors
from conformance.harness.execution.callables import Copies, OfFunction
from conformance.harness.foreign_text import piece, said_by
from reference.problem import CELL_SUFFIX, GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem

if TYPE_CHECKING:
    from strategies.stated import Stated

TORCH_NN = "torch.nn"
"""The name of the default subject."""

OWN_MODULE = "torch.nn.modules.rnn"
"""Where PyTorch defines its recurrent modules."""

SERVES = {
    "RNN": (RNN_TANH, RNN_RELU),
    "LSTM": (LSTM,),
    "GRU": (GRU,),
    "RNNCell": (RNN_TANH + CELL_SUFFIX, RNN_RELU + CELL_SUFFIX),
    "LSTMCell": (LSTM + CELL_SUFFIX,),
    "GRUCell": (GRU + CELL_SUFFIX,),
}
"""PyTorch's name of each class, and the cells that it stands for; RNN tells two of them apart by nonlinearity."""

CELLS = tuple(cell for cells in SERVES.values() for cell in cells)

ASKED_FOR = {cell: (cell,) for cell in CELLS} | {"rnn": SERVES["RNN"], "rnn_cell": SERVES["RNNCell"]}
"""What may stand before the = of `--subject lstm=pkg.module:Name`, and the cells that it means."""


STATEMENT = "conformance"
"""The attribute of a module, class, function or instance that states what it can do."""


class SubjectError(ValueError):
    """A subject that cannot be loaded; the message gives the reason and the remedy."""


class MissingCell(LookupError):
    """The subject has no class for a cell."""


class MismatchedParameters(Exception):
    """A module's parameters are not those that the documentation names; the text says which."""


@dataclass(frozen=True)
class Subject:
    """A name for reports, and for each cell a callable that takes arguments of torch.nn.RNN, LSTM or GRU.

    stated has, for each cell of which anything is stated, what its class can do.
    docstrings: texts in place of PyTorch's own, by name, where a test puts others there; never a subject's of a user.
    packing has the functions of torch.nn.utils.rnn as attributes. texts name it as `named` takes them; none
    where it was made in this process alone. docstrings stand in the place of PyTorch's own, by the names that these
    have in torch; no command line gives any.
    """

    name: str
    classes: Mapping[str, Callable[..., torch.nn.Module]]
    packing: Any = torch.nn.utils.rnn
    texts: tuple[str, ...] = ()
    docstrings: Mapping[str, str] = field(default_factory=dict)
    stated: Mapping[str, Stated] = field(default_factory=dict)

    def options(self, cell: str) -> str:
        """The options that name it on a command line, as far as this cell and its single step need them."""
        named = [text for text in self.texts if text != TORCH_NN and _concerns(text, cell)]
        return " ".join(f"--subject {text}" for text in named)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The cells that it has no class for."""
        return tuple(cell for cell in CELLS if cell not in self.classes)

    def is_pytorchs_own(self, cell: str) -> bool:
        """Whether its class for this cell is the one that PyTorch defines, whatever the subject is called."""
        return getattr(self.classes.get(cell), "__module__", "") == OWN_MODULE

    @property
    def calls_as_torch(self) -> bool:
        """Whether its classes are PyTorch's own, or inherit the calls from these."""
        own = {cell: getattr(torch.nn, name) for name, cells in SERVES.items() for cell in cells}
        return all(getattr(kind, "forward", None) is own[cell].forward for cell, kind in self.classes.items())

    @property
    def packs_as_torch(self) -> bool:
        """Whether its packing utilities are PyTorch's own."""
        return self.packing is torch.nn.utils.rnn

    def drawn(self, architecture: Architecture, dtype: str, device: str) -> torch.nn.Module:
        """A module of this architecture with whatever parameters it draws, in training mode. Raises MissingCell."""
        if architecture.name not in self.classes:
            raise MissingCell(f"{self.name} has no {architecture.name}")
        said = self.stated.get(architecture.name)
        flags = said.flags if said is not None else {}
        alone = {name: values[0] for name, values in flags.items() if len(values) == 1}
        kind = self.classes[architecture.name]
        return callables.made(kind, arguments(architecture), alone, device, tensors.DTYPES[dtype])

    def statement(self, cell: str) -> Stated:
        """What its class for this cell states; of one that states nothing a statement without keys."""
        from strategies.stated import Stated  # which needs Hypothesis: a child does without it where nothing is stated

        return self.stated[cell] if cell in self.stated else Stated()

    def has_constructor(self, cell: str) -> bool:
        """Whether it has a class, or a function that returns modules, for this cell."""
        return not isinstance(self.classes.get(cell), OfFunction | Copies)

    @property
    def accuracies(self) -> tuple[str, ...]:
        """The accuracies that its classes state, in words."""
        return tuple(dict.fromkeys(str(one.accuracy) for one in self.stated.values() if one.accuracy is not None))

    def takes_arguments_of(self, names: Collection[str], cell: str) -> bool:
        """Whether its constructor for this cell takes arguments of these names."""
        kind = self.classes.get(cell)
        if kind is None or not self.has_constructor(cell):
            return False
        own = callables.argument_names(kind)
        return own is None or own.issuperset(names)

    def module(self, problem: Problem, device: str) -> torch.nn.Module:
        """The module that the problem is about on `device`, in its mode, with whatever parameters it draws."""
        with warnings.catch_warnings():  # PyTorch warns of dropout with a single layer
            warnings.simplefilter("ignore")
            return self.drawn(problem.architecture, problem.dtype, device).train(problem.training)

    def loaded(self, problem: Problem) -> torch.nn.Module:
        """The module that the problem is about, with its weights. Raises MismatchedParameters."""
        return loaded(self.module(problem, problem.device), problem)


def loaded(module: torch.nn.Module, problem: Problem) -> torch.nn.Module:
    """A module, given a problem's weights. Raises MismatchedParameters."""
    parameters = dict(module.named_parameters())
    found = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    wanted = problem.architecture.parameter_shapes()
    if found != wanted:
        raise MismatchedParameters(_mismatch(found, wanted))
    with torch.no_grad():
        for name, values in problem.parameters.items():
            parameters[name].copy_(tensors.tensor(values, problem.dtype, problem.device))
    return module


def _mismatch(found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> str:
    """The first parameter that is not as documented; where its name is absent, also the first that is documented
    nowhere."""
    name = next(name for name in [*wanted, *found] if found.get(name) != wanted.get(name))
    text = f"parameter {name}: {found.get(name, 'absent')}, documented {wanted.get(name, 'absent')}"
    other = next((other for other in found if other not in wanted), name)
    return text if other == name else f"{text}; found instead: {other} {found[other]}"


def arguments(architecture: Architecture) -> dict[str, Any]:
    """The keyword arguments that make a module of this architecture."""
    names = ["input_size", "hidden_size", "bias"]
    names += [] if architecture.single_step else ["num_layers", "batch_first", "bidirectional"]
    named: dict[str, Any] = {name: getattr(architecture, name) for name in names}
    if architecture.cell in (RNN_TANH, RNN_RELU):
        named["nonlinearity"] = architecture.cell.removeprefix("rnn_")
    named |= {name: getattr(architecture, name) for name in ("proj_size", "dropout") if getattr(architecture, name)}
    return named


def _concerns(text: str, cell: str) -> bool:
    """Whether a text of a command line gives a class for this cell, or for its single step or its loop."""
    asked = ASKED_FOR.get(text.partition("=")[0], CELLS)
    return not cell or cell.removesuffix(CELL_SUFFIX) in [one.removesuffix(CELL_SUFFIX) for one in asked]


def torch_nn() -> Subject:
    """The recurrent modules of the PyTorch that is installed."""
    return named([TORCH_NN])


def named(texts: Sequence[str]) -> Subject:
    """The subject that texts such as `pkg.module` or `lstm=pkg.module:Name` name. Raises SubjectError.

    Its name is that of the module, or `pkg.module:Name`; several are joined with a plus.
    """
    classes: dict[str, Callable[..., torch.nn.Module]] = {}
    statements: dict[str, Stated] = {}
    names: dict[str, None] = {}
    for text in texts:
        name, found, module = _one_class(text) if "=" in text else _whole_module(text)
        found = {cell: kind for cell, kind in found.items() if _computes(kind, cell)}
        if twice := [cell for cell in found if cell in classes]:
            raise SubjectError(f"{piece(text)}: {twice[0]} is given already; name each cell once")
        statements |= {cell: one for cell, kind in found.items() if (one := _statement(text, cell, kind, module))}
        classes |= {cell: _constructor(kind, cell, statements.get(cell)) for cell, kind in found.items()}
        names[name] = None
    return Subject("+".join(names), classes, texts=tuple(texts), stated=statements)


def of(given: Any, cells: Sequence[str], name: str = "") -> Subject:
    """The subject that a class, function or instance of this process is, for these cells. Raises SubjectError."""
    name = name or getattr(given, "__qualname__", type(given).__qualname__)
    cells = [cell for cell in cells if _computes(given, cell)]
    statements = {cell: one for cell in cells if (one := _statement(name, cell, given, None))}
    return Subject(name, {cell: _constructor(given, cell, statements.get(cell)) for cell in cells}, stated=statements)


def _computes(given: Any, cell: str) -> bool:
    """Whether a class, function or instance may compute a cell: an RNN that exists has one nonlinearity."""
    own = getattr(given, "nonlinearity", None) if isinstance(given, torch.nn.Module) else None
    return own is None or cell.removesuffix(CELL_SUFFIX) not in (RNN_TANH, RNN_RELU) or f"rnn_{own}" in cell


def _constructor(given: Any, cell: str, told: Stated | None) -> Callable[..., torch.nn.Module]:
    """What makes modules of a cell: a class or a function that returns modules as it is."""
    if isinstance(given, torch.nn.Module):
        return Copies(given)
    if not callables.takes_weights(given):
        return given  # type: ignore[no-any-return]
    return OfFunction(given, cell, is_batch_first=told is not None and told.flags.get("batch_first") == (True,))


def _statement(text: str, cell: str, given: Any, module: Any) -> Stated | None:
    """What a class, function or instance states of itself, beside what its module does. Raises SubjectError.

    An instance has the sizes that it has.
    """
    own: list[Any] = [getattr(one, STATEMENT, None) for one in (module, given)]
    own = [
        one for one in own if one is not None and not isinstance(one, ModuleType)
    ]  # a module that imported this suite
    found = Copies(given).statement(cell) if isinstance(given, torch.nn.Module) else {}
    if isinstance(given, torch.nn.Module) and any(one.startswith("weight_hr") for one, _ in given.named_parameters()):
        raise SubjectError(f"{piece(text)}: an instance with a projection cannot be judged; name its class")
    if not own and not found:
        return None
    from strategies import stated

    try:
        for one in own:
            stated.read(one)
            found.update(one)
        return stated.read(found) if found else None
    except stated.StatementError as error:
        raise SubjectError(f"{piece(text)}: `{STATEMENT}` {piece(error)}") from None


Found = tuple[str, dict[str, Callable[..., Any]], ModuleType]
"""The name of a subject, what stands for each cell, and the module that has it."""


def _whole_module(text: str) -> Found:
    """A module, and of the documented classes those that it has."""
    if ":" in text:
        raise SubjectError(f"{piece(text)}: say which cell the class is, as in lstm={piece(text)}")
    with _importing(text, text):
        module = importlib.import_module(text)
        has = {name: getattr(module, name, None) for name in SERVES}
    classes = {cell: kind for name, kind in has.items() if callable(kind) for cell in SERVES[name]}
    if not classes:
        raise SubjectError(
            f"{piece(text)} has none of {', '.join(SERVES)}; name a class of another name as in lstm={piece(text)}:Name"
        )
    return text, classes, module


def _one_class(text: str) -> Found:
    """A class by its own name, for the cells that stand before the =."""
    asked, _, name = text.partition("=")
    if asked not in ASKED_FOR:
        raise SubjectError(f"{piece(text)}: no such cell, {piece(asked)}; one of {', '.join(ASKED_FOR)}")
    module, _, attribute = name.partition(":")
    if not attribute:
        raise SubjectError(
            f"{piece(text)}: a module alone; name the class too, as in {asked}={piece(module) or 'pkg.module'}:Name"
        )
    with _importing(module, text):
        imported = importlib.import_module(module)
        try:
            kind = attrgetter(attribute)(imported)
        except AttributeError:
            raise SubjectError(
                f"{piece(text)}: module {piece(module)} has no {piece(attribute)}; name a class that it has"
            ) from None
    if not callable(kind):
        raise SubjectError(
            f"{piece(text)}: {piece(attribute)} is no class; name one that takes the arguments of torch.nn's"
        )
    return name, dict.fromkeys(ASKED_FOR[asked], kind), imported


@contextmanager
def _importing(module: str, text: str) -> Iterator[None]:
    """Whatever the block raises while it imports the module of this name becomes a SubjectError."""
    if not re.fullmatch(r"\w+(\.\w+)*", module):
        raise SubjectError(
            f"{piece(text)}: {piece(module)} is no name of a module; write it as in an import, pkg.module"
        )
    try:
        yield
    except (SubjectError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            remedy = f"there is no module {piece(error.name)} here: run from the folder that it lies in, or install it"
        else:
            remedy = f"importing {piece(module)} has to work first, and raises {said_by(error)}"
        raise SubjectError(f"{piece(text)}: {remedy}") from None
