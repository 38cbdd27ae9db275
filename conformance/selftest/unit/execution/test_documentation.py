"""Code and examples of docstrings, executed: what they get wrong is found."""

import pytest

from conformance.harness.checks.bounds import from_inputs
from conformance.harness.execution.requests.documentation.executed import (
    RunDocumentedCode,
    RunExamples,
    code_of,
    docstring,
)
from conformance.harness.execution.subject import torch_nn
from strategies import parse

PROBLEM = parse("v1 rnn_tanh i2 h3 t4 l2 n2 float32 fill=normal seed=3")[0].on("rnn_tanh")


def called(code):
    lines = "\n".join(f"        {line}" for line in code.splitlines())
    text = f"A module.\n\n    .. code-block:: python\n\n{lines}\n\n    Args:\n"
    return RunDocumentedCode(PROBLEM, ("no_grad",), text=text).execute(torch_nn())[0]


def is_within(seen):
    bound = from_inputs(seen).output
    return bool((abs(seen.output.values - bound.midpoint) <= bound.radius).all())


def test_installed_documentation_gives_what_the_module_gives():
    (seen,) = RunDocumentedCode(PROBLEM, ("no_grad",), text=docstring("nn.RNN")).execute(torch_nn())
    assert seen.failure is None
    assert is_within(seen)


@pytest.mark.parametrize(
    ("old", "new"),
    [("x[t] if layer == 0 else h_t[layer - 1]", "x[t] if layer == 0 else h_t[0] * 0"), ("bias_hh_l", "bias_ih_l")],
)
def test_code_that_computes_another_module_is_outside_its_bound(old, new):
    code = code_of(docstring("nn.RNN"))
    assert old in code
    assert not is_within(called(code.replace(old, new)))


def test_code_that_cannot_run_is_a_failure():
    assert called("def forward(x, hx=None):\n    return y").failure.exception == "NameError"
    assert called("def forward(x").failure.exception == "SyntaxError"


def examples(text):
    names, texts = ("nn.LSTM", "nn.GRU"), (text, docstring("nn.GRU"))
    return RunExamples(PROBLEM, ("no_grad",), names=names, texts=texts).execute(torch_nn())[0]


def test_examples_that_raise_or_print_something_else_are_told():
    seen = examples("Examples::\n\n    >>> nn.LSTM(1, 2).hidden_size\n    3\n    >>> nn.LSTM(1)\n")
    assert seen.count > 2
    wrong, raised = seen.unlike
    assert wrong == "nn.LSTM: nn.LSTM(1, 2).hidden_size gives 2, documented 3"
    assert raised.startswith("nn.LSTM: nn.LSTM(1) raises TypeError: ")


def test_examples_that_are_right_are_counted():
    seen = examples(">>> nn.LSTM(1, 2).hidden_size\n2\n")
    assert seen.unlike == ()
    assert seen.count == 5


def test_docstring_without_code_has_none():
    assert code_of("A module.") == ""
