"""The contracts of pyproject.toml forbid what they are there to forbid, and cover every package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="it comes with the extra dev alone")

ROOT = Path(__file__).parents[3]
HARNESS = "conformance/harness"

FORBIDDEN = {
    "reference/steps.py": "import strategies",
    "reference/ball.py": "import hypothesis",
    "reference/testing/__init__.py": "import torch",
    "strategies/case.py": "import torch",
    "strategies/axes.py": "import conformance.clauses",
    f"{HARNESS}/cells.py": "import conformance.harness.execution.failure",
    f"{HARNESS}/foreign_text.py": "import conformance.harness.execution.failure",
    f"{HARNESS}/bounded_files.py": "import conformance.harness.execution.failure",
    f"{HARNESS}/execution/failure.py": "import conformance.harness.findings.recorder",
    f"{HARNESS}/findings/recorder.py": "import conformance.harness.support",
    f"{HARNESS}/support.py": "import conformance.harness.checks.ratios",
    f"{HARNESS}/isolation/limits.py": "import conformance.harness.checks.ratios",
    f"{HARNESS}/localiser/localise.py": "import conformance.harness.checks.ratios",
    f"{HARNESS}/localiser/network.py": "import conformance.harness.execution.module_call",
    f"{HARNESS}/checks/ratios.py": "import conformance.harness.execution.requests.request",
    f"{HARNESS}/checks/packing.py": "import conformance.harness.execution.module_call",
    f"{HARNESS}/checks/derivatives.py": "import conformance.harness.session",
    f"{HARNESS}/checks/values.py": "import conformance.harness.observe",
    f"{HARNESS}/checks/bounds.py": "import conformance.harness.execution.subject",
    f"{HARNESS}/checks/gradients.py": "import conformance.harness.isolation.limits",
    f"{HARNESS}/models/fleet.py": "import conformance.harness.checks.ratios",
    f"{HARNESS}/session.py": "import conformance.harness.observe",
    f"{HARNESS}/observe.py": "import conformance.harness.property",
    f"{HARNESS}/evidence.py": "import conformance.harness.observe",
    f"{HARNESS}/documented.py": "import conformance.harness.observe",
    f"{HARNESS}/state_dicts/writing.py": "import conformance.harness.findings.known",
    f"{HARNESS}/share.py": "import conformance.harness.property",
    f"{HARNESS}/property.py": "import conformance.harness.replay",
    f"{HARNESS}/replay.py": "import conformance.harness.api",
    f"{HARNESS}/api.py": "import conformance.harness.reports.scripts.script",
    f"{HARNESS}/reports/folder.py": "import conformance.harness.pytest_plugin.plugin",
    f"{HARNESS}/reports/facts.py": "import conformance.harness.reports.folder",
    f"{HARNESS}/reports/scripts/numbers.py": "import conformance.harness.reports.minimiser.minimise",
    f"{HARNESS}/reports/minimiser/one_row.py": "import conformance.harness.reports.scripts.script",
    f"{HARNESS}/reports/calls/classes.py": "import conformance.harness.reports.scripts.whole",
    f"{HARNESS}/reports/two_sides.py": "import conformance.harness.reports.facts",
    f"{HARNESS}/reports/templating.py": "import conformance.harness.reports.calls.call_text",
}
"""Modules, and what each of them may not import."""


LAYERS = {"pytest_plugin", "api", "replay", "property", "observe", "session", "isolation", "checks", "support"}
LAYERS |= {
    "foreign_text",
    "bounded_files",
    "documented",
    "state_dicts",
    "localiser",
    "findings",
    "execution",
    "cells",
    "reports",
    "evidence",
    "models",
    "share",
}
"""Everything that lies in the harness."""

LINT = "from importlinter.cli import lint_imports_command as run; run()"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of everything that the contracts are about."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("reference", "strategies", "conformance"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "selftest"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder):
    """Exit code of import-linter in a folder, and the imports that it objects to."""
    wide = dict(os.environ, COLUMNS="500")
    done = subprocess.run([sys.executable, "-c", LINT], cwd=folder, env=wide, capture_output=True, text=True)
    return done.returncode, re.findall(r"(\S+) -> (\S+) \(l\.", done.stdout)


def test_sound_copy_is_accepted(copy):
    assert lint(copy) == (0, [])


@pytest.mark.parametrize(("path", "line"), FORBIDDEN.items(), ids=FORBIDDEN)
def test_forbidden_import_is_refused(path, line, copy):
    module, text = copy / path, (copy / path).read_text(encoding="utf-8")
    module.write_text(text + f"\n{line}\n", encoding="utf-8")
    try:
        code, said = lint(copy)
    finally:
        module.write_text(text, encoding="utf-8")
    importer = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert code == 1
    assert importer in {one for one, _ in said}


def test_every_part_of_the_harness_has_a_layer_and_a_forbidden_import():
    parts = {path.stem for path in (ROOT / HARNESS).iterdir() if not path.name.startswith("__")}
    assert parts == LAYERS
    assert {path.removeprefix(f"{HARNESS}/").partition("/")[0].removesuffix(".py") for path in FORBIDDEN} >= parts - {
        "pytest_plugin"
    }


def test_every_module_of_the_reference_is_named_by_the_contract_that_leaves_it_numpy_alone():
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    modules = [path.stem for path in (ROOT / "reference").glob("*.py") if not path.stem.startswith(("test_", "__"))]
    assert [name for name in modules if f'"reference.{name}"' not in contracts] == []
