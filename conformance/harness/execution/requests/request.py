"""What can be asked of a subject: one small class for each kind of call, with a result type of its own.

A request is data, and `execute(subject)` carries it out in the process that it is in. `InProcess` and
`isolation.worker_process.WorkerProcess` are the two executors: one verb, `execute(subject, request)`, wherever the
calls are made. No tensor leaves a request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass
from typing import Generic, Protocol, TypeVar

from conformance.harness.execution.failure import Failure
from conformance.harness.execution.observation import (
    Observation,
)
from conformance.harness.execution.subject import Subject

Result = TypeVar("Result", covariant=True)
Seen = TypeVar("Seen", bound=Observation)


class Request(ABC, Generic[Result]):
    """A dataclass that says which call is wanted."""

    @abstractmethod
    def execute(self, subject: Subject) -> tuple[Result, ...]:
        """Carries the request out in this process: one result for each of `parts`."""

    @abstractmethod
    def failed(self, subject: Subject, failure: Failure) -> Result:
        """The result of a request with one part whose call failed as a whole."""

    def parts(self) -> list[Request[Result]]:
        """The request as several, each with one result."""
        return [self]

    def shared(self) -> tuple[object, ...]:
        """The objects in it that results refer to."""
        values = [getattr(self, f.name) for f in fields(self)]  # type: ignore[arg-type]
        several = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
        return tuple(one for one in several if is_dataclass(one))


class Executor(Protocol):
    """Who carries requests out."""

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]: ...


class InProcess:
    """Carries requests out in this process."""

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
        """The results of `request.execute`."""
        return request.execute(subject)
