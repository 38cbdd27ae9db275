"""Scripts of the utilities that pad and pack."""

from __future__ import annotations

import numpy as np

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import PackingObservation
from conformance.harness.findings.recorder import Finding
from conformance.harness.reports.calls.packing_call import (
    ARGUMENTS,
    PackingCall,
    defaults_left_out,
    name_of,
    numbers,
    shortened,
)
from conformance.harness.reports.scripts.whole import DIFFER, rendered, sentence
from conformance.harness.reports.templating import code

OF_ARRAYS = {
    "sum of batch_sizes": "sum(result.batch_sizes.tolist())",
    "sorted_indices, sorted": "sorted(result.sorted_indices.tolist())",
    "lengths in the order of sorted_indices": "[len(ROWS[n]) for n in result.sorted_indices]",
    "sorted_indices in the order of unsorted_indices": "result.sorted_indices[result.unsorted_indices].tolist()",
    "inverse": "result.tolist()",
    "answer": "result",
    "lengths": "result[1].tolist()",
}
"""What an array is compared of, and the expression that gives it; others are parts of a result, by their names."""

TENSORS = {
    "batch": "[batch]",
    "packed": "[t for t in packed if t is not None]",
    "rows": "rows",
    "lengths": "[torch.as_tensor(lengths)]",
    "permutation": "[permutation]",
}
"""The tensors of an argument, by the name of the script's variable."""

HELD = (
    "",
    "def held(tensors):  # the shape of each by its number, then its elements by their places",
    "    found = {(n,): tuple(t.shape) for n, t in enumerate(tensors)}",
    "    for n, t in enumerate(tensors):",
    "        found |= {(n, *at): t[tuple(at)].item() for at in torch.ones(t.shape).nonzero().tolist()}",
    "    return found",
    "",
    "",
)

SIDES = ("expected", "before"), ("got", "after")

PACKED = "(str({0}.{1}), str({0}.{1}.dtype))"


def packing(found: Found) -> str | None:
    """The script of a call that returned something else than the same done by hand, or changed what it was given."""
    finding, seen = found.finding, found.seen
    if not isinstance(seen, PackingObservation) or seen.request is None:
        return None
    call = PackingCall(defaults_left_out(seen.request), exact=finding.kind in ("differs", "shape"))
    writers = (_refused, _fact, _changed, _array)
    compared = next((lines for write in writers if (lines := write(finding, seen, call)) is not None), None)
    if compared is None:
        return None
    part = finding.field.removeprefix(seen.utility).removeprefix(": ")
    is_nan = seen.wanted is not None and bool(np.isnan(seen.wanted).any())
    return rendered(
        finding,
        "compared.py.j2",
        title=f"{name_of(seen.utility)}: {', '.join(filter(None, (part, finding.kind)))}",
        seen=[f"The claim: {sentence(finding.claim)}"],
        **code(
            lines=(['nan = float("nan")'] if is_nan else []) + compared,
            differ="str(got) != str(expected)" if is_nan else DIFFER,
        ),
    )


def _refused(finding: Finding, seen: PackingObservation, call: PackingCall) -> list[str] | None:
    """A call that should raise an exception."""
    if finding.kind.startswith("takes: "):
        expected, raised = '"an exception"', "expected"
    elif finding.kind.startswith("exception for "):
        expected, raised = finding.documented, "type(error).__name__"
    else:
        return None
    return [
        *call.arguments(),
        f"expected = {expected}",
        "try:",
        *(f"    {line}" for line in call.call()),
        '    got = f"nothing raised, but {result}"',
        "except Exception as error:",
        f"    got = {raised}",
    ]


def _fact(finding: Finding, seen: PackingObservation, call: PackingCall) -> list[str] | None:
    """A dtype, device, number of rows or identity."""
    if finding.kind.startswith("packed with another: "):
        name = finding.kind.partition(": ")[2]
        sides = (PACKED.format(one, name) for one in ("packed", "result"))
        return [*call.lines(), *(f"{side} = {text}" for side, text in zip(("expected", "got"), sides, strict=True))]
    got = {
        "dtype": f'str({_part(finding.field, seen.utility)}.dtype).replace("torch.", "")',
        "device": f"{_part(finding.field, seen.utility)}.device.type",
        "number of rows": "len(result)",
        "returns its argument": "result is packed",
    }.get(finding.kind)
    return None if got is None else [*call.lines(), f"expected = {finding.documented}", f"got = {got}"]


def _part(name: str, utility: str) -> str:
    """A tensor of a result."""
    if name.startswith("row "):
        return f"result[{int(name.removeprefix('row '))}]"
    if name == "padded":
        return "result[0]" if utility == "pad_packed_sequence" else "result"
    return "result" if name == "inverse" else f"result.{name}"


def _changed(finding: Finding, seen: PackingObservation, call: PackingCall) -> list[str] | None:
    """A call that changes its argument."""
    name = finding.kind.removeprefix("changes: ")
    if name == finding.kind:
        return None
    held = f"held({TENSORS[ARGUMENTS[name]]})"
    differing = "[at for at in before if repr(before[at]) != repr(after.get(at))][:2]"
    return [
        *HELD,
        *call.arguments(),
        f"before = {held}",
        *call.call(),
        f"after = {held}",
        f"changed = {differing}",
        *(f"{side} = [(at, {which}.get(at)) for at in changed]" for side, which in SIDES),
    ]


def _array(finding: Finding, seen: PackingObservation, call: PackingCall) -> list[str] | None:
    """Numbers that differ from those by hand."""
    if seen.wanted is None or seen.failure is not None:
        return None
    name = finding.field.partition(": ")[2]
    got = OF_ARRAYS.get(name) or f"{_part(name, seen.utility)}.tolist()"
    if name.startswith("row "):
        got += f' if len(result) > {int(name.removeprefix("row "))} else "no such row"'
    rows = call.request.batch.rows
    wanted = str(seen.wanted.tolist()) if np.isnan(seen.wanted).any() else numbers(shortened(seen.wanted, rows))
    return [*call.lines(), f"expected = {wanted}", f"got = {got}"]
