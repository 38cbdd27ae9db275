"""Distributions count what lies within bounds; times are compared on one machine alone."""

from dataclasses import replace

import pytest

from conformance.page.charts import BINS, Ratio, beside_oldest, distribution, ratios, why_no_ratios
from conformance.page.runs import read
from conformance.selftest.unit.page.examples import file, run, sound


def with_rows(made, rows):
    return replace(made, judged=tuple(rows))


def test_distribution_counts_rows_of_its_dtype_that_have_an_error(tmp_path):
    made = sound()
    (row,) = made.judged
    worst = {"float32": (0.01, 0.02, 0.5, 1.0), "float16": (0.3,), "float64": (0.0,)}
    here = run(
        tmp_path, with_rows(made, (replace(row, dtype=of, worst=one) for of, all_of in worst.items() for one in all_of))
    )
    found, alone = distribution(here, "float32"), distribution(here, "float16")
    assert found is not None
    assert alone is not None
    assert (found.rows, found.median, found.largest) == (4, 0.26, 1.0)
    assert {place: height for place, height in enumerate(found.heights) if height} == {0: 1.0, 10: 0.5, BINS - 1: 0.5}
    assert alone.rows == 1
    assert distribution(here, "float64") is None


def pair(folder, old_rows, new_rows, **more):
    """A run and a newer release beside it."""
    old = sound(torch="2.6.0", **more)
    runs, _ = read(file(folder, with_rows(old, old_rows), with_rows(sound(), new_rows)))
    return runs


def test_ratio_is_the_median_over_what_both_runs_timed(tmp_path):
    (row,) = sound().judged
    row = replace(row, calls=16, seconds=1.0)
    routes = {"grad": 2.0, "no_grad": 3.0, "no_mkldnn": 40.0}
    old = [replace(row, route=route) for route in (*routes, "frozen")]
    new = [replace(row, route=route, calls=32, seconds=2 * factor) for route, factor in routes.items()]
    before, after = pair(tmp_path, old, [*new, replace(row, route="meta")])
    assert why_no_ratios(after, before) == ""
    assert ratios(after, before) == {("lstm", "float32"): Ratio("2.6.0", 3, 3.0, 2.0, 40.0)}


@pytest.mark.parametrize(
    ("ratio", "length"), [(4.0, 1.0), (2.0, 0.5), (1.0, 0.0), (0.5, -0.5), (1e30, 1.0), (1e-30, -1.0)]
)
def test_bars_have_the_length_of_the_logarithm_to_an_end(ratio, length):
    assert Ratio("", 1, ratio, ratio, ratio).length == pytest.approx(length)


@pytest.mark.parametrize("less", [{"calls": 4}, {"seconds": 0.0}, {"seconds": 5e-324, "calls": 2**62}, {"cell": ""}])
def test_rows_of_few_calls_or_no_time_give_no_ratio(less, tmp_path):
    (row,) = sound().judged
    row = replace(row, calls=16, seconds=1.0)
    before, after = pair(tmp_path, [replace(row, **less)], [replace(row, cell=less.get("cell", "lstm"))])
    assert ratios(after, before) == {}


def test_each_class_and_dtype_is_beside_the_oldest_run_of_the_same_machine_that_timed_it(tmp_path):
    (row,) = sound().judged
    one, other = (replace(row, calls=16, seconds=1.0, dtype=dtype) for dtype in ("float32", "float16"))
    rows = {"2.0.1": [one], "2.2.2": [one, other], "2.6.0": [one, other], "2.9.1": [one, other]}
    made = [with_rows(sound(torch=torch), of) for torch, of in rows.items()]
    made[2] = changed(made[2], "environment", processor="b")
    runs, _ = read(file(tmp_path, *made))
    found = [{dtype: ratio.beside for (_, dtype), ratio in ratios.items()} for ratios in beside_oldest(runs)]
    assert found == [{}, {"float32": "2.0.1"}, {}, {"float32": "2.0.1", "float16": "2.2.2"}]


def changed(made, part, **values):
    return replace(made, **{part: replace(getattr(made, part), **values)})


DIFFERENT = {
    "another processor: b, not a processor": lambda made: changed(made, "environment", processor="b"),
    "a processor is not named": lambda made: changed(made, "environment", processor=""),
    "another effort: deep, not smoke": lambda made: changed(made, "asked", effort="deep"),
    "another seed: none, not 7": lambda made: changed(made, "asked", seed=""),
    "another suite: 9, not 0.1.0": lambda made: replace(made, suite="9"),
}


@pytest.mark.parametrize("reason", DIFFERENT)
def test_times_of_another_machine_or_other_cases_are_not_compared(reason, tmp_path):
    runs, _ = read(file(tmp_path, sound(torch="2.6.0"), DIFFERENT[reason](sound())))
    assert why_no_ratios(runs[1], runs[0]) == reason
