"""What properties see of what the documentation says in code, and of files that older releases wrote."""

from __future__ import annotations

from pathlib import Path

from conformance.clauses import AMBER
from conformance.harness import session
from conformance.harness.cells import class_of
from conformance.harness.checks import case_record
from conformance.harness.checks.bounds import from_inputs
from conformance.harness.checks.values import assert_documented_shape, assert_returned, lies_within
from conformance.harness.execution.observation import Differentiated, FromFile, Observation
from conformance.harness.execution.requests.documentation.executed import (
    CODE,
    DifferentiateDocumentedCode,
    Executed,
    RunDocumentedCode,
    RunExamples,
    code_of,
    docstring,
    names_of_inputs,
)
from conformance.harness.execution.requests.documentation.spelled import ORDER, PLACE, CallByNames, CallSpelled, Spelled
from conformance.harness.execution.requests.handed_over import STATE_DICT, ReadWeights
from conformance.harness.execution.subject import SERVES, torch_nn
from conformance.harness.isolation.worker_process import OF_DOCUMENTATION
from conformance.harness.state_dicts.writing import problem_of
from conformance.harness.support import smallest
from reference.problem import RNN_TANH, Loss, Problem

ROUTE = "no_grad"
"""The route of these calls."""

ROUTE_OF_GRADIENTS = "grad"
"""The route of those that are differentiated."""

EXAMPLES = {
    "modules": ("nn.RNN", "nn.LSTM", "nn.GRU"),
    "cells": ("nn.RNNCell", "nn.LSTMCell", "nn.GRUCell"),
    "utilities": tuple(
        f"nn.utils.rnn.{name}"
        for name in ("pack_padded_sequence", "pad_packed_sequence", "pad_sequence", "pack_sequence", "unpack_sequence")
    ),
}
"""The objects of torch whose docstrings have examples."""

STATE_DICTS = Path(__file__).parent / "state_dicts"
"""The files that older releases wrote, one folder for each."""


def observe_spelled(problem: Problem, spelled: str) -> list[Spelled]:
    """The call of a module whose arguments are given by position or by name, as `spelled` says, on one route.

    It is not asked of a subject whose constructor does not take every argument of the class.
    """
    judged, cell = session.current().subject, problem.architecture.name
    if not judged.takes_arguments_of((*ORDER[cell], *PLACE), cell):
        case_record.current().not_asked(f"no constructor with every argument of {class_of(cell)}")
        return []
    routes = session.current().taken((ROUTE,))
    seen = session.current().execute(CallSpelled(problem, routes, spelled=spelled))
    return [one for one in seen if _is_usable(one)]


def observe_named_inputs(cell: str) -> list[Observation]:
    """A small call of PyTorch's module by the names that its docstring gives to two inputs, where it names both."""
    (name,) = (f"nn.{name}" for name, cells in SERVES.items() if cell in cells)
    problem, names = smallest(cell, "float32", "cpu"), names_of_inputs(_text(name))
    if not names:
        return []
    seen = OF_DOCUMENTATION.execute(torch_nn(), CallByNames(problem, session.current().taken((ROUTE,)), names=names))
    return [one for one in seen if _is_usable(one, f"inputs named {', '.join(names)}", AMBER)]


def observe_documented_code(problem: Problem) -> list[Observation]:
    """The call of the function that PyTorch's documentation calls equivalent, whatever the subject is: in a child."""
    text = _text("nn.RNN")
    if not code_of(text):
        return []
    request = RunDocumentedCode(problem, session.current().taken((ROUTE,)), text=text)
    seen = OF_DOCUMENTATION.execute(torch_nn(), request)
    return [one for one in seen if _is_usable(one)]


def differentiate_documented_code(problem: Problem, loss: Loss) -> list[Differentiated]:
    """The gradients of that call, where its results are right. That it has none is amber."""
    text, routes = _text("nn.RNN"), session.current().taken((ROUTE_OF_GRADIENTS,))
    if not code_of(text):
        return []
    called = OF_DOCUMENTATION.execute(torch_nn(), RunDocumentedCode(problem, routes, text=text))
    if not all(_is_right(one) for one in called):
        return []
    seen = OF_DOCUMENTATION.execute(torch_nn(), DifferentiateDocumentedCode(problem, routes, loss=loss, text=text))
    return [one for one in seen if _is_usable(one, f"gradients of {CODE}", AMBER)]


def _is_right(seen: Observation) -> bool:
    return seen.failure is None and not seen.misshapen and lies_within(seen, from_inputs)


def run_examples(of: str) -> list[Executed]:
    """The examples in docstrings of PyTorch, executed in a child, whatever the subject is."""
    names = EXAMPLES[of]
    texts = tuple(map(_text, names))
    request = RunExamples(smallest(RNN_TANH, "float32", "cpu"), (ROUTE,), names=names, texts=texts)
    return [one for one in OF_DOCUMENTATION.execute(torch_nn(), request) if assert_returned(one)]


def _text(name: str) -> str:
    return session.current().subject.docstrings.get(name) or docstring(name)


def observe_older_files(cell: str) -> list[FromFile]:
    """A module of a cell that loads the state_dict which each older release wrote, called."""
    routes, seen = session.current().taken((ROUTE,)), list[FromFile]()
    for file in sorted(STATE_DICTS.glob(f"*/{cell}.pt")):
        request = ReadWeights(problem_of(cell), routes, form=STATE_DICT, file=str(file))
        seen += session.current().execute(request)  # type: ignore[arg-type]
    return [one for one in seen if _is_usable(one)]


def _is_usable(seen: Observation, field: str = "call", severity: str = "") -> bool:
    case_record.current().checked(seen, 1, 0.0, 0.0)  # that the call returns
    return assert_returned(seen, field, severity) and assert_documented_shape(seen)
