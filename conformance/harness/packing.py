"""The utilities that pad and pack rows, as the properties see them: what they gave, compared with the same by hand."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from conformance.clauses import RED
from conformance.harness import session
from conformance.harness.deaths import is_death
from conformance.harness.packing_calls import (
    ROUTE,
    Batch,
    Call,
    PackingSeen,
)
from conformance.harness.verdict import one_line


def observe_packing(batch: Batch, utility: str, lengths: str = "list", **options: Any) -> list[PackingSeen]:
    """What `attempt_packing` gives, alone in a list. A call that raised is a finding, and the list is empty."""
    seen = attempt_packing(batch, utility, lengths, **options)
    if seen.failure is None:
        return [seen]
    kind, message = seen.failure
    if not is_death(kind):
        session.current_case().found(seen, utility, f"raised {kind}", [f"{kind}: {one_line(message)}", seen.call])
    return []


def attempt_packing(batch: Batch, utility: str, lengths: str = "list", **options: Any) -> PackingSeen:
    """What the subject's function of torch.nn.utils.rnn with this name gives, with these options, or why nothing.

    A call that ends its process is a finding. lengths: one of `LENGTHS`. batch_first is the problem's. What is unpacked
    was packed by the subject.
    """
    here = session.current()
    if utility != "pack_sequence":
        options = {"batch_first": batch.batch_first} | options
    call, judgement = Call(batch, utility, lengths, options), here.judgement(batch.problem)
    blank = PackingSeen(batch.problem, here.subject.name, ROUTE, judgement, utility=utility, call=str(call))
    seen = here.calls.pack(here.subject, call, blank)
    if seen.failure is not None and is_death(seen.failure[0]):
        session.current_case().found(seen, utility, seen.failure[0], [seen.failure[0], seen.call], severity=RED)
    return seen


def padding_sides() -> list[dict[str, str]]:
    """The ways to ask pad_sequence for a side: none, and by name where the subject's has the argument (from 2.5 on)."""
    named = "padding_side" in inspect.signature(session.current().subject.packing.pad_sequence).parameters
    return [{}, {"padding_side": "right"}, {"padding_side": "left"}] if named else [{}]


def assert_array(seen: PackingSeen, name: str, got: np.ndarray | None, wanted: np.ndarray) -> None:
    """An array has the shape that was computed by hand, and equals it: NaN equal to NaN, +0 to -0.

    name says of what; got is None where the call returned no such thing.
    """
    case = session.current_case()
    case.checked(wanted.size, 0.0, 0.0)
    field = f"{seen.utility}: {name}"
    shape = "nothing" if got is None else got.shape
    if got is None or got.shape != wanted.shape:
        case.found(seen, field, "shape", [f"{field}, shape:  got {shape}   by hand {wanted.shape}", seen.call])
        return
    wrong = np.argwhere(~((got == wanted) | (np.isnan(got) & np.isnan(wanted))))
    if len(wrong):
        first = tuple(int(i) for i in wrong[0])
        line = f"{field}, element {list(first)}:  got {got[first]:.9g}   by hand {wanted[first]:.9g}"
        case.found(seen, field, "differs", [line, f"{len(wrong)} of {got.size} elements are wrong", seen.call])
