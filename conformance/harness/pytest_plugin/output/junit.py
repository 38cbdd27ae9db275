"""What a test's report says to JUnit and others beside pytest's own words: clause, cell, severity, case, signature."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.clauses import AMBER, RED, REMARK
from conformance.harness import session
from conformance.harness.findings.counts import KNOWN
from conformance.harness.findings.known import Known
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.findings.rendering import LONGEST_COMMAND
from conformance.harness.foreign_text import one_line
from conformance.harness.property import Property
from conformance.harness.pytest_plugin.output.report import FINDINGS, STILL_THERE

PASS = "pass"

OUTCOMES = (RED, AMBER, REMARK, KNOWN)
"""What may be found in a case, the worst first."""

Properties = list[tuple[str, str]]


def of_property(report: Any, found: Property, cell: str) -> Properties:
    """Clause and cell of a property's test, the worst that it found, and the case line and signature of each red
    finding, or else of the quiet ones that are kept."""
    node, recorder = node_of(found.name, cell), session.current().recorder
    red = [Finding.from_json(one) for name, value in report.user_properties if name == FINDINGS for one in value]
    shown = red or [one for one in recorder.quiet_findings() if one.node == node]
    met = recorder.tallies[node].found if node in recorder.tallies else {}
    severity = RED if red else next((outcome for outcome in OUTCOMES if outcome in met), PASS)
    is_told = bool(red) or report.outcome == "passed"
    return [
        *_of(found.clause.id, cell, severity if is_told else ""),
        *_shown((one.case, one.signature) for one in shown),
    ]


def of_entry(report: Any, entry: Known, cell: str) -> Properties:
    """The same for the replay of a known deviation."""
    names = [name for name, _ in report.user_properties]
    severity = RED if FINDINGS in names else KNOWN if STILL_THERE in names else PASS
    return [*_of(entry.clause, cell, severity), *_shown([(entry.case, entry.signature)])]


def _of(clause: str, cell: str, severity: str) -> Properties:
    told = [("clause", clause), ("cell", cell), ("severity", severity)]
    return [(name, value) for name, value in told if value]


def _shown(findings: Iterable[tuple[str, tuple[str, str, str]]]) -> Properties:
    return [
        (name, one_line(text, LONGEST_COMMAND))
        for case, signature in findings
        for name, text in (("case", case), ("signature", " | ".join(signature)))
    ]
