"""The layout of findings and summaries as text: labels, wrapped lines, sanitised foreign text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from conformance.harness.cells import CELL_NAMES, class_of
from conformance.harness.execution.routes import PACKING, ROUTES
from conformance.harness.findings.life_words import in_words
from conformance.harness.foreign_text import MOST, one_line, printable
from reference.invalid_calls import UTILITIES
from reference.problem import RNN_RELU, Architecture
from strategies import Case, CaseError, parse

if TYPE_CHECKING:
    from conformance.harness.findings.recorder import Finding

NARROWEST = 60
"""Narrower terminals are treated as this many columns wide."""

LINK = re.compile(r"https?://[^\s)\],;]+")

LONGEST_COMMAND = 20_000
"""The most characters of a case line or a command, which are of no use where they are cut: none comes near it."""

_PADDED = ("got", "reference", "allowed", "documented", "printed")
"""Words whose numbers are aligned in a column."""

_COLUMN = 14
"""The width of their numbers, behind which what is said of each is aligned too."""

_SAID_OF_NUMBER = re.compile(r"(-?[0-9][0-9.e+-]*|-?inf|nan) (.+)")

SIZE_WORDS = {
    "batch_size": "row",
    "steps": "step",
    "hidden_size": "unit",
    "input_size": "feature",
    "num_layers": "layer",
}
"""What the sizes of a case count."""


def terminal_width() -> int:
    """The columns of the current terminal."""
    return max(NARROWEST, shutil.get_terminal_size().columns)


def rounded(times: float) -> str:
    """How many times, to two digits: `1.3`, `690,000`, `4e+12`."""
    return f"{float(f'{times:.2g}'):,.0f}" if 10 <= times < 1e9 else f"{times:.2g}"


def counted(number: int, what: str) -> str:
    """`1 test`, `2 tests`, `3 properties`."""
    plural = what[:-1] + "ies" if what.endswith("ty") else what + "s"
    return f"{number:,} {what if number == 1 else plural}"


def listed(values: Iterable[object], most: int) -> str:
    """Values behind one another, the first `most` of them."""
    several = [str(value) for value in values]
    return ", ".join(several[:most]) + (", ..." if len(several) > most else "")


def wrapped(text: str, width: int, head: str = "", indent: str = "") -> list[str]:
    """Lines of at most `width` columns, the first after `head`, the others after `indent`.

    A link is never cut. One that does not fit stands on a line of its own.
    """
    lines, line, is_empty, alone = [], head, True, False
    for word in text.split():
        for piece in _pieces(word, width - max(len(indent), len(head))):
            if not is_empty and (alone or len(line) + 1 + len(piece) > width):
                lines.append(line)
                line, is_empty = indent, True
            line, is_empty = line + ("" if is_empty else " ") + piece, False
            alone = len(line) > width
    return [*lines, line.rstrip()]


def _pieces(word: str, room: int) -> Iterator[str]:
    """A word cut into pieces that fit; links stay whole."""
    link = LINK.search(word)
    if link is None or len(word) <= room:
        yield from (word[i : i + room] for i in range(0, len(word), room))
        return
    if link.start():
        yield from _pieces(word[: link.start()], room)
    yield link.group()
    if link.end() < len(word):
        yield from _pieces(word[link.end() :], room)


def finding_text(finding: Finding, width: int) -> str:
    """A finding as a terminal of `width` columns shows it."""
    clause = f"{finding.severity.upper():<4} {finding.clause:<3} "
    fails = "fails" if finding.cell else "fail"
    who = finding.subject if finding.route == PACKING else CELL_NAMES[finding.cell]  # packing knows no cell
    lines = wrapped(f"{who} {fails}: {finding.claim}", width, clause, " " * len(clause))
    for sentence in finding.what:
        lines += row("what", one_line(sentence, MOST), width)
    lines += row("module", _module(finding), width)
    if (case := case_of(finding)) is not None:
        lines += row("input", _input(case) + _about_values(finding), width)
        lines += row("done", in_words(case.history, finding.cell), width) if case.history else []
    if not finding.repeatable:
        lines += wrapped("NOT REPEATABLE: the same case gave something else before", width, "  ", "    ")
    for number, line in enumerate(finding.lines):
        lines += detail(line, width)
        lines += _by_hand(finding, width) if number == 0 else []
    lines += _rate(finding, width)
    return "\n".join(map(printable, [*lines, f"  again    {finding.again}"]))


def _module(finding: Finding) -> str:
    """What was judged: the class with its arguments, dtype, route and kernels."""
    route = ROUTES[finding.route].words if finding.route in ROUTES else finding.route
    found = case_of(finding)
    built = constructor(found.architecture(finding.cell)) if found is not None else CELL_NAMES[finding.cell]
    at = f"{finding.module}: " if finding.module else ""
    if finding.route == PACKING and finding.field.partition(".")[0] in UTILITIES:
        return one_line(f"{finding.subject}.{finding.field.partition('.')[0]}, {finding.dtype}", MOST)
    named = f"{finding.subject}{'.' if finding.subject == 'torch.nn' and found is not None else ' '}{built}"
    kernels = f"kernels {'+'.join(finding.kernels)}" if finding.kernels else ""
    return one_line(", ".join(filter(None, (at + named, finding.dtype, route, kernels))), MOST)


def case_of(finding: Finding) -> Case | None:
    """The case of a finding, of the sizes that it shows; None where it has none."""
    line = finding.simplified or finding.case
    try:
        return parse(line)[0] if line and finding.cell else None
    except CaseError:
        return None


def constructor(architecture: Architecture) -> str:
    """How a module of this architecture is made: `LSTM(2, 3, num_layers=2)`."""
    a = architecture
    named = {"num_layers": a.num_layers, "bias": a.bias, "batch_first": a.batch_first, "dropout": a.dropout}
    named |= {"bidirectional": a.bidirectional, "proj_size": a.proj_size}
    usual = Architecture(a.cell, a.input_size, a.hidden_size)
    given = [f"{name}={value}" for name, value in named.items() if value != getattr(usual, name)]
    given += ["nonlinearity='relu'"] if a.cell == RNN_RELU else []
    return f"{class_of(a.name)}({', '.join([str(a.input_size), str(a.hidden_size), *given])})"


def _input(case: Case) -> str:
    """The input in words: `2 rows, 3 steps`."""
    words = input_words(case.batch_size, case.steps, case.lengths, "unb" in case.layout, "nohx" not in case.layout)
    return one_line(words if case.memory == "contiguous" else f"{words}, memory {case.memory}")


def _about_values(finding: Finding) -> str:
    """Which sizes the finding needs, and whether its numbers are simpler than those of its case."""
    least = finding.evidence.least if finding.evidence is not None else ()
    fewer = [f"{counted(size - 1, SIZE_WORDS[name])} pass" for name, size in least]
    words = f": the smallest that fails; {'; '.join(fewer)}" if fewer else ""
    return words + (", values simplified" if finding.simplified else "")


def _by_hand(finding: Finding, width: int) -> list[str]:
    """What the equations in plain lines of torch say of the element, and how far off such lines are themselves."""
    witness, element = finding.evidence.witness if finding.evidence else None, finding.element
    if witness is None or element is None:
        return []
    start = ", from the state returned before" if witness.from_returned else ""
    words = f"the equations in torch, float64{start}"
    words += "" if witness.agrees else ", which are not the reference's: please report it"
    if witness.working_error is not None and finding.dtype != "float64":
        words += f"; the same in {finding.dtype} are off by {witness.working_error:.2g}"
    elif witness.working_error:
        words += f"; off by {witness.working_error:.2g}"
    times = abs(element.got - witness.value) / witness.working_error if witness.working_error else 0
    if 2 <= times < float("inf"):
        words += f", got by {rounded(times)} times that"
    first = f"    {'by hand':<11} {witness.value:<{_COLUMN}.9g} "
    return wrapped(words, width, first, " " * len(first))


def _rate(finding: Finding, width: int) -> list[str]:
    """How often the call gave the finding, where that is not each time."""
    evidence = finding.evidence
    if evidence is None or evidence.failing == evidence.calls:
        return []
    return row("rate", f"in {counted(evidence.failing, 'call')} of {evidence.calls}", width)


def input_words(rows: int, steps: int, lengths: Sequence[int], unbatched: bool, states: bool) -> str:
    """The sizes of a call in words; lengths: those of a packed sequence, states: whether initial ones are passed."""
    words = [counted(rows, "row"), counted(steps, "step")]
    words += [f"packed with lengths {' '.join(map(str, lengths))}"] if lengths else []
    words += ["unbatched"] if unbatched else []
    words += [] if states else ["no initial states"]
    return ", ".join(words)


def row(label: str, text: str, width: int) -> list[str]:
    """Text behind a label of at most 8 letters, wrapped into the column beside it."""
    return wrapped(text, width, f"  {label:<8} ", " " * 11)


def detail(line: str, width: int) -> list[str]:
    """A line of a finding: what deviates, and below it each part that three spaces set apart."""
    where, colon, rest = line.partition(":  ")
    lines = row("where", one_line(where, MOST), width) if colon else []
    for number, part in enumerate(re.split(r" {3,}", rest if colon else line)):
        margin = "    " if colon or number else "  "
        word, _, more = one_line(part, MOST).partition(" ")
        if word in _PADDED and more:
            first = f"{margin}{word:<11} "
            if said := _SAID_OF_NUMBER.fullmatch(more):
                first, more = f"{first}{said[1]:<{_COLUMN}} ", re.sub(r"^\((\S+)\)$", r"\1", said[2])
            lines += wrapped(more, width, first, " " * len(first))
        else:
            lines += wrapped(f"{word} {more}", width, margin, "    ")
    return lines
