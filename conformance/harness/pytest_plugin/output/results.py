"""The results of a run as data, made of its report."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from conformance.clauses import AMBER, CLAUSES, RED, REMARK
from conformance.harness.execution import machine
from conformance.harness.findings.counts import Counts, JudgedCounts
from conformance.harness.findings.known import Known
from conformance.harness.findings.recorder import SEPARATOR, Finding, most_frequent
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.findings.rendering import LONGEST_COMMAND, counted
from conformance.harness.foreign_text import MOST, one_line
from conformance.harness.property import properties
from conformance.harness.pytest_plugin.asked import asked
from conformance.harness.pytest_plugin.output import models_summary
from conformance.harness.pytest_plugin.output.junit import OUTCOMES, PASS
from conformance.harness.pytest_plugin.output.report import Report
from conformance.harness.pytest_plugin.output.summary import WIDEST, Summary
from conformance.results.document import (
    SCHEMA,
    Asked,
    Deviation,
    Environment,
    Found,
    Judged,
    LeftOut,
    Module,
    Outcome,
    Results,
    State,
    Tested,
    Totals,
    Verdict,
)

PROJECT = Path(__file__).parents[4] / "pyproject.toml"

NOTHING, ERROR = "nothing", "error"

MOST_LINES = 40
"""The most lines of one finding."""


def results_of(report: Report, seed: str, unfinished: str = "") -> Results:
    """The results so far; `unfinished`: why there is no more, where the run is not at its end."""
    recorder = report.session.recorder
    reason = unfinished or report.incomplete()
    if report.not_reached and not reason:
        reason = f"{counted(report.not_reached.total(), 'property')} not reached in time"
    verdict, said = ("INCOMPLETE", reason) if unfinished else Summary(report, WIDEST).verdict()[0]
    return Results(
        schema=SCHEMA,
        suite=suite_version(),
        complete=not reason,
        reason=_text(reason),
        verdict=cast(Verdict, verdict),
        said=_text(said),
        started=report.began.isoformat(timespec="seconds"),
        seconds=time.monotonic() - report.started,
        environment=environment(),
        asked=_asked(report, seed),
        totals=_totals(report),
        judged=_judged(report),
        properties=_tested(report),
        findings=_findings(report),
        known=_known(report),
        kernels=_named(recorder.kernels),
        left_out=_left_out(report),
        lacking=_named(report.lacking),
        never_ran=_texts(report.never_ran),
        errors=_texts([*(f"{node}: {error}" for node, error in report.suite_errors), *report.other_failures]),
        accuracy=_named(recorder.accuracy),
        largest=_named(recorder.largest),
        modules=tuple(_modules(report)),
    )


def _text(text: str) -> str:
    return one_line(text, MOST)


def _texts(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(_text(text) for text in texts)


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_text(name): value for name, value in sorted(values.items())}


@cache
def suite_version() -> str:
    """The version of the checkout."""
    found = re.search(r'^version = "(.*)"$', PROJECT.read_text(encoding="utf-8"), re.MULTILINE)
    return found.group(1) if found else ""


@cache
def environment() -> Environment:
    """What calls are made with in this process."""
    return Environment(
        torch=_text(machine.torch_version()),
        torch_git=machine.git_version(),
        **machine.libraries(),
        numpy=np.__version__,
        hypothesis=importlib.metadata.version("hypothesis"),
        python=platform.python_version(),
        system=_text(f"{platform.system()} {platform.release()} {platform.machine()}"),
        processor=_text(machine.processor()),
        capability=machine.capability(),
        devices=machine.devices(),
    )


def _clauses(report: Report) -> dict[str, str]:
    """The clause of each property and cell, as it is asked of each module where models are judged."""
    fleet = report.session.fleet
    tested = asked(properties(), fleet).properties if fleet.configurations else properties()
    return {node_of(one.name, cell, one.module): one.clause.id for one in tested for cell in one.cells}


def _nodes(report: Report) -> list[str]:
    """The properties, each with its cell, that were to run."""
    nodes = (nodeid.rpartition("::")[2] for nodeid in report.collected)
    there = _clauses(report)
    return [node for node in nodes if node in there]


def _asked(report: Report, seed: str) -> Asked:
    options = report.options
    clauses = _clauses(report)
    wanted = {clauses[node] for node in _nodes(report)}
    return Asked(
        arguments=_texts(report.arguments),
        effort=options.effort,
        seed=seed,
        subject=_text(options.subject.name),
        case=options.case.line(options.cell) if options.case is not None else "",
        cells=options.cells,
        dtypes=options.dtypes,
        devices=options.devices,
        routes=options.routes,
        clauses=tuple(clause for clause in CLAUSES if clause in wanted),
        fail_on=options.fail_on,
    )


def _totals(report: Report) -> Totals:
    total, quiet = report.total(), list(report.session.recorder.quiet.values())
    return Totals(
        tests=len(_nodes(report)),
        properties=len(report.session.recorder.tallies),
        cases=total.cases,
        vacuous_cases=total.vacuous_cases,
        elements=total.elements,
        vacuous_share=_share(total),
        worst=total.worst,
        red=len(report.findings),
        amber=len(most_frequent(quiet, AMBER, known=False)),
        remark=len(most_frequent(quiet, REMARK, known=False)),
        never_ran=len(report.never_ran),
    )


def _share(counts: Counts) -> float:
    return counts.vacuous / counts.elements if counts.elements else 0.0


def _outcome(found: Mapping[str, int], tested_something: bool) -> Outcome:
    """The worst outcome; where nothing was found, whether something was compared that could have failed."""
    worst = next((outcome for outcome in OUTCOMES if found.get(outcome)), PASS if tested_something else NOTHING)
    return cast(Outcome, worst)


def _judged(report: Report) -> tuple[Judged, ...]:
    """The rows of clause, cell, dtype and route. A process that died counted nothing, and its finding is there all the
    same."""
    rows = dict(report.session.recorder.judged)
    red = {SEPARATOR.join((one.clause, one.cell, one.dtype, one.route)) for one in report.findings}
    rows |= {place: JudgedCounts() for place in red - rows.keys()}
    made = []
    for place, counts in sorted(rows.items()):
        clause, cell, dtype, route = place.split(SEPARATOR)
        found = counts.found | ({RED: max(1, counts.found.get(RED, 0))} if place in red else {})
        made.append(
            Judged(
                clause=clause,
                cell=cell,
                dtype=dtype,
                route=route,
                outcome=_outcome(found, counts.elements > counts.vacuous),
                cases=counts.cases,
                elements=counts.elements,
                vacuous_share=_share(counts),
                worst=counts.worst,
                found=found,
                calls=counts.calls,
                seconds=counts.seconds,
            )
        )
    return tuple(made)


def _tested(report: Report) -> tuple[Tested, ...]:
    red = report.red_tests(report.findings)
    wrong = {nodeid.rpartition("::")[2] for nodeid, _ in report.suite_errors}
    seconds = {nodeid.rpartition("::")[2]: spent for nodeid, spent in report.seconds.items()}
    made, clauses = [], _clauses(report)
    for node, tally in sorted(report.session.recorder.tallies.items()):
        found = tally.found | ({RED: 1} if node in red else {})
        outcome = _outcome(found, tally.cases > tally.vacuous_cases)
        detectable = {dtype: error for dtype, error in tally.detectable_error.items() if math.isfinite(error)}
        compared = {name: getattr(tally, name) for name in ("cases", "vacuous_cases", "elements", "worst")}
        made.append(
            Tested(
                test=_text(node),
                clause=clauses.get(node, ""),
                outcome=cast(Outcome, ERROR) if node in wrong and outcome != RED else outcome,
                detectable_error=detectable,
                seconds=seconds.get(node, 0.0),
                **compared,
            )
        )
    return tuple(made)


def _findings(report: Report) -> tuple[Found, ...]:
    """What was found, the worst first."""
    tallies = report.session.recorder.tallies
    red = [(one, tallies[one.node].found.get(RED, 1) if one.node in tallies else 1) for one in report.findings]
    every = [*red, *report.session.recorder.quiet.values()]
    every.sort(key=lambda pair: (OUTCOMES.index(pair[0].outcome), list(CLAUSES).index(pair[0].clause), pair[0].node))
    return tuple(_found(finding, count) for finding, count in every)


def _found(finding: Finding, count: int) -> Found:
    same = ("severity", "known", "clause", "claim", "cell", "dtype", "route", "subject", "field", "kind")
    return Found(
        test=_text(finding.node),
        case=one_line(finding.case, LONGEST_COMMAND),
        again=finding.again,
        **{name: _text(getattr(finding, name)) for name in same},  # type: ignore[arg-type]
        lines=_texts(finding.lines[:MOST_LINES]),
        what=_texts(finding.what),
        kernels=_texts(finding.kernels),
        repeatable=finding.repeatable,
        count=count,
    )


def _known(report: Report) -> tuple[Deviation, ...]:
    times: Counter[str] = Counter()
    for finding, count in report.session.recorder.quiet.values():
        times[finding.known] += count
    expired = report.options.expired()

    def state(entry: Known) -> State:
        if entry in expired:
            return "expired"
        if entry.id in report.gone:
            return "gone"
        return "seen" if times[entry.id] or entry.id in report.still_there else "not seen"

    same = ("id", "severity", "clause", "field", "kind", "tracker", "waiver")
    return tuple(
        Deviation(**{name: _text(getattr(one, name)) for name in same}, state=state(one), count=times[one.id])  # type: ignore[arg-type]
        for one in report.options.concerned()
    )


def _modules(report: Report) -> Iterator[Module]:
    """The modules of the user's models, equal ones too."""
    fleet, nodes = report.session.fleet, [node.rpartition("-")[2].rstrip("]") for node in _nodes(report)]
    broken, tested = models_summary.broken_clauses(report), models_summary.tested_modules(report)
    every = [(one, *module) for one in fleet.configurations for module in one.modules]
    for one, model, path in every:
        clauses, last = broken.get(one.name, set()), one.name.rpartition("-")[2]
        yield Module(
            model=_text(model),
            name=_text(path),
            case=one_line(replace(one.case, weights=None).line(one.cell), LONGEST_COMMAND),
            calls=len(one.calls),
            weights=bool(one.every_weights),
            verdict=cast(Verdict, models_summary.verdict([one], broken, tested)),
            broken=tuple(clause for clause in CLAUSES if clause in clauses),
            asked=nodes.count(last),
            reached=tested[last],
        )


def _left_out(report: Report) -> tuple[LeftOut, ...]:
    return tuple(
        LeftOut(
            what=_text(row.what),
            device=row.device,
            message=_text(row.message),
            cells=tuple(sorted(row.cells)),
            dtypes=tuple(sorted(row.dtypes)),
            routes=tuple(sorted(row.routes)),
            calls=row.calls,
        )
        for row in report.session.recorder.left_out()
    )
