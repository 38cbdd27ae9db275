"""Sentences of the installed PyTorch's own docstrings that a finding is about."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

from conformance.harness.cells import class_of
from conformance.harness.execution.requests.documentation.executed import docstring
from conformance.harness.foreign_text import one_line
from reference.invalid_calls import CONSTRUCTOR, read
from strategies import CaseError, parse

LONGEST = 400
"""The most characters of a quotation."""

RNN = "nn.utils.rnn"

OF_OPERATIONS: Mapping[str, str] = {
    **dict.fromkeys(("register_parameter", "register_after_to"), "nn.Module.register_parameter"),
    **dict.fromkeys(("failed_to", "half", "bfloat16", "float", "double"), "nn.Module.to"),
    **dict.fromkeys(("load", "load_assign", "state_dict", "state_dict_file"), "nn.Module.load_state_dict"),
    "to_empty": "nn.Module.to_empty",
    "functional_call": "func.functional_call",
    "stack_module_state": "func.stack_module_state",
    **dict.fromkeys(("freeze", "unfreeze"), "nn.Module.requires_grad_"),
    "parametrize": "nn.utils.parametrize.register_parametrization",
    "remove_parametrization": "nn.utils.parametrize.remove_parametrizations",
    "weight_norm": "nn.utils.parametrizations.weight_norm",
    "spectral_norm": "nn.utils.parametrizations.spectral_norm",
    "orthogonal": "nn.utils.parametrizations.orthogonal",
    "old_weight_norm": "nn.utils.weight_norm",
    "old_spectral_norm": "nn.utils.spectral_norm",
    "share_memory": "nn.Module.share_memory",
    "train": "nn.Module.train",
    "eval": "nn.Module.eval",
}
"""The function of torch whose docstring says what an operation of a history does, where there is one."""


def quotation(field: str, case: str, cell: str, spelled: str = "") -> str:
    """What the docstring says of the argument or the operation that a finding is about; "" where it says nothing.

    field: the finding's
    case: its line, whose word `bad` says what is wrong with the call
    spelled: how its arguments are given, where that is what the finding is about
    """
    try:
        found = parse(case)[0] if case else None
    except CaseError:
        found = None
    if found is not None and found.spoil:
        return _of_argument(found.spoil, cell)
    operation = field.removeprefix("after ")
    if spelled:
        name = f"nn.{class_of(cell)}"
        signature = re.search(r"^__init__\(.*\)$", _text(name), re.MULTILINE)
        return _said(name, signature.group() if signature else "")
    if found is None or operation not in OF_OPERATIONS:
        return ""
    name = OF_OPERATIONS[operation]
    return _said(name, _first_paragraph(_text(name)))


def _of_argument(word: str, cell: str) -> str:
    spoil = read(word)
    name, argument = f"{RNN}.{spoil.called}", spoil.argument
    if argument == "batch_sizes":
        name = f"{RNN}.PackedSequence"
        by_hand = re.search(r"Instances of this class should never[^.]*\.", _text(name))
        return _said(name, " ... ".join([entry(_text(name), argument), *([by_hand.group()] if by_hand else [])]))
    if spoil.called in ("", CONSTRUCTOR):
        name = f"nn.{class_of(cell)}"
    if argument == "hx":
        line = re.search(r"^Inputs: .*$", _text(name), re.MULTILINE)
        return _said(name, line.group() if line else "")
    return _said(name, entry(_text(name), argument))


def entry(text: str, argument: str) -> str:
    """What a docstring says of an argument, in the list of its arguments; "" where it says nothing."""
    begins = re.compile(
        rf"\s*(?:[*-] )?(?:\*\*)?{argument}(?:\*\*)?(?:_l\[k\])?\s?(?:\(.*?\))?\s?(?::(?=\s|$)| of shape)"
    )
    lines = text.splitlines()
    at = next((at for at, line in enumerate(lines) if begins.match(line)), None)
    if at is None:
        return ""
    margin, taken = _margin(lines[at]), [lines[at]]
    for line in lines[at + 1 :]:
        if not line.strip() or _margin(line) <= margin:
            break
        taken.append(line)
    return " ".join(taken)


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())


def _first_paragraph(text: str) -> str:
    return text.strip().partition("\n\n")[0]


def _text(name: str) -> str:
    return inspect.cleandoc(docstring(name))


def _said(name: str, text: str) -> str:
    """A quotation without the marks of its language; "" of nothing."""
    plain = re.sub(r":\w+:`~?([^`]*)`", r"\1", text)
    plain = re.sub(r"\\text\{([^}]*)\}", r"\1", plain).replace("\\_", "_")
    plain = one_line(re.sub(r"[`]|\*\*|^\s*[*-] ", "", plain).strip(), LONGEST)
    return f'torch.{name}: "{plain}"' if plain else ""
