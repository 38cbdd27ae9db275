"""All results of a call: the verdict on each, what two of them differ by, and the answer in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from conformance.harness.checks.ratios import is_bounded, says_nothing
from conformance.harness.checks.values import number
from conformance.harness.findings.rendering import constructor, counted, input_words, row, wrapped
from conformance.harness.foreign_text import one_line
from conformance.judging.recorded_call import RecordedCall
from conformance.judging.sampling import rows_judged
from conformance.judging.verdict import WIDTH, Verdict, differentiable_here, from_inputs, judged, share
from reference.network import Enclosure

MOST_ROWS_NAMED = 20


@dataclass(frozen=True)
class Difference:
    """What two results of one call differ by, where they differ most.

    allowed  what two correct results may differ by there; inf where the bounds from the inputs say nothing
    """

    names: tuple[str, str]
    place: str
    values: tuple[float, float]
    allowed: float

    @property
    def size(self) -> float:
        one, other = self.values
        return 0.0 if one == other else float(np.nan_to_num(abs(one - other), nan=np.inf, posinf=np.inf))


@dataclass(frozen=True)
class Report:
    """Verdicts by label, differences between each two results, and all of it as text."""

    verdicts: Mapping[str, Verdict]
    differences: tuple[Difference, ...]
    text: str

    @property
    def allowed(self) -> bool:
        return all(verdict.allowed for verdict in self.verdicts.values())

    @property
    def says_nothing(self) -> bool:
        """Whether of no result anything can be said."""
        return all(verdict.says_nothing for verdict in self.verdicts.values())


def report(call: RecordedCall, seed: int = 0) -> Report:
    """Judges every result of a call; `seed` draws the rows of one too large to be judged whole. Raises JudgeError."""
    rows = rows_judged(
        call.problem, [labelled for seen in call.results.values() for labelled in seen.results.values()], seed
    )
    whole = from_inputs(call, rows)
    verdicts = {label: judged(call, label, rows, whole) for label in call.results}
    differences = tuple(_difference(call, pair, rows, whole) for pair in combinations(call.results, 2))
    lines = [*_head(call, rows, seed)]
    lines += [verdict.text for verdict in verdicts.values()]
    lines += [line for difference in differences for line in _difference_text(difference)]
    lines += wrapped(answer(verdicts, differences), WIDTH)
    return Report(verdicts, differences, "\n".join(lines))


def _head(call: RecordedCall, rows: tuple[int, ...], seed: int) -> Iterator[str]:
    """What was judged, by which model, and which of its rows."""
    p, a = call.problem, call.problem.architecture
    yield from row("module", f"{constructor(a)}, {p.dtype}, {p.device}", WIDTH)
    words = input_words(p.batch_size, p.steps, p.lengths or (), p.unbatched, p.h_0 is not None)
    yield from row("input", one_line(words), WIDTH)
    yield from row("bounds", f"{p.dtype}, {call.rounding.provenance}", WIDTH)
    if len(rows) < p.batch_size:
        named = " ".join(map(str, rows[:MOST_ROWS_NAMED])) + (" ..." if len(rows) > MOST_ROWS_NAMED else "")
        chosen = f"{len(rows):,} of {p.batch_size:,} are judged, drawn with --seed {seed}: {named}"
        yield from row("rows", chosen, WIDTH)
    if any(seen.raw_gradients for seen in call.results.values()) and not differentiable_here(p, rows):
        yield from row("without", "gradients, which take too long for a call of this size", WIDTH)


def _difference(call: RecordedCall, pair: tuple[str, str], rows: tuple[int, ...], whole: Enclosure) -> Difference:
    """What two results differ by in the rows that are judged."""
    steps = whole.output.midpoint.shape[1]
    ours, theirs = (call.results[label].results for label in pair)
    found = []
    for name in [name for name in ours if name in theirs]:
        one, other, ball = ours[name].rows(rows, steps), theirs[name].rows(rows, steps), getattr(whole, name)
        with np.errstate(invalid="ignore"):
            apart = np.nan_to_num(np.abs(one.values - other.values), nan=np.inf)
        apart[(one.values == other.values) | (np.isnan(one.values) & np.isnan(other.values))] = 0
        at = tuple(int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))
        silent = says_nothing(ball, is_bounded(call.problem, name))[at]
        both = np.inf if silent else 2 * float(ball.radius[at])
        found.append(Difference(pair, one.at(at), (float(one.values[at]), float(other.values[at])), both))
    return max(found, key=lambda one: one.size, default=Difference(pair, "no array that both have", (0.0, 0.0), np.inf))


def _difference_text(difference: Difference) -> Iterator[str]:
    (one, other), (ours, theirs) = difference.names, difference.values
    yield from wrapped(f"{one} and {other} differ most at {difference.place}", WIDTH, "DIFF  ", " " * 6)
    column = max(11, len(one), len(other))
    said = ((one, number(ours)), (other, number(theirs)), ("apart", f"{difference.size:.2g}; {_beside(difference)}"))
    for label, words in said:
        yield from wrapped(words, WIDTH, f"    {label:<{column}} ", " " * (column + 5))


def _beside(difference: Difference) -> str:
    """A difference beside what is allowed there."""
    if difference.size == 0:
        return "they are the same"
    if not np.isfinite(difference.allowed):
        return "the bounds from the inputs say nothing there"
    return f"two correct results may be {difference.allowed:.2g} apart there"


def answer(verdicts: Mapping[str, Verdict], differences: Sequence[Difference] = ()) -> str:
    """The answer in one sentence."""
    wrong = {label: verdict for label, verdict in verdicts.items() if not verdict.allowed}
    if wrong:
        label, worst = max(wrong.items(), key=lambda item: item[1].times)
        of = f"{label}, whose " if label else ""
        right = [label for label, verdict in verdicts.items() if verdict.allowed and not verdict.says_nothing]
        also = f"; {' and '.join(right)} is allowed" if len(right) == 1 and len(verdicts) > 1 else ""
        others = f" (and {counted(len(wrong) - 1, 'other result')})" if len(wrong) > 1 else ""
        return f"not allowed: {of}{worst.field}, {worst.place} {worst.far} (clause {worst.clause}){others}{also}"
    if all(verdict.says_nothing for verdict in verdicts.values()):
        return "nothing can be said: an intermediate result may overflow, or errors may grow as large as the values"
    silent = max(verdict.vacuous for verdict in verdicts.values())
    said = f", as far as the bounds say anything ({share(silent)} say nothing)" if silent else ""
    if not differences:
        return f"allowed: a correct implementation may return this{said}"
    return f"allowed: {' and '.join(verdicts)} are results of correct implementations, {_apart(differences)}{said}"


def _apart(differences: Sequence[Difference]) -> str:
    """The largest difference in words, beside what is allowed there."""
    most = max(differences, key=lambda one: one.size)
    within = f" where {most.allowed:.2g} is allowed" if np.isfinite(most.allowed) else ""
    return f"at most {most.size:.2g} apart{within}" if most.size else "equal to the bit"
