"""Functions that scripts lay tensors out with, as lines of Python: the same as in `memory_layouts`."""

from __future__ import annotations

import re
from collections.abc import Iterable

FUNCTIONS = {
    "transposed": """def transposed(values):  # the same values, stored with the axes in reverse order
    axes = range(values.dim())[::-1]
    return values.new_empty(values.shape[::-1]).permute(*axes).copy_(values)
""",
    "sliced": """def sliced(values):  # the same values, as every second element of a buffer of NaN
    buffer = values.new_full([2 * size + 1 for size in values.shape], float("nan"))
    return buffer[(slice(1, None, 2),) * values.dim()].copy_(values)
""",
    "guarded": """def guarded(values):  # the same values, with NaN around them in memory
    buffer = values.new_full([size + 2 for size in values.shape], float("nan"))
    return buffer[(slice(1, -1),) * values.dim()].copy_(values)
""",
    "offset": """def offset(values):  # the same values, from the second element of a buffer of NaN on
    return values.new_full([values.numel() + 2], float("nan"))[1:-1].view(values.shape).copy_(values)
""",
    "expanded": """def expanded(values, rows):  # the same values; all rows, which are equal, are one in memory
    return values.narrow(rows, 0, 1).clone().expand(values.shape)
""",
    "summed": """def summed(values):  # the same values, which are all equal, as one number in memory
    return values.flatten()[:1].clone().squeeze().expand(values.shape)
""",
    "flat": """def flat(tensors):  # the same tensors, as views of one buffer
    pieces = torch.cat([t.flatten() for t in tensors]).split([t.numel() for t in tensors])
    return [piece.view(t.shape) for piece, t in zip(pieces, tensors)]
""",
}
"""For each memory the function of its name."""

CONTIGUOUS = "contiguous"


_CALLED = re.compile(rf"\b({'|'.join(FUNCTIONS)})\(")


def functions(lines: Iterable[str]) -> str:
    """The functions of this module that lines of a script call, each once."""
    called = dict.fromkeys(name for line in lines for name in _CALLED.findall(line))
    return "\n".join(FUNCTIONS[name] for name in called)


def with_functions(lines: list[str]) -> list[str]:
    """Lines of a script after the functions that they call."""
    defined = functions(lines)
    return [*(f"{defined}\n".splitlines() if defined else []), *lines]


def laid_out(made: str, memory: str, row_axis: int | None) -> str:
    """The expression `made`, laid out. row_axis: that of the batch, None where there is none."""
    if memory == CONTIGUOUS or (memory == "expanded" and row_axis is None):
        return made
    return f"expanded({made}, {row_axis})" if memory == "expanded" else f"{memory}({made})"


def parameters_laid_out(module: str, memory: str) -> list[str]:
    """The lines that lay a module's parameters out."""
    if memory == CONTIGUOUS:
        return []
    if memory == "flat":
        return [
            f"names, parameters = zip(*{module}.named_parameters())",
            "for name, values in zip(names, flat([one.detach() for one in parameters])):",
            f"    setattr({module}, name, torch.nn.Parameter(values))",
        ]
    return [
        f"for name, parameter in list({module}.named_parameters()):",
        f"    setattr({module}, name, torch.nn.Parameter({memory}(parameter.detach())))",
    ]
