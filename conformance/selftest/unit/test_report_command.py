"""What `python -m conformance report` refuses, in one line with the exit code of a usage error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import conformance.__main__ as command_line
from conformance.commands import report as command
from conformance.commands.report import FOUND, NOTHING, USAGE, nothing_found
from conformance.harness.execution.failure import RAISED, Failure
from conformance.harness.execution.subject import torch_nn
from conformance.harness.session import Session

ROOT = Path(__file__).parents[3]
LINE = "v1 lstm i1 h1 t1 float32 fill=dyadic"
TEST = "test_last_output_is_the_last_hidden_state"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["v1 lstm hx"], "word 3 of the case line"),
        ([], "give a case line, or with --test a property that draws no case"),
        (["--test", TEST], "give a case line, or with --test a property that draws no case"),
        ([LINE, "--test", "test_no_such"], "there is no property test_no_such"),
        ([LINE, "--cell", "gru"], "lstm is none of --cell gru"),
        ([LINE, "--route", "abacus"], "no such route"),
        ([LINE, "--call-limit", "-1"], "give a number of seconds"),
        ([LINE, "--seed", "x"], "invalid int value"),
        (["v1 lstm l4096 i1 h1 t1"], "more than 1,800 s: give smaller sizes, one property with --test, or --time 0"),
        ([LINE, "--time", "1"], "more than 1 s"),
    ],
)
def test_usage_error_is_one_line_with_exit_code_4(arguments, said, capsys):
    with pytest.raises(SystemExit) as end:
        raise SystemExit(command_line.main(["report", *arguments]))
    errors = capsys.readouterr().err
    assert end.value.code == USAGE
    assert said in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("os._exit(9)", "importing has to work first, and its process ended with exit code 9"),
        (
            'raise OSError("no\\n\\x1b[31mluck")',
            "importing broken has to work first, and raises OSError: no \\x1b[31mluck",
        ),
    ],
)
@pytest.mark.parametrize("only_in_a_child", [False, True])
def test_subject_whose_import_fails_is_one_line(line, said, only_in_a_child, tmp_path):
    where = 'if "conformance.commands.report" not in sys.modules: ' if only_in_a_child else ""
    (tmp_path / "broken.py").write_text(f"import os, sys, torch\n{where}{line}\nLSTM = torch.nn.LSTM\n")
    command = [sys.executable, "-m", "conformance", "report", LINE, "--subject", "broken"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr


def test_case_that_a_subject_refuses_says_why_nothing_was_compared():
    here = Session(torch_nn())
    here.recorder.skipped("lstm", "float16", "cpu", "grad", Failure(RAISED, "RuntimeError", "no \x1b[31mfloat16"))
    assert nothing_found(here).endswith(r"no folder was written: RuntimeError: no \x1b[31mfloat16")


def test_path_in_a_usage_error_is_shown_escaped(capsys):
    assert command._usage("a/\x1b[31m: Permission denied") == USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line == r"python -m conformance report: a/\x1b[31m: Permission denied"


DETERMINISTIC = """
import torch

class GRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        output, state = super().forward(input, hx)
        return (output * 2 if torch.are_deterministic_algorithms_enabled() else output), state
"""


def test_one_surrounding_is_a_folder_for_results_and_one_for_gradients_that_list_the_other_places(tmp_path):
    (tmp_path / "deterministic.py").write_text(DETERMINISTIC)
    test = "test_call_and_its_gradients_are_the_same_with[deterministic_algorithms]"
    command = [sys.executable, "-m", "conformance", "report", LINE.replace("lstm", "gru"), "--test", test]
    command += ["--subject", "deterministic", "--reports", "reports"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    for more, number in (["--only", "E5|result|differs with deterministic_algorithms|"], 1), ([], 2):
        done = subprocess.run(
            [*command, "--also", "LSTM output", *more], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
        folders = sorted((tmp_path / "reports").iterdir())
        assert (done.returncode, len(folders)) == (0, number)
    gradients, results = ((folder / "facts.md").read_text() for folder in folders)
    assert "\n\nAlso in LSTM output.\n\n## Documented" in results
    assert r"Also in GRU gradient of" in gradients
    assert "gradient" not in results.partition("## Documented")[0].partition("Also")[2]


def test_sound_case_and_routes_that_leave_a_property_out_write_nothing_and_say_so(tmp_path, capsys):
    where = ["--reports", str(tmp_path / "reports")]
    assert command_line.main(["report", LINE, "--test", TEST, *where]) == NOTHING
    assert capsys.readouterr().out == "no deviation in 1 property; no folder was written\n"
    without_values = "test_meta_and_fake_tensors_have_the_facts_of_a_real_call"
    assert command_line.main(["report", LINE, "--test", without_values, "--route", "frozen", *where]) == NOTHING
    said = capsys.readouterr().out
    assert said == "nothing was compared, no folder was written: no route that it needs is taken\n"
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(("given", "seconds"), [([], 20.0), (["--seconds", "0.5"], 0.5)])
def test_simpler_numbers_are_looked_for_as_long_as_is_said(given, seconds, monkeypatch, tmp_path, capsys):
    asked = []

    def minimised(here, tested, cell, case, found, seconds):
        asked.append(seconds)
        return found

    monkeypatch.setattr(command, "minimised", minimised)
    monkeypatch.setattr(command.folder, "write", lambda *given: (tmp_path, "no script: this is a test"))
    line, test = "v1 rnn_tanh i1 h1 t2, float32 fill=dyadic", "test_padding_and_packing_leave_their_arguments_alone"
    assert command_line.main(["report", line, "--test", test, *given]) == FOUND
    assert asked == [seconds]
