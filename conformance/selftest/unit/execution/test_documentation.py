"""Code and examples of docstrings, executed, and the tables of documented arguments, which are those of PyTorch."""

import inspect
import re

import pytest
import torch

from conformance.harness import documented, session
from conformance.harness.checks.bounds import from_inputs
from conformance.harness.execution.failure import TIMED_OUT
from conformance.harness.execution.requests.documentation.executed import (
    RunDocumentedCode,
    RunExamples,
    code_of,
    docstring,
    names_of_inputs,
)
from conformance.harness.execution.requests.documentation.spelled import (
    BUT_FOR_DEVICE,
    BY_NAME,
    BY_POSITION,
    LEFT_OUT,
    ORDER,
    spelled_out,
)
from conformance.harness.execution.requests.packing import OPTIONS
from conformance.harness.execution.subject import SERVES, Subject, torch_nn
from conformance.harness.isolation import worker_process
from conformance.harness.isolation.worker_process import OF_DOCUMENTATION
from conformance.harness.session import Session
from conformance.selftest.faults.life_cycle.documentation import SOUND
from strategies import parse

PROBLEM = parse("v1 rnn_tanh i2 h3 t4 l2 n2 float32 fill=normal seed=3")[0].on("rnn_tanh")


def called(code):
    lines = "\n".join(f"        {line}" for line in code.splitlines())
    text = f"A module.\n\n    .. code-block:: python\n\n{lines}\n\n    Args:\n"
    (seen,) = RunDocumentedCode(PROBLEM, ("no_grad",), text=text).execute(torch_nn())
    return seen


def examples(text):
    (seen,) = RunExamples(PROBLEM, ("no_grad",), names=("nn.LSTM",), texts=(text,)).execute(torch_nn())
    return seen


def test_sound_code_gives_what_the_module_gives():
    seen = called(code_of(SOUND))
    assert seen.failure is None
    bound = from_inputs(seen).output
    assert (abs(seen.output.values - bound.midpoint) <= bound.radius).all()


def test_code_that_cannot_run_is_a_failure():
    assert called("def forward(x, hx=None):\n    return y").failure.exception == "NameError"
    assert called("def forward(x").failure.exception == "SyntaxError"


def test_examples_that_raise_or_print_something_else_are_told():
    seen = examples("Examples::\n\n    >>> nn.LSTM(1, 2).hidden_size\n    3\n    >>> nn.LSTM(1)\n")
    assert seen.count == 2
    wrong, raised = seen.unlike
    assert wrong == "nn.LSTM: nn.LSTM(1, 2).hidden_size gives 2, documented 3"
    assert raised.startswith("nn.LSTM: nn.LSTM(1) raises TypeError: ")


def test_examples_that_are_right_are_counted():
    seen = examples(">>> nn.LSTM(1, 2).hidden_size\n2\n")
    assert (seen.unlike, seen.count) == ((), 1)


def test_example_that_does_not_end_is_a_failure(monkeypatch):
    monkeypatch.setattr(worker_process, "DOCUMENTATION_LIMIT_SECONDS", 1.0)
    endless = RunExamples(PROBLEM, ("no_grad",), names=("nn.LSTM",), texts=(">>> while True: pass\n",))
    (seen,) = OF_DOCUMENTATION.execute(torch_nn(), endless)
    assert seen.failure is not None
    assert seen.failure.kind == TIMED_OUT


def test_text_of_a_docstring_is_read():
    text = "A module.\n\n    .. code-block:: python\n\n        a = 1\n\n    Inputs: input, h_0\n        * more\n"
    assert (code_of(text).strip(), names_of_inputs(text)) == ("a = 1", ("input", "h_0"))
    assert (code_of("A module."), names_of_inputs("Inputs: input, (h_0, c_0)\n")) == ("", ())


def test_no_docstring_of_a_subject_is_read(monkeypatch):
    class Own(torch.nn.RNN):
        """Inputs: mine, too"""

    read: list[str] = []

    def reads(text):
        read.append(text)
        return ()

    monkeypatch.setattr(documented, "names_of_inputs", reads)
    with session.nested(Session(Subject("mine", {"rnn_tanh": Own}))):
        assert documented.observe_named_inputs("rnn_tanh") == []
    assert read == [torch.nn.RNN.__doc__]


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        (BY_POSITION, ((2, True, "cpu"), {})),
        (BUT_FOR_DEVICE, ((2, True), {"device": "cpu"})),
        (BY_NAME, ((), {"input_size": 2, "bias": True, "device": "cpu"})),
        (LEFT_OUT, ((), {"input_size": 2, "device": "cpu"})),
    ],
)
def test_arguments_are_given_in_each_way(spelled, expected):
    given, defaults = {"input_size": 2, "bias": True, "device": "cpu"}, {"input_size": ..., "bias": True}
    assert spelled_out(spelled, given, defaults) == expected


def defaults_in(signature):
    return {name: one.default for name, one in signature.parameters.items() if one.default is not one.empty}


@pytest.mark.parametrize("name", SERVES)
def test_table_of_a_class_is_the_one_of_pytorch(name):
    table = {**ORDER[SERVES[name][0]], "device": None, "dtype": None}
    if shown := re.match(r"__init__\((.*)\)\n", docstring(f"nn.{name}")):
        written = [one if default is ... else f"{one}={default!r}" for one, default in table.items()]
        assert shown[1].split(",") == written
    else:
        kind = getattr(torch.nn, name)
        own = name.endswith("Cell")  # the others take whatever RNNBase takes
        assert not own or defaults_in(inspect.signature(kind)) == {k: v for k, v in table.items() if v is not ...}


@pytest.mark.parametrize("name", OPTIONS)
def test_table_of_a_utility_is_its_signature(name):
    found = defaults_in(inspect.signature(getattr(torch.nn.utils.rnn, name)))
    before_2_5 = {"padding_side"} - found.keys()
    assert list(found.items()) == [(key, value) for key, value in OPTIONS[name].items() if key not in before_2_5]
