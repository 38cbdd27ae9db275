"""Scripts of two values that must be the same: of one call, of a call made again, and of another call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import (
    ByLayers,
    Differentiated,
    Observation,
    Poisoned,
    Repeated,
    place_of,
)
from conformance.harness.findings.recorder import Element
from conformance.harness.foreign_text import one_line
from conformance.harness.reports.calls.call_text import Call, within
from conformance.harness.reports.calls.loss_text import OF
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.scripts.whole import fits, parts, rendered, title, where
from conformance.harness.reports.templating import code
from reference.problem import LSTM

EQUAL, APART = "the bits must be equal", "what rounding errors can add up to in both calls"


def pair(found: Found) -> str | None:
    """The script of two results that are not the same."""
    finding, seen, other = found
    element = finding.element
    if element is None or not element.other or element.name.startswith(OF) or isinstance(seen, Differentiated):
        return None
    if not finding.kind.startswith(("differs from", "does not agree", "equals")):
        return None
    if other is None:
        is_itself = (element.other, element.there) == (element.name, element.where)
        return None if is_itself else _within_one_call(found, element)
    if isinstance(seen, Repeated | Poisoned):
        return _made_again(found, seen, other, element)
    return _two_calls(found, other, element)


def _script(
    found: Found, calls: Sequence[Call], lines: Sequence[str], element: Element, equations: bool, **fields: Any
) -> str:
    seen, call, exact = found.seen, calls[0], not element.allowed
    usual: dict[str, Any] = {"must_differ": False, "exact": exact, "origin": EQUAL if exact else APART}
    return rendered(
        found.finding,
        "pair.py.j2",
        **parts(calls, lines, equations=equations),
        **code(
            row=element.where.get("row", 0),
            documented=call.expected(element.name, within(seen, element).where),
            allowed=f"{element.allowed:.2g}",
        ),
        **(usual | fields),
    )


def _values(call: Call, seen: Observation, element: Element, other: str) -> list[str]:
    """The lines that read both values."""
    return [f"got = {call.got(element.name, within(seen, element).where)}.item()", f"other = {other}.item()"]


def _within_one_call(found: Found, element: Element) -> str:
    finding, seen, _ = found
    call, differ = Call.of(finding, seen), finding.kind.startswith("equals")
    value, there = call.got(element.other, element.there), f"{element.other}, {place_of(element.there)}"
    return _script(
        found,
        [call],
        [*call.lines(), *_values(call, seen, element, value)],
        element,
        equations=True,
        title=title(finding, seen, f"{element.name} {'equals' if differ else 'differs from'} {element.other}"),
        seen=[f"{where(finding)} {'must not equal' if differ else 'must equal'}", f"{there}."],
        must_differ=differ,
        origin="the bits must differ" if differ else EQUAL,
        got_in=element.name,
        other_in=element.other,
    )


# The same call again


def _made_again(found: Found, seen: Repeated | Poisoned, other: Observation, element: Element) -> str:
    """The script of a call that gives something else when it is made again."""
    finding, call = found.finding, Call.of(found.finding, seen)
    at = within(seen, element).where
    then, words = _meanwhile(call, seen, other)
    again = replace(call, number=2)
    lines = [*call.lines(), f"other = {call.got(element.name, at)}.item()", *then]
    lines += [f"{again.returned()} = {call.called()}", f"got = {again.got(element.name, at)}.item()"]
    return _script(
        found,
        [call],
        lines,
        element,
        equations=False,
        title=title(finding, seen, f"{element.name} changes {words}"),
        seen=[one_line(f"{where(finding)} must be the same {words}.")],
        got_in="the last call",
        other_in="the first call",
    )


def _meanwhile(call: Call, seen: Repeated | Poisoned, other: Observation) -> tuple[list[str], str]:
    """What is done between the first call and the last, and in words when the last is made."""
    if isinstance(seen, Poisoned):
        return _poisoning(call)
    if other is seen.again[0]:
        return [], "when the call is made again"
    return [
        call.called(),
        *overwritten(call),
    ], "when the results of the first call are overwritten before it is made again"


def overwritten(call: Call) -> list[str]:
    """The lines that write NaN into what the call returned."""
    a = call.problem.architecture
    results = [*([] if a.single_step else ["out" if call.problem.lengths is None else "out.data"]), "h"]
    results += ["c"] if a.cell == LSTM else []
    return [f"{name}.detach().fill_(float('nan'))" for name in results]


def _poisoning(call: Call) -> tuple[list[str], str]:
    """The lines that write NaN into rows and steps that must not matter."""
    rows, steps = (_text(one) for one in (call.manner.rows, call.manner.steps))
    p = call.problem
    if p.lengths is not None:
        raise NoScript("NaN is written into padded batches alone")
    place = [steps] if p.unbatched else [rows, steps] if p.architecture.batch_first else [steps, rows]
    filled = [f"x.detach()[{', '.join(place)}] = float('nan')"]
    if rows != ":":
        filled += [f"{state}.detach()[:, {rows}] = float('nan')" for state in call.passed()[1:]]
        return filled, f"when other rows, {rows}, become NaN"
    return filled, f"when the steps {steps}, which it does not hang on, become NaN"


def _text(one: slice) -> str:
    """A slice as Python writes it."""
    begin, end, by = ("" if at is None else at for at in (one.start, one.stop, one.step))
    return f"{begin}:{end}" + (f":{by}" if by else "")


# Another call


def _two_calls(found: Found, other: Observation, element: Element) -> str:
    """The script of two calls that say the same and give something else."""
    finding, seen, _ = found
    call = Call.of(finding, seen)
    calls, lines, words = _other_call(call, seen, other)
    there = {name: at - (other.layer if name == "layer" else 0) for name, at in element.there.items()}
    got_there = call.after(other.problem).got(element.other, there)
    made = [*call.lines(), *lines, *_values(call, seen, element, got_there)]

    def text(equations: bool) -> str:
        return _script(
            found,
            calls,
            made,
            element,
            equations=equations,
            title=title(finding, seen, f"{element.name} is not that of another call, {words}"),
            seen=["Both calls say the same. Compared is", f"{where(finding)}."],
            got_in="the call",
            other_in="the other call",
        )

    whole = text(equations=True)
    return whole if fits(whole) else text(equations=False)


def _other_call(call: Call, seen: Observation, other: Observation) -> tuple[list[Call], list[str], str]:
    """The calls of the script, the lines that make the second, and what it is, in words."""
    words = other.problem.relation or "the same numbers"
    if isinstance(seen, ByLayers):
        return [call], _layers(call, seen, other), "of its layers one by one"
    if other.before and other.problem.architecture.single_step:
        second = call.after(other.before[0].problem)
        return (
            [call, second],
            _loop(call, second, len(other.before)),
            f"a loop of {call.classes.described(other.problem.architecture)}",
        )
    if other.before:
        second = call.after(other.before[0].problem)
        return [call, second], _parts_in_time(call, second), words
    second = call.after(other.problem)
    return [call, second], second.lines(), words


def _layers(call: Call, seen: ByLayers, other: Observation) -> list[str]:
    """The layers up to that of the other observation, each handed the output of the one below."""
    a, p = call.problem.architecture, call.problem
    made = call.classes.constructed(seen.layers[0].problem.architecture)
    if a.layer_input_size(1) != a.input_size:
        made = made.replace(f"({a.input_size},", f"({a.input_size} if layer == 0 else {a.layer_input_size(1)},", 1)
    made = made if p.dtype == "float32" else f"{made[:-1]}, dtype=torch.{p.dtype})"
    ends = "layer : layer + 1" if a.directions == 1 else "2 * layer : 2 * layer + 2"
    x, *states = call.passed()
    second = Call(p, call.route, number=2)
    values = "torch.tensor(values)" if p.dtype != "float64" else "torch.tensor(values, dtype=torch.float64)"
    return [
        f"out_2 = {x}",
        f"for layer in range({other.layer + 1}):",
        f"    module_2 = {made}",
        '    own = {name: values for name, values in WEIGHTS.items() if f"_l{layer}" in name}',
        f'    own = {{name.replace(f"_l{{layer}}", "_l0"): {values} for name, values in own.items()}}',
        f"    {call.loaded('module_2', 'own')}",
        *([] if p.training else ["    module_2.eval()"]),
        f"    {second.returned()} = {second.called('out_2', *(f'{state}[{ends}]' for state in states))}",
    ]


def _loop(call: Call, second: Call, last: int) -> list[str]:
    """A loop of a cell up to this step, each step from the states that the last returned."""
    a, p = call.problem.architecture, call.problem
    x = "x[t]" if p.unbatched or not a.batch_first else "x[:, t]"
    states = [f"{state}[0]" for state in call.passed()[1:]]
    begin = f"({', '.join(states)})" if len(states) == 2 else states[0] if states else "None"
    lines = [f"states = {begin}", f"for t in range({last + 1}):", f"    states = module_2({x}, states)"]
    return [*lines, f"{second.returned()} = states"]


def _parts_in_time(call: Call, second: Call) -> list[str]:
    """The first steps, and the others from the states that these return."""
    a, p, since = call.problem.architecture, call.problem, second.problem.steps
    first, rest = (
        f"x[{at}]" if p.unbatched or not a.batch_first else f"x[:, {at}]" for at in (f":{since}", f"{since}:")
    )
    begun = second.called(first, *call.passed()[1:])
    return [f"_, states = {begun}", f"{second.returned()} = module_2({rest}, states)"]
