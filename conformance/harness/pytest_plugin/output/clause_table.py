"""What a run of a subject came to, clause by clause and cell by cell."""

from __future__ import annotations

from collections import Counter

from conformance.clauses import AMBER, CLAUSES
from conformance.harness.cells import CELL_NAMES
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.property import properties
from conformance.harness.pytest_plugin.output.report import Report

DEVIATES, AMBERS, CONFORMS, SILENT = "DEVIATES", "amber", "conforms", "no test"
NOT_ASKED, NOT_REACHED = "not asked", "not reached"

FIRST, WIDTH = 16, 16
"""The columns of the clauses, and of each cell."""

MOST_CELLS = 4
"""So many cells stand beside each other."""

Place = tuple[str, str]
"""A clause and a cell."""


def lines(report: Report) -> list[str]:
    """The table of a subject's run, with a title; none for torch.nn, and for a run of one case."""
    if report.session.subject.name == TORCH_NN or report.options.case is not None:
        return []
    found = _outcomes(report)
    cells = [cell for cell in report.options.cells if any(place[1] == cell for place in found)]
    rows = [clause for clause in CLAUSES if any(place[0] == clause for place in found)]
    told: list[str] = []
    for begin in range(0, len(cells), MOST_CELLS):
        some = cells[begin : begin + MOST_CELLS]
        told += [f"{'CLAUSE':<{FIRST}}" + "".join(f"{CELL_NAMES[cell]:<{WIDTH}}" for cell in some).rstrip()]
        told += [
            (
                f"        {row:<{FIRST - 8}}" + "".join(f"{found.get((row, cell), ''):<{WIDTH}}" for cell in some)
            ).rstrip()
            for row in rows
        ]
    return told


def _outcomes(report: Report) -> dict[Place, str]:
    """For each clause and cell what was found; where not everything was asked, of how many properties."""
    places = {
        node_of(tested.name, cell): (tested.clause.id, cell) for tested in properties() for cell in tested.cells if cell
    }
    silent = set(report.silent_tests())
    compared = Counter(
        places[node] for node in report.session.recorder.tallies if node in places and node not in silent
    )
    empty = Counter(places[node] for node in silent if node in places)
    reached = _not_reached(report)
    red = {(one.clause, one.cell) for one in report.findings}
    quiet = report.session.recorder.quiet_findings()
    amber = {(one.clause, one.cell) for one in quiet if one.severity == AMBER and not one.known}
    outcomes: dict[Place, str] = {}
    for place in {*compared, *empty, *report.unasked, *red}:
        asked, every = compared[place], compared[place] + empty[place] + report.unasked[place]
        share = f" {asked}/{every}" if 0 < asked < every else ""
        if place in red:
            outcomes[place] = DEVIATES
        elif asked:
            outcomes[place] = (AMBERS if place in amber else CONFORMS) + share
        else:
            outcomes[place] = NOT_ASKED if report.unasked[place] else SILENT
    return reached | outcomes


def _not_reached(report: Report) -> dict[Place, str]:
    """The clauses that a run with --time did not reach, on every cell that is judged."""
    asked = {(tested.clause.id, cell) for tested in properties() for cell in tested.cells}
    return {
        (clause, cell): NOT_REACHED
        for clause in report.not_reached
        for cell in report.options.cells
        if (clause, cell) in asked
    }
