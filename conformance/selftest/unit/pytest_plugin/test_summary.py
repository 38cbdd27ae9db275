"""What a run says at its end, made from findings and counts: the verdict first, no wide line, no claim too much."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from conformance.clauses import AMBER, RED, REMARK
from conformance.harness.execution import subject
from conformance.harness.execution.failure import RAISED, Failure
from conformance.harness.findings.known import SHIPPED, load
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.rendering import finding_text, wrapped
from conformance.harness.foreign_text import one_line
from conformance.harness.pytest_plugin import options
from conformance.harness.pytest_plugin.output.report import FINDINGS, FIXED, LACKING, STILL_THERE, SUITE_ERROR, Report
from conformance.harness.pytest_plugin.output.results import results_of
from conformance.harness.pytest_plugin.output.summary import Summary, short_tracker, without_option
from conformance.harness.session import Session
from reference.histories import OPERATIONS, pairs
from strategies import parse

LINK = "https://github.com/pytorch/pytorch/issues/98499/which/is/longer/than/a/terminal/of/eighty/columns"
LINES = (
    "output, layer 0 forward, row 0, step 9, unit 0:  got -0.480526239 (-0x1.ec0f12p-2)   "
    "reference -0.499530607 +- 9.1e-07 allowed; off by 21,000 times that",
    "right at step " + ", ".join(map(str, range(40))),
)
FINDING = Finding(
    severity=RED,
    clause="B2",
    test="test_every_step_of_every_layer_lies_within_its_error_bound",
    cell="lstm",
    subject="torch.nn",
    route="grad",
    dtype="float32",
    field="output",
    kind="outside its bound",
    lines=LINES,
    case="v1 lstm i1 h1 t10 float32 fill=dyadic",
    kernels=("addmm", "sigmoid", "tanh"),
)
OTHER = "test_results_lie_within_their_error_bound"
LONG_CASE = "v1 gru i3 h4 l2 n5 t3 bi bf nohx float64 mem=expanded fill=uniform seed=123456789 pick=3"


def report(*arguments, **given):
    """A report of a run with these options, in which one property tested something of the LSTM."""
    names = {f"{axis}s": given.pop(axis, []) for axis in ("cell", "device", "dtype", "route")}
    shown = {"no_stale": given.pop("no_stale", False), "show_known": given.pop("show_known", False)}
    chosen = options.read("smoke", given.pop("subjects", []), given.pop("case", None), known=[], **shown, **names)
    made = Report(Session(subject.torch_nn()), chosen, arguments)
    tally = made.session.recorder.tally("test_one[lstm]")
    tally.cases, tally.elements, tally.worst = given.pop("cases", 34197), 1000, 0.62
    tally.detectable_error = {"float64": 7e-16, "float32": 7e-7, "float16": 2e-3, "bfloat16": 2e-2}
    assert not given
    return made


def tell(made, name, value, outcome="passed", when="call"):
    told: Any = SimpleNamespace(
        user_properties=[(name, value)], when=when, outcome=outcome, nodeid="x.py::test_x", duration=0.0
    )
    made.pytest_runtest_logreport(told)


def lines_of(made, seed="861962438"):
    """The summary at 80 columns; only commands and links may be wider."""
    lines = "\n".join(Summary(made, 80).lines(seed)).splitlines()
    assert [one for one in lines if len(one) > 80 and not is_whole(one)] == []
    return lines


def is_whole(line):
    return line.strip().removeprefix("AGAIN").removeprefix("again").strip().startswith(("pytest ", "http"))


def joined(lines):
    return " ".join(" ".join(lines).split())


def test_a_test_that_a_plugin_runs_again_counts_once_and_what_it_found_first_is_kept():
    made = report()
    other = replace(FINDING, kind="another shape")
    for outcome, found in (("rerun", [FINDING]), ("rerun", [FINDING, other]), ("failed", [FINDING])):
        tell(made, FINDINGS, [one.to_json() for one in found], outcome)
        tell(made, SUITE_ERROR, "KeyError: 1", outcome)
        tell(made, FIXED, "an-entry", outcome)
        tell(made, "anything", "", "failed", "teardown")
    assert made.findings == [FINDING, other]
    assert made.suite_errors == [("x.py::test_x", "KeyError: 1")]
    assert (made.gone, made.other_failures) == (["an-entry"], ["x.py::test_x"])
    assert results_of(made, seed="7").totals.red == 2


def test_operations_of_life_cycles_are_told():
    made = report()
    assert "LIVES" not in joined(lines_of(made))
    made.session.recorder.lived(("half", "untie", "step"), ("half", "step"))
    said = joined(lines_of(made))
    assert f"LIVES 2 of {len(OPERATIONS)} operations, 1 of {len(pairs()):,} ordered pairs; " in said
    assert "1 operation did not apply" in said


def test_real_configurations_are_named_by_how_they_ran():
    made = report()
    assert "REAL" not in joined(lines_of(made))
    made.session.recorder.looked_at_real("tagger", True)
    made.session.recorder.looked_at_real("tagger", False)
    made.session.recorder.looked_at_real("forecaster", False)
    said = joined(lines_of(made))
    assert (
        "REAL in full: tagger; with fewer rows or steps: forecaster; too large for this effort or not drawn: " in said
    )


def test_sound_run_passes_in_its_first_line_and_names_nothing_but_what_was_judged():
    made = report("-n", "auto")
    assert " computes LSTM as documented" in lines_of(made)[0], "no other cell was looked at"
    for cell in made.options.cells:
        made.session.recorder.tally(f"test_one[{cell}]").cases += 1
        made.session.recorder.tally(f"test_two[{cell}-value]").cases += 1
    lines = lines_of(made)
    assert lines[0] == f"PASS    torch {torch.__version__} computes RNN, LSTM, GRU and the Cells as documented"
    assert lines[1].startswith("        34,213 cases, 16 properties, ")
    assert lines[-1] == "AGAIN   pytest -n auto --hypothesis-seed=861962438"
    said = joined(lines)
    assert "7e-7 float32, 7e-16 float64, 2e-3 float16, 2e-2 bfloat16 in 95 % of bounded tests" in said
    assert "largest error met 0.62 of a bound" in said
    assert "other routes than eager" in said
    assert all(line[:8].strip().isupper() or not line[:8].strip() or line[:6] == "16-BIT" for line in lines)


@pytest.mark.parametrize(
    ("given", "narrowed", "said"),
    [
        ({"cell": ["lstm"]}, (), "computes LSTM as documented, as far as asked: --cell lstm"),
        ({"cell": ["rnn_tanh", "gru"], "dtype": ["float64"]}, (), "RNN(tanh) and GRU as documented"),
        ({"route": ["no_grad"]}, (), "as far as asked: --route no_grad"),
        ({"case": "v1 lstm i1 h1 t1 float32 fill=dyadic"}, (), "as far as asked: one case"),
        ({"cell": ["lstm"]}, ("-k gru", "x.py"), "as far as asked: --cell lstm -k gru x.py"),
    ],
)
def test_narrowed_run_says_by_what(given, narrowed, said):
    made = report(**given)
    made.narrowed = narrowed
    told = joined(lines_of(made))
    assert told.startswith("PASS ")
    assert said in told


def test_another_subject_is_named():
    made = report()
    made.session.subject = replace(made.session.subject, name="mine")
    assert lines_of(made)[0].startswith(f"PASS    mine on torch {torch.__version__} computes")


def test_red_run_begins_with_the_groups_and_the_simplest_case_of_each():
    made = report()
    failed = replace(
        FINDING, cell="gru", case=LONG_CASE, failure=Failure(RAISED, "ValueError"), lines=("ValueError: 7",)
    )
    others = [replace(FINDING, test=OTHER, clause="B1", case=FINDING.case + " seed=3"), failed]
    tell(made, FINDINGS, [one.to_json() for one in (*others, FINDING)], "failed")
    lines = lines_of(made)
    assert lines[0] == "cause 1 of 2, 2 tests: LSTM, with more than 5 steps, addmm+sigmoid+tanh, in B1"
    assert lines[1:3] == ["        B2", f"        {FINDING.again}"]
    assert joined(lines[3:5]).startswith("cause 2 of 2, 1 test: GRU, with ")
    assert f"        {failed.again}" in lines
    verdict = f"FAIL torch {torch.__version__} deviates from the documentation: 2 causes, 3 tests"
    assert verdict in joined(lines)


def test_one_fault_in_calls_by_several_kernels_is_one_cause():
    made = report()
    other = replace(FINDING, test=OTHER, kernels=("mkldnn_rnn_layer",), case=FINDING.case + " seed=3")
    elsewhere = replace(other, cell="gru", test="test_gru", case=LONG_CASE)
    tell(made, FINDINGS, [one.to_json() for one in (other, elsewhere, FINDING)], "failed")
    lines = lines_of(made)
    assert lines[0] == "cause 1 of 2, 2 tests: LSTM, with more than 5 steps, addmm+sigmoid+tanh, in B2"
    assert lines[1] == f"        {FINDING.again}"
    assert lines[2].startswith("cause 2 of 2, 1 test: GRU, ")


def test_exceptions_of_different_words_are_different_causes():
    made = report()
    raised = replace(FINDING, kind="raised ValueError", failure=Failure(RAISED, "ValueError"))
    both = [replace(raised, lines=(f"ValueError: {text}",), case=f"v1 lstm i{text} h1") for text in ("a", "b")]
    tell(made, FINDINGS, [one.to_json() for one in both], "failed")
    assert lines_of(made)[0].startswith("cause 1 of 2, 1 test: ")


def test_one_red_has_its_group_and_what_does_not_repeat_is_counted():
    made = report()
    tell(made, FINDINGS, [replace(FINDING, repeatable=False).to_json()], "failed")
    lines = lines_of(made)
    assert lines[0].startswith("cause 1 of 1, 1 test: ")
    assert "1 test not repeatable" in joined(lines)


def test_run_that_did_not_end_is_incomplete():
    made = report()
    made.interrupted, made.never_ran = "interrupted", ["a.py::test_a[lstm]", "a.py::test_b[lstm]"]
    said = joined(lines_of(made))
    assert said.startswith(
        "INCOMPLETE interrupted; 2 tests never ran: test_a[lstm], test_b[lstm]. No deviation of torch"
    )
    assert "PASS" not in said
    made.findings = [FINDING]
    said = joined(lines_of(made))
    assert "FAIL torch" in said
    assert "INCOMPLETE interrupted; 2 tests never ran" in said
    assert "PASS" not in said


def test_routes_that_are_left_out_are_in_the_header_and_their_properties_in_the_summary():
    made = report(route=["grad", "no_grad", "no_mkldnn", "inference_mode", "frozen", "input_grad"], no_stale=True)
    tell(made, LACKING, "--route leaves out meta, fake", "skipped")
    assert made.header("7")[1].endswith("seed 7, left out by --route: meta, fake")
    assert "LACKS 1 property left out: --route leaves out meta, fake" in joined(lines_of(made))
    assert lines_of(made)[0].startswith("PASS ")
    assert "left out" not in report().header("7")[1]


def test_run_that_tested_nothing_does_not_pass():
    made = report(cases=0)
    tell(made, LACKING, "no gru: mine has none", "skipped", "setup")
    lines = lines_of(made)
    assert lines[0] == "NOTHING was tested. This run says nothing about torch.nn"
    said = joined(lines)
    assert "2 properties" in said
    assert "2 of the properties tested nothing" in said
    assert "1 property tested nothing: test_one[lstm]" in said
    assert "PASS" not in said


def test_errors_of_the_suite_and_other_failures_are_no_pass_and_no_deviation():
    made = report()
    made.suite_errors = [("test_one[lstm]", "ZeroDivisionError")]
    tell(made, "something else", "", "failed")
    said = joined(lines_of(made))
    assert said.startswith("ERROR the suite itself failed")
    assert "ERROR 1 error of the suite" in said
    assert "1 other test failed: x.py::test_x" in said
    assert "deviates" not in said


def test_entry_that_is_gone_is_said_and_fails_under_no_stale_alone():
    for strict, verdict in ((False, "PASS "), (True, "FAIL ")):
        made = report(no_stale=strict)
        tell(made, FIXED, "unpad-sequence-transposes-its-argument", "failed" if strict else "passed")
        said = joined(lines_of(made))
        assert said.startswith(verdict)
        assert "FIXED E4 unpad-sequence-transposes-its-argument: fixed upstream, remove this entry" in said


def test_known_deviations_red_by_name_others_counted_and_all_on_demand():
    entries = load(SHIPPED)
    for show in (False, True):
        made = report(show_known=show)
        made.options = replace(
            made.options, known=(*entries, replace(entries[0], id="x-y", severity=RED, tracker=LINK + "/2"))
        )
        for entry in made.options.known:
            tell(made, STILL_THERE, entry.id)
        lines = lines_of(made)
        reds = sum(entry.severity == RED for entry in made.options.known)
        assert any(line.startswith(f"KNOWN   {reds} defects") for line in lines)
        assert "E4 unpad sequence transposes its argument" in joined(lines)
        ambers, remarks = (sum(entry.severity == severity for entry in entries) for severity in (AMBER, REMARK))
        assert (f"        {ambers} ambers, {remarks} remarks  (--show-known lists them)" in lines) is not show
        said = joined(lines)
        assert all((entry.id.replace("-", " ") in said) is (show or entry.severity == RED) for entry in entries)
        assert ("register_full_backward_hook not called" in said) is show
        assert any(line.strip() == LINK + "/2" for line in lines) is show


def test_tracker_is_short_where_it_is_a_link():
    assert short_tracker("https://github.com/pytorch/pytorch/issues/98499 (fixes proposed)") == "pytorch#98499"
    assert short_tracker("https://github.com/pytorch/functorch/pull/629") == "functorch#629"
    assert short_tracker("none found, searched: https://github.com/pytorch/pytorch/issues/1") == "not reported"


def test_ambers_and_new_remarks_are_counted_below_the_verdict_and_shown_last():
    made = report()
    made.session.recorder.note(replace(FINDING, severity=AMBER), 3)
    made.session.recorder.note(replace(FINDING, severity=REMARK, clause="A5"))
    lines = lines_of(made)
    assert lines[0].startswith("PASS ")
    assert "1 amber, 1 new remark" in joined(lines[1:3])
    again = next(number for number, line in enumerate(lines) if line.startswith("AGAIN"))
    assert any(line.startswith("AMBER B2 ") for line in lines[again:])
    assert "  seen     3 times" in lines


@pytest.mark.parametrize("width", [60, 80, 200])
def test_finding_is_no_wider_than_asked_but_for_its_command_and_links(width):
    foreign = f"RuntimeError: \x1b[31m{'long' * 40} see {LINK}.   accepted by nobody"
    found = replace(FINDING, case=LONG_CASE, lines=(*LINES, foreign), repeatable=False)
    text = finding_text(found, width)
    lines = text.splitlines()
    assert [line for line in lines if len(line) > width and not is_whole(line)] == []
    assert lines[-1] == f"  again    {found.again}"
    assert parse(LONG_CASE)[1] == "gru"
    assert LINK in text
    assert "\x1b" not in text
    assert "NOT REPEATABLE" in text


def test_finding_names_what_was_judged_and_aligns_its_numbers():
    assert finding_text(replace(FINDING, lines=LINES[:1]), 80).splitlines() == [
        "RED  B2  LSTM fails: every step of every layer lies within its error bound",
        "  module   torch.nn.LSTM(1, 1), float32, grad on, kernels addmm+sigmoid+tanh",
        "  input    1 row, 10 steps",
        "  where    output, layer 0 forward, row 0, step 9, unit 0",
        "    got         -0.480526239   -0x1.ec0f12p-2",
        "    reference   -0.499530607   +- 9.1e-07 allowed; off by 21,000 times that",
        '  again    pytest --case "v1 lstm i1 h1 t10 float32 fill=dyadic"',
    ]


def test_foreign_text_is_cut_and_wrapped_text_keeps_every_word():
    assert one_line("a\nb\x07", 10) == r"a b\x07"
    assert len(one_line("x" * 300)) == 200
    words = "one two three " * 20
    lines = wrapped(words, 60, "  label ", "        ")
    assert " ".join(lines).split()[1:] == words.split()
    assert wrapped("", 60, "        ") == [""]


@pytest.mark.parametrize(
    "words", ["-q --hypothesis-seed 0 -n0", "-q --hypothesis-seed=0 -n0", "-q -n0 --hypothesis-seed 0"]
)
def test_seed_of_a_command_is_left_out_with_its_value(words):
    assert without_option(words.split(), "--hypothesis-seed") == ["-q", "-n0"]
