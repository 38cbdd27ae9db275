"""The exception that a finding is raised as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conformance.harness.findings.recorder import Finding

Explain = Callable[[], tuple[str, ...]]


class Deviation(AssertionError):
    """A finding. Each signature (clause, field, kind) has a subclass, so that two defects are reported as two.

    explain: gives the finding's lines `what`
    """

    finding: Finding
    explain: Explain
    _by_signature: dict[tuple[str, str, str], type[Deviation]] = {}  # noqa: RUF012

    @classmethod
    def of(cls, finding: Finding, explain: Explain = tuple) -> Deviation:
        kind = cls._by_signature.get(finding.signature)
        if kind is None:
            kind = cls._by_signature[finding.signature] = type("Deviation", (Deviation,), {})
        deviation = kind(finding.text())
        deviation.finding, deviation.explain = finding, explain
        return deviation

    def explained(self) -> Finding:
        """The finding with what its numbers would be right for: looked for when it is shown, not when it is found."""
        return replace(self.finding, what=self.explain())
