"""A finding of a property that draws no case, in a call of the one row that shows it: of a table its worst value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.harness.checks import case_record
from conformance.harness.checks.bounds import allowed, from_inputs, from_own_states
from conformance.harness.checks.case_record import CaseRecord, Found
from conformance.harness.checks.values import NOT_ACCURATE, OUTSIDE, assert_accurate, assert_within
from conformance.harness.execution.observation import Observation
from conformance.harness.findings.recorder import Element, Finding
from conformance.harness.observe import observe
from conformance.harness.property import Property
from conformance.harness.session import Session
from conformance.relations import row_alone


def in_one_row(here: Session, tested: Property, found: Found) -> Found:
    """The same finding of its row alone, judged alike; as it is where one row does not show it."""
    finding, problem = found.finding, found.seen.problem
    element = finding.element
    if element is None or element.other or problem.batch_size == 1 or not _is_of_rows(finding):
        return found
    row = element.where["row"]
    aside = here.aside((finding.route,))
    with case_record.entered(
        CaseRecord(aside, tested.clause, tested.name, finding.cell, module=tested.module)
    ) as record:
        for seen in observe(row_alone(problem, row), (finding.route,)):
            _judge(seen, finding, element)
    alone = next((one for one in record.findings if one.finding.signature == finding.signature), None)
    if alone is None:
        return found
    lines = (
        *alone.finding.lines,
        f"it is row {row} of the {problem.batch_size:,} rows of the call that was made first",
    )
    return alone._replace(finding=replace(alone.finding, lines=lines, kernels=finding.kernels))


def _is_of_rows(finding: Finding) -> bool:
    """Whether it is about a number that the documented equations give of its row alone."""
    return finding.kind == OUTSIDE or finding.kind.endswith(NOT_ACCURATE)


def _judge(seen: Observation, finding: Finding, element: Element) -> None:
    """Compares as the property did that found it."""
    if finding.kind == OUTSIDE:
        assert_within(seen, from_own_states if element.forced else from_inputs)
        return
    function = finding.kind.removesuffix(NOT_ACCURATE).strip()
    got = seen.results[element.name]
    exact = np.full_like(got.values, element.wanted)
    assert_accurate(seen, function, got, exact, getattr(allowed(seen), function))
