"""What properties see of what the documentation says in code, and of files that older releases wrote."""

from __future__ import annotations

from pathlib import Path

from conformance.harness import session
from conformance.harness.checks import case_record
from conformance.harness.checks.values import assert_documented_shape, assert_returned
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests.documentation.executed import (
    Executed,
    RunDocumentedCode,
    RunExamples,
    code_of,
    docstring,
)
from conformance.harness.execution.requests.documentation.spelled import CallSpelled
from conformance.harness.execution.requests.handed_over import STATE_DICT, ReadModule
from conformance.harness.execution.subject import torch_nn
from conformance.harness.isolation.worker_process import IN_CHILDREN
from conformance.harness.state_dicts.writing import problem_of
from conformance.harness.support import smallest
from reference.problem import RNN_TANH, Problem

ROUTE = "no_grad"
"""The route of these calls."""

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


def observe_spelled(problem: Problem, spelled: str) -> list[Observation]:
    """The call of a module whose arguments are given by position or by name, as `spelled` says, on one route."""
    routes = session.current().taken((ROUTE,))
    seen = session.current().execute(CallSpelled(problem, routes, spelled=spelled))
    return [one for one in seen if _is_usable(one)]


def observe_documented_code(problem: Problem) -> list[Observation]:
    """The call of the function that PyTorch's documentation calls equivalent, whatever the subject is: in a child."""
    text = _text("nn.RNN")
    if not code_of(text):
        return []
    request = RunDocumentedCode(problem, session.current().taken((ROUTE,)), text=text)
    seen = IN_CHILDREN.execute(torch_nn(), request)
    return [one for one in seen if _is_usable(one)]


def run_examples(of: str) -> list[Executed]:
    """The examples in docstrings of PyTorch, executed in a child, whatever the subject is."""
    names = EXAMPLES[of]
    texts = tuple(map(_text, names))
    request = RunExamples(smallest(RNN_TANH, "float32", "cpu"), (ROUTE,), names=names, texts=texts)
    return [one for one in IN_CHILDREN.execute(torch_nn(), request) if assert_returned(one)]


def _text(name: str) -> str:
    return session.current().subject.docstrings.get(name) or docstring(name)


def observe_older_files(cell: str) -> list[Observation]:
    """A module of a cell that loads the state_dict which each older release wrote, called."""
    routes, seen = session.current().taken((ROUTE,)), list[Observation]()
    for file in sorted(STATE_DICTS.glob(f"*/{cell}.pt")):
        request = ReadModule(problem_of(cell), routes, form=STATE_DICT, file=str(file))
        seen += session.current().execute(request)
    return [one for one in seen if _is_usable(one)]


def _is_usable(seen: Observation) -> bool:
    case_record.current().checked(seen, 1, 0.0, 0.0)  # that the call returns
    return assert_returned(seen) and assert_documented_shape(seen)
