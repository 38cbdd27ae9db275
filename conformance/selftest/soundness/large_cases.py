"""Are the bounds of large cases sound, and do they say anything? A campaign over the properties of large sizes.

    python -m conformance.selftest.soundness.large_cases --cases 10000 --state FILE

Every property of a family of large cases judges torch.nn, batch by batch, on cases as the effort `default` draws them.
Counts add up over runs; a kill loses what was done since the state file was written, a few seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from pathlib import Path

import torch

from conformance.harness import session
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution import machine
from conformance.harness.execution.subject import Subject, torch_nn
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.rendering import counted
from conformance.harness.foreign_text import one_line
from conformance.harness.property import Property, derived_seed, properties
from conformance.harness.session import Session
from conformance.selftest.arguments import Parser, end_with
from conformance.selftest.soundness.large_cases_state import Row, State, table
from conformance.selftest.soundness.state_file import Kept, StateError, resumed, sources_hash
from strategies import Axes, Case
from strategies.axes import MOST_NUMBERS
from strategies.case_line import LARGEST_SEED
from strategies.drawn_cases import look_at
from strategies.real import RealCases

REAL = "real"
"""The axis of real configurations, in which every size is large."""

BATCH = 4
"""Cases of one property and cell before the next has its turn."""

GRADIENTS_EVERY = 3
"""One batch in so many differentiates, although fewer properties do: bounds of gradients are the hardest to derive."""


def differentiates(tested: Property) -> bool:
    """Whether a property is about gradients, by its chapter or its claim."""
    return tested.clause.id.startswith("C") or "gradient" in tested.name


@cache
def judging() -> tuple[tuple[Property, ...], tuple[Property, ...]]:
    """The properties of large cases: those about gradients, and the others."""
    large = [tested for tested in properties() if any(cases and cases.large for _, cases in tested.families)]
    return tuple(filter(differentiates, large)), tuple(one for one in large if not differentiates(one))


def turn(number: int) -> tuple[Property, str]:
    """The property and the cell of a batch: each property in turn, then each of its cells."""
    gradients, others = judging()
    before = -(-number // GRADIENTS_EVERY)
    chosen, place = (others, number - before) if number % GRADIENTS_EVERY else (gradients, before)
    rounds, which = divmod(place, len(chosen))
    cells = chosen[which].cells
    return chosen[which], cells[rounds % len(cells)]


def axis_of(tested: Property, cell: str) -> str:
    """What is large in the cases of a property: the name of its parameter, or of its size that is far out."""
    _, _, parameter = tested.name.rstrip("]").partition("[")
    family = tested.cases(cell)
    assert family is not None, "only properties that draw cases have a turn"
    return parameter or (REAL if isinstance(family, RealCases) else family.far or "pinned")


def fresh(subject: Subject, seed: int) -> State:
    """A campaign that has counted nothing yet."""
    return State(sources_hash(), torch.__version__, machine.capability(), subject.name, seed)


def batch(here: Session, seed: int, number: int) -> State:
    """One batch of cases, the same for the same arguments. The smallest case, which is always the first, is left out.

    Prints a line for each case with a finding.
    """
    tested, cell = turn(number)
    family, drawn = tested.cases(cell), list[Case]()
    assert family is not None, "only properties that draw cases have a turn"
    look_at(family, BATCH + 1, derived_seed(seed, f"batch {number}"), drawn.append, lambda: here.axes)
    found = fresh(here.subject, seed)
    found.batches = 1
    for case in drawn[1:]:
        row, line = judged(here, tested, cell, case)
        key = (tested.clause.id, axis_of(tested, cell), case.dtype)
        found.row(*key).add(row)
        found.differentiated += differentiates(tested)
        if line:
            found.findings.append(f"{' '.join(key)}: {line}")
            print(f"BEYOND {found.findings[-1]}", flush=True)
    return found


def judged(here: Session, tested: Property, cell: str, case: Case) -> tuple[Row, str]:
    """What a property counted in one case, and its first finding in one line; "" without one."""
    records: list[CaseRecord] = []
    here.on_case = records.append
    began = time.perf_counter()
    try:
        tested.check(cell, case)
    except Deviation:
        pass  # it is in the record, beside those of other severities
    except Exception:
        print(f"{tested.name} failed itself on {case.line(cell)}", file=sys.stderr)
        raise
    seconds = time.perf_counter() - began
    record = records[0]
    line = ""
    if record.findings:
        finding = record.findings[0].finding
        shown = one_line(" ".join((finding.severity + ",", finding.kind + ":", *finding.lines)))
        line = f"{counted(len(record.findings), 'finding')}, the first {shown}; {finding.again}"
    return Row(1, record.elements, record.vacuous, record.worst, bool(line), seconds), line


class LargeCases(Kept[State]):
    """Batches done by this process."""

    def run(self, cases: int, subject: Subject) -> None:
        """Continues until the state counts so many cases; the last batch is done in full."""
        with session.nested(Session(subject, Axes(most_numbers=MOST_NUMBERS["default"]))) as here:
            here.leave_out_unsupported_dtypes()
            self.add_all(self._batches(here, cases))

    def told(self) -> str:
        """Cases, those of gradients, seconds per case, and cases with a finding."""
        total = self.state.total()
        counts = f"{total.cases:,} cases, {self.state.differentiated:,} of gradients"
        return f"{counts}, {total.each:.2f} s each: {total.beyond} beyond"

    def _batches(self, here: Session, cases: int) -> Iterator[State]:
        numbers = count(self.state.batches)
        while self.state.total().cases < cases:
            yield batch(here, self.state.seed, next(numbers))


def _options(arguments: Sequence[str] | None) -> tuple[Parser, argparse.Namespace]:
    parser = Parser("large_cases", description="Judges torch.nn on large cases; counts add up in a state file.")
    parser.add_argument("--cases", type=int, default=1_000, help="how many cases the state is to count (1,000)")
    parser.add_argument("--state", type=Path, action="append", required=True, help="the file; --table takes several")
    parser.add_argument("--seed", type=int, default=0, help="which cases (0)")
    parser.add_argument("--table", action="store_true", help="print what the state files count, and run nothing")
    options = parser.parse_args(arguments)
    if options.cases < 1 or not 0 <= options.seed <= LARGEST_SEED:
        parser.error(f"--cases is at least 1, --seed lies between 0 and {LARGEST_SEED}")
    if len(options.state) > 1 and not options.table:
        parser.error("--state names one file, with --table one or more")
    return parser, options


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 without a finding, 1 with one, 2 for arguments or a state it cannot use."""
    parser, options = _options(arguments)
    subject = torch_nn()
    try:
        if options.table:
            print(table(State.load(path) for path in options.state))
            return 0
        campaign = LargeCases(resumed(options.state[0], fresh(subject, options.seed)), options.state[0])
    except StateError as error:
        parser.error(str(error))
    try:
        campaign.run(options.cases, subject)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 1 if campaign.state.total().beyond else 0


if __name__ == "__main__":
    end_with(main)
