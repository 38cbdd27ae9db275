"""Scripts exit with 10 on a fault and with 0 on a sound build, and are short."""

import contextlib
import io
import itertools
import tokenize
from dataclasses import replace

import pytest
import torch

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.execution.requests.documentation.spelled import ORDER
from conformance.harness.execution.subject import SERVES, TORCH_NN
from conformance.harness.property import properties
from conformance.harness.reports.calls.call_text import LONGEST
from conformance.harness.reports.minimiser.minimise import minimised
from conformance.harness.reports.scripts.script import WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.faults.caught_by import shows
from conformance.selftest.trial import findings
from strategies import parse

MOST_LINES = 60
LARGEST = 3
"""The largest size of a script's call."""

EXEMPT = {
    "step-9-sees-the-input-of-step-8": "what is wrong is the tenth step",
    "keeps-every-output": "what a call adds is told from noise by 25 lengths a lap",
    "keeps-the-graph-of-every-call": "what a call adds is told from noise by 25 lengths a lap",
}
"""Faults that no call of `LARGEST` shows, and why."""

FAULTS = (
    "lstm-gates-read-as-figo",
    "gru-swaps-z-and-1-z",
    "rnn_relu-one-weight-off-by-1e-4",
    "ignores-hx-in-a-single-step",
    "keeps-updating-rows-of-a-packed-sequence-after-their-end",
)


def shown(fault):
    """What a seeded fault shows in its smallest case, told of torch.nn."""
    trial = findings(fault.subject, fault.clauses, fault.cells, 0, fault.effort, enough=shows(fault))
    finding = next(one for one in trial if shows(fault)(one))
    case, _ = parse(finding.case)
    tested = next(one for one in properties() if one.name == finding.test)
    with session.nested(Session(fault.subject)) as here:
        found = next(
            one for one in found_by(here, tested, finding.cell, case) if one.finding.signature == finding.signature
        )
        found = minimised(here, tested, finding.cell, case, found)
    return found._replace(finding=replace(found.finding, subject=TORCH_NN))


@contextlib.contextmanager
def in_place_of_torch_nn(subject):
    """The block sees the subject's classes under the names of PyTorch's."""
    with pytest.MonkeyPatch.context() as patch:
        for name, cells in SERVES.items():
            if set(cells) & subject.classes.keys():
                patch.setattr(torch.nn, name, made_by(subject, cells))
        yield


def made_by(subject, cells):
    """A constructor that takes what PyTorch's class takes."""

    def construct(*given, **named):
        arguments = {**dict(zip((*ORDER[cells[0]], "device", "dtype"), given, strict=False)), **named}
        nonlinearity = arguments.pop("nonlinearity", "tanh")
        return subject.classes[cells[-1] if nonlinearity == "relu" else cells[0]](**arguments)

    return construct


def assert_short(text):
    """A script is a screen at most, and no number in it is long but the allowed error."""
    assert len(text.splitlines()) <= MOST_LINES, text
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    numbers = [
        token.string
        for before, token in itertools.pairwise(tokens)
        if token.type == tokenize.NUMBER and before.string != "<=" and not token.line.lower().startswith("allowed = ")
    ]
    assert max(map(len, numbers)) <= LONGEST, text


def assert_small(name, found):
    """The call in which a fault is found has no size above `LARGEST`, or the fault is exempt."""
    a, given = found.seen.problem.architecture, found.seen.problem.input
    largest = max(a.input_size, a.hidden_size, a.num_layers, a.proj_size, *given.shape[:2])
    assert (largest > LARGEST) == (name in EXEMPT), (largest, EXEMPT.get(name))


def ended(text):
    """The exit code of a script, and what it printed."""
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as end:
        exec(compile(text, "repro.py", "exec"), {"__name__": "__main__", "__file__": "repro.py"})
    return end.value.code, printed.buffer.getvalue().decode("utf-8")


@pytest.mark.parametrize("name", FAULTS)
def test_script_exits_with_10_on_the_fault_and_with_0_on_a_sound_build(name):
    fault = next(fault for fault in faults() if fault.name == name)
    found = shown(fault)
    assert_small(name, found)
    text = script(found)
    assert_short(text)
    with in_place_of_torch_nn(fault.subject):
        code, printed = ended(text)
    assert code == WITH_DEFECT, printed
    assert all(word in printed for word in ("expected", "got", "allowed"))
    assert ended(text)[0] == WITHOUT_DEFECT
