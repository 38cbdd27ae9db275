"""The findings and counts of a run, as plain data that processes exchange as JSON."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any

from conformance.clauses import REMARK
from conformance.harness.cells import CELL_NAMES
from conformance.harness.execution.failure import Failure
from conformance.harness.findings.counts import KNOWN, JudgedCounts, PropertyStats
from conformance.harness.findings.life_words import WORDS, word_of
from conformance.harness.findings.rendering import LONGEST_COMMAND, finding_text, terminal_width
from conformance.harness.foreign_text import one_line


def command_of(case: str, node: str, options: str, ends_the_process: bool) -> str:
    """The command that runs a case again, or a test that has none; in a worker where it would end the run."""
    chosen = f'--case "{case}"' if case else f'-k "{node}"'
    words = ("pytest", chosen, options, "-n 1" if ends_the_process else "")
    return one_line(" ".join(filter(None, words)), LONGEST_COMMAND)


def claim(test: str) -> str:
    """The name of a property's test as a sentence: `results lie within their error bound (rows)`."""
    name, _, value = test.removeprefix("test_").partition("[")
    shown = value.removesuffix("]")
    if "." not in shown:  # a place such as h_0.layers is a name
        shown = word_of(shown) if shown in WORDS else shown.replace("_", " ")
    return name.replace("_", " ") + (f" ({shown})" if value else "")


def node(test: str, cell: str, module: str = "") -> str:
    """The name of a property's test for one cell, as pytest writes it: test_name[lstm] or test_name[lstm-value].

    module: the path of the user's module that it was asked of, which comes last.
    """
    name, _, value = test.partition("[")
    if not cell:
        return test
    return f"{name}[{'-'.join(filter(None, (cell, value.rstrip(']'), module)))}]"


Key = tuple[str, str, str, str]
"""The signature of a finding, and its cell."""


@dataclass(frozen=True)
class Element:
    """One element of a result, beside what it should be.

    where         its place in the result `name`: a number for each of layer, direction, row, step, unit, ...
    got, wanted   its value, and that of the reference or of the element that it is compared with
    allowed       by how much they may differ: 0 where bits must be equal
    other, there  the result and the place of the element that it is compared with; "" and {} for the reference
    forced        whether the reference takes one step from the call's own values, not the whole way from its inputs
    """

    name: str
    where: dict[str, int]
    got: float
    wanted: float
    allowed: float = 0.0
    other: str = ""
    there: dict[str, int] = field(default_factory=dict)
    forced: bool = False


@dataclass(frozen=True)
class Witness:
    """The element of a finding as the documented equations in plain lines of torch give it.

    value          in float64
    working_error  the largest error of the same lines in the dtype of the call, over the whole result; None where
                   PyTorch has no such operations in it
    from_returned  whether the step was computed from the state that the call returned before it
    agrees         whether the value is what the reference says, or what it is compared with is another call
    """

    value: float
    working_error: float | None
    from_returned: bool = False
    agrees: bool = True


@dataclass(frozen=True)
class Evidence:
    """What was found out about a finding that is shown.

    witness         a second opinion on its element, where it has one
    least           sizes that fail while one less passes, by the name of a case's field
    calls, failing  how often its case was called, and how often that gave the finding
    """

    witness: Witness | None = None
    least: tuple[tuple[str, int], ...] = ()
    calls: int = 1
    failing: int = 1

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Evidence:
        witness = Witness(**data["witness"]) if data["witness"] else None
        return cls(witness, tuple((name, size) for name, size in data["least"]), data["calls"], data["failing"])


@dataclass(frozen=True)
class Finding:
    """One deviation of one case.

    test is the property's name, cell "" where it is about no cell; field and kind say what deviates and how; known
    is the id of the known deviation that it is; repeatable is False where the same case gave something else before;
    options are those that name the subject on a command line; element is the one that the lines show, if any; what and
    evidence are added where it is shown: what the numbers would be right for, and what else was computed; simplified
    is the line of the sizes that are left where numbers were made simpler than those of the case; documented is the
    value of a fact as Python writes it; module is the path of the user's module that it was found at; surrounding is
    what was set around one of the calls.
    """

    severity: str
    clause: str
    test: str
    cell: str
    subject: str
    route: str
    dtype: str
    field: str
    kind: str
    lines: tuple[str, ...]
    case: str
    known: str = ""
    repeatable: bool = True
    kernels: tuple[str, ...] = ()
    options: str = ""
    what: tuple[str, ...] = ()
    failure: Failure | None = None
    element: Element | None = None
    evidence: Evidence | None = None
    simplified: str = ""
    documented: str = ""
    module: str = ""
    surrounding: str = ""

    @property
    def signature(self) -> tuple[str, str, str]:
        """What makes two findings the same defect, whatever the case."""
        return (self.clause, self.field, self.kind)

    @property
    def key(self) -> Key:
        """The signature, and the cell that has the defect."""
        return (*self.signature, self.cell)

    @property
    def shows_nan(self) -> bool:
        """Whether the element that it shows, or the one that this is compared with, is NaN."""
        if self.element is not None:
            return math.isnan(self.element.got) or math.isnan(self.element.wanted)
        return any(re.search(r"\bnan\b", line) for line in self.lines)

    @property
    def report_key(self) -> Key:
        """What one report tells of: the key; of a surrounding, results or gradients that deviate in the same way,
        whichever they are and whichever cell has them."""
        if not self.surrounding:
            return self.key
        what = "gradient" if self.field.startswith("gradient") else "result"
        kind = self.kind.partition(" from ")[0].partition(":")[0]
        return (self.clause, what, f"{kind} with {self.surrounding}", "")

    @property
    def place(self) -> str:
        """Where it is, for a report of several: `GRU output`."""
        return " ".join(filter(None, (CELL_NAMES[self.cell], self.field)))

    @property
    def outcome(self) -> str:
        """Its severity, or `KNOWN`."""
        return KNOWN if self.known else self.severity

    @property
    def failed(self) -> bool:
        """Whether the call gave no result."""
        return self.failure is not None

    @property
    def ended_process(self) -> bool:
        """Whether the call ended its process or did not return."""
        return self.failure is not None and self.failure.ended_process

    @property
    def node(self) -> str:
        """The test as pytest names it."""
        return node(self.test, self.cell, self.module)

    @property
    def claim(self) -> str:
        """What the property claims."""
        return claim(self.test)

    @property
    def again(self) -> str:
        """The command that reproduces it."""
        return command_of(self.case, self.node, self.options, self.ended_process)

    def text(self) -> str:
        """The finding as the terminal at hand shows it."""
        return finding_text(self, terminal_width())

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Finding:
        failed = data["failure"]
        failure = Failure(**(failed | {"frames": tuple(failed.get("frames", ()))})) if failed else None
        element = Element(**data["element"]) if data["element"] else None
        evidence = Evidence.from_json(data["evidence"]) if data["evidence"] else None
        texts = {name: tuple(data[name]) for name in ("lines", "kernels", "what")}
        return cls(**(data | texts | {"failure": failure, "element": element, "evidence": evidence}))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


SEPARATOR = "|"
"""What stands between the parts of a key."""

PASSED = "passed"
"""The outcome of a case in which nothing deviates."""

MOST_CASES = 200
"""Cases that are kept of a property and outcome."""

LEFT_OUT = "-"
"""What stands before an operation of a life cycle that does not apply."""


@dataclass
class LeftOut:
    """The number of calls left out for one reason: the refused feature, the device and the message."""

    what: str
    device: str
    message: str
    dtypes: set[str] = field(default_factory=set)
    cells: set[str] = field(default_factory=set)
    routes: set[str] = field(default_factory=set)
    calls: int = 0


@dataclass
class Recorder:
    """All of a process: a tally for each property and cell, one for each clause, cell, dtype and route, findings that
    do not fail, what was unsupported, how often each kernel was recorded, the worst error of a function over every
    16-bit value, in units of roundoff, the largest sizes, for each real configuration that was tried whether it was in
    full, for each user's module and chapter the rows and steps of the smallest case that stands for a larger call,
    how often each operation of a life cycle was done, by its name, each ordered pair of them, and each of them left out
    because it does not apply, what could not be written, with the reason, and in how many tests a setting from outside
    was undone; where entries for known deviations are to be written, also case lines of each property and outcome.
    """

    tallies: dict[str, PropertyStats] = field(default_factory=dict)
    judged: dict[str, JudgedCounts] = field(default_factory=dict)
    quiet: dict[str, tuple[Finding, int]] = field(default_factory=dict)
    unsupported: dict[str, int] = field(default_factory=dict)
    kernels: dict[str, int] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)
    real: dict[str, bool] = field(default_factory=dict)
    reduced: dict[str, list[int]] = field(default_factory=dict)
    lives: dict[str, int] = field(default_factory=dict)
    cases: dict[str, list[str]] = field(default_factory=dict)
    unwritten: dict[str, str] = field(default_factory=dict)
    put_right: dict[str, int] = field(default_factory=dict)

    def compared(self, clause: str, node: str, line: str, findings: Sequence[Finding]) -> None:
        """A case that a property looked at: kept by its clause and node, under PASSED or under each signature."""
        for outcome in {SEPARATOR.join(one.signature) for one in findings} or {PASSED}:
            kept = self.cases.setdefault(SEPARATOR.join((clause, node, outcome)), [])
            if len(kept) < MOST_CASES and line not in kept:
                kept.append(line)

    def undone(self, settings: Iterable[str]) -> None:
        """Settings from outside that were undone for a test."""
        for name in settings:
            self.put_right[name] = self.put_right.get(name, 0) + 1

    def measured(self, function: str, error: float) -> None:
        """The worst error of a function, such as `float16 tanh`, over every value."""
        self.accuracy[function] = max(error, self.accuracy.get(function, 0.0))

    def looked_at(self, **sizes: int) -> None:
        """A case of these sizes; the largest of each is kept."""
        for name, size in sizes.items():
            self.largest[name] = max(size, self.largest.get(name, 0))

    def looked_at_real(self, name: str, in_full: bool) -> None:
        """A case of a real configuration, as it is in use or reduced."""
        self.real[name] = in_full or self.real.get(name, False)

    def reduced_to(self, place: str, rows: int, steps: int) -> None:
        """A call in full had to be reduced to these rows and steps; the smallest of a module and chapter is kept."""
        before = self.reduced.get(place, [rows, steps])
        self.reduced[place] = min(before, [rows, steps], key=math.prod)

    def lived(self, history: Sequence[str], done: Sequence[str]) -> None:
        """A life cycle, and the operations of it that were done."""
        pairs = {SEPARATOR.join(pair) for pair in combinations(done, 2)}
        counted = Counter([*done, *pairs, *(LEFT_OUT + name for name in (Counter(history) - Counter(done)).elements())])
        for what, count in counted.items():
            self.lives[what] = self.lives.get(what, 0) + count

    def tally(self, node: str) -> PropertyStats:
        return self.tallies.setdefault(node, PropertyStats())

    def judged_at(self, clause: str, cell: str, dtype: str, route: str) -> JudgedCounts:
        """The counts of one clause, cell, dtype and route."""
        return self.judged.setdefault(SEPARATOR.join((clause, cell, dtype, route)), JudgedCounts())

    def deviated(self, node: str, findings: Sequence[Finding]) -> None:
        """A case in which a property found this."""
        for outcome in {one.outcome for one in findings}:
            self.tally(node).deviated(outcome)
        places = {((one.clause, one.cell, one.dtype, one.route), one.outcome) for one in findings}
        for place, outcome in places:
            self.judged_at(*place).deviated(outcome)

    def note(self, finding: Finding, count: int = 1) -> None:
        """A finding that does not fail the run; of each kind the shortest case is kept."""
        cells = "" if finding.severity == REMARK else finding.cell
        key = SEPARATOR.join((finding.severity, finding.known, *finding.signature, cells))
        kept, so_far = self.quiet.get(key, (finding, 0))
        shorter = finding if len(finding.case) < len(kept.case) else kept
        self.quiet[key] = (shorter, so_far + count)

    def skipped(self, cell: str, dtype: str, device: str, route: str, failure: Failure, feature: str = "") -> None:
        """A call left out: the subject refused the smallest one too, plain or with one feature of it."""
        key = json.dumps([feature, device, failure.text, dtype, cell, route])
        self.unsupported[key] = self.unsupported.get(key, 0) + 1

    def left_out(self) -> list[LeftOut]:
        """What was left out, a row for each feature (or dtype, where it was a plain call), device and message."""
        rows: dict[tuple[str, str, str], LeftOut] = {}
        for key, count in self.unsupported.items():
            feature, device, message, dtype, cell, route = json.loads(key)
            row = rows.setdefault((feature or dtype, device, message), LeftOut(feature or dtype, device, message))
            row.dtypes.add(dtype)
            row.cells.add(cell)
            row.routes.add(route)
            row.calls += count
        return [row for _, row in sorted(rows.items())]

    def quiet_findings(self) -> list[Finding]:
        return [finding for finding, _ in self.quiet.values()]

    def merge(self, data: dict[str, Any]) -> None:
        """Adds what another process recorded."""
        for node, counts in data["tallies"].items():
            self.tally(node).add(PropertyStats(**counts))
        for place, counts in data["judged"].items():
            self.judged.setdefault(place, JudgedCounts()).add(JudgedCounts(**counts))
        for finding, count in data["quiet"]:
            self.note(Finding.from_json(finding), count)
        for ours, theirs in (
            (getattr(self, name), data[name]) for name in ("unsupported", "kernels", "lives", "put_right")
        ):
            for what, count in theirs.items():
                ours[what] = ours.get(what, 0) + count
        for place, lines in data["cases"].items():
            self.cases.setdefault(place, []).extend(lines)
        self.looked_at(**data["largest"])
        for name, in_full in data["real"].items():
            self.looked_at_real(name, in_full)
        for place, (rows, steps) in data["reduced"].items():
            self.reduced_to(place, rows, steps)
        for function, error in data["accuracy"].items():
            self.measured(function, error)
        self.unwritten |= data["unwritten"]

    def to_json(self) -> dict[str, Any]:
        return {
            "tallies": {node: asdict(tally) for node, tally in self.tallies.items()},
            "judged": {place: asdict(counts) for place, counts in self.judged.items()},
            "quiet": [(finding.to_json(), count) for finding, count in self.quiet.values()],
            "unsupported": self.unsupported,
            "kernels": self.kernels,
            "accuracy": self.accuracy,
            "largest": self.largest,
            "real": self.real,
            "reduced": self.reduced,
            "lives": self.lives,
            "cases": self.cases,
            "unwritten": self.unwritten,
            "put_right": self.put_right,
        }


def most_frequent(findings: Iterable[tuple[Finding, int]], severity: str, known: bool) -> list[tuple[Finding, int]]:
    """The findings of one severity, known ones or others, the most frequent first."""
    chosen = [(f, n) for f, n in findings if f.severity == severity and bool(f.known) is known]
    return sorted(chosen, key=lambda pair: -pair[1])


def as_repeat(finding: Finding) -> Finding:
    """The finding, marked as not repeatable."""
    return replace(finding, repeatable=False)
