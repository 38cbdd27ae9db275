"""Results files of runs that were never made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from conformance.harness.pytest_plugin.output.results import results_of
from conformance.page.runs import Run, read
from conformance.results.document import Results
from conformance.results.files import write
from conformance.selftest.unit.results.examples import full

Change = Callable[[Results], Results]

WHOLE = ("-n", "auto", "--effort", "smoke", "--results=r.json")
"""Arguments of a run of the whole contract."""


def results(torch: str = "2.13.0+cpu", started: str = "2026-11-28T12:00:00+00:00", **more: Any) -> Results:
    """The results of a run in which B1 was judged, and in which everything can be found."""
    made = results_of(full(of_models=False), seed="7")
    environment = replace(made.environment, torch=torch, processor="a processor")
    asked = replace(made.asked, arguments=WHOLE)
    made = replace(made, environment=environment, asked=asked, started=started, complete=True, reason="")
    return replace(made, **more)


def sound(**more: Any) -> Results:
    """The results of one in which B1 passed, and nothing was found."""
    made = results(**more)
    judged = [replace(row, outcome="pass", found={}) for row in made.judged if row.clause == "B1"]
    tests = [replace(row, outcome="pass") for row in made.properties]
    return replace(made, findings=(), judged=tuple(judged), properties=tuple(tests), errors=(), never_ran=())


def file(folder: Path, *made: Results) -> list[Path]:
    """Files of results."""
    paths = [folder / f"{place}.json" for place in range(len(made))]
    for path, one in zip(paths, made, strict=True):
        write(path, one)
    return paths


def run(folder: Path, made: Results) -> Run:
    """Results as a page reads them."""
    return read(file(folder, made))[0][0]


def poisoned(value: Any, kind: Any, text: str) -> Any:
    """The value with this text in place of each text that is free."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        types = get_type_hints(kind)
        return {one.name: poisoned(value[one.name], types[one.name], text) for one in fields(kind)}
    if origin is tuple:
        return [poisoned(one, inner[0], text) for one in value]
    if origin is dict:
        return {text: next(iter(value.values()))} if value else {}
    return text if kind is str else value


def poisoned_file(path: Path, text: str) -> Path:
    """A results file whose texts are all this one, but the time, by which files are ordered."""
    data = json.loads(json.dumps(asdict(results())))
    path.write_text(json.dumps(poisoned(data, Results, text) | {"started": data["started"]}))
    return path
