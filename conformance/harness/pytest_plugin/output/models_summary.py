"""What the summary says of a user's models, and of what a run did not reach in its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from conformance.clauses import CLAUSES
from conformance.harness.findings.recorder import SEPARATOR
from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import one_line
from conformance.harness.property import properties
from conformance.harness.pytest_plugin.asked import asked
from conformance.harness.pytest_plugin.output.report import Report
from strategies.configurations import Configuration

MOST_REASONS = 4
"""Of so many reasons why properties are not asked each has its count."""

FEWEST_REDUCED = 2
"""The number of steps that calls in every dtype may have, whatever is asked of them."""

APART = "properties that draw no case, and replays of known deviations, have sizes of their own: run without --like"
"""What is not asked of modules, whatever they are."""

Line = tuple[str, str]


def lines(report: Report) -> Iterator[Line]:
    """Labelled facts: a verdict for each model, what was left out or reduced, and what was not reached."""
    if report.session.fleet.sources:
        yield from _verdicts(report)
        yield "ASKED", _asked(report)
        yield "APART", APART if report.options.case is None else ""
        yield "REDUCED", _reduced(report)
        yield from (("LEFT OUT", text) for text in _left_out(report))
    yield "REACHED", _reached(report)


def _verdicts(report: Report) -> Iterator[Line]:
    """For each model its verdict, its modules, and where one deviates the clauses."""
    models = report.session.fleet
    broken, tested = broken_clauses(report), tested_modules(report)
    for place, source in enumerate(models.sources):
        modules = [(path, one) for one in models.configurations for model, path in one.modules if model == source]
        yield (
            ("MODELS" if place == 0 else ""),
            f"{verdict([one for _, one in modules], broken, tested)}  {one_line(source)}  "
            + ", ".join(path + _clauses(broken.get(one.name, set())) for path, one in modules),
        )


def broken_clauses(report: Report) -> dict[str, set[str]]:
    """The clauses of the red findings at each module, by its name."""
    broken: dict[str, set[str]] = {}
    for finding in report.findings:
        broken.setdefault(finding.module, set()).add(finding.clause)
    return broken


def tested_modules(report: Report) -> Counter[str]:
    """How many properties looked at a case of each module, by its name without what stands before a dash."""
    return Counter(node.rpartition("-")[2].rstrip("]") for node in report.session.recorder.tallies)


def verdict(modules: Sequence[Configuration], broken: Mapping[str, set[str]], tested: Mapping[str, int]) -> str:
    """FAIL where a module deviates, NOTHING where one was not tested, else PASS."""
    if any(one.name in broken for one in modules):
        return "FAIL"
    return "PASS" if all(one.name.rpartition("-")[2] in tested for one in modules) else "NOTHING"


def _clauses(broken: Iterable[str]) -> str:
    """The clauses that a module breaks: ` (B1 C1)`."""
    names = [clause for clause in CLAUSES if clause in set(broken)]
    return f" ({' '.join(names)})" if names else ""


def _asked(report: Report) -> str:
    """How many properties are asked of the modules, and the most frequent reasons why others are not."""
    if report.options.case is not None:
        return ""
    found = asked(properties(), report.session.fleet)
    reasons = [f"{count:,} {reason}" for reason, count in found.reasons.most_common(MOST_REASONS)]
    rest = found.reasons.total() - sum(count for _, count in found.reasons.most_common(MOST_REASONS))
    reasons += [f"{rest:,} others"] if rest else []
    modules = counted(len(report.session.fleet.configurations), "configuration")
    said = f"; not asked there: {', '.join(reasons)}" if reasons else ""
    return f"{counted(len(found.properties), 'property')} of {modules}{said}"


def _reduced(report: Report) -> str:
    """Which calls in full were too large for the run, and what they were reduced to."""
    said = list(_reduced_calls(report))
    longest = max(one.case.steps for one in report.session.fleet.configurations)
    few = "where bounds grow with the steps, calls to 5 of them, or 2 in bfloat16"
    said += [few] if longest > FEWEST_REDUCED else []
    dropping = any("drop" in one.case.layout for one in report.session.fleet.configurations)
    return "; ".join([*said, "gradients are tried without dropout"] if dropping else said)


def _reduced_calls(report: Report) -> Iterator[str]:
    """The smallest case that stands for a module's call in full, and the chapters in which it does."""
    whole = {one.name: one.case for one in report.session.fleet.configurations}
    chapters: dict[tuple[str, int, int], list[str]] = {}
    for place, (rows, steps) in sorted(report.session.recorder.reduced.items()):
        module, _, chapter = place.rpartition(SEPARATOR)
        chapters.setdefault((module, rows, steps), []).append(chapter)
    for (module, rows, steps), names in chapters.items():
        sizes = f"{counted(rows, 'row')} and {counted(steps, 'step')} of {whole[module].batch_size:,}"
        yield f"{one_line(module)} in {' and '.join(names)} to {sizes} and {whole[module].steps:,}"


def _left_out(report: Report) -> Iterator[str]:
    """Modules that are not tried, or not as they are."""
    several = len(report.session.fleet.sources) > 1
    for one in report.session.fleet.left_out:
        name = f"{one.model}:{one.name}" if several else one.name
        yield f"{one_line(name)}: {one_line(one.reason)}"


def _reached(report: Report) -> str:
    """How much of the contract a run came to, and of which clauses it did not reach properties; "" if all."""
    missing: Counter[str] = report.not_reached
    if not missing and not report.cut_short:
        return ""
    names = [*CLAUSES, "other"]
    by_clause = ", ".join(f"{name} {missing[name]}" for name in names if missing[name])
    total = len(report.session.recorder.tallies)
    cut = f"{counted(len(report.cut_short), 'property')} with fewer cases, " if report.cut_short else ""
    said = f"{missing.total():,} not reached: {by_clause}" if missing else "all others in full"
    return f"{counted(total, 'property')} in the time given; {cut}{said}"
