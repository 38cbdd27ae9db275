"""Scripts of gradients that break a relation: to the loss, to another pass, to each other; and of what calls change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import Differentiated, Repeated
from conformance.harness.reports.calls.call_text import Call
from conformance.harness.reports.calls.loss_text import OF, Pass, got, leaf, loss_of, name_of
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.scripts.gradients import lines
from conformance.harness.reports.scripts.pairs import overwritten
from conformance.harness.reports.scripts.sums import added_up
from conformance.harness.reports.scripts.whole import parts, rendered, title, where
from conformance.harness.reports.templating import code

EQUAL = "the bits must be equal"
RANDOM_STATE = "random state"


def relation(found: Found) -> str | None:
    """The script of a relation that does not hold."""
    kind, _, offence = found.finding.kind.partition(": ")
    if isinstance(found.seen, Repeated) and kind in _OF_CALLS:
        return _OF_CALLS[kind](found, offence)
    write = _WRITERS.get(kind)
    return write(found, offence) if write is not None and isinstance(found.seen, Differentiated) else None


def _script(
    found: Found,
    calls: Sequence[Call],
    made: Sequence[str],
    done: Sequence[Pass],
    says: str,
    what: str,
    allowed: str = "",
    origin: str = "what rounding errors can add up to in both",
) -> str:
    return rendered(
        found.finding,
        "relation.py.j2",
        **parts(
            calls,
            made,
            more_literals="\n".join(one.literals() for one in done),
            equations=False,
        ),
        title=title(found.finding, found.seen, says),
        seen=[what],
        **code(allowed=allowed),
        origin=origin,
    )


def _begun(found: Found) -> tuple[Call, Pass]:
    """The call that was differentiated, and its pass."""
    seen = found.other if found.finding.kind == "two passes do not add up" else found.seen
    assert isinstance(seen, Differentiated), "gradients alone have these kinds"
    call = Call.of(found.finding, seen, loss_of(seen).wanted)
    return call, Pass(call, loss_of(seen))


def _added_up(found: Found, _: str) -> str:
    """The second pass must add the same gradient once more."""
    element, (call, one) = found.finding.element, _begun(found)
    if element is None:
        raise NoScript("no element is known")
    name = name_of(element.name)
    value = got(call, name, element.where)
    first = one.lines(retain=True)
    made = [*call.tensor_lines(), f"{call.returned()} = {call.called()}", *first, f"expected = 2 * {value}"]
    made += ["loss.backward()", f"got = {value}"]
    says = f"a second backward pass does not add the same gradient of {name}"
    what = f"{where(found.finding)} must be twice that of one pass."
    return _script(found, [call], made, [one], says, what)


def _zero(found: Found, _: str) -> str:
    """No part of the loss hangs on the element."""
    element, (call, one) = found.finding.element, _begun(found)
    if element is None:
        raise NoScript("no element is known")
    name = name_of(element.name)
    made = [*lines(call, [one]), f"expected, got = 0.0, {got(call, name, element.where)}"]
    what = f"{where(found.finding)} must be 0: no part of the loss hangs on it."
    return _script(found, [call], made, [one], f"the gradient of {name} is not 0 where it must be", what)


def _scaled(found: Found, _: str) -> str:
    """The gradients of a loss times a power of two are so many times the others."""
    element, scaled, (call, one) = found.finding.element, found.other, _begun(found)
    if element is None or not isinstance(scaled, Differentiated):
        raise NoScript("no element is known")
    factor = max(float(np.abs(values).max()) for values in loss_of(scaled).cotangents.values())
    factor /= max(float(np.abs(values).max()) for values in one.loss.cotangents.values())
    name, second = name_of(element.name), call.after(scaled.problem)
    times = [line.replace("loss.", f"({factor:g} * loss).") for line in Pass(second, one.loss).lines()]
    made = [*lines(call, [one]), *second.tensor_lines(), f"{second.returned()} = {second.called()}", *times]
    made += [f"expected = {factor:g} * {got(call, name, element.where)}", f"got = {got(second, name, element.where)}"]
    says = f"the gradient of {name} does not grow with the loss"
    what = f"{where(found.finding)}, of {factor:g} times the loss, must be {factor:g} times that of the loss."
    allowed = f"{element.allowed:.2g}" if element.allowed else ""
    return _script(found, [call, second], made, [one], says, what, allowed, "what may have underflowed")


def _balanced(found: Found, _: str) -> str | None:
    """Two gradients, or two sums of gradients, that the equations make equal."""
    element, (call, one) = found.finding.element, _begun(found)
    if element is None:
        raise NoScript("no element is known")
    if isinstance(found.other, Differentiated):
        return added_up(found, element, found.other)
    if element.other.startswith(OF):
        values = [
            got(call, name_of(of), at) for of, at in ((element.name, element.where), (element.other, element.there))
        ]
        says = f"the gradients of {name_of(element.name)} and {name_of(element.other)} differ"
        what = f"{where(found.finding)}: both are added to the same sum, so the gradient of both must be the same."
    elif element.name == "<input, its gradient>":
        names = [
            name
            for name in call.problem.parameters
            if name.startswith("weight_ih") and call.problem.architecture.end(0, 0) in name
        ]
        values = [_pulled(call, ["input"]), _pulled(call, names)]
        says = "input and the weights that read it do not pull alike"
        what = "The sum of x times its gradient must be that of the weights times theirs: only their product matters."
    else:
        states = [name for name in ("h_0",) if getattr(call.problem, name) is not None]
        values = [_pulled(call, ["input", *states]), _pulled_at_results(one)]
        says = "inputs and results do not pull alike"
        what = "The sum of the inputs times their gradients must be that of the results times theirs, without a bias."
    made = [*lines(call, [one]), f"got = {values[0]}", f"expected = {values[1]}"]
    return _script(found, [call], made, [one], says, what, f"{element.allowed:.2g}")


def _pulled(call: Call, names: Sequence[str]) -> str:
    """The sum of tensors times their gradients, in float64."""
    tensors = "".join(f"{leaf(call, name)}, " for name in names)
    return f"sum((t.double() * t.grad).sum() for t in ({tensors[:-1]})).item()"


def _pulled_at_results(one: Pass) -> str:
    """The sum of the results times their cotangents, in float64."""
    pairs = "".join(
        f"({one.call.padded() if of == 'output' else one.call.name(of[0])}, {name}), "
        for of, name in one.names().items()
    )
    made = "torch.tensor(d, dtype=torch.float64)"
    return f"sum((y.double() * {made}).sum() for y, d in ({pairs[:-1]})).item()"


def _unasked(found: Found, name: str) -> str:
    """What requires no gradient gets none."""
    call, one = _begun(found)
    made = [*lines(call, [one]), f"expected, got = None, {leaf(call, name)}.grad"]
    made += ["got = got if got is None else got.tolist()"]
    says = f"{name} gets a gradient that was not asked for"
    return _script(
        found, [call], made, [one], says, f"{name} does not require a gradient, so its gradient must be None."
    )


def _sharing(found: Found, offence: str) -> str:
    """Gradients of different parameters do not lie in the same memory."""
    call, one = _begun(found)
    first, second = (f"{leaf(call, name)}.grad" for name in offence.split(" and "))
    made = [
        *lines(call, [one]),
        f"{first}.fill_(float('nan'))",
        f"expected, got = False, {second}.isnan().any().item()",
    ]
    says = f"the gradients of {offence} share memory"
    return _script(found, [call], made, [one], says, "Writing to the one must not change the other.")


def _changed(found: Found, name: str) -> str:
    """A call, and the same again, leave input, states and parameters alone, and draw no random number."""
    call = Call.of(found.finding, found.seen)
    held, what = _held(call, name)
    made = f"{call.returned()} = {call.called()}"
    lines = [*call.tensor_lines(), f"expected = [{held}] * 2", made, f"got = [{held}]", made, f"got.append({held})"]
    what = f"{what} must be the same after a call, and after another, as before them."
    return _script(found, [call], lines, [], f"the call changes {name}", what)


def _shared(found: Found, name: str) -> str:
    """What a call returns lies elsewhere in memory than what it was given."""
    call = Call.of(found.finding, found.seen)
    held, what = _held(call, name)
    made = f"{call.returned()} = {call.called()}"
    lines = [*call.tensor_lines(), made, f"expected = {held}", *overwritten(call), f"got = {held}"]
    return _script(
        found, [call], lines, [], f"the call returns the memory of {name}", f"{what} must not change with the results."
    )


def _held(call: Call, name: str) -> tuple[str, str]:
    """The expression that tells what something of a call holds, to the sign of zeros, and what it is."""
    if name == RANDOM_STATE:
        return "hash(tuple(torch.get_rng_state().tolist()))", "The random state"
    of = "packed.data" if name == "input" and call.problem.lengths is not None else leaf(call, name)
    return f"str({of}.tolist())", name


_OF_CALLS: dict[str, Callable[[Found, str], str]] = {"changes": _changed, "returns the memory of": _shared}
"""By the kind of finding, of calls that were not differentiated."""

_WRITERS: dict[str, Callable[[Found, str], str | None]] = {
    "two passes do not add up": _added_up,
    "is not zero": _zero,
    "does not grow with the loss": _scaled,
    "does not agree": _balanced,
    "not asked for": _unasked,
    "share memory": _sharing,
}
"""By the kind of finding."""
