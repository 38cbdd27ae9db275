"""Parts that scripts share: the templates, numbers as Python, the call of a problem as lines of Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np

from conformance.harness.findings.recorder import Element
from conformance.harness.findings.rendering import MOST, constructor, one_line
from reference.problem import LSTM, Problem

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("conformance.harness.reports"),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # it is Python: what is foreign in it goes through `literal` or `one_line`
)


def in_docstring(text: str) -> str:
    """Foreign text as one line between triple quotes."""
    return one_line(text, MOST).replace("\\", "\\\\").replace('"', "'")


ENVIRONMENT.filters["docstring"] = in_docstring

CONTEXTS = {
    "grad": "",
    "no_grad": "torch.no_grad()",
    "no_mkldnn": "torch.backends.mkldnn.flags(enabled=False)",
    "inference_mode": "torch.inference_mode()",
}
"""The context that a script makes its call in, by route."""


PARTS = """\
def parts(v):
    return [v] if isinstance(v, torch.Tensor) else [t for part in v if part is not None for t in parts(part)]
"""
"""A function of scripts: every tensor of a result."""


class NoScript(ValueError):
    """No script shows a finding of this kind; the message says why."""


def literal(values: np.ndarray) -> str:
    """An array as nested lists of Python numbers, each as short as it is exact."""
    return str(np.asarray(values, np.float64).tolist()).replace(".0]", "]").replace(".0,", ",")


def inside(context: str, lines: list[str]) -> list[str]:
    """Lines inside of a with statement, where there is a context."""
    return [f"with {context}:", *(f"    {line}" for line in lines)] if context else lines


@dataclass(frozen=True)
class Call:
    """The call of a problem on a route, as lines of Python."""

    problem: Problem
    route: str

    def fields(self) -> dict[str, Any]:
        """What the templates need of the call."""
        a, p = self.problem.architecture, self.problem
        if self.route not in CONTEXTS:
            raise NoScript(f"no script makes calls on the route {self.route}")
        return {
            "cell": a.cell,
            "hidden": a.hidden_size,
            "layers": a.num_layers,
            "directions": a.directions,
            "projection": a.proj_size,
            "single_step": a.single_step,
            "constructor": self._constructor(),
            "mode": "" if p.training else "eval",
            "context": CONTEXTS[self.route],
            "literals": self._literals(),
            "arguments": self._arguments(),
            "passed": self._passed(),
            "returned": self._returned(),
            **self._of_row(),
        }

    def _constructor(self) -> str:
        made = f"torch.nn.{constructor(self.problem.architecture)}"
        return made if self.problem.dtype == "float32" else f"{made[:-1]}, dtype=torch.{self.problem.dtype})"

    def _input(self) -> np.ndarray:
        """The input in the layout that the call takes."""
        p, a = self.problem, self.problem.architecture
        if a.single_step:
            return p.input[0, 0] if p.unbatched else p.input[:, 0]
        if p.unbatched:
            return p.input[0]
        return p.input if a.batch_first or p.lengths is not None else p.input.swapaxes(0, 1)

    def _state(self, values: np.ndarray) -> np.ndarray:
        """A state (L, D, N, features) in the layout that the call takes."""
        stacked = values[0, 0] if self.problem.architecture.single_step else values.reshape(-1, *values.shape[2:])
        return stacked[..., 0, :] if self.problem.unbatched else stacked

    def _literals(self) -> str:
        p = self.problem
        rows = [f'    "{name}": {literal(values)},' for name, values in p.parameters.items()]
        lines = ["WEIGHTS = {", *rows, "}", f"X = {literal(self._input())}"]
        lines += [
            f"{name.upper()} = {literal(self._state(s))}"
            for name, s in (("h_0", p.h_0), ("c_0", p.c_0))
            if s is not None
        ]
        lines += [f"LENGTHS = {list(p.lengths)}"] if p.lengths is not None else []
        return "\n".join(lines)

    def _tensor(self, name: str) -> str:
        return f"torch.tensor({name}, dtype=torch.{self.problem.dtype})"

    def _arguments(self) -> list[str]:
        p = self.problem
        if p.memory != "contiguous":
            raise NoScript(f"no script lays inputs out as {p.memory}")
        lines = [f"x = {self._tensor('X')}"]
        if p.lengths is not None:
            packed = "torch.nn.utils.rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)"
            if not p.architecture.batch_first:
                packed = packed.replace("(x,", "(x.transpose(0, 1),").replace("batch_first=True, ", "")
            lines.append(f"x = {packed}")
        return lines

    def _passed(self) -> str:
        p = self.problem
        if p.h_0 is None:
            return "x"
        states = [self._tensor(name) for name, s in (("H_0", p.h_0), ("C_0", p.c_0)) if s is not None]
        return f"x, ({', '.join(states)})" if len(states) == 2 else f"x, {states[0]}"

    def _returned(self) -> str:
        a = self.problem.architecture
        states = "(h, c)" if a.cell == LSTM else "h"
        return states.strip("()") if a.single_step else f"out, {states}"

    def _of_row(self) -> dict[str, str]:
        """Row n of the literals, for the equations; k is the layer and direction."""
        p, a = self.problem, self.problem.architecture
        place = "" if p.unbatched else "[n]"
        x = "X" + place
        if not (a.single_step or p.unbatched or a.batch_first or p.lengths is not None):
            x = "[step[n] for step in X]"
        if p.lengths is not None:
            x = "X[n][: LENGTHS[n]]"
        k = "" if a.single_step else "[0]" if a.num_layers * a.directions == 1 else "[k]"
        h = f"H_0{k}{place}" if p.h_0 is not None else f"[0.0] * {a.output_size}"
        c = f"C_0{k}{place}" if p.c_0 is not None else f"[0.0] * {a.hidden_size}"
        return {"x_of_row": x, "h_of_row": h, "c_of_row": c if a.cell == LSTM else "None"}

    def got(self, element: Element) -> str:
        """The element of what the call returned."""
        p, a, at = self.problem, self.problem.architecture, element.where
        if element.name == "output":
            padded = f"torch.nn.utils.rnn.pad_packed_sequence(out, {a.batch_first})[0]"
            out = "out" if p.lengths is None else padded
            unit = at["direction"] * a.output_size + at["unit"]
            row, step = at["row"], at["step"]
            place = [step, unit] if p.unbatched else [row, step, unit] if a.batch_first else [step, row, unit]
        else:
            out = element.name[0]
            place = [] if a.single_step else [at.get("layer", 0) * a.directions + at.get("direction", 0)]
            place += [] if p.unbatched else [at["row"]]
            place += [at["unit"]]
        return f"{out}[{', '.join(map(str, place))}]"

    def expected(self, element: Element) -> str:
        """The same element of the documented results of its row."""
        a, at = self.problem.architecture, element.where
        if element.name == "output":
            return f"output[{at['step']}][{at['direction'] * a.output_size + at['unit']}]"
        return f"{element.name}[{at.get('layer', 0) * a.directions + at.get('direction', 0)}][{at['unit']}]"
