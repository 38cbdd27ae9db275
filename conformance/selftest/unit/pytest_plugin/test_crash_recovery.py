"""Nothing is lost: subjects that abort, crash, hang, are killed or take all memory, and runs that are interrupted."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conformance.harness.execution.failure import TIMED_OUT, Failure
from conformance.harness.isolation.call_journal import CallJournal, Record
from conformance.harness.pytest_plugin import crash_recovery, deadline, requirements
from conformance.harness.pytest_plugin.output.report import FINDINGS, NOT_REACHED
from conformance.results.files import load
from conformance.selftest.unit.pytest_plugin.test_summary import FINDING
from conformance.selftest.unit.pytest_plugin.test_summary import report as summary_report
from strategies import parse

ROOT = Path(__file__).parents[4]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals, and what /proc says, of Linux")

DYING = """
import ctypes, os, signal
import torch

def steps(module, input):
    padded = isinstance(input, torch.Tensor)
    return input.shape[1 if module.batch_first and input.dim() == 3 else 0] if padded else 0

def hang():
    while True:
        pass

def hog():
    kept = [torch.empty(2**28) for _ in range(2**16)]

def dying(base, die):
    class Dying(base):
        def forward(self, input, hx=None):
            if steps(self, input) >= 2:
                die()
            return super().forward(input, hx)
    return Dying

GRU = dying(torch.nn.GRU, os.abort)
LSTM = dying(torch.nn.LSTM, hang)
Segfault = dying(torch.nn.RNN, lambda: ctypes.string_at(0))
Killed = dying(torch.nn.RNN, lambda: os.kill(os.getpid(), signal.SIGKILL))
Exit = dying(torch.nn.RNN, lambda: os._exit(3))
Hog = dying(torch.nn.LSTM, hog)

def die_once():
    if not os.path.exists("died"):
        open("died", "w").close()
        os.abort()

Sound = torch.nn.LSTM
Once = dying(torch.nn.GRU, die_once)

class Always(torch.nn.GRU):
    def forward(self, input, hx=None):
        os.abort()
"""

SUBJECTS = {"rnn_tanh": "Segfault", "rnn_relu": "Killed", "lstm": "LSTM", "gru": "GRU"}
ENDS = {
    "RNN(tanh)": "killed by signal 11 (SIGSEGV)",
    "RNN(relu)": "killed by signal 9 (SIGKILL)",
    "LSTM": "did not return within 2 s",
    "GRU": "killed by signal 6 (SIGABRT)",
}


@pytest.fixture
def start(tmp_path):
    """Starts runs of one file of the contract in a folder of their own, with subjects of this text."""
    mark = uuid.uuid4().hex
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "dying.py").write_text(DYING)

    def begin(*arguments, subjects=None):
        named = [f"--subject={cell}=dying:{name}" for cell, name in (subjects or SUBJECTS).items()]
        command = [sys.executable, "-m", "pytest", "--effort", "smoke", "-o", f"cache_dir={tmp_path / 'cache'}"]
        environment = dict(os.environ, COLUMNS="200", CONFORMANCE_MARK=mark, CONFORMANCE_FOLDER=str(folder))
        return subprocess.Popen(
            [
                *command,
                *named,
                "--no-reports",
                *arguments,
                *(str(ROOT / "conformance" / f"test_{chapter}.py") for chapter in ("numbers", "shapes")),
            ],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=heeding_ctrl_c,
        )

    yield SimpleNamespace(run=begin, folder=folder, mark=mark)
    for pid in marked(mark):
        os.kill(pid, signal.SIGKILL)


def heeding_ctrl_c():
    """Ctrl-C works as in a terminal, also where whoever started these tests ignores it, as a background job does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def marked(mark):
    """Processes that began with this mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def finished(process):
    """Exit code and output of a run."""
    text, _ = process.communicate(timeout=120)
    return process.returncode, text


def findings(text):
    """What a run says of each cell in chapter B1: how its call ended, and its case."""
    told = re.findall(
        r"^RED +B1 +(\S+) fails: results lie.*\n +module .*\n +input .*\n +(.*)\n(?: +.*\n)*?"
        r" +again +pytest --case \"(.*)\" --subject \w+=dying:\w+",
        text,
        re.MULTILINE,
    )
    assert len(told) == len({cell for cell, _, _ in told}), "one finding each"
    return {cell: end for cell, end, _ in told}, {cell: parse(line)[0] for cell, _, line in told}


def assert_small(cases):
    for case in cases.values():
        sizes = (case.steps, case.input_size, case.hidden_size, case.batch_size, case.num_layers)
        assert sizes == (2, 1, 1, 1, 1)


CHOSEN = ("-k", "test_results_lie or test_parameters_have", "--call-limit", "2")
"""Properties that call the modules, and others that only build them."""


@pytest.mark.thorough(reason="four ways to die, each shrunk in child processes")
def test_each_way_to_die_under_xdist_is_one_finding_with_a_small_case_and_the_rest_is_tested(start):
    code, text = finished(start.run("-n", "2", *CHOSEN))
    assert code == 1, text
    ends, cases = findings(text)
    assert ends == ENDS, text
    assert_small(cases)
    assert "4 causes, 4 tests" in " ".join(text.split())
    assert "not repeatable" not in text
    assert "4 failed, 4 passed" in text
    assert "never ran" not in text
    assert not marked(start.mark)


@pytest.mark.thorough(reason="three runs, each with processes of its own")
def test_run_without_xdist_that_died_is_named_by_the_next_one_which_tests_everything(start):
    subjects = {"rnn_tanh": "Exit", "lstm": "Hog"}
    code, text = finished(start.run("-p", "no:xdist", *CHOSEN, subjects=subjects))
    assert code not in (0, 1)
    code, text = finished(start.run("-p", "no:xdist", *CHOSEN, subjects=subjects))
    assert code == 1, text
    line = next(line for line in text.splitlines() if "the run before this one died in" in line)
    again = 'again: pytest --case "v1 .*" --subject \\w+=dying:\\w+ -n 1; this time every call is made'
    assert re.search(r"results_lie_within_their_error_bound\[\w+\]; " + again, line)
    ends, cases = findings(text)
    refused = ends.pop("LSTM")
    assert refused.startswith("RuntimeError: ")
    assert "memory" in refused
    assert ends == {"RNN(tanh)": "ended the process with exit code 3"}
    assert_small(cases)
    assert "2 failed, 2 passed" in text
    assert not marked(start.mark)
    assert not list(start.folder.parent.rglob("*.box")), "nothing is left for a third run to name"


KILLER = """
import os

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        from conformance.harness.pytest_plugin import crash_recovery
        crash_recovery.Watch._save = save(crash_recovery.Watch._save)

def save(before):
    def die_between_tests_once(watch, counted):
        before(watch, counted)
        if not os.path.exists("between"):
            open("between", "w").close()
            os._exit(8)
    return die_between_tests_once

def pytest_runtest_setup(item):
    if item.name == "test_parameters_have_the_documented_names_and_shapes[lstm]":
        os._exit(7)
"""


@pytest.mark.thorough(reason="half a minute; what a child does with a death that does not come again is in test_child")
def test_death_that_does_not_come_again_or_lies_outside_of_a_call_is_told_and_the_rest_is_tested(start):
    (start.folder / "killer.py").write_text(KILLER)
    subjects = {"gru": "Once", "lstm": "Sound"}
    code, text = finished(start.run("-n", "2", "-p", "killer", *CHOSEN, subjects=subjects))
    assert code == 1, text
    head = r"^RED +B1 +GRU fails: results lie.*\n +module .*\n +input .*\n +NOT REPEATABLE.*\n"
    once = head + r" +killed by signal 6 \(SIGABRT\)\n +again .* \"v1 gru "
    assert re.search(once, text, re.MULTILINE), text
    outside = r"^_+ test_parameters_have\S+\[lstm\] _+\n.*\nended the process with exit code 7, outside of a call"
    assert re.search(outside, text, re.MULTILINE), text
    assert re.search(r"^ERROR  gw\d+, a worker, died outside of any test: it ended with exit code 8$", text, re.M)
    assert "1 cause, 1 test" in " ".join(text.split())
    assert "1 test not repeatable" in " ".join(text.split())
    assert "ERROR   2 errors of the suite" in text
    assert "2 failed, 2 passed" in text
    assert "never ran" not in text


HANGING = {
    "nodeid": "a::b",
    "test": "test_b",
    "cell": "lstm",
    "clause": "B1",
    "subject": "mine",
    "options": "",
    "drawn": True,
}


@pytest.mark.parametrize(("outcome", "failed"), [("skipped", True), ("passed", False)])
def test_call_that_no_time_was_left_to_make_again_fails_its_test(outcome, failed):
    config: Any = SimpleNamespace(option=SimpleNamespace(call_limit=2))
    controller = crash_recovery.Controller(config, *(cast(Any, SimpleNamespace(in_children=bool)) for _ in range(2)))
    controller.pytest_unconfigure()
    record = Record(1, 1, True, "v1 lstm i1 h2 t1 float32 fill=dyadic", "grad", HANGING)
    finding = crash_recovery.finding_of(record, Failure(TIMED_OUT, number=2))
    controller._waiting["a::b"] = finding, "did not return within 2 s"
    told: Any = SimpleNamespace(nodeid="a::b", when="setup", outcome=outcome, longrepr=None, location=("a", 1, "b"))
    told.user_properties = [(NOT_REACHED, "B1")]
    controller.pytest_runtest_logreport(told)
    assert (told.outcome == "failed") is failed
    assert ("a::b" in controller._waiting) is not failed
    assert [name for name, _ in told.user_properties] == ([FINDINGS] if failed else [NOT_REACHED])


@pytest.mark.parametrize(
    ("call_limit", "time", "like", "seconds"),
    [
        (None, None, [], 120),
        (None, "0", ["a:b"], 120),
        (None, None, ["a:b"], 30),
        (None, "20", [], 30),
        (None, "240", [], 60),
        (None, "3600", [], 120),
        ("7", "20", [], 7),
        (0.0, "20", [], 0),
    ],
)
def test_run_with_a_time_waits_less_for_a_call(call_limit, time, like, seconds):
    given: Any = SimpleNamespace(option=SimpleNamespace(call_limit=call_limit, time=time, like=like))
    assert deadline.call_limit(given) == seconds


def test_tests_that_never_ran_fail_the_run_and_what_was_found_is_told(start):
    subjects = {"gru": "GRU"}
    code, text = finished(start.run("-n", "1", "--max-worker-restart", "0", *CHOSEN, subjects=subjects))
    assert code not in (0, int(pytest.ExitCode.INTERRUPTED)), text
    ends, _ = findings(text)
    assert ends == {"GRU": ENDS["GRU"]}, text
    assert re.search(r"^INCOMPLETE \d+ tests? never ran:\s+test_results_lie", text, re.MULTILINE), text


def test_subject_that_dies_in_every_call_is_judged_even_without_xdist(start):
    code, text = finished(start.run("-p", "no:xdist", *CHOSEN, subjects={"gru": "Always"}))
    assert code == 1, text
    ends, cases = findings(text)
    assert ends == {"GRU": ENDS["GRU"]}, text
    assert cases["GRU"].steps == 1
    assert "1 failed, 1 passed" in text
    assert "EMPTY " not in text, "what is red was tested"


def test_command_to_run_a_crash_again_shows_it_instead_of_dying_of_it(start):
    line = "v1 gru i1 h1 t2 float32 fill=dyadic"
    code, text = finished(start.run("--case", line, "-n", "1", "-k", "test_results_lie", subjects={"gru": "GRU"}))
    assert code == 1, text
    ends, cases = findings(text)
    assert (ends, cases) == ({"GRU": ENDS["GRU"]}, {"GRU": parse(line)[0]}), text


def test_workers_that_die_outside_of_any_test_are_not_replaced_for_ever(tmp_path):
    told: Any = SimpleNamespace(suite_errors=[], unfinished=[], merge=lambda worker, data: None)
    watch: Any = SimpleNamespace(in_children=lambda: False)
    config: Any = SimpleNamespace(option=SimpleNamespace(call_limit=0))
    controller = crash_recovery.Controller(config, told, watch)
    gone = SimpleNamespace(gateway=SimpleNamespace(id="gw0", _io=SimpleNamespace(popen=subprocess.Popen(["false"]))))
    for _ in range(crash_recovery.MOST_OUTSIDE - 1):
        controller.pytest_testnodedown(gone, "died")
    with pytest.raises(pytest.exit.Exception, match="outside of any test, the last one ended with exit code 1"):
        controller.pytest_testnodedown(gone, "died")
    controller.pytest_unconfigure()
    assert len(told.suite_errors) == crash_recovery.MOST_OUTSIDE


def test_ways_to_share_out_tests_that_lose_some_after_a_crash_are_refused():
    for dist in ("loadscope", "loadfile", "loadgroup", "each"):
        with pytest.raises(pytest.UsageError, match=f"--dist {dist}: .* use --dist load"):
            requirements.require_workers_that_can_be_replaced(dist)
    for dist in ("no", "load", "worksteal"):
        requirements.require_workers_that_can_be_replaced(dist)


@pytest.mark.parametrize("cache", ["a file", "there", "switched off"])
def test_records_lie_in_the_cache_or_where_nobody_may_write_to_it_in_a_folder_that_goes(cache, tmp_path):
    place = tmp_path / "cache"
    if cache == "a file":
        place.touch()
    config: Any = SimpleNamespace(
        pluginmanager=SimpleNamespace(hasplugin=lambda name: cache != "switched off"),
        option=SimpleNamespace(cacheclear=False),
        rootpath=tmp_path,
        getini=lambda name: "cache",
    )
    folder, temporary = next(crash_recovery._folders(config))
    assert folder.is_dir()
    assert (temporary is None) is (cache == "there")
    if cache == "there":
        assert folder == place / "d" / "conformance"
        assert (place / ".gitignore").read_text() == "*\n"
    else:
        assert temporary is not None
        temporary.remove()
        assert not folder.exists()


def test_what_a_record_says_is_shown_on_one_line_and_nothing_more():
    odd = {"nodeid": "a\x1b[31m\nb", "test": "c\nd", "drawn": False}
    line = crash_recovery._of_earlier(Record(1, 1, False, "v1 \x07", "grad", odd))
    assert line == r'the run before this one died in a\x1b[31m b, outside of a call; again: pytest -k "c d"'
    assert crash_recovery._of_earlier(Record(1, 1, True, "", "", {"odd": 1})).startswith(
        "the run before this one died in None;"
    )


def test_files_among_the_records_that_are_none_are_named_and_the_run_goes_on(start, tmp_path):
    folder = tmp_path / "cache" / "d" / "conformance"
    folder.mkdir(parents=True)
    for number, test in enumerate(([1], {"nodeid": ["a"]}, {"nodeid": "a", "test": {}, "options": 3})):
        made = CallJournal(folder / f"{number}.box")
        text = json.dumps(test).encode()
        made._map[64 : 68 + len(text)] = len(text).to_bytes(4, "little") + text
        data = made.path.read_bytes()
        made.close()
        (folder / f"{number}.box").write_bytes(data)
    (folder / "3.box").write_bytes(b"\xff" * 9000)
    code, text = finished(start.run("-p", "no:xdist", "-k", "documented_shape", subjects={"lstm": "Sound"}))
    assert code == 0, text
    assert text.count("no record of a run that died; it was left out") == 4
    assert "INTERNALERROR" not in text
    assert list(folder.glob("[0-3].box")) == []


STUBBORN = """
import os, pathlib, torch
FOLDER = pathlib.Path(os.environ["CONFORMANCE_FOLDER"])
class LSTM(torch.nn.LSTM):
    def forward(self, input, hx=None):
        if not (FOLDER / "died").exists():
            (FOLDER / "died").touch()
            os.abort()
        if isinstance(input, torch.Tensor) and input.shape[0] == 2:
            (FOLDER / "hangs").touch()
            while True:
                pass
        return super().forward(input, hx)
"""


FEWER_TO_END = pytest.mark.thorough(reason="Ctrl-C reaches run, worker and child, and these end the same or fewer")


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("in a child of a worker", "Ctrl-C"),
        pytest.param("in a child of a worker", "SIGTERM", marks=FEWER_TO_END),
        pytest.param("in this process", "SIGTERM", marks=FEWER_TO_END),
    ],
)
def test_interrupted_run_ends_within_seconds_says_that_it_is_incomplete_and_leaves_nobody(mode, how, start):
    (start.folder / "dying.py").write_text(STUBBORN)
    if mode == "in this process":
        (start.folder / "died").touch()
    xdist = ("-p", "no:xdist") if mode == "in this process" else ("-n", "1")
    results = start.folder / "r.json"
    more = ("--call-limit", "0", f"--results={results}")
    run = start.run(*xdist, "-k", "test_results_lie or test_dtype", *more, subjects={"lstm": "LSTM"})
    deadline = time.monotonic() + 60
    while not (start.folder / "hangs").exists():
        assert time.monotonic() < deadline, run.communicate()[0]
        time.sleep(0.1)
    began = time.monotonic()
    if how == "SIGTERM":
        run.terminate()
    else:
        os.killpg(run.pid, signal.SIGINT)
    code, text = finished(run)
    assert time.monotonic() - began < 10
    assert code == int(pytest.ExitCode.INTERRUPTED), text
    assert re.search(r"^INCOMPLETE interrupted; \d+ tests? never ran:\s+test_results_lie", text, re.MULTILINE), text
    made = load(results)
    assert (made.complete, made.verdict) == (False, "INCOMPLETE")
    assert made.reason.startswith("interrupted; ")
    time.sleep(0.5)
    assert not marked(start.mark)


INTERRUPTED_TWICE = """
import os, signal, sys, time
import pytest

def interrupt(before):
    print("interrupted " + before, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)

def pytest_runtest_logfinish():
    if os.environ["FIRST"] == "in a test":
        interrupt("in a test")

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    for _ in range(int(os.environ["BEFORE"])):
        interrupt("before the summary")

@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    print("all said", flush=True)
"""

AT_THE_END = """
import os, signal
def pytest_terminal_summary(config):
    config.add_cleanup(lambda: None)

class Late:
    def pytest_unconfigure(self):
        os.kill(os.getpid(), signal.SIGINT)
        print("not reached", flush=True)

def pytest_configure(config):
    config.pluginmanager.register(Late())
"""


ENDINGS = [
    ("in a test", 1, ["twice"], "all said"),
    ("nowhere", 1, ["twice"], "all said"),
    ("in a test", 2, ["twice"], "interrupted before the summary"),
    ("in a test", 0, ["twice", "late"], ""),
]
"""Where the first Ctrl-C comes, how many before the summary, the plugins that give them, and the last line."""


@pytest.mark.parametrize(
    ("mode", "first", "before", "plugins", "ends"),
    [
        ("in this process", *ENDINGS[0]),
        ("in a worker", *ENDINGS[3]),
        *(pytest.param("in a worker", *one, marks=FEWER_TO_END) for one in ENDINGS[:3]),
        *(pytest.param("in this process", *one, marks=FEWER_TO_END) for one in ENDINGS[1:]),
    ],
)
def test_ctrl_c_of_a_run_that_is_ending_shows_no_traceback(mode, first, before, plugins, ends, tmp_path):
    (tmp_path / "twice.py").write_text(INTERRUPTED_TWICE)
    (tmp_path / "late.py").write_text(AT_THE_END)
    how = ("-p", "no:xdist") if mode == "in this process" else ("-n", "1")
    loaded = [word for name in plugins for word in ("-p", name)]
    asked = ("--effort", "smoke", "-k", "documented_shape and lstm", "conformance/test_shapes.py")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-reports", *loaded, *how, *asked]
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    environment = dict(os.environ, PYTHONPATH=path, FIRST=first, BEFORE=str(before))
    run = subprocess.run(
        command, cwd=ROOT, env=environment, preexec_fn=heeding_ctrl_c, capture_output=True, text=True, timeout=120
    )
    text = run.stdout + run.stderr
    assert "Traceback" not in text
    assert "Error" not in text
    assert "not reached" not in text
    assert text.count("the run is ending; Ctrl-C again ends it at once") == min(before, 1)
    assert run.stdout.rstrip().endswith(ends)
    assert ("JUDGED" in text) is (before < 2)
    interrupted = first == "in a test" or before > 1
    assert run.returncode == int(pytest.ExitCode.INTERRUPTED if interrupted else pytest.ExitCode.OK), text


@pytest.mark.parametrize("found", [True, False])
def test_a_run_fails_that_found_something_also_where_a_plugin_had_the_test_run_again_until_it_passed(found):
    made = summary_report()
    made.findings = [FINDING] if found else []
    ended: Any = SimpleNamespace(exitstatus=0)
    crash_recovery.CompletionLog(made).pytest_sessionfinish(ended, 0)
    assert ended.exitstatus == int(found)


def test_ctrl_c_while_folders_are_written_ends_that_alone():
    told: Any = SimpleNamespace(is_writing_folders=True)
    with pytest.raises(KeyboardInterrupt):
        crash_recovery.Interruptible(told)._interrupt_end(signal.SIGINT, None)
    made = summary_report()
    with made.writing_folders():
        assert made.is_writing_folders
        raise KeyboardInterrupt
    assert not made.is_writing_folders


@pytest.mark.thorough(reason="a run that is killed and another, for what test_folders shows of their parts")
def test_what_a_killed_run_leaves_in_the_temporary_folder_is_removed_by_the_next(start, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (start.folder / "dying.py").write_text(STUBBORN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        run = start.run("-n", "1", "-k", "test_results_lie", "--call-limit", "0", subjects={"lstm": "LSTM"})
        deadline = time.monotonic() + 60
        while not (start.folder / "hangs").exists():
            assert time.monotonic() < deadline, run.communicate()[0]
            time.sleep(0.1)
        run.kill()
        run.communicate()
        assert len(list(temporary.glob("conformance-*/owner"))) == 1
        for pid in marked(start.mark):
            os.kill(pid, signal.SIGKILL)
        (start.folder / "dying.py").write_text(DYING)
        code, text = finished(start.run("-n", "1", "-k", "documented_shape", subjects={"lstm": "Sound"}))
    assert code == 0, text
    assert list(temporary.glob("conformance-*")) == []


@pytest.mark.skipif(crash_recovery.limits.resource is None, reason="the system has no such limit")
def test_nothing_that_a_run_starts_writes_a_core_file(start):
    import resource

    (start.folder / "dying.py").write_text(LIMITED)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("no process may write a core file here")
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        finished(start.run("-n", "1", "-k", "documented_shape", subjects={"lstm": "LSTM"}))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    limits = (start.folder / "limits").read_text().split()
    assert len(set(limits)) == 1
    assert limits[0] == "0", "in the process of a worker, and in a child of the run"


LIMITED = """
import os, resource, torch
class LSTM(torch.nn.LSTM):
    def forward(self, input, hx=None):
        with open(os.path.join(os.environ["CONFORMANCE_FOLDER"], "limits"), "a") as file:
            file.write(f"{resource.getrlimit(resource.RLIMIT_CORE)[0]} ")
        return super().forward(input, hx)
"""
