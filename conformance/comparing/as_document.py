"""A comparison as a JSON document, whole or not there at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from conformance.comparing.document import (
    SCHEMA,
    Bits,
    Bound,
    Compared,
    Deviation,
    File,
    Kernels,
    Sides,
    Time,
    Verdict,
)
from conformance.comparing.recorded import Recorded
from conformance.comparing.told import Outcome
from conformance.comparing.verdicts import Changed, Comparison
from conformance.harness.findings.recorder import Key
from conformance.harness.findings.rendering import LONGEST_COMMAND
from conformance.harness.foreign_text import MOST, one_line
from conformance.harness.pytest_plugin.output.results import suite_version
from conformance.results import files

NOTHING = Outcome(Comparison(), Comparison())
"""Of a comparison that did not end."""


def write(path: Path, sides: Sides, verdict: Verdict, lines: Sequence[str], outcome: Outcome = NOTHING) -> None:
    """Writes the document; a reader finds the one before or this one. Raises OSError."""
    made = document(sides, verdict, lines, outcome)
    files.write_text(path, json.dumps(asdict(made), indent=1, allow_nan=False) + "\n")


def document(sides: Sides, verdict: Verdict, lines: Sequence[str], outcome: Outcome) -> Compared:
    """The document of a comparison."""
    real = outcome.real
    return Compared(
        schema=SCHEMA,
        suite=suite_version(),
        verdict=verdict,
        lines=tuple(lines),
        sides=sides,
        differing=_texts(outcome.differing if isinstance(outcome, Recorded) else ()),
        cases=real.cases,
        false_flags=outcome.false_flags,
        new=_deviations(real.new, outcome),
        fixed=_deviations(real.fixed, outcome),
        bits=tuple(Bits(*place, count) for place, count in real.bits.most_common()),
        bounds=tuple(
            Bound(_text(clause), _text(cell), _text(dtype), one.old, one.new, (clause, cell, dtype) in outcome.lost)
            for (clause, cell, dtype), one in real.headroom.items()
        ),
        kernels=tuple(
            Kernels(*place, _texts(sorted(old - new)), _texts(sorted(new - old)))
            for place, (old, new) in real.changed_kernels.items()
        ),
        warnings_new=_texts(dict.fromkeys(text for _, text in real.warnings_new)),
        warnings_gone=_texts(dict.fromkeys(text for _, text in real.warnings_gone)),
        initial_weights=outcome.weights,
        dropout_masks=outcome.masks,
        times=tuple(
            Time(_text(one.label), 0.0 if one.cannot else one.ratio, len(one.old), one.is_slower, _text(one.cannot))
            for one in outcome.times
        ),
        files=tuple(
            File(one.module, one.form, one.is_lost, _text(one.trouble or one.not_written)) for one in outcome.files
        ),
    )


def _deviations(changed: Mapping[Key, Changed], outcome: Outcome) -> tuple[Deviation, ...]:
    return tuple(
        Deviation(
            severity=one.finding.severity,  # type: ignore[arg-type]
            clause=_text(clause),
            cell=_text(cell),
            field=_text(field),
            kind=_text(kind),
            known=_text(one.finding.known),
            waived=one.finding.known in outcome.waived,
            case=one_line(one.line, LONGEST_COMMAND),
        )
        for (clause, field, kind, cell), one in changed.items()
    )


def _texts(texts: Sequence[str] | Mapping[str, None]) -> tuple[str, ...]:
    return tuple(map(_text, texts))


def _text(text: str) -> str:
    """Foreign text as the other documents of the suite hold it."""
    return one_line(text, MOST)
