"""The exception that a finding is raised as."""

from __future__ import annotations

from conformance.harness.findings.recorder import Finding


class Deviation(AssertionError):
    """A finding. Each signature (clause, field, kind) has a subclass, so that two defects are reported as two."""

    finding: Finding
    _by_signature: dict[tuple[str, str, str], type[Deviation]] = {}  # noqa: RUF012

    @classmethod
    def of(cls, finding: Finding) -> Deviation:
        kind = cls._by_signature.get(finding.signature)
        if kind is None:
            kind = cls._by_signature[finding.signature] = type("Deviation", (Deviation,), {})
        deviation = kind(finding.text())
        deviation.finding = finding
        return deviation
