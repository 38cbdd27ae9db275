"""A page shows the newest run of each release, in the order of releases, and says what it leaves out."""

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from conformance.page.runs import read
from conformance.results.files import ResultsError
from conformance.selftest.unit.page.examples import WHOLE, file, results, run


def test_releases_are_in_the_order_of_versions_and_what_is_none_comes_last(tmp_path):
    versions = ("2.15.0.dev20261101", "2.11.0+cpu", "mine", "2.9.1", "2.15.0", "1" * 5000)
    runs, _ = read(file(tmp_path, *(results(torch=one) for one in versions)))
    assert [one.release for one in runs] == ["2.9.1", "2.11.0", "2.15.0.dev20261101", "2.15.0", "1" * 5000, "mine"]
    assert [one.slug for one in runs] == ["2.9.1", "2.11.0", "2.15.0.dev20261101", "2.15.0", "run4", "run5"]


@pytest.mark.parametrize("newest", [0, 1])
def test_of_two_files_of_a_release_the_newest_wins_and_the_page_says_so(newest, tmp_path):
    days = ["2026-11-28T01:00:00+02:00", "2026-11-27T22:59:59+00:00"][:: 1 if newest == 0 else -1]
    made = [results("2.6.0+cpu", days[0]), results("2.6.0+cu124", days[1])]
    paths = file(tmp_path, *made)
    runs, words = read(paths)
    assert [one.path for one in runs] == [paths[newest]]
    assert words == [f"{paths[1 - newest]} is left out: {paths[newest]} is of 2.6.0 too, and newer"]


def test_another_subject_is_no_release_of_pytorch(tmp_path):
    mine = results()
    mine = replace(mine, asked=replace(mine.asked, subject="mine"))
    runs, words = read(file(tmp_path, mine, results()))
    assert [one.release for one in runs] == ["2.13.0", "mine, 2.13.0"]
    assert words == []


@pytest.mark.parametrize("started", ["", "yesterday", "2026-11-28T12:00:00", "0001-01-01T00:00:00+23:00"])
def test_time_that_is_none_is_refused_in_one_line(started, tmp_path):
    with pytest.raises(ResultsError) as caught:
        read(file(tmp_path, results(started=started)))
    assert str(caught.value).startswith(f"{tmp_path / '0.json'}: started: {started!r} is no time with its zone; ")


AGES = {
    "2026-11-28T23:00:00+00:00": "on the day of this page",
    "2026-11-27T23:00:00+00:00": "1 day before this page",
    "2026-11-28T01:00:00+02:00": "1 day before this page",
    "2025-11-28T12:00:00+00:00": "365 days before this page",
    "2026-11-29T12:00:00+00:00": "after this page",
}


@pytest.mark.parametrize("started", AGES)
def test_age_is_told_in_days(started, tmp_path):
    made = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
    assert run(tmp_path, results(started=started)).age(made) == AGES[started]


NARROW = [
    *("-k x", "-kx", "-m x", "--cell lstm", "--cell=lstm", "--dtype=float32", "--route grad", "--like=a:b", "--lf"),
    *("--deselect=x", "--ignore=x", "test_states.py", "conformance/test_numbers.py::test_x[lstm]"),
]


@pytest.mark.parametrize("words", NARROW)
def test_run_that_asks_less_is_in_part(words, tmp_path):
    made = results()
    made = replace(made, asked=replace(made.asked, arguments=(*WHOLE, *words.split())))
    assert words.split()[0] in run(tmp_path, made).why_in_part()


def test_run_that_asks_everything_and_ends_is_whole(tmp_path):
    more = (*WHOLE, "-q", "--maxfail=1", "--known=ours.toml", "--hypothesis-seed=0", "--fail-on", "A5", "--no-reports")
    made = results()
    assert run(tmp_path, replace(made, asked=replace(made.asked, arguments=more))).why_in_part() == ""


def test_run_that_did_not_end_or_has_one_case_or_one_class_is_in_part(tmp_path):
    made = results()
    assert run(tmp_path, replace(made, complete=False, reason="x")).why_in_part() == "incomplete: x"
    for asked in (replace(made.asked, case="v1 lstm"), replace(made.asked, cells=("lstm",))):
        assert run(tmp_path, replace(made, asked=asked)).why_in_part().startswith("asked in part: --c")
