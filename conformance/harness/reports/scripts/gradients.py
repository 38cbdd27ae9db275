"""Scripts of gradients outside their error bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import Differentiated
from conformance.harness.findings.recorder import Element
from conformance.harness.reports.calls.call_text import Call
from conformance.harness.reports.calls.loss_text import (
    OF,
    Pass,
    backward,
    got,
    in_literal,
    is_zero,
    loss_of,
    name_of,
    passes_of,
    told,
)
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.scripts import dropout
from conformance.harness.reports.scripts.whole import parts, rendered, title, where
from conformance.harness.reports.templating import code

KINDS = ("outside its bound", "is missing")


def gradient(found: Found) -> str | None:
    """The script of a gradient outside its bound; the right one is that of the documented equations."""
    finding, seen, first = found
    element = finding.element
    if element is None or finding.kind not in KINDS or not element.name.startswith(OF):
        return None
    if not isinstance(seen, Differentiated) or not isinstance(first, Differentiated | None):
        return None
    if element.forced:
        raise NoScript("its bound is that of one step from the module's own gradient of the step after it")
    if first is not None and first.problem.training and first.problem.architecture.dropout:
        call = dropout.call_of(finding, first)
        done = [Pass(call, told(loss_of(seen)))]
        made = [*dropout.shown_mask(call), dropout.SEED, *lines(call, done, guarded=not element.got), *dropout.masked()]
    else:
        call = Call.of(finding, seen, loss_of(seen).wanted)
        done = passes_of(call, _passes(seen, first))
        made = lines(call, done, guarded=not element.got)
    return _script(found, element, call, done, made)


def _script(found: Found, element: Element, call: Call, done: Sequence[Pass], made: Sequence[str]) -> str:
    """made: the lines of the call and its passes."""
    finding, seen, _ = found
    name = name_of(element.name)
    return rendered(
        finding,
        "gradient.py.j2",
        **parts(
            [call],
            made,
            more_literals="\n".join(one.literals() for one in done),
            math="cmath",
        ),
        title=title(finding, seen, f"the {OF}{name} is {'missing' if finding.kind == 'is missing' else 'wrong'}"),
        seen=[f"{where(finding)} lies outside of what rounding errors explain."],
        **code(
            terms=[one.by_hand() for one in done],
            got=got(call, name, element.where, may_be_none=not element.got),
            number=in_literal(call, element),
            allowed=f"{element.allowed:.2g}",
        ),
        origin=f"the most that rounding errors in {seen.problem.dtype} can add up to here",
    )


def _passes(seen: Differentiated, first: Differentiated | None) -> list[Differentiated]:
    """The passes up to the one that was observed."""
    if first is None:
        return [seen]
    passes = [first, *first.later_passes]
    return passes[: 1 + next(at for at, one in enumerate(passes) if one is seen)]


def lines(call: Call, done: Sequence[Pass], guarded: bool = False) -> list[str]:
    """The tensors, the call and its backward passes. guarded: results may require no gradient"""
    if call.manner.first_rows:
        return _in_parts(call, done)
    passes = [line for at, one in enumerate(done, 1) for line in one.lines(at < len(done), guarded)]
    return [*_before(call, done[0]), f"{call.returned()} = {call.called()}", *passes]


def _before(call: Call, done: Pass) -> list[str]:
    """The tensors; and a call with other weights, differentiated or not, where there was one before."""
    if not call.manner.change:
        return call.tensor_lines()
    earlier = call.called(*(f"{name}.detach()" for name in call.passed()))
    if not call.manner.first_too:
        return [*call.tensor_lines(), earlier, *call.doubled()]
    first = [f"{call.returned()} = {earlier}", *done.lines(), f"{call.name('module')}.zero_grad()"]
    return [*call.tensor_lines(), *first, *call.doubled()]


def _in_parts(call: Call, done: Sequence[Pass]) -> list[str]:
    """Two calls, of the first rows and of the others, and the passes, each through the calls that it is about."""
    first, p = call.manner.first_rows, call.problem
    rows = (range(first), range(first, p.batch_size))
    made = call.tensor_lines()
    parts_of = []
    for number, (kept, text) in enumerate(zip(rows, (f":{first}", f"{first}:"), strict=True), 1):
        part = replace(call, problem=p.rows(kept), number=number)
        time_first = not (p.architecture.single_step or p.architecture.batch_first)
        x = f"x[:, {text}]" if time_first else f"x[{text}]"
        states = [
            f"{name}[{text}]" if p.architecture.single_step else f"{name}[:, {text}]" for name in call.passed()[1:]
        ]
        called = replace(call, number=1).called(*(f"{one}.contiguous()" for one in (x, *states)))
        made.append(f"{part.returned()} = {called}")
        parts_of.append((part, kept, text))
    for one in done:
        made += _pass_of_parts(one, [part for part in parts_of if not is_zero(one.loss.rows(part[1], p.steps))])
    return made


def _pass_of_parts(whole: Pass, parts_of: Sequence[tuple[Call, range, str]]) -> list[str]:
    """One pass through some of the calls."""
    lines = list[str]()
    for call, _, text in parts_of:
        a, own = call.problem.architecture, dict[str, str]()
        for result, name in whole.names().items():
            rows_first = a.single_step or (a.batch_first and result == "output")
            pair = f"({call.padded() if result == 'output' else call.name(result[0])}, {name})"
            own[pair] = f"[{text}]" if rows_first else f"[:, {text}]"
        for at in dict.fromkeys(own.values()):
            pairs = ", ".join(pair for pair, place in own.items() if place == at)
            summed = f"sum((y * torch.tensor(d, dtype=y.dtype){at}).sum() for y, d in ({pairs},))"
            lines.append(f"loss = loss + {summed}" if lines else f"loss = {summed}")
    return [*lines, *backward()] if lines else []
