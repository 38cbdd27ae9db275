"""Scripts of gradients that are those of parts of the call, added up: of its rows, or of its first and later steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import Differentiated
from conformance.harness.findings.recorder import Element
from conformance.harness.findings.rendering import counted
from conformance.harness.reports.calls.call_text import Call
from conformance.harness.reports.calls.loss_text import Pass, got, leaf, loss_of, name_of
from conformance.harness.reports.calls.memory_text import CONTIGUOUS
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.scripts.whole import parts, rendered, title, where
from conformance.harness.reports.templating import code
from reference.problem import LSTM

APART = "what rounding errors can add up to in both"


def added_up(found: Found, element: Element, part: Differentiated) -> str:
    """The script of a gradient that is not the sum of those of its parts, of which `part` is the first."""
    finding, seen = found.finding, found.seen
    assert isinstance(seen, Differentiated), "gradients alone add up"
    call = Call.of(finding, seen, loss_of(seen).wanted)
    if call.problem.lengths is not None or loss_of(seen).memory != CONTIGUOUS:
        raise NoScript("parts are padded batches, with cotangents of their own in memory")
    one, since = _Parts(call, Pass(call, loss_of(seen))), part.problem.steps
    is_in_time = since < seen.problem.steps
    words = f"its first {counted(since, 'step')} and of the rest" if is_in_time else "its rows alone"
    value = got(call, name_of(element.name), element.where, may_be_none=True)
    whole = [*one.cotangents(), f"{call.returned()} = {call.called()}", *one.backward(one.results()), f"got = {value}"]
    made = one.in_time(since) if is_in_time else one.by_rows()
    return rendered(
        finding,
        "relation.py.j2",
        title=title(finding, seen, f"the gradient of {name_of(element.name)} is not the sum of those of {words}"),
        seen=[f"{where(finding)} must be the same through the parts one after the other."],
        **parts(
            [call],
            [*call.tensor_lines(), *whole, *one.cleared(), *made, f"expected = {value}"],
            more_literals=one.loss.literals(),
            equations=False,
        ),
        **code(allowed=f"{element.allowed:.2g}"),
        origin=APART,
    )


@dataclass(frozen=True)
class _Parts:
    """Lines about a call, its loss and the calls of its parts."""

    call: Call
    loss: Pass

    def cotangents(self) -> list[str]:
        """The cotangents as tensors."""
        names = list(self.loss.names().values())
        dtype = f"dtype=torch.{self.call.problem.dtype}"
        if len(names) == 1:
            return [f"{names[0].lower()} = torch.tensor({names[0]}, {dtype})"]
        made = f"(torch.tensor(d, {dtype}) for d in ({', '.join(names)}))"
        return [f"{', '.join(names).lower()} = {made}"]

    def results(self, places: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
        """What is returned, and its cotangent; places: the index of each cotangent, by result."""
        return [
            (self.call.name("out" if of == "output" else of[0]), name.lower() + (places or {}).get(of, ""))
            for of, name in self.loss.names().items()
        ]

    def backward(self, pairs: list[tuple[str, str]]) -> list[str]:
        """The backward pass of the results times their cotangents."""
        terms = " + ".join(f"({result} * {cotangent}).sum()" for result, cotangent in pairs)
        return [f"loss = {terms}", "loss.backward()"]

    def cleared(self) -> list[str]:
        """The lines after which no gradient is there."""
        given = [leaf(self.call, name) for name in ("input", "h_0", "c_0") if name in self.loss.loss.wanted]
        return ["module.zero_grad()", *([f"{' = '.join(f'{one}.grad' for one in given)} = None"] if given else [])]

    def by_rows(self) -> list[str]:
        """A call and a pass for each row."""
        a = self.call.problem.architecture
        row = "n : n + 1"
        of_x = f"[{row}]" if a.single_step or a.batch_first else f"[:, {row}]"
        of_state = f"[{row}]" if a.single_step else f"[:, {row}]"
        x, *states = self.call.passed()
        called = self.call.called(f"{x}{of_x}", *(f"{one}{of_state}" for one in states))
        pairs = self.results({"output": of_x, "h_n": of_state, "c_n": of_state})
        lines = [f"{self.call.returned()} = {called}", *self.backward(pairs)]
        return [f"for n in range({self.call.problem.batch_size}):", *(f"    {line}" for line in lines)]

    def in_time(self, since: int) -> list[str]:
        """The later steps from the states between, then the first with the gradients of these states."""
        call, loss = self.call, self.loss.loss
        axis = "" if call.problem.unbatched or not call.problem.architecture.batch_first else ":, "
        first, later = f"[{axis}:{since}]", f"[{axis}{since}:]"
        x, *states = call.passed()
        before = f"{call.returned()} = {call.called(x + first, *states)}"
        lasts = ["h", "c"] if call.problem.architecture.cell == LSTM else ["h"]
        between = [f"{one}_between" for one in lasts]
        lines = [before, *(f"{one}_between = {one}.detach().requires_grad_()" for one in lasts)]
        lines += [f"{call.returned()} = {call.called(x + later, *between)}"]
        lines += self.backward(self.results({"output": later}))
        pairs = [pair for pair in self.results({"output": first}) if pair[0] == "out"]
        pairs += [(one, f"{one}_between.grad") for one in lasts if f"{one}_0" in loss.wanted]
        return [*lines, before, *self.backward(pairs)]
