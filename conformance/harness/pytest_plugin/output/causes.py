"""Which red findings probably share a cause: by what of their cases they need, and by what deviates.

A case that shrank keeps what its deviation needs: packed rows, a dtype, a second layer. What its property cannot do
without says nothing: a property that draws packed cases alone fails on a packed case, whatever the cause. So each
finding has what it surely needs, and what it may need; the fewest sets of needs that explain all findings are the
causes. Findings that need nothing are told apart by what deviates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from conformance.clauses import CLAUSES
from conformance.harness.cells import class_of
from conformance.harness.checks.refusals import NOT_REFUSED
from conformance.harness.execution.routes import EAGER_ROUTES
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.rendering import SIZE_WORDS, case_of, counted
from conformance.harness.property import Property, properties
from reference.invalid_calls import read
from strategies import Case

Needs = frozenset[str]

FEW = 5
"""Sizes up to this one are of every cause; larger ones that are left after shrinking are what it needs."""

LAYOUT = {
    "unb": "an unbatched input",
    "bf": "batch_first",
    "nobias": "bias=False",
    "nohx": "no initial states",
    "drop": "dropout in evaluation mode",
}

PLAIN: Needs = frozenset()

VALUES, GRADIENTS, INVALID, LIFE = "values", "gradients", "invalid calls", "life cycle"


def needs_of(case: Case) -> dict[str, Case]:
    """What sets a case apart from the plainest, in words, each with the same case without it."""
    found: dict[str, Case] = {}
    for word in (word for word in LAYOUT if word in case.layout):
        found[LAYOUT[word]] = replace(case, layout=tuple(one for one in case.layout if one != word))
    if case.packed:
        found["packed rows"] = replace(case, lengths=())
    if case.unsorted:
        found["rows that are not sorted"] = replace(case, lengths=tuple(sorted(case.lengths, reverse=True)))
    plain: dict[str, tuple[bool, Callable[[], Case]]] = {
        case.dtype: (case.dtype != "float32", lambda: replace(case, dtype="float32")),
        f"{case.memory} memory": (case.memory != "contiguous", lambda: replace(case, memory="contiguous")),
        "a projection": (case.projection, lambda: replace(case, proj_size=0)),
        "two directions": (case.bidirectional, lambda: replace(case, bidirectional=False)),
        "several layers": (case.num_layers > 1, lambda: replace(case, num_layers=1)),
        "weights of a model": (case.weights is not None, lambda: replace(case, weights=None)),
    }
    found |= {words: without() for words, (has, without) in plain.items() if has}
    large = [name for name in SIZE_WORDS if name != "num_layers" and getattr(case, name) > FEW]
    return found | {f"more than {counted(FEW, SIZE_WORDS[name])}": case.of_size(name, FEW) for name in large}


@dataclass(frozen=True)
class Placed:
    """A finding, what it surely needs, what it may need, and what deviates."""

    finding: Finding
    surely: Needs
    perhaps: Needs
    what: tuple[str, ...]

    @property
    def is_certain(self) -> bool:
        return self.surely == self.perhaps

    @property
    def relatives(self) -> str:
        """The class whose code it runs: RNN for either nonlinearity, one step or many."""
        return class_of(self.finding.cell).removesuffix("Cell") if self.finding.cell else ""

    @property
    def is_gradient(self) -> bool:
        return self.what[0] == GRADIENTS


@dataclass(frozen=True)
class Cause:
    """Findings that probably share a cause. needs: what every case of it has, in words, beside what deviates."""

    findings: tuple[Finding, ...]
    needs: tuple[str, ...] = ()

    @property
    def simplest(self) -> Finding:
        """The finding to begin with."""
        return self.findings[0]


def causes(findings: Iterable[Finding]) -> list[Cause]:
    """The probable causes of red findings, the one with most findings first."""
    placed = [_placed(finding) for finding in findings]
    least = _least(placed)
    seen = _Seen([one for one in placed if one.is_certain and least[id(one)] is one])
    groups: dict[tuple[Needs, tuple[str, ...]], list[Placed]] = {}
    for one in sorted(placed, key=lambda one: (not one.is_certain, one.is_gradient, len(one.perhaps))):
        like = least[id(one)]
        needs = seen.explaining(like)
        groups.setdefault((needs, () if needs else seen.joined(like)), []).append(one)
        seen.perhaps.setdefault(needs)
    return sorted(
        (_cause(needs, found) for (needs, _), found in groups.items()), key=lambda cause: -len(cause.findings)
    )


def _least(placed: Sequence[Placed]) -> dict[int, Placed]:
    """By the identity of each finding, the one in the same test that deviates alike and may need the least of what it
    may need.

    A test tells of several cases; those that the time did not suffice to make smaller need less than they have.
    """
    alike: dict[object, list[Placed]] = {}
    for one in placed:
        alike.setdefault((one.finding.test, one.finding.cell, one.what), []).append(one)
    found = {}
    for group in alike.values():
        for one in group:
            less = (other for other in group if other.perhaps < one.perhaps)
            found[id(one)] = min(less, key=lambda other: len(other.perhaps), default=one)
    return found


def _cause(needs: Needs, found: Sequence[Placed]) -> Cause:
    shared = needs or frozenset.intersection(*(one.perhaps for one in found))
    return Cause(tuple(sorted((one.finding for one in found), key=simplicity)), tuple(sorted(shared)))


class _Seen:
    """What findings surely need that may need nothing else, and what others were explained by so far, in order."""

    def __init__(self, certain: Sequence[Placed]) -> None:
        self.certain = Counter((one.surely, one.relatives) for one in certain)
        self.plain = {(one.finding.cell, one.what) for one in certain if not one.surely}
        self.sets = Counter(one.surely for one in certain)
        self.perhaps: dict[Needs, None] = {}

    def explaining(self, one: Placed) -> Needs:
        """The needs of the cause that explains a finding best: the fewest, that is what did not shrink away is left
        out; then those of its class; then those of most findings."""
        if not one.surely and (one.is_certain or (one.finding.cell, self.joined(one)) in self.plain):
            return PLAIN
        fitting = [
            needs for needs in self.sets if needs and needs <= one.perhaps and (needs & one.surely or not one.surely)
        ]
        if fitting:
            return min(fitting, key=lambda needs: self._order(needs, one.relatives))
        earlier = (needs for needs in self.perhaps if needs and one.surely <= needs <= one.perhaps)
        return next(earlier, one.perhaps)

    def _order(self, needs: Needs, relatives: str) -> tuple[int, int, int]:
        return len(needs), -self.certain[needs, relatives], -self.sets[needs]

    def joined(self, one: Placed) -> tuple[str, ...]:
        """What deviates in the group that a finding without needs joins: wrong gradients follow from wrong values."""
        values = (VALUES, *one.what[1:])
        return values if one.is_gradient and (one.finding.cell, values) in self.plain else one.what


def _placed(finding: Finding) -> Placed:
    case, tested = case_of(finding), _named().get(finding.test)
    if case is None or tested is None:
        return Placed(finding, frozenset(), frozenset(), what_deviates(finding))
    perhaps = needs_of(case)
    surely = {words for words, without in perhaps.items() if tested.fits(without, finding.cell)}
    if finding.route in EAGER_ROUTES[1:]:
        perhaps[finding.route] = case
    return Placed(finding, frozenset(surely), frozenset(perhaps), what_deviates(finding))


@cache
def _named() -> dict[str, Property]:
    return {tested.name: tested for tested in properties()}


def what_deviates(finding: Finding) -> tuple[str, ...]:
    """What tells findings apart that need nothing of their cases: words that are the same for one cause."""
    case = case_of(finding)
    if finding.surrounding:
        return (finding.surrounding,)
    if case is not None and case.spoil:
        is_accepted = finding.kind == NOT_REFUSED
        return (INVALID, read(case.spoil).argument if is_accepted else re.sub(r"\d+", "#", finding.kind))
    if finding.failed:
        return ("raised", likeness(finding))
    if finding.clause.startswith("I") and (case is None or case.history):
        return (LIFE, finding.kind)
    if finding.documented or finding.clause.startswith("A"):
        return (finding.clause, re.sub(r"\d+", "#", finding.kind))
    numbers = GRADIENTS if finding.field.startswith("gradient") else VALUES
    return (numbers, *([finding.cell] if finding.subject == TORCH_NN else []))


def likeness(finding: Finding) -> str:
    """What findings of one defect probably share: an exception's words without numbers, else the kernels reached."""
    if finding.failed:
        return re.sub(r"\d+", "#", finding.lines[0])
    return "+".join(finding.kernels) or f"route {finding.route}"


def simplicity(finding: Finding) -> tuple[bool, int, int]:
    """By what findings are ordered, the simplest first."""
    return not finding.case, len(finding.case), list(CLAUSES).index(finding.clause)
