"""Reports of runs that were never made, with what a results file must be able to hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.clauses import AMBER, RED, REMARK
from conformance.harness.execution import subject
from conformance.harness.execution.failure import RAISED, Failure
from conformance.harness.findings.recorder import Finding
from conformance.harness.models.fleet import Fleet
from conformance.harness.pytest_plugin import options
from conformance.harness.pytest_plugin.output.report import Report
from conformance.harness.session import Session
from strategies import Case
from strategies.configurations import Configuration

HOSTILE = "<script>alert(1)</script>\x1b[31m\n::error::x\r|`*_[a](b)]]>%0A,:\u2028" + "long" * 2000
"""A text that would harm a terminal, a page, Markdown or a workflow that took it as it is."""

TEST = "test_results_lie_within_their_error_bound"

FINDING = Finding(
    severity=RED,
    clause="B1",
    test=TEST,
    cell="lstm",
    subject="torch.nn",
    route="grad",
    dtype="float32",
    field="output",
    kind="outside its bound",
    lines=("output, row 0:  got 1   reference 2 +- 0.1 allowed",),
    case="v1 lstm i1 h1 t1 float32 fill=dyadic",
    kernels=("addmm",),
)

RAISES = replace(
    FINDING,
    subject=HOSTILE,
    field="call",
    kind=f"raised {HOSTILE}",
    lines=(HOSTILE, f"::warning::{HOSTILE}"),
    what=(HOSTILE,),
    options=f"--subject {HOSTILE}",
    failure=Failure(RAISED, "ValueError", HOSTILE),
)


def report(**more: Any) -> Report:
    """The report of a run in which one property of the LSTM passed."""
    chosen = options.read("smoke", [], None, [], [], [], [], known=[], no_stale=False, **more)
    made = Report(Session(subject.torch_nn()), chosen, ("-n", "auto"))
    made.collected = [f"conformance/test_numbers.py::{TEST}[lstm]", "conformance/test_known.py::test_x[y]"]
    tally = made.session.recorder.tally(f"{TEST}[lstm]")
    tally.cases, tally.elements, tally.worst = 20, 100, 0.5
    tally.detectable_error = {"float32": 1e-6, "float16": float("inf")}
    counts = made.session.recorder.judged_at("B1", "lstm", "float32", "grad")
    counts.cases, counts.elements, counts.worst, counts.calls, counts.seconds = 20, 100, 0.5, 40, 0.25
    return made


def full(of_models: bool = True) -> Report:
    """One with a part of every kind; of_models: its properties were asked of a model's module, not at large."""
    made = report()
    recorder = made.session.recorder
    made.findings = [FINDING, RAISES]
    recorder.note(replace(FINDING, severity=AMBER), 3)
    recorder.note(replace(RAISES, severity=REMARK, clause="A5"))
    recorder.note(replace(FINDING, known=made.options.concerned()[0].id))
    recorder.skipped("lstm", "float16", "cpu", "grad", Failure(RAISED, "RuntimeError", HOSTILE))
    recorder.kernels["addmm"] = 2
    recorder.measured("float16 tanh", 0.9)
    recorder.looked_at(batch_size=1, steps=2, hidden_size=3, num_layers=1, rows_by_steps=2)
    made.suite_errors = [(f"x.py::{HOSTILE}", HOSTILE)]
    made.other_failures, made.never_ran = ["x.py::test_x"], ["x.py::test_y"]
    made.lacking["no gru: mine has none"] += 1
    if of_models:
        made.session.fleet = Fleet((HOSTILE,), (Configuration("lstm", Case(3, 4), ((HOSTILE, HOSTILE),)),))
    return made
