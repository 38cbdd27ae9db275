"""A call and its gradients, and the same again while something is set around it that it does not ask for."""

from __future__ import annotations

import io
import os
import select
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch

from conformance.harness.execution import codec, tensors
from conformance.harness.execution.failure import TIMED_OUT, Failure
from conformance.harness.execution.inputs import Inputs, inputs
from conformance.harness.execution.observation import Differentiated, Fact, Manner, Surrounded
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.problem_request import Modules, built
from conformance.harness.execution.subject import Subject
from reference.problem import Architecture, Loss, Problem

T = TypeVar("T")

FORK_LIMIT_SECONDS = 20.0
"""So long a forked process may take for one call."""

THREADS = 3
"""Threads of a call where there are several: they divide no size evenly that is often drawn."""


TRAVELS = {kind.__name__: kind for kind in (Differentiated, Manner, Fact, Failure, Problem, Architecture, Loss)}
"""What a forked process may return."""


class EndedInFork(Exception):
    """A forked process ended without a result; `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


@contextmanager
def _default_device(problem: Problem) -> Iterator[None]:
    """A device of which tensors can be made everywhere, and no number read."""
    with torch.device("meta"):
        yield


@contextmanager
def _default_dtype(problem: Problem) -> Iterator[None]:
    """Another than that of the call."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16 if problem.dtype == "float64" else torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _deterministic_algorithms(problem: Problem) -> Iterator[None]:
    """The flag alone: torch.use_deterministic_algorithms also imports what compiles, which takes seconds."""
    before = torch.are_deterministic_algorithms_enabled()
    torch._C._set_deterministic_algorithms(True)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_deterministic_algorithms(before)  # type: ignore[attr-defined]


@contextmanager
def _anomaly_mode(problem: Problem) -> Iterator[None]:
    """Without the search for NaN, which an overflow may lead to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mode = torch.autograd.detect_anomaly(check_nan=False)
    with mode:
        yield


@contextmanager
def _several_threads(problem: Problem) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _nothing(problem: Problem) -> AbstractContextManager[None]:
    return nullcontext()


def _here(work: Callable[[], T]) -> T:
    return work()


def _in_another_thread(work: Callable[[], T]) -> T:
    """With as many threads of its own as there are here: a new thread does not know what was set in another."""
    count = torch.get_num_threads()

    def alike() -> T:
        torch.set_num_threads(count)
        return work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(alike).result()


def _in_a_backward_hook(work: Callable[[], T]) -> T:
    """With grad mode on, which is off in hooks."""
    done: list[T] = []

    def hook(gradient: torch.Tensor) -> None:
        with torch.enable_grad():
            done.append(work())

    leaf = torch.ones(1, requires_grad=True)
    leaf.register_hook(hook)
    leaf.sum().backward()  # type: ignore[no-untyped-call]
    return done[0]


def _in_a_fork(work: Callable[[], T]) -> T:
    """The result comes back through a pipe. Raises EndedInFork."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():  # of threads, which Python does not follow into a fork
        warnings.simplefilter("ignore")
        pid = os.fork()
    if not pid:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as stream:
                writer = _Writer()
                writer.write(stream, {"done": writer.encoded(work())})
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as stream:
        data, is_late = _read(stream.fileno())
    if is_late:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if is_late:
        raise EndedInFork(Failure(TIMED_OUT, number=FORK_LIMIT_SECONDS))
    if code:
        raise EndedInFork(Failure.of_exit(code, 0))
    reader = _Reader(io.BytesIO(data))
    done: T = reader.decoded(reader.header["done"])
    return done


class _Writer(codec.Writer):
    classes = TRAVELS


class _Reader(codec.Reader):
    classes = TRAVELS


def _read(pipe: int) -> tuple[bytes, bool]:
    """What comes out of a pipe until its end, and whether that did not come in time."""
    data = bytearray()
    while select.select([pipe], [], [], FORK_LIMIT_SECONDS)[0]:
        part = os.read(pipe, 1 << 20)
        if not part:
            return bytes(data), False
        data += part
    return bytes(data), True


@dataclass(frozen=True)
class Surrounding:
    """Something around a call.

    settings        what is set while the call and its backward pass are made
    building        what is set while the module is built; the call is then made without
    way             how the call is made
    differentiable  whether modules that are built so can have gradients
    exact           whether the same bits are promised; else results keep within their bounds
    """

    settings: Callable[[Problem], AbstractContextManager[Any]] = _nothing
    building: Callable[[], AbstractContextManager[Any]] | None = None
    way: Callable[[Callable[[], Any]], Any] = _here
    differentiable: bool = True
    exact: bool = True

    def around(self, problem: Problem, work: Callable[[], T]) -> T:
        """What `work` returns in these surroundings. Raises EndedInFork."""
        with self.settings(problem):
            done: T = self.way(work)
        return done


SURROUNDINGS: Mapping[str, Surrounding] = {
    "another_default_device": Surrounding(_default_device),
    "another_default_dtype": Surrounding(_default_dtype),
    "deterministic_algorithms": Surrounding(_deterministic_algorithms),
    "anomaly_mode": Surrounding(_anomaly_mode),
    "several_threads": Surrounding(_several_threads, exact=False),
    "another_thread": Surrounding(way=_in_another_thread),
    "backward_hook": Surrounding(way=_in_a_backward_hook),
    "construction_under_no_grad": Surrounding(building=torch.no_grad),
    "construction_in_inference_mode": Surrounding(building=torch.inference_mode, differentiable=False),
} | ({"fork": Surrounding(way=_in_a_fork)} if hasattr(os, "fork") else {})
"""What may be around a call, by name."""


@dataclass(frozen=True, eq=False)
class CallSurrounded(Backward):
    """Call a module and differentiate the call, and again in one of the `SURROUNDINGS`."""

    surrounding: str = field(kw_only=True)
    result = Surrounded

    def blank(self, subject: Subject, route: str) -> Surrounded:
        return Surrounded(self.problem, subject.name, route, loss=self.loss)

    def observed(self, modules: Modules, blank: Differentiated) -> Differentiated:
        module, surrounding = modules.loaded(self.problem), SURROUNDINGS[self.surrounding]
        given = inputs(self.problem, requiring=self.loss.wanted, packing=modules.subject.packing)
        seen = self.differentiated(module, given, blank)
        if seen.failure is not None or seen.misshapen:
            return seen
        manner = replace(blank.manner, surrounding=self.surrounding)
        again = Differentiated(self.problem, blank.subject, blank.route, manner=manner, loss=self.loss)
        given = inputs(self.problem, requiring=self.loss.wanted, packing=modules.subject.packing)
        try:
            if surrounding.building is not None:
                with surrounding.building():
                    module = built(self.problem, lambda: modules.subject.loaded(self.problem))
            other = surrounding.around(self.problem, lambda: self.differentiated(module, given, again))
            other = replace(other, problem=self.problem, loss=self.loss)  # a fork returns copies of them
        except EndedInFork as ended:
            other = replace(again, failure=ended.failure)
        if other.failure is not None and self._linear_fails(surrounding, given):
            return seen
        return replace(seen, surrounded=(other,))  # type: ignore[call-arg]

    def _linear_fails(self, surrounding: Surrounding, given: Inputs) -> bool:
        """Whether torch.nn.Linear fails in these surroundings too, called and differentiated."""
        dtype, device = tensors.DTYPES[self.problem.dtype], self.problem.device
        x = given.by_name()["input"].detach().requires_grad_(bool(self.loss.wanted))
        with (surrounding.building or nullcontext)():
            linear = torch.nn.Linear(x.shape[-1], 1, device=device, dtype=dtype)

        def called() -> bool:
            for parameter in linear.parameters():
                parameter.requires_grad_(bool(self.loss.wanted))
            y = linear(x)
            if self.loss.wanted:
                torch.autograd.backward([y], [torch.ones_like(y)])
            return True

        try:
            return not surrounding.around(self.problem, called)
        except Exception:  # whatever it is
            return True
