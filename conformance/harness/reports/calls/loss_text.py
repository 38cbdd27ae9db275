"""Losses and their gradients as lines of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conformance.harness.execution.observation import INDEX, Differentiated
from conformance.harness.findings.recorder import Element
from conformance.harness.reports.calls.call_text import Call, assigned, literal
from conformance.harness.reports.calls.memory_text import CONTIGUOUS
from conformance.harness.reports.calls.no_script import NoScript
from reference.problem import Loss

OF = "gradient of "
"""What the field of a gradient begins with."""

CALLED = {"output": "OUT", "h_n": "H", "c_n": "C"}
"""What results are called in the names of literals."""


def name_of(field: str) -> str:
    """What a field is the gradient of: `gradient of x after 2 passes` is that of x."""
    return field.removeprefix(OF).partition(" after ")[0]


def loss_of(seen: Differentiated) -> Loss:
    """The loss of a pass. Raises NoScript where there is none."""
    if seen.loss is None:
        raise NoScript("nothing was differentiated")
    return seen.loss


@dataclass(frozen=True)
class Pass:
    """The loss of one backward pass of a call; number: which pass of the script it is."""

    call: Call
    loss: Loss
    number: int = 1

    def names(self) -> dict[str, str]:
        """The name of the literal of each cotangent, by result."""
        end = "" if self.number == 1 else f"_{self.number}"
        return {name: f"D_{CALLED[name]}{end}" for name in self.loss.cotangents}

    def results(self) -> dict[str, str]:
        """For the name of each cotangent the result that it is of."""
        return {
            name: self.call.padded() if of == "output" else self.call.name(of[0]) for of, name in self.names().items()
        }

    def literals(self) -> str:
        """The cotangents as literals."""
        given = self.loss.cotangents.items()
        texts = {name: literal(self.call.as_returned(name, values)) for name, values in given}
        return "\n".join(assigned(name, texts[of]) for of, name in self.names().items())

    def lines(self, retain: bool = False, guarded: bool = False) -> list[str]:
        """The backward pass.

        retain: another one over the same graph follows. guarded: the loss may require no gradient
        """
        results = self.results()
        if self.loss.memory != CONTIGUOUS:
            made = f"{self.loss.memory}(torch.tensor(values, dtype=torch.{self.call.problem.dtype}))"
            literals = f"({', '.join(results)},)" if len(results) == 1 else f"({', '.join(results)})"
            return [
                f"cotangents = [{made} for values in {literals}]",
                f"torch.autograd.backward([{', '.join(results.values())}], cotangents)",
            ]
        if len(results) == 1:
            ((name, result),) = results.items()
            summed = f"({result} * {self._tensor(name)}).sum()"
        else:
            pairs = ", ".join(f"({result}, {name})" for name, result in results.items())
            summed = f"sum((y * torch.tensor(d, dtype=y.dtype)).sum() for y, d in ({pairs}))"
        return [f"loss = {summed}", *backward(retain, guarded)]

    def _tensor(self, name: str) -> str:
        return f"torch.tensor({name}, dtype=torch.{self.call.problem.dtype})"

    def by_hand(self) -> str:
        """The same loss of the documented results."""
        a, p, names = self.call.problem.architecture, self.call.problem, self.names()
        n = "n" if p.batch_size > 1 else "0"
        of_row = [self.call.in_row(names["output"], n) if "output" in names else "[]"]
        for state in ("h_n", "c_n"):
            name = names.get(state, "[]")
            if state in names:
                name = name if p.unbatched else f"{name}[{n}]" if a.single_step else f"[d[{n}] for d in {name}]"
                name = f"[{name}]" if a.single_step else name
            of_row.append(name)
        dot = f"dot([{', '.join(of_row)}], row({n}))"
        return dot if p.batch_size == 1 else f"sum({dot} for n in range({p.batch_size}))"


def backward(retain: bool = False, guarded: bool = False) -> list[str]:
    """The lines that differentiate `loss`."""
    call = f"loss.backward({'retain_graph=True' if retain else ''})"
    return ["if loss.requires_grad:", f"    {call}"] if guarded else [call]


def leaf(call: Call, name: str) -> str:
    """The tensor whose gradient is called `name`."""
    if name in call.problem.parameters:
        return f"{call.name('module')}.{name}"
    return call.name({"input": "x"}.get(name, name))


def index(call: Call, name: str, where: Mapping[str, int]) -> str:
    """The index of an element of a gradient."""
    if name == "input":
        return call.place_in_time(where, where["feature"])
    if name in call.problem.parameters:
        return str([where[axis] for axis in INDEX if axis in where])
    return call.place_in_state(where)


def got(call: Call, name: str, where: Mapping[str, int], may_be_none: bool = False) -> str:
    """An element of a gradient as a number; None stands for zeros."""
    gradient = f"{leaf(call, name)}.grad"
    element = f"{gradient}{index(call, name, where)}.item()"
    return f"0.0 if {gradient} is None else {element}" if may_be_none else element


def in_literal(call: Call, element: Element) -> str:
    """The number in the literals that an element of a gradient is about."""
    name = name_of(element.name)
    of = f'WEIGHTS["{name}"]' if name in call.problem.parameters else {"input": "X"}.get(name, name.upper())
    return of + index(call, name, element.where).replace(", ", "][")


def is_zero(loss: Loss) -> bool:
    """Whether every cotangent is zero."""
    return not any(np.any(values) for values in loss.cotangents.values())


def told(loss: Loss) -> Loss:
    """The loss without cotangents that are zero, where others are not."""
    some = {name: values for name, values in loss.cotangents.items() if np.any(values)}
    return replace(loss, cotangents=some or loss.cotangents)


def passes_of(call: Call, seen: Sequence[Differentiated]) -> list[Pass]:
    """The passes of a script, of which equal losses have the same literals."""
    return [Pass(call, loss_of(one), number) for number, one in enumerate(seen, 1)]
