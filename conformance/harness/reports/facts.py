"""What a human needs to write a report in their own words, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote_plus

from conformance.clauses import CLAUSES, DOCS, RED, REMARK
from conformance.harness.cells import CELL_NAMES, class_of
from conformance.harness.checks.case_record import Found
from conformance.harness.checks.values import NOT_ACCURATE, NOT_EXACT, OUTSIDE
from conformance.harness.execution.failure import EXITED, KILLED, LOST, TIMED_OUT
from conformance.harness.execution.lived import AfterOperation
from conformance.harness.execution.observation import Refused
from conformance.harness.execution.requests.packing import TORCH_PACKING
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.life_words import WORDS, word_of
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.rendering import finding_text
from conformance.harness.foreign_text import one_line
from conformance.harness.reports.quoted import quotation
from conformance.harness.reports.templating import MARKDOWN, Code, code
from conformance.harness.reports.titles import invalid_and, where_in_life
from conformance.harness.reports.two_sides import by_the_equations, compared_with
from conformance.harness.reports.versions import versions

WIDTH = 80
SEARCH = "https://github.com/pytorch/pytorch/issues?q="
MOST_WORDS = 12
"""Words of one search; the tracker finds nothing for a whole message."""

AGAINST_EQUATIONS = (OUTSIDE, "is missing")
"""Kinds of findings about a number that the documented equations give."""


def facts(found: Found, outcome: str, also: Sequence[str] = ()) -> str:
    """The facts of a finding; outcome: what its script did, in words. also: the other places of the same cause."""
    finding, spelled = found.finding, found.seen.manner.spelled
    clause = CLAUSES[finding.clause]
    return MARKDOWN.get_template("facts.md.j2").render(
        title=title(found),
        text=finding_text(finding, WIDTH),
        **code(id=clause.id, claim=clause.claim, source=source_of(finding, spelled)),  # the suite's
        quotation=quotation(finding.field, finding.case, finding.cell, spelled),
        promised=clause.severity != REMARK,
        wrong=which_is_wrong(found),
        script=outcome,
        also="; ".join(also),
        searches=[(words, Code(SEARCH + quote_plus(words))) for words in searches(finding, spelled)],
        elsewhere="" if finding.subject in (TORCH_NN, TORCH_PACKING) else finding.subject,
        versions=versions(),
    )


def title(found: Found) -> str:
    """The finding in a line: `LSTM, float32: output outside its bound`."""
    finding, spelled, invalid = found.finding, found.seen.manner.spelled, invalid_and(found)
    if finding.subject == TORCH_PACKING:
        name = f"{TORCH_PACKING}.{finding.field.partition('.')[0]}" if invalid else TORCH_PACKING
    else:
        name = f"{CELL_NAMES[finding.cell]}, {finding.dtype}" + (f", arguments {spelled}" if spelled else "")
    if not invalid and finding.field.startswith("after "):
        return f"{name}: {finding.kind} {where_in_life(finding)}"
    return f"{name}: {invalid or f'{finding.field} {finding.kind}'}"


def which_is_wrong(found: Found) -> str:
    """Which result is wrong, and why."""
    finding = found.finding
    first, element = _in_a_line(finding.lines[0]) if finding.lines else "", finding.element
    if finding.failure is not None or finding.kind.startswith("raised "):
        return _of_exception(found, first)
    if finding.severity != RED:
        return f"None, strictly: no sentence promises otherwise, or no bound was measured here. {first}"
    if isinstance(found.seen, AfterOperation) and finding.documented:
        return f"What the module has: {first}. A fresh module with the same weights has what is documented."
    if finding.documented:
        return f"What the call gives, because the documentation names the right value: {first}"
    if element is not None and (finding.kind in AGAINST_EQUATIONS or finding.kind.endswith(NOT_ACCURATE)):
        start = ", from the h that the call returned one step before" if element.forced else ""
        return (
            f"The call's. The documented equations, computed in float64 with a bound on every rounding error{start}, "
            f"give {element.wanted:.9g}; no correct implementation is off by more than {element.allowed:.2g}. {first}"
        )
    if finding.kind == NOT_EXACT and element is not None:
        return f"The call's. The documented equations give {element.wanted:.9g}, with nothing to round: {first}"
    if element is not None and (compared := compared_with(found, element)):
        return f"{compared}: {first}. {by_the_equations(found, element)}".rstrip()
    return f"The call's: {first}"


def _in_a_line(text: str) -> str:
    """A line of a finding without the spaces that set its parts apart."""
    return re.sub(r" {3,}", ", ", text.replace(":  ", ": "))


def _of_exception(found: Found, first: str) -> str:
    """That a call ends without a result, and what shows that it should have one."""
    if isinstance(found.seen, Refused):
        return f"The call's: {first}"
    if isinstance(found.seen, AfterOperation):
        return (
            "A fresh module with the same weights gives a result, and torch.nn.Linear does after the same operations. "
            f"This module gives none: {first}"
        )
    return f"The call gives no result, though it is a documented one: {first}"


def module_of(finding: Finding) -> str:
    """PyTorch's class that a finding is about, or whose place its subject takes; "" where it is about none."""
    return class_of(finding.cell) if finding.cell and finding.subject != TORCH_PACKING else ""


def source_of(finding: Finding, spelled: str = "") -> str:
    """The page of the documentation that a finding is about: of a utility that is refused badly, and of a class whose
    arguments are given in some way, its own."""
    if spelled and (name := module_of(finding)):
        return f"{DOCS}torch.nn.{name}.html"
    if finding.subject == TORCH_PACKING and "." in finding.field and finding.clause in REFUSALS:
        return f"{DOCS}{TORCH_PACKING}.{finding.field.partition('.')[0]}.html"
    return CLAUSES[finding.clause].link_for(module_of(finding))


def searches(finding: Finding, spelled: str = "") -> list[str]:
    """Words to search the tracker for before reporting: those that its reports use, not this suite's."""
    name = module_of(finding) or re.split("[:.]", finding.field)[0]
    texts = [f"{name} {words}" for words in ((f"arguments {spelled}",) if spelled else _words(finding))]
    words = [" ".join(re.findall(r"[\w.]+", one_line(text))[:MOST_WORDS]) for text in [*texts, _message(finding)]]
    return list(dict.fromkeys(one for one in words if one))


def _message(finding: Finding) -> str:
    """What an exception or a warning says."""
    if finding.kind.startswith("warns: "):
        return finding.kind.partition(": ")[2]
    if finding.failure is not None:
        return finding.failure.message
    return finding.lines[0].partition(": ")[2] if finding.kind.startswith("raised ") else ""


def _words(finding: Finding) -> tuple[str, ...]:
    """What goes wrong in common words."""
    failure, operation = finding.failure, finding.field.removeprefix("after ")
    if operation in WORDS:
        functions = word_of(operation, finding.cell).split(", ")
        return (f"{functions[-1]} {finding.kind}", " ".join(functions), f"_flat_weights {functions[-1]}")
    if failure is not None and failure.kind in OF_FAILURES:
        return OF_FAILURES[failure.kind]
    result = next((word for name, word in OF_FIELDS.items() if finding.field.startswith(name)), "")
    argument = finding.field.split(".")[-2] if finding.clause in REFUSALS and "." in finding.field else ""
    result = result or argument or finding.field.rpartition(": ")[2]
    found = next((words for begin, words in OF_KINDS.items() if finding.kind.startswith(begin)), None)
    return tuple(word.replace("{}", result) for word in found or (f"{{}} {finding.kind}",))


REFUSALS = ("J1", "J2")

OF_FAILURES = {
    TIMED_OUT: ("hangs", "deadlock"),
    KILLED: ("crash", "segmentation fault"),
    EXITED: ("crash",),
    LOST: ("crash",),
}
"""Words for calls that end their process or do not return."""

OF_FIELDS = {"gradient": "gradient", "output": "output", "h_n": "hidden state", "c_n": "cell state"}
"""Words for what deviates, by the beginning of its name."""

WRONG = ("wrong {}", "incorrect {}")

OF_KINDS = {
    OUTSIDE: WRONG,
    "is not exact": WRONG,
    "is missing": ("missing {}", "None {}"),
    "is not zero": WRONG,
    "differs": ("different {}", "inconsistent {}"),
    "does not agree": ("different {}", "inconsistent {}"),
    "equals": WRONG,
    "two passes do not add up": ("wrong {} second backward retain_graph",),
    "shape": ("{} wrong shape",),
    "dtype": ("{} wrong dtype",),
    "device": ("{} wrong device",),
    "changes": ("modifies input in place",),
    "returns the memory of": ("output shares memory with input",),
    "grows": ("memory leak",),
    "raised": ("error",),
    "refused": ("{} not supported",),
    "refuses": ("not implemented for",),
    "takes": ("{} no error",),
    "warns": ("warning",),
    "leaves out": ("repr",),
    "is not refused": ("{} shape check", "invalid {}", "{} segmentation fault"),
    "accepted": ("invalid {} no error",),
    "spoils": ("wrong after an error",),
}
"""Words for how it deviates, by the beginning of a finding's kind."""
