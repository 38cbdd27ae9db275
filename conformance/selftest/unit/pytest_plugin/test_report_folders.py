"""A red run writes a folder for each distinct finding, in time, and says where; nothing of it changes the verdict."""

import json
import math
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.clauses import AMBER, RED, REMARK
from conformance.harness.execution import subject
from conformance.harness.execution.failure import RAISED, TIMED_OUT, Failure
from conformance.harness.findings.recorder import Element, Finding
from conformance.harness.pytest_plugin import options
from conformance.harness.pytest_plugin.output import report_folders
from conformance.harness.pytest_plugin.output.report import Report
from conformance.harness.pytest_plugin.output.report_folders import (
    INTERRUPTED,
    NO_TIME,
    Folders,
    Job,
    Writing,
    Written,
    findings_to_tell,
    jobs,
    key_of,
    seconds_left,
    told_of,
    write,
)
from conformance.harness.pytest_plugin.output.summary import Summary
from conformance.harness.session import Session

ROOT = Path(__file__).parents[4]

NUMBER = Finding(
    severity=RED,
    clause="B1",
    test="test_results_lie_within_their_error_bound",
    cell="lstm",
    subject="torch.nn",
    route="grad",
    dtype="float32",
    field="output",
    kind="outside its bound",
    lines=("output, row 0:  got 1",),
    case="v1 lstm i1 h1 t2 float32 fill=dyadic",
    kernels=("addmm",),
    element=Element("output", {"row": 0}, 1.0, 0.0, 1e-7),
)
SHAPE = replace(NUMBER, clause="A2", field="h_n", kind="has another shape", element=None)
RAISES = replace(SHAPE, field="call", kind="raised ValueError", failure=Failure(RAISED, "ValueError"))


def report(*findings, quiet=(), **given):
    """A report with these findings."""
    names = {axis: given.pop(axis, []) for axis in ("cells", "devices", "dtypes", "routes")}
    chosen = options.read("smoke", given.pop("subjects", []), None, known=[], no_stale=False, **names)
    made = Report(Session(given.pop("judged", subject.torch_nn())), chosen, ())
    made.findings = list(findings)
    made.session.recorder.tally("test_one[lstm]").cases = 1
    for one in quiet:
        made.session.recorder.note(one)
    assert not given
    return made


def told(made, width=80):
    return "\n".join(Summary(made, width).lines("7")).splitlines()


def test_red_comes_before_amber_facts_before_numbers_and_simple_cases_first():
    longer = replace(NUMBER, field="h_n", case=NUMBER.case + " seed=3")
    amber, remark = replace(SHAPE, severity=AMBER, clause="B2"), replace(SHAPE, severity=REMARK, clause="A5")
    known = replace(remark, clause="E4", known="some-entry")
    made = report(longer, NUMBER, SHAPE, quiet=(remark, amber, known))
    assert findings_to_tell(made) == [SHAPE, NUMBER, longer, amber, remark]


def test_findings_of_one_kind_and_cell_are_told_once_with_the_simplest_case():
    same = replace(NUMBER, case=NUMBER.case + " seed=3", test="test_other", kernels=("mm",))
    other = replace(NUMBER, cell="gru", case=NUMBER.case.replace("lstm", "gru"))
    assert findings_to_tell(report(same, NUMBER, other)) == [other, NUMBER]


def test_findings_of_one_surrounding_are_a_job_for_results_and_one_for_gradients_with_the_places_of_the_others():
    around = replace(NUMBER, clause="E5", kind="differs from output", surrounding="anomaly_mode")
    cells = [replace(around, cell=cell, case=NUMBER.case.replace("lstm", cell)) for cell in ("gru", "rnn_tanh")]
    state = replace(around, field="h_n", kind="differs from h_n")
    gradient = replace(around, field="gradient of input", kind="differs from gradient of input")
    elsewhere = replace(around, surrounding="fork")
    found = [around, *cells, state, gradient, elsewhere]
    told = findings_to_tell(report(*found))
    assert told == [cells[0], gradient, elsewhere]
    made = jobs(told, report().options, "x", "", 0, found)
    assert [job.also for job in made] == [
        ("LSTM output", "GRU output", "RNN(tanh) output", "LSTM h_n"),
        ("LSTM gradient of input",),
        ("LSTM output",),
    ]
    assert [job.arguments[job.arguments.index("--only") + 1] for job in made] == [
        "E5|result|differs with anomaly_mode|",
        "E5|gradient|differs with anomaly_mode|",
        "E5|result|differs with fork|",
    ]
    folders = Folders(".conformance")
    folders.written[told_of(told[0])] = Written(".conformance/E5-gru", "repro.py shows it: exit 10")
    assert all(folders.of([one]) == folders.of([told[0]]) for one in (*cells, state))
    assert folders.of([gradient]) is folders.of([elsewhere]) is None


def test_findings_of_one_property_in_one_case_are_one_command():
    both = jobs([SHAPE, NUMBER], report().options, ".conformance", "7", 120)
    assert len(both) == 1
    assert both[0].keys == (told_of(SHAPE), told_of(NUMBER))
    command = f"report '{NUMBER.case}' --test {NUMBER.test} --reports .conformance --seed 7 --call-limit 10"
    assert both[0].command == f"python -m conformance {command}"


def test_calls_that_do_not_return_are_one_finding_whatever_their_limit_is():
    first, second = (Failure(TIMED_OUT, number=limit) for limit in (120, 15))
    hangs = [replace(RAISES, failure=failure, kind=failure.title) for failure in (first, second)]
    assert hangs[0].kind != hangs[1].kind
    assert len({key_of(one) for one in hangs}) == 1


def test_command_has_the_options_that_narrow_the_run_and_name_the_subject():
    chosen = report(routes=["grad"], dtypes=["float32"]).options
    (job,) = jobs([replace(NUMBER, options="--subject lstm=mine:LSTM")], chosen, "x", "", 2)
    wanted = "--subject lstm=mine:LSTM --reports x --dtype float32 --route grad --call-limit 2"
    assert job.command.endswith(wanted)


def test_finding_of_a_property_that_draws_no_case_is_named_by_its_cell():
    (job,) = jobs([replace(NUMBER, case="")], report().options, "x", "", 0)
    assert job.arguments[:5] == ("report", "--cell", "lstm", "--test", NUMBER.test)


def test_cause_names_the_script_and_the_summary_counts_folders():
    raises = replace(RAISES, cell="gru", case="v1 gru i1 h1 t1 float32 fill=dyadic")
    made = report(NUMBER, raises)
    made.folders = Folders(".conformance")
    made.folders.written[told_of(NUMBER)] = Written(".conformance/B1-lstm-row", "repro.py shows it: exit 10")
    made.folders.written[told_of(raises)] = Written(".conformance/A2-gru-call", "no script: none is written of it")
    made.folders.missing = [(NO_TIME, "python -m conformance report ...")]
    lines = told(made)
    assert "script  .conformance/B1-lstm-row/repro.py  needs torch alone; shows it: exit 10" in lines
    assert "report  .conformance/A2-gru-call  no script: none is written of it" in lines
    assert "REPORTS 2 folders in .conformance; 1 other not written, see below" in lines
    at = lines.index(f"report not written: {NO_TIME}")
    assert lines[at + 1] == "        python -m conformance report ..."


def test_causes_of_one_kind_have_a_folder_each_and_none_names_that_of_another():
    first = replace(RAISES, lines=("ValueError: too few",))
    second = replace(first, lines=("ValueError: too many",), case=RAISES.case + " seed=3")
    made = report(first, second)
    assert key_of(first) == key_of(second)
    assert len(made.causes()) == 2
    assert findings_to_tell(made) == [first, second]
    made.folders = Folders(".conformance")
    made.folders.written[told_of(first)] = Written(".conformance/A2-lstm-call", "repro.py shows it: exit 10")
    lines = told(made, 200)
    assert sum(".conformance/A2-lstm-call" in line for line in lines) == 1
    at = next(at for at, line in enumerate(lines) if "too many" in line)
    assert not any(line.startswith("script") for line in lines[at : at + 3] if "too few" not in line)
    made.folders.written[told_of(second)] = Written(".conformance/A2-lstm-call-2", "repro.py shows it: exit 10")
    assert sum("repro.py" in line for line in told(made, 200)) == 2


def test_path_that_is_too_long_for_the_line_is_not_cut():
    made = report(NUMBER)
    made.folders = Folders("/far")
    made.folders.written[told_of(NUMBER)] = Written("/far/" + "x" * 90, "repro.py shows it: exit 10")
    lines = told(made)
    at = lines.index(f"script  /far/{'x' * 90}/repro.py")
    assert lines[at + 1] == "        needs torch alone; shows it: exit 10"


def test_run_without_folders_says_nothing_of_them():
    assert not [line for line in told(report(NUMBER)) if "REPORTS" in line or "script" in line]


def test_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    made = report(NUMBER)
    made.folders = write(made, str(tmp_path / "file"), tmp_path, tmp_path, "7", 120)
    said = " ".join(" ".join(told(made, 200)).split())
    assert "REPORTS none: file: File exists; name a folder that can be written with --reports" in said
    assert not made.folders.missing


def test_subject_of_this_process_alone_has_no_folders(tmp_path):
    made = report(NUMBER, judged=replace(subject.torch_nn(), name="mine", texts=()))
    assert write(made, None, tmp_path, tmp_path, "7", 120).said() == "none: mine exists in this process alone"


def test_run_that_its_user_ended_writes_nothing_and_lists_the_commands(tmp_path):
    made = report(NUMBER)
    made.ended_by_user = True
    folders = write(made, None, tmp_path, tmp_path, "7", 120)
    assert [reason for reason, _ in folders.missing] == [INTERRUPTED]
    assert folders.parent == ".conformance"


CHILD = """#!/bin/sh
# In place of `python -m conformance report LINE FOLDER JSON --seconds=S`: LINE says what to do.
echo "$7" >> seconds
case "$4" in
    write) mkdir -p "$5"; echo "$6" > "$5/case.json"; echo "$5  repro.py shows it: exit 10" ;;
    hang) echo $$ >> pids; sleep 60 & echo $! >> pids; wait ;;
    fail) echo "one" >&2; echo "the last line" >&2; exit 4 ;;
esac
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Children that do as they are told take the place of the command."""
    path = tmp_path / "child"
    path.write_text(CHILD)
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))


def job(what, name="a", finding=NUMBER):
    said = json.dumps({"finding": finding.to_json()})
    return Job((told_of(finding),), ("report", what, f"reports/{name}", said))


def wrote(tmp_path, *waiting, **given):
    folders = Folders("reports")
    Writing(waiting, folders, tmp_path, (tmp_path,), **given).run()
    return folders


def assert_gone(path):
    """No process whose number is in this file lives."""
    for pid in path.read_text().split():
        for _ in range(100):
            state = Path(f"/proc/{pid}/stat")
            if not state.exists() or state.read_text().rpartition(") ")[2].startswith("Z"):
                break
            time.sleep(0.02)
        else:
            pytest.fail(f"{pid} lives")


posix = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a shell script, and what /proc says")


@posix
def test_folders_are_known_by_what_they_tell_and_the_rest_is_listed(child, tmp_path):
    folders = wrote(tmp_path, job("write"), job("fail", "b", SHAPE), job("nothing", "c", RAISES))
    assert folders.written == {told_of(NUMBER): Written("reports/a", "repro.py shows it: exit 10")}
    assert sorted(reason for reason, _ in folders.missing) == ["the case did not show it again", "the last line"]


@posix
def test_child_that_takes_too_long_is_ended_with_all_that_it_started(child, tmp_path, monkeypatch):
    monkeypatch.setattr(report_folders, "SECONDS_EACH", 0.3)
    folders = wrote(tmp_path, job("hang"), job("write", "b", SHAPE))
    assert [reason for reason, _ in folders.missing] == ["it took longer than 0.3 s"]
    assert told_of(SHAPE) in folders.written
    assert_gone(tmp_path / "pids")


@posix
def test_all_children_together_have_a_limit_and_two_run_at_a_time(child, tmp_path, monkeypatch):
    monkeypatch.setattr(report_folders, "MOST_SECONDS", 0.4)
    monkeypatch.setattr(report_folders, "SECONDS_BESIDE", 0.0)
    began = time.monotonic()
    folders = wrote(tmp_path, *[job("hang", str(number)) for number in range(5)])
    assert time.monotonic() - began < 5
    assert len((tmp_path / "pids").read_text().split()) <= 2 * report_folders.AT_ONCE
    assert [reason for reason, _ in folders.missing] == [NO_TIME] * 5
    assert_gone(tmp_path / "pids")


@pytest.mark.parametrize(
    ("deadline", "seconds"),
    [(math.inf, 300), (1000 + 900, 300), (1000 + 20, 70), (1000, 50), (1000 - 30, 20), (1000 - 60, 0)],
)
def test_after_a_run_with_a_time_children_have_little_more(deadline, seconds, monkeypatch):
    monkeypatch.setattr(report_folders.time, "time", lambda: 1000.0)
    assert seconds_left(deadline) == seconds


def seconds_asked(tmp_path):
    """How long each child may look for simpler numbers."""
    return [float(line.removeprefix("--seconds=")) for line in (tmp_path / "seconds").read_text().split()]


@posix
def test_children_that_wait_share_the_time_for_simpler_numbers(child, tmp_path):
    few = [job("write", str(number)) for number in range(2)]
    wrote(tmp_path, *few)
    assert seconds_asked(tmp_path) == [20.0, 20.0]
    (tmp_path / "seconds").unlink()
    many = [job("write", str(number)) for number in range(8)]
    wrote(tmp_path, *many, deadline=time.time() + 20)
    first, *later = seconds_asked(tmp_path)
    assert 0 < first <= (20 + report_folders.SECONDS_AFTER) / 4 - report_folders.SECONDS_BESIDE
    assert later[-1] == 20.0, "what others leave"
    (tmp_path / "seconds").unlink()
    both = replace(few[0], keys=(told_of(NUMBER), told_of(SHAPE)))
    wrote(tmp_path, both, deadline=time.time() - report_folders.SECONDS_AFTER + 30)
    (each,) = seconds_asked(tmp_path)
    assert 0 < each <= (30 - report_folders.SECONDS_BESIDE) / 2


@posix
def test_child_that_could_not_end_in_time_does_not_begin(child, tmp_path):
    folders = wrote(tmp_path, job("write"), deadline=time.time() - report_folders.SECONDS_AFTER + 5)
    assert [reason for reason, _ in folders.missing] == [NO_TIME]
    assert not (tmp_path / "seconds").exists()


@posix
def test_ctrl_c_ends_the_writing_and_keeps_what_is_there(child, tmp_path, monkeypatch):
    folders = Folders("reports")

    def sleep(seconds, wait=time.sleep):
        wait(seconds)
        if folders.written and (tmp_path / "pids").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(report_folders.time, "sleep", sleep)
    Writing([job("write"), job("hang", "b"), job("hang", "c"), job("hang", "d")], folders, tmp_path, ()).run()
    monkeypatch.undo()
    assert list(folders.written) == [told_of(NUMBER)]
    assert [reason for reason, _ in folders.missing] == [INTERRUPTED] * 3
    assert_gone(tmp_path / "pids")


SUBJECT = """
import torch

class LSTM(torch.nn.LSTM):
    def forward(self, input, hx=None):
        output, states = super().forward(input, hx)
        return output * 1.5 if isinstance(output, torch.Tensor) else output, states

class GRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        if self.hidden_size > 1:
            raise ArithmeticError("no luck")
        return super().forward(input, hx)
"""

DYING = """
import os
import torch

class LSTM(torch.nn.LSTM):
    def forward(self, input, hx=None):
        while self.hidden_size > 1:
            pass
        return super().forward(input, hx)

class GRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        if self.hidden_size > 1:
            os.abort()
        return super().forward(input, hx)
"""

SPY = """
import sys
def pytest_unconfigure(config):
    print("imported" if "jinja2" in sys.modules else "not imported", "children" if
          "conformance.harness.pytest_plugin.output.report_folders" in sys.modules else "")
"""

CHOSEN = "test_results_lie and not cell and not wherever"


def run(folder, *arguments):
    """A run of one property from `folder`, which holds the subject: exit code and output."""
    (folder / "mine.py").write_text(SUBJECT)
    (folder / "dying.py").write_text(DYING)
    (folder / "spy.py").write_text(SPY)
    command = [sys.executable, "-m", "pytest", "-p", "spy", "-p", "no:cacheprovider", "--effort", "smoke"]
    command += [*arguments, str(ROOT / "conformance" / "test_numbers.py")]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


heavy = pytest.mark.thorough(reason="whole runs, whose children import torch too")


@heavy
@pytest.mark.parametrize("mode", [("-p", "no:xdist"), ("-n", "2")], ids=["sequential", "parallel"])
def test_red_run_writes_its_findings_and_names_them(mode, tmp_path):
    where = tmp_path / "reports"
    code, text = run(tmp_path, *mode, "--subject", "mine", "-k", CHOSEN, "--reports", "reports")
    assert code == 1
    folders = sorted(where.iterdir())
    assert folders
    assert f"REPORTS {len(folders)} folders in reports" in text
    for folder in folders:
        assert json.loads((folder / "case.json").read_text())["subject"] == "mine"
        assert (folder / "facts.md").exists()
    named = re.findall(r"(?m)^(?:report|script)  (reports/\S+)", text)
    assert len(named) == 2, "one for each cause"


@heavy
def test_no_folder_without_a_red_finding_or_with_no_reports(tmp_path):
    case = ("-p", "no:xdist", "--subject", "mine", "--reports", "reports", "--case")
    code, text = run(tmp_path, *case, "v1 gru i1 h1 t1 float32 fill=dyadic")
    assert code == 0, text
    assert "not imported" in text
    code, text = run(tmp_path, *case, "v1 gru i1 h2 t1 float32 fill=dyadic", "--no-reports")
    assert code == 1
    assert "REPORTS" not in text
    assert not (tmp_path / "reports").exists()
    code, text = run(tmp_path, *case, "v1 gru i1 h2 t1 float32 fill=dyadic")
    assert code == 1
    names = [path.name for path in (tmp_path / "reports").iterdir()]
    assert sorted(names) == [f"{clause}-gru-call-raised-ArithmeticError" for clause in ("B1", "B2")]


@heavy
def test_folder_that_cannot_be_written_changes_no_exit_code(tmp_path):
    (tmp_path / "file").touch()
    line = "v1 gru i1 h2 t1 float32 fill=dyadic"
    code, text = run(tmp_path, "-p", "no:xdist", "--subject", "mine", "--reports", "file/below", "--case", line)
    assert code == 1
    said = "REPORTS none: file/below: Not a directory; name a folder that can be written with --reports"
    assert said in " ".join(text.split())
    assert "Traceback" not in text


@heavy
@pytest.mark.parametrize(
    ("cell", "how"), [("lstm", "did-not-return-within-2-s"), ("gru", "killed-by-signal-6-SIGABRT")]
)
def test_call_that_ends_its_process_is_replayed_in_a_child(cell, how, tmp_path):
    line = f"v1 {cell} i1 h2 t1 float32 fill=dyadic"
    dying = ("-n", "1", "--subject", "dying", "--call-limit", "2", "-k", CHOSEN, "--case", line, "--reports", "reports")
    code, text = run(tmp_path, *dying)
    assert code == 1
    assert "REPORTS 1 folder in reports" in text
    assert [path.name for path in (tmp_path / "reports").iterdir()] == [f"B1-{cell}-call-{how}"]


LOST = """
def pytest_unconfigure(config):
    if hasattr(config, "workerinput"):
        return
    from conformance.harness.pytest_plugin.plugin import REPORT
    from conformance.harness.pytest_plugin.output.report_folders import findings_to_tell, told_of
    report = config.stash[REPORT]
    written, missing = report.folders.written, [command for _, command in report.folders.missing]
    told = findings_to_tell(report)
    lost = [one.again for one in told if told_of(one) not in written and not any(one.test in it for it in missing)]
    print("to tell", len(told), "lost", lost)
"""


@heavy
def test_run_with_a_time_lists_the_folders_that_do_not_fit_into_what_is_left(tmp_path):
    (tmp_path / "lost.py").write_text(LOST)
    chosen = ("-p", "lost", "-n", "2", "-k", "lstm and not cell", "--subject", "lstm=mine:LSTM", "--time", "20")
    code, text = run(tmp_path, *chosen, "--reports", "reports")
    assert code == 1
    (seconds,) = re.findall(r"for each distinct finding, (\d+) s at most", text)
    assert int(seconds) <= 20 + report_folders.SECONDS_AFTER
    ((number, lost),) = re.findall(r"to tell (\d+) lost (.*)", text)
    assert int(number) > 1
    assert lost == "[]"
    others = re.findall(r"REPORTS \d+ folders? in reports; (\d+) others? not written", text)
    assert text.count("report not written: ") == sum(map(int, others))
