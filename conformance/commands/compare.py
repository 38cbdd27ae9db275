"""The command that sets two interpreters or results files side by side: `python -m conformance compare OLD NEW`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.comparing import as_document, cases, drift, files, recorded, streams, timing, told, verdicts
from conformance.comparing.document import Sides, Verdict
from conformance.comparing.recorded import Recorded
from conformance.comparing.sides import Side
from conformance.comparing.told import Outcome
from conformance.harness import foreign_text
from conformance.harness.cells import MODULES, SINGLE_STEPS
from conformance.harness.findings import known
from conformance.harness.findings.known import Known, KnownError, today
from conformance.harness.foreign_text import MOST, one_line, piece
from conformance.harness.isolation.interpreter import CannotRun
from conformance.harness.models.fleet import Fleet, fleet
from conformance.harness.models.loading import LikeError
from conformance.harness.pytest_plugin.output import github
from conformance.harness.pytest_plugin.results_file import SUFFIX
from conformance.harness.reports.templating import fenced
from conformance.results.files import ResultsError, load

SAME, DEVIATES, WORSE, USAGE = 0, 1, 3, 4
"""Exit codes: same or better; a new deviation or a file that is lost; less headroom or slower; usage, or no answer."""

COUNT, SEED = 2, 0
"""Cases of each property, and what draws them, unless given."""


@dataclass(frozen=True)
class Wanted:
    """What is to be compared: two interpreters, or two results files.

    count, seed  of interpreters: cases of each property, and what draws them; None for COUNT and SEED
    cells        of interpreters: these cells, or all
    known        files of deviations that are waived
    like         of interpreters: models, at whose configurations the properties are asked
    json         where the outcome is written, if anywhere
    """

    old: str
    new: str
    count: int | None = None
    seed: int | None = None
    cells: tuple[str, ...] = ()
    known: tuple[Path, ...] = ()
    like: tuple[str, ...] = ()
    json: Path | None = None

    @property
    def of_files(self) -> bool:
        return all(name.endswith(SUFFIX) for name in (self.old, self.new))

    def sides(self, old_torch: str = "", new_torch: str = "") -> Sides:
        """The two as the document has them."""
        names = one_line(self.old, MOST), one_line(self.new, MOST)
        return Sides("results" if self.of_files else "interpreters", *names, old_torch, new_torch)

    @property
    def wrong(self) -> str:
        """What keeps these from being compared, or ""."""
        if self.json is not None and self.json.suffix != SUFFIX:
            return f"--json {piece(self.json)}: the name of the file ends in {SUFFIX}"
        if any(name.endswith(SUFFIX) for name in (self.old, self.new)) and not self.of_files:
            return "one of these is a results file; give two interpreters, or two results files"
        if self.of_files and (self.count, self.seed, self.cells, self.like) != (None, None, (), ()):
            return "--cases, --seed, --cell and --like are for interpreters; results files hold what was asked"
        return ""


@dataclass(frozen=True)
class Answer:
    """What a comparison came to."""

    sides: Sides
    outcome: Outcome


Say = Callable[[str], None]


class Unwritable(RuntimeError):
    """The document cannot be written; one line."""


def compare(wanted: Wanted) -> int:
    """Prints what changes from one side to the other; returns the exit code."""
    if wanted.wrong:
        return _usage(wanted.wrong)
    lines = list[str]()

    def say(line: str) -> None:
        lines.append(line)
        foreign_text.say(line)

    with github.no_commands():
        try:
            _write(wanted, wanted.sides(), "did not end", [])
            waived = tuple(entry for path in wanted.known for entry in known.load(path))
            waived = tuple(entry for entry in waived if not entry.is_expired(today()))
            answer = (_of_files if wanted.of_files else _of_interpreters)(wanted, waived, say)
            code = exit_code(answer.outcome)
            said, verdict = VERDICTS[code]
            unsure = answer.outcome.unsure if isinstance(answer.outcome, Recorded) else ""
            say(f"verdict: {said}{f': {one_line(unsure)}' if code == USAGE else ''}")
            _write(wanted, answer.sides, verdict, lines, answer.outcome)
        except (CannotRun, KnownError, LikeError, ResultsError, Unwritable) as reason:
            return _usage(str(reason))
        if trouble := github.append_summary(f"### Recurrent modules\n\n{fenced(chr(10).join(lines))}\n\n"):
            foreign_text.say(f"conformance: {trouble}")
    return code


VERDICTS: dict[int, tuple[str, Verdict]] = {
    SAME: ("the same or better", "same or better"),
    DEVIATES: ("new deviations, or files that no longer load", "deviates"),
    WORSE: ("less headroom, or slower", "worse"),
    USAGE: ("cannot tell", "cannot tell"),
}
"""What each exit code means, in words and in the document."""


def exit_code(outcome: Outcome) -> int:
    """What the comparison means for an upgrade."""
    if outcome.unwaived or outcome.lost_files:
        return DEVIATES
    if outcome.lost or outcome.slower:
        return WORSE
    return USAGE if isinstance(outcome, Recorded) and outcome.unsure else SAME


def _of_files(wanted: Wanted, waived: Sequence[Known], say: Say) -> Answer:
    """Two runs beside each other. Raises ResultsError."""
    old, new = load(Path(wanted.old)), load(Path(wanted.new))
    sides = wanted.sides(old.environment.torch, new.environment.torch)
    say(_heading(sides))
    outcome = recorded.recorded(old, new, waived)
    for line in recorded.told(outcome):
        say(line)
    return Answer(sides, outcome)


def _of_interpreters(wanted: Wanted, waived: Sequence[Known], say: Say) -> Answer:
    """The same cases under both. Raises CannotRun, LikeError."""
    with foreign_text.kept_from_terminal() as kept:
        models = fleet(wanted.like)
    for line in foreign_text.told_of_import(kept.text):
        foreign_text.say(line, sys.stderr)
    named = (*waived, *known.load(known.SHIPPED))
    with ExitStack() as stack:
        old, new = (Side.of(python, named) for python in (wanted.old, wanted.new))
        again = replace(old)
        for side in (old, again, new):
            stack.callback(side.close)
        sides = wanted.sides(old.build.version, new.build.version)
        say(_heading(sides))
        found = _outcome(wanted, models, (old, again, new), say)
    outcome = replace(found, waived=frozenset(entry.id for entry in waived))
    for line in told.told(outcome):
        say(line)
    return Answer(sides, outcome)


def _heading(of: Sides) -> str:
    old, new, old_name, new_name = map(one_line, (of.old_torch, of.new_torch, of.old, of.new))
    return f"{old} ({old_name}) beside {new} ({new_name})"


def _outcome(wanted: Wanted, models: Fleet, sides: tuple[Side, Side, Side], say: Say) -> Outcome:
    old, again, new = sides
    here = [one.cell for one in models.configurations] if models.configurations else [*MODULES, *SINGLE_STEPS]
    cells = [cell for cell in dict.fromkeys(here) if cell in wanted.cells or not wanted.cells]
    count, seed = (COUNT if wanted.count is None else wanted.count), (SEED if wanted.seed is None else wanted.seed)
    todo = list(cases.tasks(count, seed, cells, models))
    say(f"{len(todo)} cases of {len({one.tested.name for one in todo})} properties")
    control, real = verdicts.compared(todo, old, again, new)
    modules, calls = cases.modules(cells, models), cases.calls(cells, models)
    return Outcome(
        control,
        real,
        weights=tuple(cell for cell in cells if streams.weights_changed(cell, old, new)),
        masks=tuple(cell for cell in cells if cell in MODULES and streams.masks_changed(cell, old, new)),
        control_times=tuple(timing.timed(calls, old, again)),
        times=tuple(timing.timed(calls, old, new)),
        files=tuple(files.handed_over(old, new, modules)),
        drifts=tuple(drift.drift(one, old, new) for one in modules if real.bits),
    )


def _write(
    wanted: Wanted, sides: Sides, verdict: Verdict, lines: Sequence[str], outcome: Outcome = as_document.NOTHING
) -> None:
    """Writes the document if one is wanted. Raises Unwritable."""
    if wanted.json is None:
        return
    try:
        as_document.write(wanted.json, sides, verdict, lines, outcome)
    except OSError as error:
        raise Unwritable(f"--json {piece(wanted.json)}: {error.strerror}; name a file that can be written") from None


def _usage(message: str) -> int:
    foreign_text.say(one_line(f"python -m conformance compare: {message}", MOST), sys.stderr)
    return USAGE
