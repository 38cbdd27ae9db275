"""Parts that scripts share: numbers as Python, the call of a problem as lines of Python."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from conformance.harness.execution.observation import Manner, Observation
from conformance.harness.execution.requests.documentation.spelled import (
    BUT_FOR_DEVICE,
    BY_NAME,
    BY_NAMES,
    BY_POSITION,
    CALLED,
    LEFT_OUT,
    documented,
)
from conformance.harness.execution.routes import ROUTES
from conformance.harness.findings.recorder import Element, Finding
from conformance.harness.reports.calls.classes import Classes
from conformance.harness.reports.calls.memory_text import CONTIGUOUS, laid_out, parameters_laid_out
from conformance.harness.reports.calls.no_script import NoScript
from reference.problem import LSTM, Problem

LONGEST = 6
"""The most characters of a number that is easily read."""

CONTEXTS = {
    "grad": "",
    "no_grad": "torch.no_grad()",
    "no_mkldnn": "torch.backends.mkldnn.flags(enabled=False)",
    "inference_mode": "torch.inference_mode()",
    "frozen": "",
    "input_grad": "",
}
"""The context that a script makes its tensors and its call in, by route."""

DOUBLED = {
    "in place": ("with torch.no_grad():", "    for parameter in {0}.parameters():", "        parameter.mul_(2)"),
    "by an optimiser step": (
        "for parameter in {0}.parameters():",
        "    parameter.grad = -parameter.detach()",
        "torch.optim.SGD({0}.parameters(), lr=1).step()",
        "{0}.zero_grad()",
    ),
    "by load_state_dict": ("{0}.load_state_dict({{name: 2 * values for name, values in {0}.state_dict().items()}})",),
    "through .data": ("for parameter in {0}.parameters():", "    parameter.data = 2 * parameter.data"),
    "in place through .data": ("for parameter in {0}.parameters():", "    parameter.data.mul_(2)"),
}
"""The lines that double a module's weights, by the ways of `life_cycle.CHANGES`."""


MOST_NUMBERS = 100_000
"""The most numbers of a call that a script has as literals."""

WIDTH = 110
"""The columns of a script's literals, where they can be broken."""

MOST_LINES_OF_LITERAL = 12
"""The most lines that a literal is broken into; one of more fills a screen, and stays on one line."""


PARTS = """\
def parts(v):
    return [v] if isinstance(v, torch.Tensor) else [t for part in v if part is not None for t in parts(part)]
"""
"""A function of scripts: every tensor of a result."""


def literal(values: np.ndarray) -> str:
    """An array as nested lists of Python numbers, each as short as it is exact; no list is in another twice."""
    return _nested(np.asarray(values, np.float64).tolist())


def _nested(values: Any) -> str:
    if not isinstance(values, list):
        text = repr(values)
        return text if text == "-0.0" else text.removesuffix(".0")  # the integer 0 has no sign
    runs = [(text, len(list(same))) for text, same in itertools.groupby(map(_nested, values))]
    if len(runs) == 1 and (short := _repeated(*runs[0])):
        return short
    return f"[{', '.join(_run(*run) for run in runs)}]"


def _run(text: str, times: int) -> str:
    short = _repeated(text, times)
    return f"*{short}" if short else ", ".join([text] * times)


def _repeated(text: str, times: int) -> str:
    """A list of an item so many times, each a list of its own; "" where that is no shorter than to write them all."""
    short = f"[{text} for _ in range({times})]" if text.startswith("[") else f"[{text}] * {times}"
    return short if times > 2 and len(short) < times * (len(text) + 2) else ""


def assigned(name: str, text: str) -> str:
    """The lines that give a literal its name."""
    return _wrapped(f"{name} = {text}")


def _wrapped(line: str) -> str:
    """A line of literals, broken where it is long and does not fill a screen even so."""
    indent = "    " + " " * (len(line) - len(line.lstrip()))
    lines = textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) if 1 < len(lines) <= MOST_LINES_OF_LITERAL else line


def numbers_written(problem: Problem) -> int:
    """How many numbers stand in the literals of a call: of equal ones there is one."""
    tensors = (*problem.parameters.values(), problem.input)
    return sum(one.size if one.size and (one != one.flat[0]).any() else 1 for one in tensors)


def _filled(items: list[str]) -> list[str]:
    """Items of a dict, as many on a line as fit."""
    lines = list[str]()
    for item in items:
        if lines and len(lines[-1]) + len(item) + 2 <= WIDTH:
            lines[-1] += f" {item},"
        else:
            lines.append(f"    {item},")
    return [_wrapped(line) for line in lines]


def first_result(line: str) -> str:
    """The first tensor that a call returns, of a line that makes it and may name its results."""
    made = line.partition(" = ")[2] or line
    return f"{made}[0]{'.data' if 'module(packed' in made else ''}"


def in_context(route: str, lines: list[str]) -> str:
    """Lines in the context of a route."""
    return "\n".join(inside(CONTEXTS[route], lines))


def inside(context: str, lines: list[str]) -> list[str]:
    """Lines inside of a with statement, where there is a context."""
    return [f"with {context}:", *(f"    {line}" for line in lines)] if context else lines


@dataclass(frozen=True)
class Call:
    """The call of a problem on a route, as lines of Python.

    manner   how it is made
    wanted   what a gradient is asked for; None if the call is not differentiated
    classes  where the module's class is
    number   which call of the script it is: from the second on, its names end in it
    like     the first call, whose literals later ones name where theirs are the same
    """

    problem: Problem
    route: str
    manner: Manner = field(default_factory=Manner)
    wanted: tuple[str, ...] | None = None
    classes: Classes = field(default_factory=Classes)
    number: int = 1
    like: Call | None = None

    @classmethod
    def of(cls, finding: Finding, seen: Observation, wanted: tuple[str, ...] | None = None) -> Call:
        """The call that was observed. Raises NoScript where a script cannot make it."""
        if seen.route not in CONTEXTS:
            raise NoScript(f"no script makes calls on the route {seen.route}")
        if way := seen.manner.api or seen.manner.surrounding:
            raise NoScript(f"no script makes calls with {way}")
        if (numbers := numbers_written(seen.problem)) > MOST_NUMBERS:
            raise NoScript(f"its {numbers:,} numbers are too many for a script")
        if seen.problem.device != "cpu":
            raise NoScript(f"no script makes calls on {seen.problem.device}")
        if seen.problem.training and seen.problem.architecture.dropout:
            raise NoScript("what dropout leaves out is drawn by the module")
        return cls(seen.problem, seen.route, seen.manner, wanted, Classes.of(finding))

    def after(self, problem: Problem, number: int = 2) -> Call:
        """The call of another problem in the same script, by a module of its own."""
        return replace(self, problem=problem, manner=Manner(), number=number, like=self)

    def name(self, of: str) -> str:
        """A variable or literal of this call."""
        return of if self.number == 1 else f"{of}_{self.number}"

    def fields(self) -> dict[str, Any]:
        """What the equations need of the call."""
        a, p = self.problem.architecture, self.problem
        return {
            "cell": a.cell,
            "bias": a.bias,
            "stacked": a.num_layers * a.directions > 1,
            "end": a.end(0, 0),
            "hidden": a.hidden_size,
            "layers": a.num_layers,
            "directions": a.directions,
            "projection": a.proj_size,
            "single_step": a.single_step,
            "rows": p.batch_size,
            "output_size": a.output_size,
            "one_step": p.steps == 1 and a.num_layers > 1 and a.directions == 1,
            **self._of_row(),
        }

    def constructor(self) -> str:
        """The expression that makes the module."""
        problem = self.problem
        if self.manner.spelled in (BY_POSITION, BUT_FOR_DEVICE):
            last = (repr(problem.device), f"torch.{problem.dtype}")
            named = last if self.manner.spelled == BY_POSITION else (f"device={last[0]}", f"dtype={last[1]}")
            given = map(repr, documented(problem).values())
            return self.classes.constructed_by_position(problem.architecture, *given, *named)
        dtype = [] if problem.dtype == "float32" else [f"dtype=torch.{problem.dtype}"]
        return self.classes.constructed(problem.architecture, *dtype)

    # Literals

    def _input(self) -> np.ndarray:
        """The input in the layout that the call takes."""
        p, a = self.problem, self.problem.architecture
        if a.single_step:
            return p.input[0, 0] if p.unbatched else p.input[:, 0]
        if p.unbatched:
            return p.input[0]
        return p.input if a.batch_first else p.input.swapaxes(0, 1)

    def _state(self, values: np.ndarray) -> np.ndarray:
        """A state (L, D, N, features) in the layout that the call takes."""
        stacked = values[0, 0] if self.problem.architecture.single_step else values.reshape(-1, *values.shape[2:])
        return stacked[..., 0, :] if self.problem.unbatched else stacked

    def as_returned(self, name: str, values: np.ndarray) -> np.ndarray:
        """A canonical result in the layout in which the call returns it."""
        if name != "output":
            return self._state(values)
        batch = values.reshape(*values.shape[:2], -1)
        return batch[0] if self.problem.unbatched else batch if self._rows_first else batch.swapaxes(0, 1)

    @property
    def _rows_first(self) -> bool:
        return self.problem.architecture.batch_first or self.problem.architecture.single_step

    def _texts(self) -> dict[str, str]:
        """The literals of the call apart from its weights, by name."""
        p = self.problem
        states = {name: literal(self._state(s)) for name, s in (("H_0", p.h_0), ("C_0", p.c_0)) if s is not None}
        lengths = {} if p.lengths is None else {"LENGTHS": str(list(p.lengths))}
        return {"X": literal(self._input()), **states, **lengths}

    def _shares(self, name: str) -> bool:
        """Whether a literal is that of the first call."""
        return self.like is not None and self.like._texts().get(name) == self._texts()[name]

    def _literal(self, name: str) -> str:
        return name if self._shares(name) else self.name(name)

    def _weights(self) -> dict[str, str]:
        """Each parameter as the first call has it, or as a literal."""
        theirs: Mapping[str, np.ndarray] = {} if self.like is None else self.like.problem.parameters
        texts = {}
        for name, values in self.problem.parameters.items():
            same = [one for one, their in theirs.items() if np.array_equal(their, values)]
            there = name if name in same else next(iter(same), "")
            texts[name] = f'WEIGHTS["{there}"]' if there else literal(values)
        return texts

    def _shares_weights(self) -> bool:
        same = {name: f'WEIGHTS["{name}"]' for name in self.problem.parameters}
        return self.like is not None and self._weights() == same and len(self.like.problem.parameters) == len(same)

    def literals(self) -> str:
        """The literals of the call that the first one does not have."""
        weights, all_of_like = self._weights(), []
        if self.like is not None and all(weights.get(n) == f'WEIGHTS["{n}"]' for n in self.like.problem.parameters):
            weights = {name: text for name, text in weights.items() if not text.startswith("WEIGHTS")}
            all_of_like = ["**WEIGHTS"]
        rows = [*all_of_like, *(f'"{name}": {text}' for name, text in weights.items())]
        lines = [] if self._shares_weights() else [f"{self.name('WEIGHTS')} = {{", *_filled(rows), "}"]
        lines += [assigned(self.name(name), text) for name, text in self._texts().items() if not self._shares(name)]
        return "\n".join(lines)

    # The module and its tensors

    def module_lines(self) -> list[str]:
        """The module with its weights: half of them where they are to be doubled."""
        p, module = self.problem, self.name("module")
        values = "torch.tensor(values)" if p.dtype != "float64" else "torch.tensor(values, dtype=torch.float64)"
        values += " / 2" if self.manner.change else ""
        weights = "WEIGHTS" if self._shares_weights() else self.name("WEIGHTS")
        loaded = self.loaded(module, f"{{name: {values} for name, values in {weights}.items()}}")
        lines = [f"{module} = {self.constructor()}", loaded]
        lines += [] if p.training else [f"{module}.eval()"]
        lines += parameters_laid_out(module, self.manner.parameter_memory)
        lines += [f"{module}.requires_grad_(False)"] if ROUTES[self.route].frozen else []
        return lines + self._requiring_lines()

    def loaded(self, module: str, weights: str) -> str:
        """The line that gives a module its weights; another subject's module may have buffers besides."""
        return f"{module}.load_state_dict({weights}{'' if self.classes.are_pytorchs else ', strict=False'})"

    def _requiring_lines(self) -> list[str]:
        """Which parameters require a gradient, where some do not."""
        if self.wanted is None or all(name in self.wanted for name in self.problem.parameters):
            return []
        module, asked = self.name("module"), [name for name in self.problem.parameters if name in self.wanted]
        return [f"{module}.requires_grad_(False)", *(f"{module}.{name}.requires_grad_()" for name in asked)]

    def _tensor(self, name: str, tensor: str, row_axis: int | None) -> str:
        """An input or state, laid out; it requires a gradient where one is asked for. tensor: its canonical name."""
        asked = ROUTES[self.route].input_gradient if self.wanted is None else tensor in self.wanted
        made, memory = f"torch.tensor({name}, dtype=torch.{self.problem.dtype})", self.problem.memory
        if tensor == "input" and self.problem.lengths is not None:
            made = laid_out(made, memory if self._input_asked else CONTIGUOUS, None)
            asked = self._input_asked
        else:
            made = laid_out(made, memory, row_axis)
        return f"{made}.requires_grad_()" if asked else made

    @property
    def _input_asked(self) -> bool:
        return self.wanted is not None and "input" in self.wanted

    def tensor_lines(self) -> list[str]:
        """The tensors that the call takes."""
        p, a = self.problem, self.problem.architecture
        of_rows = None if p.unbatched else 0 if self._rows_first else 1
        made = {("x", "X"): self._tensor("{0}", "input", of_rows)}
        of_rows = None if p.unbatched else 0 if a.single_step else 1
        for name, state in (("h_0", p.h_0), ("c_0", p.c_0)):
            made |= {} if state is None else {(name, name.upper()): self._tensor("{0}", name, of_rows)}
        names = ", ".join(self.name(name) for name, _ in made)
        literals = ", ".join(self._literal(name) for _, name in made)
        if len(made) > 1 and len(set(made.values())) == 1:
            lines = [f"{names} = ({made['x', 'X'].format('values')} for values in ({literals}))"]
        else:
            lines = [f"{self.name(n)} = {text.format(self._literal(of))}" for (n, of), text in made.items()]
        return [*lines, *self._packed_lines()]

    def _packed_lines(self) -> list[str]:
        p = self.problem
        if p.lengths is None:
            return []
        packed, options = self.name("packed"), ", batch_first=True" if p.architecture.batch_first else ""
        options += "" if list(p.lengths) == sorted(p.lengths, reverse=True) else ", enforce_sorted=False"
        arguments = f"{self.name('x')}, {self._literal('LENGTHS')}{options}"
        lines = [f"{packed} = torch.nn.utils.rnn.pack_padded_sequence({arguments})"]
        data = laid_out(f"{packed}.data", CONTIGUOUS if self._input_asked else p.memory, None)
        data += ".requires_grad_()" if self.wanted is None and ROUTES[self.route].input_gradient else ""
        return lines if data == f"{packed}.data" else [*lines, f"{packed} = {packed}._replace(data={data})"]

    def packed_again(self) -> list[str]:
        """The lines that pack the input once more, for another backward pass through its packing."""
        return self._packed_lines() if self._input_asked else []

    def passed(self) -> list[str]:
        """The names of input and states."""
        x = "x" if self.problem.lengths is None else "packed"
        states = [name for name in ("h_0", "c_0") if getattr(self.problem, name) is not None]
        return [self.name(name) for name in (x, *states)]

    def called(self, *arguments: str) -> str:
        """The module's call with input and states, or with these arguments."""
        x, *states = arguments or self.passed()
        hx = [f"({', '.join(states)})"] if len(states) == 2 else states
        names = self._argument_names()
        shown = [f"{name}={one}" for name, one in zip(names, [x, *hx], strict=False)] if names else [x, *hx]
        return f"{self.name('module')}({', '.join(shown)})"

    def _argument_names(self) -> Sequence[str]:
        """The names by which the call is given its arguments; none where it is given them by position."""
        spelled = self.manner.spelled
        if spelled.startswith(BY_NAMES):
            return spelled.removeprefix(BY_NAMES).split(", ")
        return CALLED if spelled in (BY_NAME, LEFT_OUT) else ()

    def given(self, x: str = "") -> str:
        """What stands between the parentheses of the call, with this expression for the input."""
        own, *states = self.passed()
        return self.called(x or own, *states).partition("(")[2][:-1]

    def returned(self) -> str:
        """The names of what the call returns."""
        a = self.problem.architecture
        states = f"{self.name('h')}, {self.name('c')}" if a.cell == LSTM else self.name("h")
        if a.single_step:
            return states
        return f"{self.name('out')}, " + (f"({states})" if a.cell == LSTM else states)

    def lines(self) -> list[str]:
        """The tensors and the call; after a first one and the change of weights, where there was one."""
        change = self.manner.change
        before = [self.called(), *self.doubled()] if change else []
        return [*self.tensor_lines(), *before, f"{self.returned()} = {self.called()}"]

    def doubled(self) -> list[str]:
        """The lines that double the weights."""
        return [line.format(self.name("module")) for line in DOUBLED[self.manner.change]]

    # Elements

    def _of_row(self) -> dict[str, str]:
        """Row n of the literals, for the equations; k is the layer and direction."""
        p, a = self.problem, self.problem.architecture
        k = "" if a.single_step else "[0]" if a.num_layers * a.directions == 1 else "[k]"
        place = "" if p.unbatched else "[n]"
        h = f"H_0{k}{place}" if p.h_0 is not None else f"[0.0] * {a.output_size}"
        c = f"C_0{k}{place}" if p.c_0 is not None else f"[0.0] * {a.hidden_size}"
        x, returned = (self.in_row(of) + ("" if p.lengths is None else "[: LENGTHS[n]]") for of in ("X", "returned"))
        c = c if a.cell == LSTM else "None"
        return {"x_of_row": x, "h_of_row": h, "c_of_row": c, "returned_of_row": returned}

    def in_row(self, name: str, n: str = "n") -> str:
        """Row n of a literal in the layout of an input or output."""
        if self.problem.unbatched:
            return name
        return f"{name}[{n}]" if self._rows_first else f"[step[{n}] for step in {name}]"

    def padded(self) -> str:
        """The output as a tensor."""
        p, out = self.problem, self.name("out")
        if p.lengths is None:
            return out
        options = ", batch_first=True" if p.architecture.batch_first else ""
        return f"torch.nn.utils.rnn.pad_packed_sequence({out}{options})[0]"

    def got(self, name: str, where: Mapping[str, int]) -> str:
        """An element of what the call returned."""
        a = self.problem.architecture
        if name == "output":
            unit = where["direction"] * a.output_size + where["unit"]
            return f"{self.padded()}{self.place_in_time(where, unit)}"
        return f"{self.name(name[0])}{self.place_in_state(where)}"

    def place_in_time(self, where: Mapping[str, int], feature: int) -> str:
        """The index of an element of an input or output."""
        row, step = where["row"], where["step"]
        if self.problem.architecture.single_step:
            place = [feature] if self.problem.unbatched else [row, feature]
        else:
            batch = [row, step, feature] if self._rows_first else [step, row, feature]
            place = [step, feature] if self.problem.unbatched else batch
        return str(place)

    def place_in_state(self, where: Mapping[str, int]) -> str:
        """The index of an element of a state."""
        a = self.problem.architecture
        place = [] if a.single_step else [where.get("layer", 0) * a.directions + where.get("direction", 0)]
        place += [] if self.problem.unbatched else [where["row"]]
        return str([*place, where["unit"]])

    def expected(self, name: str, where: Mapping[str, int]) -> str:
        """An element of the documented results of its row."""
        a = self.problem.architecture
        if name == "output":
            return f"output[{where['step']}][{where['direction'] * a.output_size + where['unit']}]"
        return f"{name}[{where.get('layer', 0) * a.directions + where.get('direction', 0)}][{where['unit']}]"


def within(seen: Observation, element: Element) -> Element:
    """The element, its layer and step counted from where the call begins."""
    begins = {"layer": seen.layer, "step": seen.step}
    return replace(element, where={name: at - begins.get(name, 0) for name, at in element.where.items()})
