"""No test falls between the tiers, and the fast one has every seeded fault and every property."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from conformance.harness.property import properties
from conformance.selftest.faults import catalogue, fault
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.faults.caught_by import records

ROOT = Path(__file__).parents[2]
SELFTEST = "conformance/selftest"
TIERS = {"fast": (), "thorough": ("-m", "thorough"), "every": ("-m", "")}

COLLECT = """
import contextlib, io, json, sys
import pytest

class Collected:
    def pytest_collection_finish(self, session):
        self.ids = [item.nodeid for item in session.items]

for arguments in json.loads(sys.argv[1]):
    collected = Collected()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(arguments, plugins=[collected])
    print(json.dumps(collected.ids))
"""


@cache
def collected():
    """The tests of each tier, as pytest collects them with the project's own options."""
    runs = [["-p", "no:cacheprovider", "--collect-only", *more, SELFTEST] for more in TIERS.values()]
    command = [sys.executable, "-c", COLLECT, json.dumps(runs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    return {name: set(json.loads(line)) for name, line in zip(TIERS, done.stdout.splitlines(), strict=True)}


def tier(name):
    return collected()[name]


def test_every_test_is_in_one_tier():
    assert tier("fast") | tier("thorough") == tier("every")
    assert not tier("fast") & tier("thorough")


def test_every_file_of_tests_has_some_in_the_fast_tier():
    def files(name):
        return {test.partition("::")[0] for test in tier(name)}

    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / SELFTEST).rglob("test_*.py")}
    assert files("every") == found
    assert files("fast") == found


def test_fast_tier_tries_every_fault_and_every_property():
    file = f"{SELFTEST}/faults/test_faults.py"
    wanted = {f"{file}::test_fault_is_caught_on_a_small_case[{one.name}]" for one in faults()}
    wanted |= {f"{file}::test_sound_implementation_passes_a_few_cases[{tested.name}]" for tested in properties()}
    assert wanted - tier("fast") == set()


def test_fast_tier_sees_a_property_of_every_name_fail():
    tried = "test_property_without_a_recorded_fault_fails_on_one_of_its_clause"
    seen = {test.split("[", 1)[1].rstrip("]") for test in tier("fast") if f"::{tried}[" in test}
    seen |= set(records().values())
    assert {bare(tested.name) for tested in properties()} <= {bare(name) for name in seen}


def bare(name):
    """The name of a property without its value or cell."""
    return name.partition("[")[0]


def test_every_theme_of_faults_is_in_the_catalogue():
    found = set()
    for path in Path(catalogue.__file__).parent.rglob("*.py"):
        seeded = getattr(getattr(catalogue, path.stem, None), "FAULTS", None)
        if "FAULTS = Faults()" in path.read_text(encoding="utf-8"):
            assert isinstance(seeded, fault.Faults), f"{path.stem} is not in the catalogue"
            found |= {one.name for one in seeded}
    assert found == {one.name for one in faults()}
