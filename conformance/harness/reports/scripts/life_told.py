"""Lines of a script that say what an operation tells of itself, where torch.nn.Linear tells something else."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.harness.execution.lived import AfterOperation
from conformance.harness.reports.calls.call_text import assigned
from conformance.harness.reports.calls.no_script import NoScript

KEPT = "the first parameter"
"""How the part begins that says which parameters are the objects that they were."""

DRAWN = "random numbers are drawn"
"""The part that says that a copy drew some."""

HOOKS = (
    "called = []",
    "for kind in ('forward_pre', 'forward', 'full_backward_pre', 'full_backward'):",
    "    register = getattr(module, f'register_{{kind}}_hook')",
    "    register(lambda *_, kind=kind: called.append(kind.removeprefix('full_')))",
    "module._register_state_dict_hook(lambda *_: called.append('state_dict'))",
    "module.register_state_dict_pre_hook(lambda *_: called.append('state_dict_pre'))",
    "{result}.sum().backward()",
    "module.state_dict()",
    "got = ', '.join(called)",
)
"""The lines that register every hook, and list those that are called."""

OF_FUNCTIONAL_CALL = (
    "got = 'the weights that are given count'",
    "for names in (list(WEIGHTS), list(WEIGHTS)[-1:]):",
    "    given = {{name: 2 * getattr(module, name).detach() for name in names}}",
    "    first = torch.func.functional_call(module, given, {arguments})",
    "    with torch.no_grad():",
    "        [getattr(module, name).mul_(2) for name in names]",
    "        second = {call}",
    "        [getattr(module, name).div_(2) for name in names]",
    "    if not torch.allclose(first{tensor}, second{tensor}):",
    "        got = 'other weights than those that are given count'",
)
"""The lines that call a module with all weights doubled, or the last alone, and compare with weights that are so."""


ALONE = ("hooks", "functional_call")
"""Operations whose lines here do all of them."""


def _told(seen: AfterOperation) -> tuple[str, str]:
    """What the operation tells and what a linear layer tells, in the first part of it that differs."""
    ours, linears = (text.split("; ") for text in (seen.told, seen.told_by_linear))
    if (DRAWN in ours) != (DRAWN in linears):
        return (DRAWN, f"no {DRAWN}") if DRAWN in ours else (f"no {DRAWN}", DRAWN)
    return next((one, other) for one, other in zip(ours, linears, strict=False) if one != other)


def lines(seen: AfterOperation, operation: Sequence[str], words: dict[str, str]) -> list[str]:
    """The lines of the operation, which leave in `got` what it tells; words: what the texts of calls need.

    Raises NoScript for what no script tells.
    """
    got, wanted = _told(seen)
    if KEPT in got:
        made = [
            "before = dict(module.named_parameters())",
            *operation,
            "first, *others = (dict(module.named_parameters()).get(name) is one for name, one in before.items())",
            "words = {True: 'stays', False: 'is another object'}",
            "got = f'the first parameter {words[first]}, each other {words[all(others)]}'",
        ]
    elif DRAWN in got:
        drawn = f"got = 'no {DRAWN}' if torch.equal(torch.get_rng_state(), before) else '{DRAWN}'"
        made = ["before = torch.get_rng_state()", *operation, drawn]
    elif seen.operation == "hooks":
        made = [line.format(**words) for line in HOOKS]
    elif seen.operation == "functional_call":
        made = [line.format(**words) for line in OF_FUNCTIONAL_CALL]
    elif any("load_state_dict(" in line for line in operation):
        made = [f"got = str({line})" if "load_state_dict(" in line else line for line in operation]
    else:
        raise NoScript(f"none is written of what {seen.operation} tells")
    return [
        *made,
        *assigned("wanted", repr(wanted)).splitlines(),
        "return 'the same' if got == wanted else f'another: {got}'",
    ]
