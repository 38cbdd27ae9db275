"""Optional features, which a subject may lack, and the smallest call that uses each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reference.problem import Problem
from strategies import Case
from strategies.stated import Stated


@dataclass(frozen=True)
class Feature:
    """Whether a problem uses the feature, and the fields and layout word of the smallest case that does."""

    asked: Callable[[Problem], bool]
    fields: Mapping[str, Any]
    word: str = ""


FEATURES = {
    "projection": Feature(lambda p: bool(p.architecture.proj_size), {"hidden_size": 2, "proj_size": 1}),
    "packed sequences": Feature(lambda p: p.lengths is not None, {"lengths": (1,)}),
    "unbatched input": Feature(lambda p: p.unbatched, {}, "unb"),
    "bidirectional": Feature(lambda p: p.architecture.bidirectional, {"bidirectional": True}),
    "several layers": Feature(lambda p: p.architecture.num_layers > 1, {"num_layers": 2}),
    "bias=False": Feature(lambda p: not p.architecture.bias, {}, "nobias"),
    "batch_first": Feature(lambda p: p.architecture.batch_first, {}, "bf"),
    "dropout in evaluation mode": Feature(lambda p: p.architecture.dropout > 0, {}, "drop"),
}
"""Features by their name in the summary."""


def features(problem: Problem) -> tuple[str, ...]:
    """The names of the features that a problem uses."""
    return tuple(name for name, feature in FEATURES.items() if feature.asked(problem))


def smallest(cell: str, dtype: str, device: str, wanted: Sequence[str] = (), stated: Stated | None = None) -> Problem:
    """The smallest problem that uses these features and no others, of sizes and flags that are stated as possible."""
    fields: dict[str, Any] = {}
    for name in wanted:
        fields |= FEATURES[name].fields
    layout = tuple(FEATURES[name].word for name in wanted if FEATURES[name].word)
    case = Case(dtype=dtype, device=device, layout=layout, **fields)
    return (stated.nearest(case, cell) if stated is not None else case).on(cell)
