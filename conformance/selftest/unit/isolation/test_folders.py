"""A run's folder is removed by the next one only where it certainly is one, and its owner has ended."""

import os
import subprocess
import sys
import tempfile

import pytest

from conformance.harness.execution.failure import EXITED, KILLED, LOST, TIMED_OUT, Failure
from conformance.harness.isolation import folders, limits
from conformance.harness.isolation.folders import OWNER, TemporaryFolder, remove_left_behind

pytestmark = pytest.mark.skipif(folders.fcntl is None, reason="files have no locks of this kind here")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_by_a_killed_process(folder):
    text = (
        "import os, signal, tempfile; tempfile.tempdir = %r\n"
        "from conformance.harness.isolation.folders import TemporaryFolder\n"
        "print(TemporaryFolder().path, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", text % str(folder)], capture_output=True, text=True, check=False)
    return type(folder)(done.stdout.strip())


def test_folder_of_a_killed_process_is_removed_with_all_in_it(temporary):
    path = left_by_a_killed_process(temporary)
    (path / "gw0.box").write_bytes(b"x")
    (path / "inner").mkdir()
    remove_left_behind()
    assert not path.exists()


def test_folder_of_a_living_process_stays_until_that_removes_it():
    made = TemporaryFolder()
    remove_left_behind()
    assert made.path.is_dir()
    made.remove()
    assert not made.path.exists()
    made.remove()


def test_what_is_not_certainly_a_folder_of_a_run_stays(temporary):
    path = left_by_a_killed_process(temporary)
    mark = (path / OWNER).read_bytes()
    without, other, linked, fifo = (temporary / f"conformance-{name}" for name in ("bare", "other", "linked", "fifo"))
    for folder in (without, other, linked, fifo):
        folder.mkdir()
    (other / OWNER).write_bytes(mark + b"more")
    (linked / OWNER).symlink_to(path / OWNER)
    os.mkfifo(fifo / OWNER)
    (temporary / "conformance-file").write_bytes(mark)
    (temporary / "another").mkdir()
    (temporary / "another" / OWNER).write_bytes(mark)
    (temporary / "conformance-link").symlink_to(temporary / "another", target_is_directory=True)
    kept = sorted(one.name for one in temporary.iterdir() if one != path)
    remove_left_behind()
    assert sorted(one.name for one in temporary.iterdir()) == kept
    assert (temporary / "another" / OWNER).exists()


def test_folder_of_another_user_stays(temporary, monkeypatch):
    path = left_by_a_killed_process(temporary)
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    remove_left_behind()
    assert path.is_dir()


@pytest.mark.skipif(limits.resource is None, reason="the system has no such limit")
def test_limit_of_core_files_is_set_and_set_back():
    resource = limits.resource
    assert resource is not None
    first = resource.getrlimit(resource.RLIMIT_CORE)
    before = limits.no_core_files()
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, first[1])
    limits.allow_core_files(before)
    assert resource.getrlimit(resource.RLIMIT_CORE) == first


@pytest.mark.parametrize(
    ("failure", "fate"),
    [
        (Failure(KILLED, number=11), "was killed by signal 11 (SIGSEGV)"),
        (Failure(EXITED, number=0), "ended with exit code 0"),
        (Failure(EXITED, "SystemExit", number=3), "was ended by SystemExit"),
        (Failure(LOST), "ended"),
        (Failure(TIMED_OUT, number=2), "did not return within 2 s"),
    ],
)
def test_fate_of_a_process_reads_as_a_sentence_about_it(failure, fate):
    assert failure.fate == fate
