"""The command that sets two interpreters side by side: `python -m conformance compare OLD NEW`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.comparing import cases, drift, files, streams, timing, verdicts
from conformance.comparing.sides import Side
from conformance.comparing.told import Outcome, told
from conformance.harness.cells import MODULES, SINGLE_STEPS
from conformance.harness.findings import known
from conformance.harness.findings.known import KnownError
from conformance.harness.findings.rendering import one_line
from conformance.harness.isolation.interpreter import CannotRun
from conformance.harness.isolation.worker_process import ChildError
from conformance.harness.models.fleet import Fleet, fleet
from conformance.harness.models.loading import LikeError

SAME, DEVIATES, WORSE, USAGE = 0, 1, 3, 4
"""Exit codes: same or better; a new deviation or a file that is lost; less headroom or slower; usage."""


@dataclass(frozen=True)
class Wanted:
    """What is to be compared: `count` cases of each property, drawn from `seed`, of these cells or all.

    known: files of deviations that are waived. like: models, at whose configurations the properties are asked
    """

    old: str
    new: str
    count: int = 2
    seed: int = 0
    cells: tuple[str, ...] = ()
    known: tuple[Path, ...] = ()
    like: tuple[str, ...] = ()


def compare(wanted: Wanted) -> int:
    """Prints what changes from one interpreter's PyTorch to the other's; returns the exit code."""
    with ExitStack() as stack:
        try:
            models = fleet(wanted.like)
            waived = tuple(entry for path in wanted.known for entry in known.load(path))
            named = (*waived, *known.load(known.SHIPPED))
            old, again, new = (Side.of(python, named) for python in (wanted.old, wanted.old, wanted.new))
        except (CannotRun, KnownError, LikeError) as reason:
            return _usage(one_line(str(reason)))
        for side in (old, again, new):
            stack.callback(side.close)
        print(f"{old.build.version} ({one_line(old.python)}) beside {new.build.version} ({one_line(new.python)})")
        try:
            found = _outcome(wanted, models, old, again, new)
        except ChildError as error:
            return _usage(one_line(str(error).strip().splitlines()[-1]))
    outcome = replace(found, waived=frozenset(entry.id for entry in waived))
    print("\n".join(told(outcome)))
    code = exit_code(outcome)
    print(VERDICTS[code])
    return code


VERDICTS = {
    SAME: "verdict: the same or better",
    DEVIATES: "verdict: new deviations, or files that no longer load",
    WORSE: "verdict: less headroom, or slower",
}


def exit_code(outcome: Outcome) -> int:
    """What the comparison means for an upgrade."""
    if outcome.unwaived or outcome.lost_files:
        return DEVIATES
    return WORSE if outcome.real.lost or outcome.slower else SAME


def _outcome(wanted: Wanted, models: Fleet, old: Side, again: Side, new: Side) -> Outcome:
    here = [one.cell for one in models.configurations] if models.configurations else [*MODULES, *SINGLE_STEPS]
    cells = [cell for cell in dict.fromkeys(here) if cell in wanted.cells or not wanted.cells]
    todo = list(cases.tasks(wanted.count, wanted.seed, cells, models))
    control, real = verdicts.compared(_progress(todo), old, again, new)
    modules = cases.modules(cells, models)
    return Outcome(
        control,
        real,
        weights=tuple(cell for cell in cells if streams.weights_changed(cell, old, new)),
        masks=tuple(cell for cell in cells if cell in MODULES and streams.masks_changed(cell, old, new)),
        control_times=tuple(timing.timed(modules, old, again)),
        times=tuple(timing.timed(modules, old, new)),
        files=tuple(files.handed_over(old, new, modules)),
        drifts=tuple(drift.drift(one, old, new) for one in modules if real.bits),
    )


def _progress(todo: Sequence[cases.Task]) -> Sequence[cases.Task]:
    print(f"{len(todo)} cases of {len({one.tested.name for one in todo})} properties")
    sys.stdout.flush()
    return todo


def _usage(message: str) -> int:
    print(f"python -m conformance compare: {message}", file=sys.stderr)
    return USAGE
