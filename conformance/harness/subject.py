"""What is judged: the classes that stand for each cell, and how a module of them is built from a problem."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from conformance.harness import bridge
from reference.problem import CELL_SUFFIX, GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Problem


class MismatchedParameters(Exception):
    """A module's parameters are not those that the documentation names; the text says which."""


@dataclass(frozen=True)
class Subject:
    """A name for reports, and for each cell a callable that takes the arguments of torch.nn.RNN, LSTM or GRU."""

    name: str
    classes: Mapping[str, Callable[..., torch.nn.Module]]

    def drawn(self, architecture: Architecture, dtype: str, device: str) -> torch.nn.Module:
        """A module of this architecture with whatever parameters it draws, in training mode."""
        return self.classes[architecture.name](**arguments(architecture), device=device, dtype=bridge.DTYPES[dtype])

    def module(self, problem: Problem, device: str) -> torch.nn.Module:
        """The module that the problem is about on `device`, in its mode, with whatever parameters it draws."""
        with warnings.catch_warnings():  # dropout is present on one layer too, which PyTorch finds worth a word
            warnings.simplefilter("ignore")
            return self.drawn(problem.architecture, problem.dtype, device).train(problem.training)

    def loaded(self, problem: Problem) -> torch.nn.Module:
        """The module that the problem is about, with its weights. Raises MismatchedParameters."""
        module = self.module(problem, problem.device)
        parameters = dict(module.named_parameters())
        found = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
        wanted = problem.architecture.parameter_shapes()
        if found != wanted:
            name = next(name for name in [*wanted, *found] if found.get(name) != wanted.get(name))
            raise MismatchedParameters(
                f"parameter {name}: {found.get(name, 'absent')}, documented {wanted.get(name, 'absent')}"
            )
        with torch.no_grad():
            for name, values in problem.parameters.items():
                parameters[name].copy_(bridge.tensor(values, problem.dtype, problem.device))
        return module


def arguments(architecture: Architecture) -> dict[str, Any]:
    """The keyword arguments that make a module of this architecture."""
    names = ["input_size", "hidden_size", "bias"]
    names += [] if architecture.single_step else ["num_layers", "batch_first", "bidirectional"]
    named: dict[str, Any] = {name: getattr(architecture, name) for name in names}
    if architecture.cell in (RNN_TANH, RNN_RELU):
        named["nonlinearity"] = architecture.cell.removeprefix("rnn_")
    named |= {name: getattr(architecture, name) for name in ("proj_size", "dropout") if getattr(architecture, name)}
    return named


def torch_nn() -> Subject:
    """The recurrent modules of the PyTorch that is installed."""
    nn = torch.nn
    modules = {RNN_TANH: nn.RNN, RNN_RELU: nn.RNN, LSTM: nn.LSTM, GRU: nn.GRU}
    single = {RNN_TANH: nn.RNNCell, RNN_RELU: nn.RNNCell, LSTM: nn.LSTMCell, GRU: nn.GRUCell}
    return Subject("torch.nn", modules | {name + CELL_SUFFIX: kind for name, kind in single.items()})
