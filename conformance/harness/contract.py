"""Every property of the contract, and the replay of a stored case."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import conformance
from conformance.harness import child, session
from conformance.harness.deaths import is_death
from conformance.harness.known import Known
from conformance.harness.property import Property
from conformance.harness.session import Session
from conformance.harness.verdict import Deviation
from strategies import parse


@cache
def properties() -> tuple[Property, ...]:
    """Every property of the contract, in the order of its chapters."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(conformance.__path__) if module.name.startswith("test_")
    )
    modules = [importlib.import_module(f"conformance.{name}") for name in names]
    tests = [value for module in modules for value in vars(module).values()]
    return tuple(test.conformance for test in tests if isinstance(getattr(test, "conformance", None), Property))


def reproduces(entry: Known) -> bool:
    """Whether the stored case of a known deviation still deviates as it says. Raises LookupError: no such test."""
    tested = next((one for one in properties() if one.name == entry.test), None)
    if tested is None:
        raise LookupError(f"known deviation {entry.id}: there is no property {entry.test}")
    case, cell = parse(entry.case) if entry.case else (None, dict(entry.where).get("cell", tested.cells)[0])
    outer = session.current()
    calls = child.CALLS if is_death(entry.kind) else outer.calls
    with session.nested(Session(outer.subject, outer.axes, calls=calls)) as here:
        try:
            tested.check(cell, case)
            found = []
        except Deviation as deviation:
            found = [deviation.finding]
        return entry.signature in [finding.signature for finding in [*found, *here.recorder.quiet_findings()]]
