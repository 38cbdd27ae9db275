"""The record of the call at hand: what it says, that it outlives a killed process, and that it does not grow."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from conformance.harness.execution import module_call, subject
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.isolation import call_journal, call_watcher
from conformance.harness.isolation.call_journal import CallJournal
from strategies import parse

CASE = "v1 lstm i1 h2 t2 float32 fill=dyadic"


def read(path):
    """What a record says."""
    record = call_journal.read(path)
    assert record is not None
    return record


@pytest.fixture
def box(tmp_path):
    made = CallJournal(tmp_path / "own.box")
    yield made
    made.close()


def test_record_says_test_case_and_route_and_whether_the_call_came_back(box):
    box.begin({"test": "test_own", "cell": "lstm"})
    box.before(CASE, "no_grad")
    record = read(box.path)
    assert record == call_journal.Record(os.getpid(), 1, True, CASE, "no_grad", {"test": "test_own", "cell": "lstm"})
    box.after()
    assert not read(box.path).inside
    box.begin({})
    assert call_journal.read(box.path) == call_journal.Record(os.getpid(), 1, False, "", "", {})


def test_record_never_grows_and_cuts_what_is_too_long(box):
    box.begin({"test": "x" * 10_000})
    for number in range(100):
        box.before("v1 " + "é" * 10_000 + str(number), "grad")
        box.after()
    assert box.path.stat().st_size == call_journal.SIZE
    record = read(box.path)
    assert record.calls == 100
    assert record.case.startswith("v1 éé")
    assert record.test == {}


@pytest.mark.parametrize(
    "data", [b"", b"box1", b"\xff" * call_journal.SIZE, b"box1" + b"\xff" * (call_journal.SIZE - 4)]
)
def test_file_of_another_kind_is_no_record_or_an_empty_one(data, tmp_path):
    (tmp_path / "odd.box").write_bytes(data)
    record = call_journal.read(tmp_path / "odd.box")
    assert record is None or record.test == {}


@pytest.mark.parametrize(
    "test",
    [
        ["nodeid"],
        "nodeid",
        3,
        {"nodeid": 3},
        {"nodeid": "a", "options": ["--subject"]},
        {"test": None},
        {"drawn": "yes"},
    ],
)
def test_record_whose_test_has_other_types_is_none_and_is_removed_and_named(test, tmp_path):
    path = tmp_path / "odd.box"
    made = CallJournal(path)
    text = json.dumps(test).encode()
    made._map[64 : 68 + len(text)] = len(text).to_bytes(4, "little") + text
    data = path.read_bytes()
    made.close()
    path.write_bytes(data)
    assert call_journal.read(path) is None
    assert call_journal.left_behind(tmp_path) == ([], [path])
    assert not path.exists()


def test_what_is_no_regular_file_is_no_record_and_ends(tmp_path):
    os.mkfifo(tmp_path / "fifo.box")
    (tmp_path / "zero.box").symlink_to("/dev/zero")
    (tmp_path / "folder.box").mkdir()
    assert call_journal.read(tmp_path / "fifo.box") is None
    assert call_journal.read(tmp_path / "zero.box") is None
    found, _ = call_journal.left_behind(tmp_path)
    assert found == []


def test_record_is_not_seen_before_it_is_locked(monkeypatch, tmp_path):
    seen = []
    lock = call_journal.fcntl.flock

    def looking(*given):
        seen.extend(tmp_path.glob("*.box"))
        lock(*given)

    monkeypatch.setattr(call_journal.fcntl, "flock", looking)
    CallJournal(tmp_path / "own.box").close()
    assert seen == [], "another run would take it for one that was left behind"
    assert list(tmp_path.iterdir()) == []


@contextmanager
def files_of_at_most(size):
    """The system refuses this process larger files, as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot tell a file to have its blocks")
def test_record_has_all_its_blocks_before_it_is_written(tmp_path):
    call_journal.reserve(tmp_path / "own.box")
    (reserved,) = tmp_path.iterdir()
    assert reserved.stat().st_size == call_journal.SIZE
    assert reserved.stat().st_blocks * 512 >= call_journal.SIZE, "a write to a block that is not there ends the process"
    CallJournal(tmp_path / "own.box").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("allocates", [True, False])
def test_record_without_room_is_an_error_and_leaves_nothing(allocates, monkeypatch, tmp_path):
    if not allocates:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with files_of_at_most(call_journal.SIZE // 2), pytest.raises(OSError, match="File too large"):
        CallJournal(tmp_path / "own.box")
    assert list(tmp_path.iterdir()) == []
    CallJournal(tmp_path / "own.box").close()


KILLED = """
import os, signal, sys
from pathlib import Path
from conformance.harness.isolation import call_journal, call_watcher
box = call_journal.CallJournal(Path(sys.argv[1]), float(sys.argv[2]))
watcher = call_watcher.CallWatcher(box.path)
signal.setitimer(signal.ITIMER_REAL, 1000)  # of pytest-timeout, say
signal.signal(signal.SIGALRM, signal.SIG_IGN)
box.begin({"test": "test_killed", "nodeid": "test_all.py::test_killed"})
call_journal.found_beside(box.path).write_text("RED  B1  GRU fails\\n", encoding="utf-8")
box.before("v1 gru i1 h1 t2 float32 fill=zeros", "grad")
if sys.argv[2] == "0":
    os.kill(os.getpid(), signal.SIGKILL)
while True:
    pass
"""


@pytest.mark.skipif(not call_watcher.CAN_WATCH, reason="the system cannot end a process from outside in this way")
@pytest.mark.parametrize("limit", ["0", "0.3"])
def test_record_outlives_its_process_and_is_told_from_that_of_a_living_one(limit, box, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "dead.box"), limit],
        check=False,
        timeout=60,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL
    (record,), others = call_journal.left_behind(tmp_path)
    assert others == []
    assert record.inside
    assert record.late == (limit != "0"), "whoever reads it knows that the call did not return"
    how = "did not return within 0.3 s" if record.late else "ended the process"
    assert done.stderr.splitlines()[1:] == [
        f"conformance: v1 gru i1 h1 t2 float32 fill=zeros {how}; with -n 1 a run goes on after such a call",
        "conformance: what was found before",
        "RED  B1  GRU fails",
        "",
    ]
    assert record.test == {"test": "test_killed", "nodeid": "test_all.py::test_killed"}
    assert record.case == "v1 gru i1 h1 t2 float32 fill=zeros"
    assert [path.name for path in tmp_path.iterdir()] == ["own.box"]


def test_calls_are_written_down_by_the_executor(box):
    case, cell = parse(CASE)
    module_call.tell(box)
    try:
        Forward(case.on(cell)).execute(subject.torch_nn())
    finally:
        module_call.tell_no_more(box)
    record = read(box.path)
    assert record.calls == 4, "building the module, and a call on each route"
    assert (record.case, record.route, record.inside) == (CASE, "no_mkldnn", False)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-11, "killed by signal 11 (SIGSEGV)"),
        (-6, "killed by signal 6 (SIGABRT)"),
        (3, "ended the process with exit code 3"),
        (None, "ended the process"),
        (-200, "killed by signal 200"),
    ],
)
def test_ends_of_a_process_have_words(code, said):
    assert Failure.of_exit(code, 1.0).title == said
    assert Failure.of_exit(code, 1.0).ended_process
    assert not Failure.raised(RuntimeError()).ended_process


HOLDING = """
import ctypes, sys
from pathlib import Path
from conformance.harness.isolation import call_journal, call_watcher
box = call_journal.CallJournal(Path(sys.argv[1]), 0.3)
watcher = call_watcher.CallWatcher(box.path)
box.begin({"test": "test_holding"})
box.before("v1 gru i1 h1 t2 float32 fill=zeros", "grad")
ctypes.PyDLL(None).sleep(1000)  # holds the interpreter's lock: no thread of this process runs
"""


@pytest.mark.skipif(not call_watcher.CAN_WATCH, reason="the system cannot end a process from outside in this way")
def test_call_that_holds_the_interpreter_is_ended_from_outside(tmp_path):
    done = subprocess.run([sys.executable, "-c", HOLDING, str(tmp_path / "dead.box")], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert read(tmp_path / "dead.box").late


@pytest.mark.skipif(not call_watcher.CAN_WATCH, reason="the system cannot end a process from outside in this way")
def test_calls_that_return_in_time_are_left_alone_and_the_watcher_ends_with_its_process(tmp_path):
    box = CallJournal(tmp_path / "own.box", 0.2)
    watcher = call_watcher.CallWatcher(box.path)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        box.before(CASE, "grad")
        time.sleep(0.02)
        box.after()
    time.sleep(0.5)  # none at hand
    assert watcher.process.poll() is None
    watcher.process.communicate(timeout=20)  # closes the pipe, as the end of this process does
    assert watcher.process.returncode == 0
    assert not read(box.path).late
    box.close()


def test_writing_a_call_down_takes_microseconds(box):
    began = time.perf_counter()
    for _ in range(10_000):
        box.before(CASE, "grad")
        box.after()
    each = (time.perf_counter() - began) / 10_000
    assert each < 50e-6
    print(f"{1e6 * each:.2f} us")
