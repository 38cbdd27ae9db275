"""What a test's report says to JUnit and others beside pytest's own words: clause, cell, severity, case, signature."""

from __future__ import annotations

from typing import Any

from conformance.clauses import AMBER, RED, REMARK
from conformance.harness import session
from conformance.harness.findings.counts import KNOWN
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.findings.rendering import MOST, one_line
from conformance.harness.property import Property
from conformance.harness.pytest_plugin.report import FINDINGS

PASS = "pass"

OUTCOMES = (RED, AMBER, REMARK, KNOWN)
"""What may be found in a case, the worst first."""


def of_outcome(report: Any, found: Property, cell: str) -> list[tuple[str, str]]:
    """What a property's test found: its severity, and the case line and signature of each red finding, or of the quiet
    ones that are kept."""
    node, recorder = node_of(found.name, cell), session.current().recorder
    red = [Finding.from_json(one) for name, value in report.user_properties if name == FINDINGS for one in value]
    shown = red or [one for one in recorder.quiet_findings() if one.node == node]
    met = recorder.tallies[node].found if node in recorder.tallies else {}
    severity = RED if red else next((outcome for outcome in OUTCOMES if outcome in met), PASS)
    told = [("severity", severity)] if red or report.outcome == "passed" else []
    for one in shown:
        told += [("case", one_line(one.case, MOST)), ("signature", one_line(" | ".join(one.signature), MOST))]
    return told
