"""The workflows to copy, and our own: they parse, name what exists, and hand foreign text to no shell as code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import conformance.__main__ as command_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

yaml = pytest.importorskip("yaml", reason="it comes with the extra dev alone")

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github" / "actions" / "compare" / "action.yml"
TO_COPY = sorted((ROOT / "docs" / "workflows").glob("*.yml"))
OWN = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOCK = ROOT / ".ci" / "requirements.lock"

STAND_IN = """#!/bin/sh
{ for one in "$@"; do printf '%s\\037' "$one"; done; printf '\\036'; } >> "$CALLS"
"""
"""A Python, or a pip, that notes how it was called."""

ENVIRONMENTS = ("old", "new", "stable", "next")


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps_of(path):
    data = load(path)
    jobs = [data["runs"]] if path == ACTION else data["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def scripts(paths):
    each = [(path, number, step) for path in paths for number, step in enumerate(steps_of(path)) if "run" in step]
    return [pytest.param(path, step, id=f"{path.stem}-{number}") for path, number, step in each]


def test_what_is_documented_is_there():
    assert [path.name for path in TO_COPY] == ["nightly.yml", "upgrade-gate.yml"]
    docs = (ROOT / "docs" / "workflows" / "README.md").read_text(encoding="utf-8")
    inputs = load(ACTION)["inputs"]
    assert [name for name in (*inputs, "nightly.yml", "upgrade-gate.yml") if f"`{name}`" not in docs] == []
    assert {"old", "new", "cases", "known", "like"} <= inputs.keys()


def placeholders(path):
    """What is written into a workflow for its user to replace: the suite's place and version, files, a model."""
    text, steps = path.read_text(encoding="utf-8"), steps_of(path)
    suites = [step["with"] for step in steps if "repository" in step.get("with", {})]
    pins = re.findall(r"--requirement (?:base/)?(\S+)", text) + re.findall(r"paths: \[(.*)\]", text)
    return {
        *(one[name] for one in suites for name in ("repository", "ref")),
        *pins,
        *re.findall(r"(?m)^ +# \w+: (\S+)", text),
    }


@pytest.mark.parametrize("path", TO_COPY, ids=lambda path: path.stem)
def test_second_line_names_what_is_to_be_replaced(path):
    line = path.read_text(encoding="utf-8").splitlines()[1]
    said = set(line.removeprefix("# Replace: ").removesuffix(".").split(", "))
    assert said == placeholders(path)
    assert {"your-organisation/rnn-conformance", "v0.1.0"} <= said


@pytest.mark.parametrize(("path", "step"), scripts([ACTION, *TO_COPY, *OWN]))
def test_scripts_are_shell_and_nothing_is_written_into_them(path, step):
    assert "${{" not in step["run"], "hand it over in env"
    done = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", [*TO_COPY, *OWN], ids=lambda path: path.stem)
def test_permissions_are_to_read(path):
    data = load(path)
    assert data["permissions"] == {"contents": "read"}
    assert [name for name, job in data["jobs"].items() if "permissions" in job] == []


@pytest.mark.parametrize("path", [ACTION, *TO_COPY, *OWN], ids=lambda path: path.stem)
def test_actions_are_pinned_or_our_own_with_inputs_that_it_has(path):
    inputs = load(ACTION)["inputs"]
    for step in steps_of(path):
        if not (used := step.get("uses", "")):
            continue
        if used.startswith("./"):
            assert ROOT / used.removeprefix("./suite/") == ACTION.parent
            assert step["with"].keys() <= inputs.keys()
            assert [name for name, one in inputs.items() if one.get("required") and name not in step["with"]] == []
        else:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", used)


def test_every_input_and_output_of_the_action_is_used():
    text = ACTION.read_text(encoding="utf-8")
    assert [name for name in load(ACTION)["inputs"] if f"${{{{ inputs.{name} }}}}" not in text] == []
    assert all(step["shell"] == "bash" for step in steps_of(ACTION) if "run" in step)


def calls(script, folder, **given):
    """How Pythons and pips were called by a script of a workflow: their words, each call a list."""
    for place in (folder / "path", *(folder / name / "bin" for name in ENVIRONMENTS)):
        place.mkdir(parents=True)
        for name in ("python", "pip"):
            (place / name).write_text(STAND_IN)
            (place / name).chmod(0o700)
    (folder / "suite").symlink_to(ROOT)
    made = folder / "calls"
    known = {"RUNNER_TEMP": folder, "CALLS": made, "GITHUB_OUTPUT": folder / "output", "CHANNEL": "nightly"}
    known |= {"GITHUB_ACTION_PATH": ACTION.parent, "PATH": f"{folder / 'path'}:{os.environ['PATH']}"}
    environment = os.environ | {name: str(value) for name, value in (known | given).items()}
    command = ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", script["run"]]
    there = folder / script.get("working-directory", ".")
    done = subprocess.run(command, env=environment, cwd=there, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [call.split("\x1f")[:-1] for call in made.read_text().split("\x1e")[:-1]]


GIVEN = {"JUDGE": "python", "OLD": "old/bin/python", "NEW": "new/bin/python", "CASES": "3"}
GIVEN |= {"KNOWN": "ours.toml\nother file.toml", "LIKE": "package.module:build\n$(touch x); `touch y` \"'.toml\n"}


def parsed(call):
    """What a command of ours makes of its words; None if it is none of them."""
    if call[:2] != ["-m", "conformance"]:
        return None
    return command_line._parser(call[2]).parse_args(call[2:])


@pytest.mark.parametrize(("path", "step"), scripts([ACTION, *TO_COPY]))
def test_commands_exist_and_take_what_they_are_given(path, step, tmp_path):
    made = calls(step, tmp_path, **GIVEN)
    assert made
    for call in made:
        known = call[0] == "install" or call[:2] in (["-m", "venv"], ["-m", "pip"], ["-m", "pytest"])
        assert known or parsed(call) is not None


def test_action_hands_its_inputs_over_as_they_are(tmp_path):
    (step,) = (step for step in steps_of(ACTION) if step.get("id") == "compare")
    ((*_, call),) = [calls(step, tmp_path, **GIVEN)]
    given = parsed(call)
    assert (given.old, given.new, given.cases) == ("old/bin/python", "new/bin/python", 3)
    assert given.known == [Path("ours.toml"), Path("other file.toml")]
    assert given.like == ["package.module:build", "$(touch x); `touch y` \"'.toml"]
    assert (tmp_path / "output").read_text() == f"json={given.json}\n"
    assert not (tmp_path / "x").exists()


def test_action_without_options_gives_none(tmp_path):
    (step,) = (step for step in steps_of(ACTION) if step.get("id") == "compare")
    (call,) = calls(step, tmp_path, **GIVEN | {"CASES": "", "KNOWN": "", "LIKE": ""})
    given = parsed(call)
    assert (given.cases, given.known, given.like) == (None, [], [])


def test_options_of_pytest_are_those_that_it_has(tmp_path):
    runs = [step for path in TO_COPY for step in steps_of(path) if "-m pytest" in step.get("run", "")]
    assert len(runs) == 2
    for number, step in enumerate(runs):
        folder = tmp_path / str(number)
        folder.mkdir()
        first = next(call for call in calls(step, folder) if call[:2] == ["-m", "pytest"])
        words = [*first[2:], "-n0", "--collect-only", "-q", "-p", "no:cacheprovider", "-k", "no_test_has_this_name"]
        done = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stderr


def pins():
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {re.sub("[-_.]+", "-", one.name).lower(): one for one in map(Requirement, lines)}


def test_lock_pins_every_dependency_to_a_release_that_it_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for one in map(Requirement, wanted):
        if one.marker is None or one.marker.evaluate({"python_version": "3.11"}):
            (pin,) = pins()[one.name].specifier
            assert pin.operator == "=="
            assert "+" not in pin.version
            assert one.specifier.contains(pin.version), one


def test_gate_installs_what_the_lock_says():
    (torch,) = pins()["torch"].specifier
    for script in ("run", "lock"):
        assert f"torch=={torch.version}\n" in (ROOT / ".ci" / script).read_text(encoding="utf-8")
    installs = re.findall("pip. install.*", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert len(installs) == 2
    assert all("-c .ci/requirements.lock" in one for one in installs)


def test_lowest_versions_are_those_that_are_declared():
    """They are tried all together."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    least = {one.name: one.specifier for one in map(Requirement, declared)}
    lines = (ROOT / ".ci" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = {one.name: one.specifier for one in map(Requirement, (line for line in lines if line[0] != "#"))}
    assert pinned.keys() == least.keys() - {"torch"}, "releases of torch are a matrix of their own"
    for name, (pin,) in pinned.items():
        (bound,) = least[name]
        assert (pin.operator, bound.operator) == ("==", ">=")
        assert Version(pin.version) == Version(bound.version), name
    assert "-c .ci/lowest.txt" in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
