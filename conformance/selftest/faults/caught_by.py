"""Which property catches each seeded fault fastest, and on which cell.

    python -m conformance.selftest.faults.caught_by [FAULT ...]

The command tries every property of a fault's clauses with seed 0 and writes the fastest to caught_by.toml; with names
it tries these faults alone and keeps the other records. A trial tries the recorded property first. A record that no
longer holds costs time and fails nothing.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from conformance.clauses import RED
from conformance.harness.execution import machine
from conformance.harness.execution.requests.packing import TORCH_PACKING
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.property import Property, properties
from conformance.selftest.arguments import Parser
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.faults.fault import Fault
from conformance.selftest.implementations.plain import subject
from conformance.selftest.trial import Enough, OutOfTime, findings, findings_by
from strategies import parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECORDS = Path(__file__).with_name("caught_by.toml")
SEED = 0
SIZES = ("input_size", "hidden_size", "num_layers", "batch_size", "steps")

PATIENCE_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, math.inf)
"""How long each property is tried, in turn, until one catches the fault in that time: no other takes less than half."""

HEAD = """# The property and cell that caught each seeded fault fastest: they are tried first.
# Written by `python -m conformance.selftest.faults.caught_by`.

"""

Node = tuple[Property, str]
"""A property and one of its cells."""


def is_small(finding: Finding, needs: Mapping[str, int]) -> bool:
    """Whether the sizes of a finding's case are at most 3, or what its fault needs; what is never shrunk is small."""
    if finding.severity != RED or not finding.case:
        return True
    case, _ = parse(finding.case)
    return all(getattr(case, size) <= needs.get(size, 3) for size in SIZES)


@cache
def shown_by_a_sound_one(test: str, cell: str) -> frozenset[tuple[str, ...]]:
    """Signatures of a property's findings in a sound subject: operators of PyTorch lack ways to differentiate."""
    tested = next(one for one in properties() if one.name == test)
    sound = torch_nn() if tested.clause.binds else subject("plain")
    found = findings_by(tested, sound, (cell,), SEED)
    return frozenset(finding.signature for finding in found if finding.subject != TORCH_PACKING)


def tells(finding: Finding) -> bool:
    """Whether a finding is evidence of a fault: it is red, or a sound subject does not show it.

    None is about PyTorch's packing utilities: a fault there has utilities of its own.
    """
    if finding.subject == TORCH_PACKING:
        return False
    return finding.severity == RED or finding.signature not in shown_by_a_sound_one(finding.test, finding.cell)


def shows(fault: Fault) -> Enough:
    """Whether a finding is of a clause that the fault breaks, on a small case."""
    return lambda finding: finding.clause in fault.clauses and is_small(finding, dict(fault.needs))


def nodes(fault: Fault) -> list[Node]:
    """Every property of the clauses that the fault breaks, on each of its cells."""
    broken = [tested for tested in properties() if tested.clause.id in fault.clauses]
    return [(tested, cell) for tested in broken for cell in tested.cells if cell in fault.cells]


def node_id(node: Node) -> str:
    """The name that pytest gives a property's test on a cell."""
    return node_of(node[0].name, node[1])


def records() -> dict[str, str]:
    """The recorded property and cell of each fault, by the fault's name."""
    return tomllib.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}


def findings_in(fault: Fault, seed: int, enough: Enough | None) -> Iterator[Finding]:
    """What the properties of its clauses find in a fault, the recorded one first."""
    recorded = records().get(fault.name)
    for tested, cell in (node for node in nodes(fault) if node_id(node) == recorded):
        yield from findings_by(tested, fault.subject, (cell,), seed, fault.effort, enough=enough)
    yield from findings(fault.subject, fault.clauses, fault.cells, seed, fault.effort, enough=enough)


def fastest(fault: Fault) -> Node | None:
    """The first property and cell that catch a fault within the least patience; None where none does."""
    tries = ((node, patience) for patience in PATIENCE_SECONDS for node in nodes(fault))
    return next((node for node, patience in tries if catches(node, fault, patience)), None)


def catches(node: Node, fault: Fault, patience: float) -> bool:
    """Whether a property catches a fault in so many seconds."""
    tested, cell = node
    is_enough, deadline = shows(fault), time.perf_counter() + patience
    found = findings_by(tested, fault.subject, (cell,), SEED, fault.effort, enough=is_enough, deadline=deadline)
    try:
        return any(is_enough(finding) and tells(finding) for finding in found) and time.perf_counter() < deadline
    except OutOfTime:
        return False


def write(found: Mapping[str, str]) -> None:
    """Writes the records, sorted by the names of the faults."""
    lines = [f"{json.dumps(name)} = {json.dumps(node)}\n" for name, node in sorted(found.items())]
    RECORDS.write_text(HEAD + "".join(lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 where every fault that was tried is caught, 1 where one is not."""
    parser = Parser("caught_by", description="Records which property catches each seeded fault fastest.")
    parser.add_argument("names", nargs="*", metavar="FAULT", help="only these faults; all if left out")
    options = parser.parse_args(arguments)
    known = {fault.name: fault for fault in faults()}
    if missing := [name for name in options.names if name not in known]:
        parser.error(f"there is no seeded fault {missing[0]}")
    machine.pin()
    kept = {name: node for name, node in records().items() if options.names and name in known}
    missed = False
    names = options.names or list(known)
    fastest(known[names[0]])  # the first trials of a process are slow
    for name in names:
        node = fastest(known[name])
        print(f"{name}: {node_id(node) if node else 'NOT CAUGHT'}", flush=True)
        kept.pop(name, None)
        kept |= {name: node_id(node)} if node else {}
        missed |= node is None
    write(kept)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
