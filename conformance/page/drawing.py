"""The page and the matrix as text. All that is foreign is escaped by Jinja2, and isolated where it may be read from
right to left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import jinja2
from markupsafe import Markup

from conformance.harness.cells import CELL_NAMES
from conformance.harness.findings.rendering import counted, rounded
from conformance.harness.foreign_text import one_line
from conformance.page import charts, models
from conformance.page.cells import Cell, Row, matrix
from conformance.page.runs import Run
from conformance.page.states import STATES, State, css_name

MOST = 40
"""The most findings of a cell, lines of a finding and errors of a run."""

LONGEST_NAME = 40
"""Characters of a clause or release in the matrix."""

ISSUE = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/[0-9]+(?=$|\s)", re.ASCII)
"""The links of known deviations that a page makes links of."""


def issue(tracker: str) -> str:
    """The link that a tracker begins with, or empty."""
    found = ISSUE.match(tracker)
    return found.group() if found else ""


def paint(state: State, scheme: str) -> Markup:
    """The declarations of a state in a colour scheme, light or dark."""
    background, text = getattr(state, scheme)
    hatch = f"repeating-linear-gradient(135deg, {background} 0 5px, transparent 5px 8px)"
    return Markup(f"background: {hatch if state.hatch else background}; color: {text};")


ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("conformance.page"),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    autoescape=True,
)
ENVIRONMENT.filters |= {"css": css_name, "issue": issue, "one_line": one_line}
ENVIRONMENT.globals |= {"paint": paint, "counted": counted, "states": list(STATES.values()), "states_by_name": STATES}


def class_name(cell: str) -> str:
    """The class as reports name it."""
    return CELL_NAMES.get(cell, cell)


def _in_order(place: tuple[str, str]) -> tuple[int, str, str]:
    """The place of a class and dtype among others: that of the class in reports, then the dtype."""
    cell, dtype = place
    return list(CELL_NAMES).index(cell) if cell in CELL_NAMES else len(CELL_NAMES), cell, dtype


def title_of(runs: Sequence[Run]) -> str:
    """What the page is about."""
    is_torch = not any(run.order[0] for run in runs)
    return "PyTorch's recurrent modules, release by release" if is_torch else "Recurrent modules, run by run"


def page(runs: Sequence[Run], left_out: Sequence[str], made: datetime) -> str:
    """The page over these runs as HTML, made at this time."""
    timed = list(zip(runs, map(charts.timed, runs), charts.beside_oldest(runs), strict=True))

    def describe(row: Row, cell: Cell) -> str:
        parts = (f"{row.clause} on {cell.run.release}: {cell.state.name}", cell.said, cell.run.day, cell.run.age(made))
        return "; ".join(parts if cell.judged or cell.tests or cell.findings else (parts[0], *parts[2:]))

    return ENVIRONMENT.get_template("page.html.j2").render(
        title=title_of(runs),
        runs=runs,
        rows=matrix(runs),
        modules=models.lines(runs),
        left_out=left_out,
        made=made,
        most=MOST,
        describe=describe,
        dtypes=charts.dtypes(runs),
        distribution=charts.distribution,
        why_no_ratios=charts.why_no_ratios,
        fewest_calls=charts.FEWEST_CALLS,
        farthest=charts.FARTHEST,
        timed=timed,
        timed_places=sorted({place for *_, ratios in timed for place in ratios}, key=_in_order),
        class_name=class_name,
        times=rounded,
    )


SIDE, TALL, LEFT, TOP, MARGIN = 23, 30, 124, 74, 10
"""Pixels of the matrix: width and height of a cell, room for releases and clauses, and around all."""

LEGEND_LINE, LEGEND_SIGN, LETTER = 24, 44, 6.8
"""Pixels of the legend: height of a line, room for a sign and between two, and for a letter."""


def svg(runs: Sequence[Run]) -> str:
    """The matrix alone, as SVG: a line for each run, a column for each clause."""
    rows = matrix(runs)
    counts = Counter(cell.state.name for row in rows for cell in row.cells)
    width = max(LEFT + SIDE * len(rows) + 4 * MARGIN, 600)
    top = TOP + TALL * len(runs) + MARGIN
    legend = _legend([state for state in STATES.values() if counts[state.name]], top, width)
    return ENVIRONMENT.get_template("matrix.svg.j2").render(
        title=title_of(runs),
        words="; ".join(f"{counts[name]} {name}" for name in STATES if counts[name]),
        columns=[{"x": LEFT + SIDE * at, "clause": one_line(row.clause, LONGEST_NAME)} for at, row in enumerate(rows)],
        lines=[_line(run, rows, place) for place, run in enumerate(runs)],
        legend=legend,
        width=width,
        height=legend[-1]["y"] + LEGEND_LINE + MARGIN,
        left=LEFT,
        top=TOP,
        side=SIDE,
        tall=TALL,
    )


def _line(run: Run, rows: Sequence[Row], place: int) -> dict[str, Any]:
    """The cells of a run, with where they are drawn."""
    cells = [
        {"x": LEFT + SIDE * at, "state": row.cells[place].state, "clause": row.clause} for at, row in enumerate(rows)
    ]
    day = f"{run.day}{', in part' if run.why_in_part() else ''}"
    return {"y": TOP + TALL * place, "release": one_line(run.release, LONGEST_NAME), "day": day, "cells": cells}


def _legend(states: Sequence[State], top: int, width: int) -> list[dict[str, Any]]:
    """The states with where they are explained."""
    drawn: list[dict[str, Any]] = []
    x, y = float(MARGIN), top
    for state in states:
        room = LEGEND_SIGN + LETTER * len(state.meaning)
        if x > MARGIN and x + room > width:
            x, y = float(MARGIN), y + LEGEND_LINE
        drawn.append({"state": state, "x": round(x), "y": y})
        x += room
    return drawn
