"""The values that a field of a case or a finding can have, which `where` of a known deviation may name."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from conformance.harness.execution.routes import CONSTRUCTOR, PACKING, ROUTES
from conformance.harness.findings.rendering import listed
from conformance.harness.foreign_text import piece
from reference.histories import OPERATIONS
from reference.invalid_calls import PLACES, spoils
from strategies.axes import DTYPES, LAYOUT_WORDS, MEMORY
from strategies.case import CELLS
from strategies.values import EVERY_FILL

NUMBERS = ("input_size", "hidden_size", "num_layers", "batch_size", "steps", "proj_size", "seed", "pick")
"""Fields that are whole numbers, of which a comparison such as ">=2" may be asked."""

FLAGS = ("true", "false")

NAMES: Mapping[str, tuple[str, ...]] = {
    "cell": CELLS,
    "route": (*ROUTES, PACKING, CONSTRUCTOR),
    "dtype": DTYPES,
    "device": ("cpu", "cuda", "mps", "xpu"),
    "fill": EVERY_FILL,
    "memory": MEMORY,
    "layout": LAYOUT_WORDS,
    "history": tuple(OPERATIONS),
    "spoil": tuple(word for place in PLACES for word in spoils(place)),
    **dict.fromkeys(("bidirectional", "states", "bias", "batch_first", "unbatched"), FLAGS),
    "packed": FLAGS,
    "unsorted": FLAGS,
}
"""The values of every other field."""


def _is_comparison(text: str) -> bool:
    """Whether a text is a comparison, or several, such as `>=2,<9`."""
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return text[:1] in ("<", ">", "=", "!")


MOST_LISTED = 12
"""Values that a line lists; of more it gives the first ones."""


def permitted(name: str, value: object) -> str:
    """A value of `where` as an entry keeps it. Raises ValueError for a field that there is not, and for a value that it
    never has."""
    text = str(value)
    if name in NUMBERS:
        if not (_is_comparison(text) or (text.isascii() and text.isdecimal())):
            raise ValueError(f"{name} is never '{piece(text)}'; it is a whole number, or a comparison such as '>=2'")
        return text
    if name not in NAMES:
        raise ValueError(f"where has no field '{piece(name)}'; it has {', '.join((*NAMES, *NUMBERS))}")
    if text.lower() not in NAMES[name]:
        raise ValueError(f"{name} is never '{piece(text)}'; it is one of {listed(NAMES[name], MOST_LISTED)}")
    return text
