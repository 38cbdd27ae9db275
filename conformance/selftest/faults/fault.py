"""The seeded fault, and the list to which each file of faults adds its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.harness.cells import SINGLE_STEPS
from conformance.harness.execution.subject import Subject
from conformance.selftest.implementations.plain import Plain, name_by_docstring, subject
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH

ALL = (RNN_TANH, RNN_RELU, LSTM, GRU)
EVERY = ALL + SINGLE_STEPS
WITH_TANH = tuple(cell for cell in EVERY if not cell.startswith(RNN_RELU))


@dataclass(frozen=True)
class Fault:
    """A broken subject, the clauses that it breaks, and the cells on which it breaks them.

    needs   fields of a case, each with the size that its smallest failing case may have; other sizes shrink to 3
    effort  the lowest effort at which the fault must be caught
    """

    name: str
    clauses: tuple[str, ...]
    cells: tuple[str, ...]
    subject: Subject
    needs: tuple[tuple[str, int], ...] = ()
    effort: str = "smoke"


class Faults(list[Fault]):
    """The seeded faults of one theme, in order of definition."""

    def seed(
        self, *clauses: str, on: tuple[str, ...] = ALL, effort: str = "smoke", **needs: int
    ) -> Callable[[type[Plain]], type[Plain]]:
        """Registers a class as a fault, named by its docstring (one line)."""

        def seeded(kind: type[Plain]) -> type[Plain]:
            name = name_by_docstring(kind)
            self.append(Fault(name, clauses, on, subject(name, kind), tuple(needs.items()), effort))
            return kind

        return seeded
