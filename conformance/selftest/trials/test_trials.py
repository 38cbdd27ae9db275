"""A run ends as the table says: with its exit status, its last line, and never in a traceback."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from functools import cache, partial
from pathlib import Path

import pytest

from conformance.selftest.trials.table import TRIALS, Trial

ROOT = Path(__file__).parents[3]
PROPERTY = ("conformance/test_shapes.py", "-k", "test_output_has_the_documented_shape and gru")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_FSIZE and /dev/full")

TIERS = [
    pytest.param(one, id=one.name.replace(" ", "-"), marks=[] if one.quick else [pytest.mark.thorough(reason="a run")])
    for one in TRIALS
]


@cache
def works(plugin):
    """Whether a plugin is there and does not fail an empty test of this pytest."""
    if importlib.util.find_spec(plugin) is None:
        return False
    code = "import sys, pytest; open('test_empty.py', 'w').write('def test_nothing(): pass'); sys.exit(pytest.main([]))"
    with pytest.MonkeyPatch.context() as patch, subprocess_folder() as folder:
        patch.setenv("PYTEST_ADDOPTS", "")
        return (
            subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, timeout=120).returncode == 0
        )


def subprocess_folder():
    """A folder that goes."""

    return tempfile.TemporaryDirectory()


def tried(trial: Trial, folder):
    """The exit status of a run, and the lines that it printed: on standard error, then on standard output."""
    import resource

    for name, text in trial.files.items():
        (folder / name).write_text(text)
    words = [word.format(folder=folder) for word in trial.arguments.split()]
    words = [word.replace("_", " ") if "=v1_" in word else word for word in words]
    command = [sys.executable, *trial.python, "-m", "pytest", "--effort", "smoke", "--no-reports"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")} | {
        "PYTHONPATH": os.pathsep.join([str(folder), *sys.path[1:]]),
        "COLUMNS": "80",
        "COVERAGE_FILE": str(folder / "coverage"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    limit = trial.most_bytes
    smaller = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)) if limit else None
    with open("/dev/full" if trial.full_output else os.devnull, "w") as nowhere:
        done = subprocess.run(
            [*command, "-o", f"cache_dir={folder / 'cache'}", *PROPERTY, *words],
            cwd=ROOT,
            env=environment | dict(trial.environment),
            stdout=nowhere if trial.full_output else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
            preexec_fn=smaller,
        )
    return done.returncode, [line for line in (done.stderr + (done.stdout or "")).splitlines() if line.strip()]


@pytest.mark.parametrize("trial", TIERS)
def test_run_ends_as_the_table_says(trial, tmp_path):
    if trial.needs and not works(trial.needs):
        pytest.skip(f"{trial.needs} is not installed, or does not work with this pytest")
    code, lines = tried(trial, tmp_path)
    text = "\n".join(lines)
    assert code == trial.code, text
    assert re.fullmatch(trial.last, lines[-1] if lines else ""), text
    assert trial.says in text
    for unwanted in ("INTERNALERROR", "Traceback (most recent call last)", "error of the suite"):
        assert unwanted not in text, text


def test_rows_have_names_of_their_own_and_a_dozen_are_quick():
    assert len({one.name for one in TRIALS}) == len(TRIALS)
    assert 8 <= sum(one.quick for one in TRIALS) <= 15
