"""The modules of users' models: what each run says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conformance.page.cells import NOT_RUN, PART
from conformance.page.runs import Run
from conformance.page.states import STATES, State
from conformance.results.document import Module

NAMES = {"PASS": "pass", "FAIL": "red", "NOTHING": "nothing"}
"""The state of each verdict of a module."""


@dataclass(frozen=True)
class Look:
    """A module in a run; module is None where the run has none of this name."""

    run: Run
    module: Module | None

    @property
    def state(self) -> State:
        """What passes is passed in part unless every property that was asked was reached."""
        one = self.module
        if one is None:
            return STATES[NOT_RUN]
        name = NAMES.get(one.verdict, "nothing")
        return STATES[PART if name == "pass" and one.reached < one.asked else name]


@dataclass(frozen=True)
class Line:
    """A module of a model in each run, and the line of its largest call in the newest that has it."""

    model: str
    name: str
    case: str
    looks: tuple[Look, ...]


def lines(runs: Sequence[Run]) -> list[Line]:
    """A line for each module in the order in which runs name them; none where no run was asked of a model."""
    there = [{(one.model, one.name): one for one in run.results.modules} for run in runs]
    cases = {place: one.case for modules in there for place, one in modules.items()}
    return [
        Line(*place, case, tuple(Look(run, modules.get(place)) for run, modules in zip(runs, there, strict=True)))
        for place, case in cases.items()
    ]
