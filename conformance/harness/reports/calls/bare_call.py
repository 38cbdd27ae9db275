"""A call whose numbers are of no interest, as lines of Python: every tensor holds ones."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.harness.execution.observation import Manner, Observation
from conformance.harness.execution.routes import CONSTRUCTOR, ROUTES
from conformance.harness.findings.recorder import Finding
from conformance.harness.reports.calls.call_text import CONTEXTS, Call, inside
from conformance.harness.reports.calls.classes import Classes
from conformance.harness.reports.calls.memory_text import CONTIGUOUS, laid_out
from conformance.harness.reports.calls.no_script import NoScript
from reference.problem import LSTM

FAKE = "FakeTensorMode()"
IMPORTS = {"fake": "from torch._subclasses.fake_tensor import FakeTensorMode"}
NO_CONTEXT = ("frozen", "input_grad", "meta", CONSTRUCTOR)


@dataclass(frozen=True)
class BareCall(Call):
    """The call of a problem on any route, with ones for its input and states."""

    @classmethod
    def of_finding(cls, finding: Finding, seen: Observation, route: str = "") -> BareCall:
        """The call that was observed, or the same on another route. Raises NoScript."""
        manner = Manner(spelled=seen.manner.spelled)
        return cls(seen.problem, route or seen.route, manner=manner, classes=Classes.of(finding))

    def lines(self, *call: str) -> list[str]:
        """The module and its call; `out`, `h` and `c` are what it returns. call: the lines that make it, if others."""
        imported = [IMPORTS[self.route]] if self.route in IMPORTS else []
        if self.route == CONSTRUCTOR:
            return self.module()
        return [
            *imported,
            *inside(self._context(), [*self.module(), *self.arguments(), *(call or (self.call_line(),))]),
        ]

    @property
    def constructed(self) -> str:
        """The expression that makes the module."""
        return self.classes.constructed(self.problem.architecture, *self._options())

    def module(self) -> list[str]:
        """The module alone."""
        lines = [f"module = {self.constructed}"]
        lines += [] if self.problem.training else ["module.eval()"]
        return lines + (["module.requires_grad_(False)"] if self.route == "frozen" else [])

    def arguments(self) -> list[str]:
        """The tensors of the call, each by its name."""
        p = self.problem
        lines = [f"LENGTHS = {list(p.lengths)}"] if p.lengths is not None else []
        lines += [f"x = {self._ones('X', 0 if self._rows_first else 1)}", *self._packed_lines()]
        states, of_rows = (("H_0", p.h_0), ("C_0", p.c_0)), 0 if p.architecture.single_step else 1
        return lines + [f"{name.lower()} = {self._ones(name, of_rows)}" for name, state in states if state is not None]

    def within(self, lines: list[str]) -> list[str]:
        """Other lines in the context of the route."""
        return inside(self._context(), lines)

    def call_line(self, returned: str = "") -> str:
        """The call itself; returned: the name of what it returns as a whole."""
        return f"{returned or self.returned()} = {self.called()}"

    def results(self) -> dict[str, str]:
        """For each result the expression that gives it as a tensor."""
        a = self.problem.architecture
        padded = f"torch.nn.utils.rnn.pad_packed_sequence(out, {a.batch_first})[0]"
        found = {} if a.single_step else {"output": "out" if self.problem.lengths is None else padded}
        return found | {"h_n": "h"} | ({"c_n": "c"} if a.cell == LSTM else {})

    def _ones(self, name: str, of_rows: int) -> str:
        """An input or state, laid out. of_rows: the axis of the batch, where there is one."""
        p = self.problem
        given = self._input() if name == "X" else self._state(p.state(name.lower()))
        memory = CONTIGUOUS if name == "X" and p.lengths is not None else p.memory
        ones = f"torch.ones({', '.join([*map(str, given.shape), *self._options()])})"
        made = laid_out(ones, memory, None if p.unbatched else of_rows)
        return f"{made}.requires_grad_()" if self.route == "input_grad" else made

    def _context(self) -> str:
        if self.route in NO_CONTEXT:
            return ""
        context = FAKE if self.route == "fake" else CONTEXTS.get(self.route)
        if context is None:
            raise NoScript(f"no script makes calls on the route {self.route}")
        return context

    def _options(self) -> list[str]:
        """What makes a module or tensor of this dtype, where it belongs."""
        p = self.problem
        device = (ROUTES[self.route].device if self.route in ROUTES else "") or p.device
        dtype = [] if p.dtype == "float32" else [f"dtype=torch.{p.dtype}"]
        return [*dtype, *([] if device == "cpu" else [f'device="{device}"'])]
