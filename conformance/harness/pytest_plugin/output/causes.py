"""Which red findings probably share a cause: by what of their cases they need, and by what deviates.

A case that shrank keeps what its deviation needs: packed rows, a dtype, a second layer. What its property cannot do
without says nothing: a property that draws packed cases alone fails on a packed case, whatever the cause. So each
finding has what it surely needs, and what it may need; the fewest sets of needs that explain all findings are the
causes. Findings that need nothing are told apart by what deviates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from conformance.clauses import CLAUSES
from conformance.harness.execution.routes import EAGER_ROUTES
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.rendering import case_of
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
SIZES = {"hidden_size": "units", "input_size": "features"}

PLAIN: Needs = frozenset()

VALUES, GRADIENTS, INVALID, LIFE = "values", "gradients", "invalid calls", "life cycle"


def needs_of(case: Case) -> dict[str, Case]:
    """What sets a case apart from the plainest, in words, each with the same case without it."""
    found: dict[str, Case] = {}
    for word in (word for word in LAYOUT if word in case.layout):
        found[LAYOUT[word]] = replace(case, layout=tuple(one for one in case.layout if one != word))
    if case.packed:
        rows, steps = min(case.batch_size, FEW), min(case.steps, FEW)
        found["packed rows"] = replace(case, lengths=(), batch_size=rows, steps=steps)
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
    own = {} if case.packed else {"batch_size": "rows", "steps": "steps"}
    sizes = {name: words for name, words in (own | SIZES).items() if getattr(case, name) > FEW}
    return found | {f"more than {FEW} {words}": _reduced(case, name) for name, words in sizes.items()}


def _reduced(case: Case, name: str) -> Case:
    changed: dict[str, int] = {name: FEW}
    return replace(case, **changed)  # type: ignore[arg-type]


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


Groups = dict[tuple[Needs, tuple[str, ...]], list[Placed]]


def causes(findings: Iterable[Finding]) -> list[Cause]:
    """The probable causes of red findings, the one with most findings first."""
    placed = [_placed(finding) for finding in findings]
    every = {one.surely for one in placed}
    placed = [replace(one, surely=_part_of(one.surely, every)) for one in placed]
    groups: Groups = {}
    for one in sorted(placed, key=lambda one: (not one.is_certain, one.is_gradient, len(one.perhaps))):
        needs = one.surely if one.is_certain else _likeliest(one, groups)
        groups.setdefault((needs, () if needs else _joined(one, groups)), []).append(one)
    return sorted((_cause(found) for found in groups.values()), key=lambda cause: -len(cause.findings))


def _cause(found: Sequence[Placed]) -> Cause:
    needs = frozenset.intersection(*(one.perhaps for one in found))
    return Cause(tuple(sorted((one.finding for one in found), key=simplicity)), tuple(sorted(needs)))


def _part_of(needs: Needs, others: Iterable[Needs]) -> Needs:
    """The fewest of these needs that are all that another finding needs: the rest did not shrink away."""
    return min((other for other in others if other and other <= needs), key=len, default=needs)


def _joined(one: Placed, groups: Groups) -> tuple[str, ...]:
    """What deviates in the group that a finding without needs joins: wrong gradients follow from wrong values."""
    values = (VALUES, *one.what[1:])
    follows = one.is_gradient and any(
        other.finding.cell == one.finding.cell for other in groups.get((PLAIN, values), [])
    )
    return values if follows else one.what


def _likeliest(one: Placed, groups: Groups) -> Needs:
    """The needs of the cause that explains a finding which may need more than it surely does.

    They are those of another finding of its cell that certainly needs this much and deviates alike. Where there is
    none, they are all that it may need, or those of one that was placed so before.
    """
    cell, alike = one.finding.cell, {one.what, _joined(one, groups)}
    fitting = [(needs, found) for (needs, _), found in groups.items() if one.surely <= needs <= one.perhaps]
    certain = [needs for needs, found in fitting if any(_is_like(other, cell, alike) for other in found)]
    others = [needs for needs, found in fitting if needs and not any(other.is_certain for other in found)]
    return next(iter([*certain, *others]), one.perhaps)


def _is_like(other: Placed, cell: str, what: Collection[tuple[str, ...]]) -> bool:
    return other.is_certain and other.finding.cell == cell and other.what in what


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
        return (INVALID, read(case.spoil).argument)
    if finding.failed:
        return ("raised", likeness(finding))
    if finding.clause.startswith("I"):
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


def simplest_of(findings: Iterable[Finding]) -> Finding:
    """The finding with the shortest case line, of the first clause in the contract's order."""
    return min(findings, key=simplicity)


def simplicity(finding: Finding) -> tuple[bool, int, int]:
    """By what findings are ordered, the simplest first."""
    return not finding.case, len(finding.case), list(CLAUSES).index(finding.clause)
