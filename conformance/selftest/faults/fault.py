"""What a seeded fault is, and how a file of them lists its own."""

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
    """A broken subject: which clauses it breaks, on which cells, and the largest size that its smallest case needs.

    needs maps fields of a case to the size up to which the fault may need it; every other size must shrink to 3.
    effort is that of a run in which it must be caught.
    """

    name: str
    clauses: tuple[str, ...]
    cells: tuple[str, ...]
    subject: Subject
    needs: tuple[tuple[str, int], ...] = ()
    effort: str = "smoke"


class Faults(list[Fault]):
    """The seeded faults of one theme, in their order."""

    def seed(
        self, *clauses: str, on: tuple[str, ...] = ALL, effort: str = "smoke", **needs: int
    ) -> Callable[[type[Plain]], type[Plain]]:
        """Adds a class as the fault that its docstring describes."""

        def seeded(kind: type[Plain]) -> type[Plain]:
            name = name_by_docstring(kind)
            self.append(Fault(name, clauses, on, subject(name, kind), tuple(needs.items()), effort))
            return kind

        return seeded
