"""Comparisons under real interpreters: one that ends or hangs is one line; a release beside itself is the same."""

import re
import sys

import pytest

import conformance.__main__ as command_line
from conformance.commands.compare import SAME, USAGE
from conformance.harness.cells import SINGLE_STEPS
from conformance.harness.isolation import interpreter, worker_process

RUNS = 10

NARROWED = ["--cell", "gru_cell", "--cases", "1"]


def an_interpreter(folder, instead):
    """An interpreter that can be asked for its PyTorch, and does this instead where it should make calls."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\ncase "$2" in *worker_main.serve*) {instead};; esac\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o700)
    return str(script)


@pytest.mark.skipif(not worker_process.CAN_FORK, reason="children are Pythons of their own")
@pytest.mark.parametrize(
    ("instead", "words"),
    [
        ("exit 3", "the server of child processes has gone: it ended with exit code 3"),
        ("kill -9 $$", "the server of child processes has gone: it was killed by signal 9 (SIGKILL)"),
        ("exec sleep 60", "the server of child processes is silent for 0.5 s"),
    ],
)
def test_an_interpreter_that_ends_or_hangs_is_one_line(instead, words, tmp_path, monkeypatch, capsys):
    python = an_interpreter(tmp_path, instead)
    build = interpreter.build_of(sys.executable)
    monkeypatch.setattr("conformance.comparing.sides.build_of", lambda python: build)
    monkeypatch.setattr(worker_process, "IMPORT_LIMIT_SECONDS", 0.5)
    assert command_line.main(["compare", python, python, *NARROWED]) == USAGE
    assert capsys.readouterr().err == f"python -m conformance compare: {python}: {words}\n"


@pytest.mark.thorough("ten comparisons of a release with itself take minutes")
def test_a_release_beside_itself_shows_no_difference_in_ten_runs(capsys):
    for seed in range(RUNS):
        cell = SINGLE_STEPS[seed % len(SINGLE_STEPS)]
        given = ["--cell", cell, "--cases", "1", "--seed", str(seed)]
        assert command_line.main(["compare", sys.executable, sys.executable, *given]) == SAME
        said = capsys.readouterr().out
        assert re.search(r"^false flags     0 of \d\d+ ", said, re.MULTILINE), said
        assert "\nverdicts        0 new deviations, 0 fixed\nbits            the same in all" in said, said
        assert "\nheadroom        lost in 0 of" in said, said
        assert "\nkernels         others in 0 of" in said, said
        assert "\nwarnings        0 new, 0 gone\ntime            0 of 2 configurations slower" in said, said
        assert "\nfiles           3 of 3 of" in said, said
