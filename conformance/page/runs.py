"""The runs that a page shows, one for each release."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeAlias

from packaging.version import Version

from conformance.clauses import TORCH_NN
from conformance.harness.cells import MODULES, SINGLE_STEPS
from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import one_line
from conformance.results.document import Results
from conformance.results.files import AGAIN, ResultsError, load

NARROWING = re.compile(r"-[km]|--(cell|dtype|device|route|case|like|lf|last-failed|deselect|ignore)\b|[^-].*(::|\.py$)")
"""Arguments of pytest after which a run asks less than the whole contract."""


Order: TypeAlias = tuple[str, bool, Version, str]
"""Subject, whether the release is no version, release, and its text if it is none."""


@dataclass(frozen=True)
class Run:
    """A results file and its place on the page.

    release  of PyTorch, as the page heads its column
    order    sorts the columns; runs of the same order are of the same release
    slug     names it in links
    """

    path: Path
    results: Results
    started: datetime
    release: str
    order: Order
    slug: str = ""

    def why_in_part(self) -> str:
        """Why passing here is passing in part, or empty."""
        asked = self.results.asked
        if not self.results.complete:
            return f"incomplete: {self.results.reason}"
        narrowed = [one for one in asked.arguments if NARROWING.match(one)]
        if asked.subject == TORCH_NN and not {*MODULES, *SINGLE_STEPS} <= set(asked.cells):
            narrowed = narrowed or ["--cell"]
        if asked.case:
            narrowed = narrowed or ["--case"]
        return f"asked in part: {', '.join(narrowed)}" if narrowed else ""

    def age(self, made: datetime) -> str:
        """How old the results are on a page of this time."""
        days = (made.date() - self.started.date()).days
        if days < 0:
            return "after this page"
        return "on the day of this page" if days == 0 else f"{counted(days, 'day')} before this page"

    @property
    def day(self) -> str:
        """When it ran, in UTC."""
        return self.started.date().isoformat()


def read(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The newest run of each release, the oldest release first, and what was left out for it in words.

    Raises ResultsError.
    """
    newest: dict[Order, Run] = {}
    words = []
    for run in sorted((_run(path) for path in paths), key=lambda one: one.started, reverse=True):
        kept = newest.setdefault(run.order, run)
        if kept is not run:
            names = [one_line(str(one.path)) for one in (run, kept)]
            words.append(f"{names[0]} is left out: {names[1]} is of {one_line(kept.release)} too, and newer")
    runs = [newest[order] for order in sorted(newest)]
    return [replace(run, slug=_slug(run, place)) for place, run in enumerate(runs)], words


def _slug(run: Run, place: int) -> str:
    """A name without foreign text."""
    subject, is_none, version, _ = run.order
    return f"run{place}" if subject or is_none else str(version)


def _run(path: Path) -> Run:
    """A results file. Raises ResultsError."""
    results = load(path)
    try:
        started = datetime.fromisoformat(results.started)
        if started.tzinfo is None:
            raise ValueError
        started = started.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        said = f"started: {one_line(results.started, 60)!r} is no time with its zone; {AGAIN}"
        raise ResultsError(f"{one_line(str(path))}: {said}") from None
    subject = results.asked.subject if results.asked.subject != TORCH_NN else ""
    torch = results.environment.torch
    try:
        version, is_none = Version(Version(torch).public), False
    except ValueError:  # no version, or one of too many digits
        version, is_none = Version("0"), True
    release = torch if is_none else str(version)
    order = (subject, is_none, version, torch if is_none else "")
    return Run(path, results, started, f"{subject}, {release}" if subject else release, order)
