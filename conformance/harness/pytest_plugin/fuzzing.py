"""HypoFuzz, which collects tests in processes of its own and calls them after pytest has ended.

`hypothesis fuzz -- OPTIONS` runs pytest with `--collect-only -m hypothesis` and these options, keeps the items, and
calls their functions for as long as it is left to. The session of a run is therefore begun when tests are collected,
and is not ended.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from conformance.harness.findings.deviation import Deviation
from conformance.harness.foreign_text import MOST, one_line
from conformance.harness.property import drawing
from strategies import Case


def target(found: Any, cell: str) -> Callable[..., None]:
    """What HypoFuzz calls: a property that draws cases as a bare Hypothesis test, which says each smaller one that
    fails."""
    cases, told = found.cases(cell), Told()

    def fuzzed(case: Case, **parameters: object) -> None:
        try:
            found.check(cell, case)
        except Deviation as deviation:
            told.tell(found.name, cell, case, deviation)
            raise

    fuzzed.__name__ = fuzzed.__qualname__ = found.name.partition("[")[0]
    return drawing(cases, fuzzed)


class Told:
    """The smallest case of a property that was told so far."""

    def __init__(self) -> None:
        self.length = sys.maxsize

    def tell(self, name: str, cell: str, case: Case, deviation: Deviation) -> None:
        """Says on one line which case fails, if its case line is shorter than any before."""
        line = case.line(cell)
        if len(line) < self.length:
            self.length = len(line)
            message = f"conformance: {name}[{cell}]: --case {line!r}: {deviation.finding.field}"
            print(one_line(message, MOST), file=sys.stderr, flush=True)
