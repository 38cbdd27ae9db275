"""The published matrix has every chapter, and is made of runs that are not made twice."""

import re
import sys
from pathlib import Path

import pytest
import torch

from conformance.clauses import CLAUSES
from conformance.results.files import write
from conformance.selftest import published
from conformance.selftest.unit.page.examples import sound

README = Path(__file__).parents[4] / "README.md"


@pytest.fixture(autouse=True)
def matrix(tmp_path, monkeypatch):
    path = tmp_path / "releases.svg"
    monkeypatch.setattr(published, "MATRIX", path)
    return path


def test_published_matrix_has_every_chapter_and_the_readme_shows_it():
    text = (README.parent / "docs" / "releases.svg").read_text(encoding="utf-8")
    clauses = re.findall(r"rotate\(-60\)\">([^<]*)</text>", text)
    assert {clause[0] for clause in CLAUSES} == {clause[0] for clause in clauses}
    assert "(docs/releases.svg)" in README.read_text(encoding="utf-8")


def test_results_that_are_there_are_not_made_again(matrix, tmp_path, monkeypatch):
    write(tmp_path / f"{torch.__version__}.json", sound())
    monkeypatch.setattr(published, "RUN", ("--no-such-option",))
    assert published.main(["--python", sys.executable, "--results", str(tmp_path)]) == 0
    assert ">2.13.0<" in matrix.read_text(encoding="utf-8")


def test_run_that_was_cut_off_is_made_again(matrix, tmp_path, monkeypatch):
    path = tmp_path / f"{torch.__version__}.json"
    write(path, sound(torch="1.0", complete=False, reason="interrupted"))
    run = ("-q", "-n0", "-p", "no:cacheprovider", "--effort=smoke", "-k", "repr_shows and gru_cell")
    monkeypatch.setattr(published, "RUN", run)
    assert (
        published.main(["--python", sys.executable, "--results", str(tmp_path), "--page", str(tmp_path / "a.html")])
        == 0
    )
    text = matrix.read_text(encoding="utf-8")
    assert f">{torch.__version__.partition('+')[0]}<" in text
    assert ", in part" in text
    assert (tmp_path / "a.html").exists()


@pytest.mark.parametrize("python", ["no-such-python", sys.executable])
def test_interpreter_that_gives_no_results_is_named_in_one_line(python, matrix, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(published, "RUN", ("--no-such-option",))
    with pytest.raises(SystemExit):
        published.main(["--python", python, "--results", str(tmp_path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert python in line
    assert not matrix.exists()
