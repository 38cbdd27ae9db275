"""One trial of a subject: the properties of some clauses, in this process, under a nested session and a seed."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

import hypothesis
from hypothesis import HealthCheck, Phase

import conformance
from conformance.harness import session
from conformance.harness.plugin import EFFORTS
from conformance.harness.property import Property, derived_seed
from conformance.harness.recorder import Finding
from conformance.harness.report import findings_of
from conformance.harness.session import Session
from conformance.harness.subject import Subject


@cache
def properties() -> tuple[Property, ...]:
    """Every property of the contract, in the order of its chapters."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(conformance.__path__) if module.name.startswith("test_")
    )
    modules = [importlib.import_module(f"conformance.{name}") for name in names]
    tests = [value for module in modules for value in vars(module).values()]
    return tuple(test.conformance for test in tests if isinstance(getattr(test, "conformance", None), Property))


def settings(effort: str) -> hypothesis.settings:
    """Hypothesis's settings for a trial: no database, no explanations."""
    return hypothesis.settings(
        max_examples=EFFORTS[effort],
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


def trial(
    subject: Subject, clauses: tuple[str, ...], cells: tuple[str, ...], seed: int, effort: str = "smoke"
) -> list[Finding]:
    """What the properties of `clauses` find in `subject`: deviations and, of quiet severities, what was noted."""
    with session.nested(Session(subject)) as here:
        found = [f for one in properties() if one.clause.id in clauses for f in _failures(one, cells, seed, effort)]
        return found + [finding for finding, _ in here.recorder.quiet.values()]


def _failures(tested: Property, cells: tuple[str, ...], seed: int, effort: str) -> Iterator[Finding]:
    for cell in tested.cells:
        if cell in cells:
            test = tested.test(settings(effort), derived_seed(seed, f"{tested.name}[{cell}]"))
            try:
                test(cell=cell)
            except Exception as error:
                found = findings_of(error, session.current().latest.get(f"{tested.name}[{cell}]"))
                if not found:
                    raise
                yield from found
