"""What the installed PyTorch's own docstrings say in code, executed: the one place where a text is.

A request here has its text with it, and is for a child that has a time limit. No text of a subject is executed.
"""

from __future__ import annotations

import doctest
import inspect
import re
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import torch

from conformance.harness.execution.failure import Failure
from conformance.harness.execution.inputs import inputs
from conformance.harness.execution.module_call import call_module
from conformance.harness.execution.observation import Differentiated, Manner, Observation
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest, Unbuilt
from conformance.harness.execution.tensors import tensor
from reference.problem import Problem

CODE = "the documentation's code"
"""How a call is made that the documentation's code makes."""

_INPUTS = re.compile(r"^Inputs: (\w+), (\w+)$", re.MULTILINE)
_BLOCK = re.compile(r"\.\. code-block:: python\n\n((?:[ \t]+.*\n|\n)+)")


def docstring(name: str) -> str:
    """The docstring of an object of torch, by its dotted name."""
    return attrgetter(name)(torch).__doc__ or ""


def names_of_inputs(text: str) -> tuple[str, ...]:
    """The names under which a docstring lists two inputs; () where the second is a pair without a name."""
    found = _INPUTS.search(inspect.cleandoc(text))
    return found.groups() if found else ()


def code_of(text: str) -> str:
    """The first block of code in a docstring; "" if it has none."""
    found = _BLOCK.search(inspect.cleandoc(text) + "\n")
    return textwrap.dedent(found[1]) if found else ""


@dataclass(frozen=True, eq=False)
class RunDocumentedCode(ProblemRequest[Observation]):
    """Call the function that the docstring of torch.nn.RNN, `text`, says the module to be equal to."""

    text: str = field(kw_only=True)

    @property
    def manner(self) -> Manner:
        return replace(super().manner, spelled=CODE)

    def observed(self, modules: Modules, blank: Observation) -> Observation:
        return call_module(_documented(self.text, self.problem), inputs(self.problem), blank)[0]


@dataclass(frozen=True, eq=False)
class DifferentiateDocumentedCode(Backward):
    """Call the same function, and differentiate the call."""

    text: str = field(kw_only=True)

    @property
    def manner(self) -> Manner:
        return replace(super().manner, spelled=CODE)

    def observed(self, modules: Modules, blank: Differentiated) -> Differentiated:
        module = _documented(self.text, self.problem)
        return self.differentiated(module, inputs(self.problem, requiring=self.loss.wanted), blank)


def _documented(text: str, problem: Problem) -> torch.nn.Module:
    """The function in a docstring as a module. Raises Unbuilt."""
    try:
        return _Documented(code_of(text), problem)
    except Exception as error:  # the text's own, whatever it is
        raise Unbuilt(Failure.raised(error, during=f"in {CODE}")) from None


class _Documented(torch.nn.Module):
    """The documented function with the weights of a problem, by the names that the text uses for them."""

    def __init__(self, code: str, problem: Problem) -> None:
        super().__init__()
        weights = _weights(problem)
        names = _named(problem, weights)
        exec(compile(code, "<documentation>", "exec"), names)
        if "rnn" in names:
            names["rnn"].load_state_dict(weights)
            weights = dict(names["rnn"].named_parameters())
        for name, parameter in weights.items():
            self.register_parameter(name, parameter)
        self.function = names["forward"]
        takes = inspect.signature(self.function).parameters
        self.options = {"batch_first": problem.architecture.batch_first} if "batch_first" in takes else {}

    def forward(self, *given: torch.Tensor) -> Any:
        return self.function(*given, **self.options)


def _weights(problem: Problem) -> dict[str, torch.nn.Parameter]:
    values = {name: tensor(array, problem.dtype, problem.device) for name, array in problem.parameters.items()}
    return {name: torch.nn.Parameter(value) for name, value in values.items()}


def _named(problem: Problem, weights: Mapping[str, torch.nn.Parameter]) -> dict[str, Any]:
    """What the text takes as given: the arguments of the constructor, and in older releases lists of weights."""
    sizes = problem.architecture
    lists: dict[str, Any] = {
        kind: [weights[f"{kind}_l{layer}"] for layer in range(sizes.num_layers)]
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    names = ("input_size", "hidden_size", "num_layers", "batch_first")
    return {"torch": torch, "nn": torch.nn} | lists | {name: getattr(sizes, name) for name in names}


# Examples


@dataclass(frozen=True, eq=False)
class Executed(Observation):
    """Examples of docstrings that were executed.

    count   how many there were
    unlike  what came of those that raise, or print something else than the text
    """

    count: int = 0
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RunExamples(ProblemRequest[Executed]):
    """Execute the examples in docstrings of torch; names: of the objects that have them."""

    names: tuple[str, ...] = field(kw_only=True)
    texts: tuple[str, ...] = field(kw_only=True)
    result = Executed

    def observed(self, modules: Modules, blank: Executed) -> Executed:
        runner = _Collecting(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS, verbose=False)
        for name, text in zip(self.names, self.texts, strict=True):
            names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
            test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                runner.run(test)
        return replace(blank, count=runner.summarize(verbose=False).attempted, unlike=tuple(runner.unlike))


class _Collecting(doctest.DocTestRunner):
    """Keeps what is not as the text says, and prints nothing."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.unlike: list[str] = []

    def report_start(self, out: Any, test: doctest.DocTest, example: doctest.Example) -> None:
        pass

    def report_failure(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self._keep(test, example, f"gives {got.strip()}, documented {example.want.strip()}")

    def report_unexpected_exception(
        self, out: Any, test: doctest.DocTest, example: doctest.Example, exc_info: Any
    ) -> None:
        self._keep(test, example, f"raises {exc_info[0].__name__}: {exc_info[1]}")

    def _keep(self, test: doctest.DocTest, example: doctest.Example, what: str) -> None:
        self.unlike.append(" ".join(f"{test.name}: {example.source.strip()} {what}".split()))
