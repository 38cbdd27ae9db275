"""bisect says between which releases a deviation came or went, whatever the order in which they are named."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import conformance.__main__ as command_line
from conformance.commands import bisect as command
from conformance.commands.bisect import ALIKE, CHANGES, USAGE, bisect
from conformance.harness import session
from conformance.harness.execution import machine
from conformance.harness.execution.requests.request import InProcess
from conformance.harness.findings.recorder import Finding
from conformance.harness.isolation.interpreter import CannotRun, build_of
from conformance.harness.isolation.worker_process import ChildError
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.unit.models import examples

ROOT = Path(__file__).parents[3]

LINE = "v1 lstm i1 h1 t2 float32 fill=dyadic"
TEST = "test_results_lie_within_their_error_bound"
EXAMPLE = next(iter(sorted((ROOT / "docs" / "reports").glob("*/case.json"))))
FINDING = Finding.from_json(json.loads(EXAMPLE.read_text())["finding"])
FAULTY = next(fault for fault in faults() if fault.name == "lstm-gates-read-as-figo").subject


class Worker(InProcess):
    """Makes the calls here, of a faulty LSTM where its interpreter's name says so."""

    seen: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, python):
        self.python = python
        self.is_closed = False

    def execute(self, subject, request):
        self.seen[self.python] = session.current().build.version
        if "broken" in self.python:
            raise ChildError("Traceback\n  many lines\nZeroDivisionError: of the suite")
        return super().execute(FAULTY if "bad" in self.python else subject, request)

    def close(self):
        self.is_closed = True


def build(python):
    """Interpreters are named after their release: 2.6-bad."""
    if "none" in python:
        raise CannotRun("it cannot import torch: No module named 'torch'")
    devices = ("cpu",)
    return replace(machine.build(), version=python.partition("-")[0] + ".0", devices=devices)


@pytest.fixture(autouse=True)
def workers(monkeypatch):
    """Interpreters that are none; returns their workers."""
    made = []

    def children(python):
        made.append(Worker(python))
        return made[-1]

    monkeypatch.setattr(command, "children", children)
    monkeypatch.setattr(command, "build_of", build)
    Worker.seen.clear()
    return made


def told(capsys, *pythons, line=LINE, test=TEST, like=()):
    code = bisect(line, test, pythons, like)
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def test_first_bad_and_last_good_in_the_order_of_releases(capsys, workers):
    code, lines, _ = told(capsys, "2.13-bad", "2.0", "2.15-bad", "2.6")
    assert code == CHANGES
    assert [line.split()[1] for line in lines[1:5]] == ["2.0.0", "2.6.0", "2.13.0", "2.15.0"]
    assert "does not deviate" in lines[1]
    assert "deviates: B1 output outside its bound" in " ".join(lines[3].split()) or "deviations" in lines[3]
    assert "  first bad 2.13.0, last good 2.6.0" in lines
    assert any(line.startswith("  kernels from 2.6.0 to 2.13.0: ") and " became " in line for line in lines)
    assert all(worker.is_closed for worker in workers)


def test_folder_of_a_report_stands_for_its_case(capsys, tmp_path):
    finding = {"case": LINE, "test": TEST, "cell": "lstm"}
    (tmp_path / "case.json").write_text(json.dumps({"finding": FINDING.to_json() | finding}))
    assert told(capsys, "2.0", "2.6-bad", line=str(tmp_path), test="") == told(capsys, "2.0", "2.6-bad")


MODEL = f"{examples.__name__}:tagger"
OF_THE_MODEL = "v1 lstm i12 h20 t2 n2 bi bf nohx float32 weights=encoder.rnn fill=initial seed=3"


def test_case_with_the_weights_of_a_model_is_run_with_them(capsys, monkeypatch):
    handed_over = []
    execute = Worker.execute

    def noting(worker, subject, request):
        handed_over.append(request.problem.parameters["bias_ih_l0"])
        return execute(worker, subject, request)

    monkeypatch.setattr(Worker, "execute", noting)
    code, lines, _ = told(capsys, "2.0", "2.6-bad", line=OF_THE_MODEL, like=[MODEL])
    assert code == CHANGES
    assert "  first bad 2.6.0, last good 2.0.0" in lines
    torch.manual_seed(0)
    own = dict(examples.tagger().named_parameters())["encoder.rnn.bias_ih_l0"].detach().numpy()
    assert handed_over
    assert all((given == own).all() for given in handed_over)


def test_inventory_of_a_model_asks_at_its_configurations(capsys, tmp_path):
    inventory = tmp_path / "model.toml"
    assert command_line.main(["inventory", MODEL, "-o", str(inventory)]) == 0
    capsys.readouterr()
    own = OF_THE_MODEL.replace(" weights=encoder.rnn", "")
    code, lines, _ = told(capsys, "2.0", "2.6-bad", line=own, like=[str(inventory)])
    assert code == CHANGES
    assert "  first bad 2.6.0, last good 2.0.0" in lines
    code, _, errors = told(capsys, "2.0", "2.6-bad", like=[str(inventory)])
    assert code == USAGE
    assert "is about v1 lstm i1" in errors


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "name the folder of a report"),
        ("{", "name one that has it whole"),
        ("[]", "name one that has it whole"),
        ('{"finding": {}}', "name one that has it whole"),
        (json.dumps({"finding": replace(FINDING, options="--subject mine").to_json()}), "it is not about torch.nn"),
    ],
)
def test_folder_that_is_not_of_a_report_is_a_usage_error(text, said, capsys, tmp_path):
    if text is not None:
        (tmp_path / "case.json").write_text(text)
    code, lines, errors = told(capsys, "2.0", "2.6", line=str(tmp_path))
    assert (code, lines) == (USAGE, [])
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_deviation_that_went_away(capsys):
    code, lines, _ = told(capsys, "2.0-bad", "2.6")
    assert code == CHANGES
    assert "  first good 2.6.0, last bad 2.0.0" in lines


def test_verdict_that_is_not_monotone_is_told_as_it_is(capsys):
    code, lines, _ = told(capsys, "2.0", "2.6-bad", "2.13")
    assert code == CHANGES
    assert "  not monotone: 2.0.0 good, 2.6.0 bad, 2.13.0 good" in lines


@pytest.mark.parametrize(
    ("pythons", "said"), [(("2.6", "2.6"), "no deviation"), (("2.0-bad", "2.6-bad"), "  in all 2")]
)
def test_releases_that_are_all_alike(pythons, said, capsys):
    code, lines, _ = told(capsys, *pythons)
    assert code == ALIKE
    assert any(line.startswith(said) for line in lines)


def test_interpreter_that_cannot_run_it_is_one_line(capsys, workers):
    code, lines, _ = told(capsys, "none", "2.6", "2.9-broken", "2.13-bad")
    assert code == CHANGES
    assert "none" in lines[4]
    assert "cannot run: it cannot import torch: No module named 'torch'" in lines[4]
    assert "cannot run: ZeroDivisionError: of the suite" in lines[2]
    assert "  first bad 2.13.0, last good 2.6.0" in lines
    assert all(worker.is_closed for worker in workers)


def test_builds_of_one_release_are_told_apart_by_their_interpreters(capsys):
    code, lines, _ = told(capsys, "2.6", "2.13-one", "2.13-bad")
    assert code == CHANGES
    assert "  first bad 2.13.0 (2.13-bad), last good 2.13.0 (2.13-one)" in lines
    assert any(line.startswith("  kernels from 2.13.0 (2.13-one) to 2.13.0 (2.13-bad): ") for line in lines)
    _, lines, _ = told(capsys, "2.6", "2.13-one", "2.13-bad", "2.13-two")
    wanted = "2.6.0 good, 2.13.0 (2.13-one) good, 2.13.0 (2.13-bad) bad, 2.13.0 (2.13-two) good"
    assert f"  not monotone: {wanted}" in lines


def test_path_of_an_interpreter_is_shown_escaped(capsys):
    _, lines, errors = told(capsys, "none\x1b[31m", "2.6-\x1b[31mone", "2.6-\x1b[31mbad")
    assert "".join(lines).isprintable()
    assert errors == ""
    assert any(line.startswith(r"2.6-\x1b[31mbad ") for line in lines)
    assert r"  first bad 2.6.0 (2.6-\x1b[31mbad), last good 2.6.0 (2.6-\x1b[31mone)" in lines
    assert [line.find(" torch") for line in lines[:1]] == [len(r"2.6-\x1b[31mone") + 1], "columns of what is shown"


def test_kernels_that_a_child_names_are_shown_escaped(capsys, monkeypatch):
    execute = Worker.execute
    named = "addmm\x1b[31m"
    monkeypatch.setattr(
        Worker, "execute", lambda *given: tuple(replace(seen, kernels=(named,)) for seen in execute(*given))
    )
    _, lines, _ = told(capsys, "2.6", "2.13-bad")
    assert "".join(lines).isprintable()
    assert any(r"addmm\x1b[31m" in line for line in lines)


def test_case_is_judged_as_of_the_interpreters_release(capsys):
    told(capsys, "2.0", "2.6")
    assert Worker.seen == {"2.0": "2.0.0", "2.6": "2.6.0"}


def test_release_decides_which_constants_judge():
    ours = session.Session(FAULTY).build
    assert ours == machine.build()
    old = replace(ours, version="1.2.3")
    assert (old.release, old.at_least(2, 0), old.at_least(1, 2)) == ("1.2", False, True)
    assert not session.Session(FAULTY, build=old).repeats_bits


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"line": "v1 lstm hx"}, "word 3 of the case line"),
        ({"line": OF_THE_MODEL}, "give the model that has it, as --like package.module:build"),
        ({"like": ["no_such:build"]}, "no_such"),
        ({"test": "test_no_such"}, "there is no property test_no_such"),
        ({"test": "test_projected_results_lie_within_their_error_bound"}, "is about v1 lstm i1"),
        ({"pythons": ("2.6",)}, "at least two interpreters"),
        ({"pythons": ("2.6", "none")}, "fewer than two of these interpreters can run the case"),
    ],
)
def test_usage_error_is_one_line_and_exit_code_4(arguments, said, capsys):
    pythons = arguments.pop("pythons", ("2.6", "2.13"))
    code, _, errors = told(capsys, *pythons, **arguments)
    assert code == USAGE
    assert said in errors
    assert errors.startswith("python -m conformance bisect: ")
    assert len(errors.splitlines()) == 1


def test_command_line_without_interpreters_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as end:
        command_line.main(["bisect", LINE])
    assert end.value.code == USAGE
    assert "--python" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 3", "it ended with 3: nothing was said"),
        ("echo oh no >&2; exit 1", "it ended with 1: oh no"),
        ("""echo '{"cannot": "it is Python 3.8"}'""", "it is Python 3.8"),
        ("echo '[1]'", "it ended with 0"),
        ("echo 7", "it ended with 0"),
        ("""echo '{"cannot": 7}'""", "it ended with 0"),
        (
            """echo '{"build": {"version": 7, "capability": "", "devices": [], "pads_on_sides": false}}'""",
            "it ended with 0",
        ),
        (
            """echo '{"build": {"version": "1.13.1", "capability": "", "devices": [], "pads_on_sides": false}}'""",
            "1.13.1",
        ),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_interpreter_without_a_usable_torch_says_why(text, said, tmp_path):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    with pytest.raises(CannotRun, match=said):
        build_of(str(path))
    with pytest.raises(CannotRun, match="cannot be started: No such file"):
        build_of(str(tmp_path / "absent"))


PLANTED = """
import torch
torch.__version__ = "2.99.0"
forward = torch.nn.LSTM.forward

def wrong(self, input, hx=None):
    output, states = forward(self, input, hx)
    return output * 1.5 if isinstance(output, torch.Tensor) else output, states

torch.nn.LSTM.forward = wrong
"""


@pytest.mark.thorough(reason="interpreters that each import torch twice")
@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_interpreters_of_their_own_need_nothing_but_torch(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    for name in ("hypothesis", "pytest", "packaging", "jinja2"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')")
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexport PYTHONPATH="{tmp_path}:$PYTHONPATH"\nexec {sys.executable} "$@"\n')
    other.chmod(0o700)

    def run(*pythons):
        arguments = [
            sys.executable,
            "-m",
            "conformance",
            "bisect",
            LINE,
            "--test",
            TEST,
            "--python",
            *map(str, pythons),
        ]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, done.stdout + done.stderr

    code, text = run(other, sys.executable)
    assert code == CHANGES, text
    assert f"first bad 2.99.0, last good {machine.build().version}" in text
    assert "the same kernels from" in text
    code, text = run(sys.executable, sys.executable)
    assert code == ALIKE, text
    assert "no deviation in any of them" in text
