"""Two results files beside each other: what they tell, what counts, and what they cannot tell."""

from dataclasses import replace

import pytest

import conformance.__main__ as command_line
from conformance.commands.compare import DEVIATES, SAME, USAGE, WORSE, exit_code
from conformance.comparing.recorded import recorded, told
from conformance.harness.pytest_plugin.output.results import results_of
from conformance.results import files
from conformance.results.document import Module
from conformance.selftest.unit.results.examples import FINDING, full, report

WAIVERS = """
[[deviation]]
id = "mine"
severity = "red"
clause = "B1"
field = "output"
kind = "outside its bound"
test = "test_results_lie_within_their_error_bound"
case = ""
torch = ">=2.0"
tracker = "not reported"
"""


MODULE = Module("m:build", "rnn", "v1 lstm i1 h1 t1 float32", 1, True, "PASS", (), 1, 1)


def run(*findings, **judged):
    """The results of a run on a processor that has a name; judged: fields of its row."""
    made = report()
    made.findings = list(findings)
    results = results_of(made, seed="7")
    environment = replace(results.environment, processor="a processor")
    row = next(row for row in results.judged if row.cell == "lstm")
    return replace(
        results, environment=environment, judged=(replace(row, **judged),), kernels={"addmm": 1}, verdict="PASS"
    )


def beside(of, **environment):
    return replace(of, environment=replace(of.environment, **environment))


def asked(of, **other):
    return replace(of, asked=replace(of.asked, **other))


def lines(old, new):
    return "\n".join(told(recorded(old, new)))


def code(old, new):
    return exit_code(recorded(old, new))


def test_a_run_is_the_same_as_itself():
    said = lines(run(FINDING), run(FINDING))
    assert "0 new deviations, 0 fixed" in said
    assert "0 of 1 kinds of calls more than twice as long" in said
    assert "not told        bits, warnings, " in said
    assert "other  " not in said
    assert code(run(FINDING), run(FINDING)) == SAME


def test_a_new_deviation_counts_and_a_fixed_one_does_not():
    assert code(run(), run(FINDING)) == DEVIATES
    assert "new red B1 LSTM output outside its bound: v1 lstm i1 h1 t1 float32" in lines(run(), run(FINDING))
    assert code(run(FINDING), run()) == SAME
    assert "0 new deviations, 1 fixed" in lines(run(FINDING), run())


def test_a_deviation_in_what_the_old_run_did_not_try_is_new_and_one_in_what_the_new_run_did_not_try_is_not_fixed():
    less = replace(run(), properties=())
    assert "(not tried before)" in lines(less, run(FINDING))
    assert code(less, run(FINDING)) == DEVIATES
    assert "0 new deviations, 0 fixed" in lines(run(FINDING), less)
    assert "0 properties and cells in both runs, 1 in the old one alone" in lines(run(FINDING), less)


def test_a_remark_is_the_same_in_any_cell():
    old, new = (run(replace(FINDING, severity="remark", cell=cell)) for cell in ("lstm", "gru"))
    assert code(old, new) == SAME


def test_a_waived_deviation_does_not_count(tmp_path, capsys):
    for name, made in (("old", run()), ("new", run(FINDING))):
        files.write(tmp_path / f"{name}.json", made)
    (tmp_path / "ours.toml").write_text(WAIVERS)
    names = [str(tmp_path / name) for name in ("old.json", "new.json", "ours.toml")]
    assert command_line.main(["compare", *names[:2]]) == DEVIATES
    assert command_line.main(["compare", *names[:2], "--known", names[2]]) == SAME
    assert "1 new deviation, 1 of them waived" in capsys.readouterr().out
    (tmp_path / "ours.toml").write_text(f"{WAIVERS}expires = 2020-01-01\n")
    assert command_line.main(["compare", *names[:2], "--known", names[2]]) == DEVIATES


def test_headroom_counts_on_the_same_cases_alone():
    old, new = run(worst=0.2), run(worst=0.55)
    assert code(old, new) == WORSE
    assert "B1 LSTM float32: 0.2 became 0.55: 20 cases" in lines(old, new)
    assert code(old, run(worst=0.39)) == SAME
    assert code(old, asked(new, seed="8")) == SAME
    assert (
        "lost in 1 of 1 groups of cases; worst error/bound 0.2 before, 0.55 now; other cases, counts for nothing"
        in (lines(old, asked(new, seed="8")))
    )


def test_ten_times_slower_is_told_and_counts_for_nothing():
    old, new = run(seconds=0.1), run(seconds=1.0)
    assert code(old, new) == SAME
    assert "1 of 1 kinds of calls more than twice as long; of one run each" in lines(old, new)
    assert "10.00 times LSTM float32 grad" in lines(old, new)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda of: beside(of, processor="another"), "another processor"),
        (lambda of: beside(of, capability="none"), "another processor"),
        (lambda of: asked(of, effort="ci"), "other cases"),
    ],
)
def test_times_are_not_compared_across_processors_or_cases(other, why):
    said = lines(run(), other(run(seconds=1000.0)))
    assert f"time            not compared: {why}" in said
    assert "1 option or machine" in said
    assert "times LSTM" not in said


def test_times_of_unknown_processors_are_not_compared():
    assert "not compared: the processor is not known" in lines(beside(run(), processor=""), beside(run(), processor=""))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda of: asked(of, effort="ci"), "effort smoke, then ci"),
        (lambda of: asked(of, seed="8"), "seed 7, then 8"),
        (lambda of: asked(of, subject="mine"), "subject torch.nn, then mine"),
        (lambda of: asked(of, cells=of.asked.cells[1:]), "cells without rnn_tanh"),
        (lambda of: replace(of, modules=(MODULE,)), "--like with m:build"),
        (lambda of: beside(of, hypothesis="7"), ", then 7"),
        (lambda of: beside(of, processor="another"), "processor a processor, then another"),
    ],
)
def test_what_was_asked_otherwise_is_said(other, words):
    assert words in lines(run(), other(run()))


def test_kernels_that_came_and_went_are_told():
    new = replace(run(), kernels={"mkldnn_rnn_layer": 1})
    said = lines(run(), new)
    assert "kernels         1 new, 1 gone" in said
    assert "new mkldnn_rnn_layer" in said
    assert "gone addmm" in said


@pytest.mark.parametrize(
    ("broken", "words"),
    [({"complete": False, "reason": "Ctrl-C"}, "is not complete: Ctrl-C"), ({"verdict": "ERROR"}, "ended with ERROR")],
)
def test_a_run_that_did_not_end_never_passes(broken, words, tmp_path, capsys):
    old, new = run(), replace(run(), **broken)
    assert code(old, new) == USAGE
    assert code(new, old) == SAME
    assert code(run(), replace(run(FINDING), **broken)) == DEVIATES
    for name, made in (("old", old), ("new", new)):
        files.write(tmp_path / f"{name}.json", made)
    assert command_line.main(["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == USAGE
    assert f"verdict: cannot tell: the new run {words}" in capsys.readouterr().out


def test_hostile_results_are_shown_escaped():
    old = run()
    hostile = results_of(full(), seed="\x1b[31m")
    row, *_ = hostile.judged
    foreign = "\x1b]0;x\x07::error::x"
    wrong = replace(hostile.findings[0], cell=foreign, field=foreign)
    new = replace(
        hostile,
        judged=(replace(row, cell=foreign),),
        findings=(wrong, *hostile.findings),
        kernels={foreign: 1},
        environment=replace(hostile.environment, torch=foreign, processor=foreign),
    )
    for said in told(recorded(old, new)):
        assert said.isprintable()
        assert len(said) <= 220


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["a.json", "python3"], "give two interpreters, or two results files"),
        (["python3", "a.json"], "give two interpreters, or two results files"),
        (["a.json", "b.json"], "a.json: No such file or directory; give the path of a results file"),
        (["a.json", "b.json", "--cell", "lstm"], "--cases, --seed, --cell and --like are for interpreters"),
        (["a.json", "b.json", "--json", "c.txt"], "--json c.txt: the name of the file ends in .json"),
        (["a.json", "b.json", "--json", "/nowhere/c.json"], "--json /nowhere/c.json: No such file or directory"),
    ],
)
def test_wrong_arguments_are_one_line(given, words, capsys):
    assert command_line.main(["compare", *given]) == USAGE
    told = capsys.readouterr()
    assert words in told.err
    assert (told.err.count("\n"), told.out) == (1, "")
