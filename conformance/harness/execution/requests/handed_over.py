"""Modules that one process writes to a folder and another reads: what an upgrade does to the files of its users."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from conformance.harness.execution import scripted, tensors
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.inputs import inputs
from conformance.harness.execution.module_call import call_module, guarded_call
from conformance.harness.execution.observation import FromFile, Observation, Written
from conformance.harness.execution.requests.problem_request import Modules, ProblemRequest, built
from conformance.harness.execution.subject import Subject

STATE_DICT, PICKLE, SCRIPT = "state_dict", "pickled module", "scripted module"


def _write_script(module: torch.nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.script(scripted.model_of(module)), str(path))


WRITERS: dict[str, Callable[[torch.nn.Module, Path], None]] = {
    STATE_DICT: lambda module, path: torch.save(module.state_dict(), path),
    PICKLE: lambda module, path: torch.save(module, path),
    SCRIPT: _write_script,
}
"""The forms in which a module is handed over, and what writes each."""


def _read_state_dict(subject: Subject, request: ReadModule, path: Path) -> torch.nn.Module:
    module = subject.module(request.problem, request.problem.device)
    module.load_state_dict(torch.load(path, weights_only=True))
    return module


def _read_pickle(subject: Subject, request: ReadModule, path: Path) -> torch.nn.Module:
    return torch.load(path, weights_only=False)  # type: ignore[no-any-return]  # written a moment ago, by this command


def _read_script(subject: Subject, request: ReadModule, path: Path) -> torch.nn.Module:
    return torch.jit.load(str(path))  # type: ignore[no-any-return,no-untyped-call]


READERS: dict[str, Callable[[Subject, ReadModule, Path], torch.nn.Module]] = {
    STATE_DICT: _read_state_dict,
    PICKLE: _read_pickle,
    SCRIPT: _read_script,
}
"""What reads each form."""


@dataclass(frozen=True, eq=False)
class WriteModule(ProblemRequest[Written]):
    """Build a module and write it to a file in one of the forms of `WRITERS`."""

    form: str = field(kw_only=True)
    file: str = field(kw_only=True)
    result = Written

    def observed(self, modules: Modules, blank: Written) -> Written:
        module = modules.loaded(self.problem)
        try:
            with _quiet():
                guarded_call(self.problem.case, blank.route, lambda: WRITERS[self.form](module, Path(self.file)))
        except Exception as error:  # PyTorch's own, whatever it is
            return replace(blank, failure=Failure.raised(error, during=f"while it wrote a {self.form}"))
        return replace(blank, size=Path(self.file).stat().st_size)


@dataclass(frozen=True, eq=False)
class ReadModule(ProblemRequest[Observation]):
    """Read a module that `WriteModule` wrote, and call it."""

    form: str = field(kw_only=True)
    file: str = field(kw_only=True)

    def observed(self, modules: Modules, blank: Observation) -> Observation:
        return call_module(self.read(modules.subject), inputs(self.problem), blank)[0]

    def read(self, subject: Subject) -> torch.nn.Module:
        """The module. Raises Unbuilt."""

        def read() -> torch.nn.Module:
            with _quiet():
                return READERS[self.form](subject, self, Path(self.file)).train(self.problem.training)

        return built(self.problem, read)


@dataclass(frozen=True, eq=False)
class ReadWeights(ReadModule):
    """The same, and the weights that the module then has."""

    result = FromFile

    def observed(self, modules: Modules, blank: Observation) -> FromFile:
        module = self.read(modules.subject)
        weights = {name: tensors.array(parameter) for name, parameter in module.named_parameters()}
        seen = call_module(module, inputs(self.problem), blank)[0]
        return replace(seen, weights=weights)  # type: ignore[call-arg,return-value]


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings, which TorchScript gives at every use, are left unsaid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
