"""Families of cases in which one size is far out, by the name of that size."""

from __future__ import annotations

from collections.abc import Mapping

from strategies.families import ONE_STEP, Cases, cases

EVERY_SIZE: Mapping[str, str] = {
    "rows": "batch_size",
    "steps": "steps",
    "units": "hidden_size",
    "features": "input_size",
    "layers": "num_layers",
}
"""The fields of a case that can be far out."""

SEQUENCES = {name: EVERY_SIZE[name] for name in ("rows", "steps")}
NOT_STEPS = {name: field for name, field in EVERY_SIZE.items() if name != "steps"}
NOT_UNITS = {name: field for name, field in NOT_STEPS.items() if name != "units"}
NOT_LAYERS = {name: field for name, field in NOT_STEPS.items() if name != "layers"}
UNITS = {"units": EVERY_SIZE["units"]}
WIDTHS = {name: EVERY_SIZE[name] for name in ("units", "features")}
NOT_WIDTHS = {name: field for name, field in EVERY_SIZE.items() if name not in WIDTHS}
OF_ONE_STEP = {name: field for name, field in EVERY_SIZE.items() if field not in ONE_STEP}
"""Those that the classes have that take a single step."""

OFTEN = {"share": 5}
"""Twice as often as other large cases: a third of the draws of units and features are in the upper half."""


RARELY = {"share": 20}
"""Half as often as other large cases."""

SELDOM = {"share": 40}
"""A few cases in a run: beside properties that look at the same sizes more closely."""


def far_out(sizes: Mapping[str, str], **pinned: object) -> dict[str, Cases]:
    """A family of cases for each of these sizes, by name; `pinned` as for `cases`."""
    return {name: cases(far=field, **pinned) for name, field in sizes.items()}


PAST_65535: Mapping[str, Mapping[str, tuple[int, ...] | range]] = {
    "rows_by_steps": {"batch_size": range(32_769, 40_000), "steps": (2,), "hidden_size": (1,), "input_size": (1,)},
    "rows": {"batch_size": range(65_537, 70_000), "steps": (1,), "hidden_size": (1,), "input_size": (1,)},
    "rows_by_units": {"batch_size": range(8_193, 9_000), "steps": (1,), "hidden_size": (8, 9), "input_size": (1,)},
    "rows_by_features": {"batch_size": range(8_193, 9_000), "steps": (1,), "hidden_size": (1,), "input_size": (8, 9)},
    "rows_by_many_units": {
        "batch_size": range(257, 290),
        "steps": (1,),
        "hidden_size": range(257, 290),
        "input_size": (1,),
    },
}
"""Sizes whose product is past the largest number of blocks of a grid."""


def past_65535(**pinned: object) -> dict[str, Cases]:
    """A family of cases for each product of sizes, by name."""
    common = {"num_layers": 1, "memory": "contiguous", "share": 20} | pinned
    return {name: cases(**sizes, **common) for name, sizes in PAST_65535.items()}
