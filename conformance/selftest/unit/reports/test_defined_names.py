"""Scripts define every name that they use, whatever memory a call's tensors lie in."""

import ast
import builtins
import sys
from dataclasses import replace
from typing import Any

import pytest

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.failure import RAISED, Failure
from conformance.harness.execution.observation import (
    Differentiated,
    DifferentiatedByApi,
    Manner,
    Observation,
    Surrounded,
)
from conformance.harness.execution.requests import autograd_apis
from conformance.harness.execution.requests.problem_request import PARAMETER_MEMORY
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.recorder import Element, Finding
from conformance.harness.reports.scripts.script import WITHOUT_DEFECT, script
from conformance.selftest.unit.reports.test_scripts import ended
from strategies import losses, parse
from strategies.axes import MEMORY

RAISES = Failure(RAISED, "ValueError", "no")
PLACE = {"layer": 0, "direction": 0, "row": 0, "unit": 0}
STATE = Element("h_n", PLACE, 0.0, 0.0, 1e-3)
KINDS: dict[str, Any] = {
    "raised": ("D1", "call", "raised ValueError", Observation, {"failure": RAISES}),
    "raised in a backward pass": ("C1", "call", "raised ValueError", Differentiated, {"failure": RAISES}),
    "outside": ("B1", "h_n", "outside its bound", Observation, {"element": STATE}),
    "two results": (
        "D2",
        "output",
        "differs from h_n",
        Observation,
        {"element": Element("output", PLACE | {"step": 1}, 0.0, 0.0, 1e-3, "h_n", PLACE)},
    ),
    "surroundings": (
        "E5",
        "h_n",
        "differs from h_n",
        Surrounded,
        {"element": replace(STATE, other="h_n"), "surrounding": "another_thread"},
    ),
    "refused": ("C3", autograd_apis.CHECKPOINT, "refused", DifferentiatedByApi, {}),
    "fact": ("A2", "h_n", "dtype", Observation, {"documented": "'float32'"}),
    "changes": ("D4", "call", "changes: h_0", Observation, {}),
}
"""Clause, field and kind of a finding, what it is of, and what else it says."""


def undefined(text):
    """The names that a script uses and does not define."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    defined = {node.id for node in names if isinstance(node.ctx, ast.Store)} | vars(builtins).keys() | {"__file__"}
    defined |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    defined |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    defined |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    aliases = [alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    defined |= {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
    return {node.id for node in names} - defined


def script_of(kind, memory, manner, packed):
    """The script of a finding of this kind about a call of PyTorch's, which has none of these defects."""
    clause, field, says, seen_as, more = KINDS[kind]
    line = f"v1 lstm i1 h1 {'t2,1' if packed else 't2 n2'} bi bf float32 mem={memory} fill=dyadic"
    case = parse(line)[0]
    problem = case.on("lstm")
    problem = replace(problem, input=problem.input * 0, h_0=problem.state("h_0") * 0, c_0=problem.state("c_0") * 0)
    usual: dict[str, Any] = {"test": "test_it", "lines": ("h_n:  got 0", ""), "case": line}
    finding = Finding(
        "red",
        clause,
        cell="lstm",
        subject=TORCH_NN,
        route="grad",
        dtype="float32",
        field=field,
        kind=says,
        **(usual | more),
    )
    seen = seen_as(problem, TORCH_NN, "grad", failure=finding.failure, manner=manner)
    if seen_as is Surrounded:
        around = replace(manner, surrounding=finding.surrounding)
        seen = replace(seen, loss=losses.loss(case, problem), manner=around)
    return script(Found(finding, seen))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("memory", MEMORY)
def test_script_defines_what_it_calls_and_runs(memory, packed, kind, monkeypatch):
    text = script_of(kind, memory, Manner(), packed)
    assert not undefined(text)
    monkeypatch.setattr(sys, "argv", ["repro.py", "call"])
    code, printed = ended(text)
    assert code == WITHOUT_DEFECT
    assert "raised" not in printed


@pytest.mark.parametrize("kind", ["raised", "raised in a backward pass", "outside", "two results"])
@pytest.mark.parametrize("memory", PARAMETER_MEMORY)
def test_script_defines_what_lays_its_parameters_out(memory, kind):
    assert not undefined(script_of(kind, "contiguous", Manner(parameter_memory=memory), packed=False))


def test_name_that_is_not_defined_is_seen():
    assert undefined("import torch\nx = sliced(torch.ones(1))\n") == {"sliced"}
