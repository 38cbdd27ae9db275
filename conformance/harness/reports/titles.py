"""What a finding's title says beside the module: the invalid call, or the life, in words."""

from __future__ import annotations

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.failure import KILLED
from conformance.harness.execution.observation import Refused
from conformance.harness.findings.life_words import in_words, of_field
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.rendering import case_of
from reference.invalid_calls import read


def invalid_and(found: Found) -> str:
    """What is wrong with an invalid call, and what becomes of it; "" of a valid one."""
    if not isinstance(found.seen, Refused):
        return ""
    finding = found.finding
    failure, case = finding.failure, case_of(finding)
    ends = f"is {failure.title}" if failure is not None and failure.kind == KILLED else finding.kind
    packed = " with a packed input" if case is not None and case.lengths and not read(case.spoil).called else ""
    return f"{found.seen.wrong}, and the call {ends}{packed}"


def where_in_life(finding: Finding) -> str:
    """The operation of a life cycle that a finding is told of, in words."""
    failure, operation = finding.failure, finding.field.removeprefix("after ")
    itself = failure is not None and failure.message.startswith(f"in {operation}:")
    case = case_of(finding)
    before = case.history[: case.history.index(operation)] if itself and case is not None else ()
    after = f" after {in_words(before, finding.cell)}" if before else ""
    return of_field(finding.field, finding.cell, itself) + after
