"""Red findings of one defect are one cause: by what their cases need, then by what deviates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conformance.clauses import RED
from conformance.harness.execution.failure import RAISED, Failure
from conformance.harness.findings.recorder import Finding
from conformance.harness.pytest_plugin.output.causes import causes, needs_of
from strategies import parse

BOUND = "test_results_lie_within_their_error_bound"
EVERY_STEP = "test_every_step_of_every_layer_lies_within_its_error_bound"
PACKED = "test_packed_results_lie_within_their_error_bound"
PACKED_GRADIENTS = "test_gradients_of_packed_sequences_lie_within_their_error_bound"
PACKED_STEPS = "test_every_step_of_every_packed_layer_lies_within_its_error_bound"
UNBATCHED = "test_unbatched_states_have_no_axis_of_the_batch"
GRADIENTS = "test_gradients_lie_within_their_error_bound"


def found(test: str, line: str, clause: str = "B1", field: str = "output", **given) -> Finding:
    _, cell = parse(line)
    made = Finding(RED, clause, test, cell, "mine", "grad", "float32", field, "outside its bound", (), line)
    return replace(made, **given)


def raised(test: str, line: str, words: str, clause: str = "B1") -> Finding:
    failure = Failure(RAISED, "ValueError", words)
    return found(test, line, clause, "call", kind="raised ValueError", lines=(f"ValueError: {words}",), failure=failure)


def test_everything_that_a_need_is_taken_from_is_a_case_without_it():
    case, _ = parse("v1 lstm i7 h9 p1 t8,9 l2 bi bf nobias nohx drop float64 mem=sliced fill=normal")
    for words, without in needs_of(case).items():
        assert words not in needs_of(without)
        assert needs_of(without).keys() < needs_of(case).keys(), words


def test_plain_defect_is_one_cause_in_values_and_gradients_of_every_cell():
    several = [
        found(BOUND, "v1 lstm i1 h1 t1 float32 fill=dyadic"),
        found(EVERY_STEP, "v1 gru i1 h1 t1 float32 fill=dyadic", "B2"),
        found(GRADIENTS, "v1 gru i1 h1 t1 float32 fill=dyadic", "C1", "gradient of weight_ih_l0"),
    ]
    (cause,) = causes(several)
    assert cause.needs == ()
    assert len(cause.findings) == 3


def test_unbatched_defect_is_one_cause_whatever_it_leads_to():
    needing = [
        found(BOUND, "v1 lstm i1 h1 t1 unb float32 fill=dyadic"),
        raised(EVERY_STEP, "v1 lstm i1 h1 t1 unb float32 fill=dyadic", "too few", "B2"),
        raised(GRADIENTS, "v1 gru i1 h1 t1 unb float32 fill=dyadic", "other", "C1"),
    ]
    plain = [found(BOUND, "v1 gru i1 h1 t1 float32 fill=dyadic"), found(EVERY_STEP, "v1 rnn_tanh i1 h1 t1 float32")]
    two = causes([*needing, *plain])
    assert [cause.needs for cause in two] == [("an unbatched input",), ()]
    assert set(two[0].findings) == set(needing)


def test_what_a_property_cannot_do_without_is_of_the_plain_cause_of_its_cell():
    several = [found(BOUND, "v1 lstm i1 h1 t1 float32"), found(PACKED, "v1 lstm i1 h1 t1, float32", "B1")]
    (cause,) = causes(several)
    assert cause.needs == ()
    elsewhere = [found(BOUND, "v1 gru i1 h1 t1 float32"), found(PACKED, "v1 lstm i1 h1 t1, float32", "B1")]
    assert {cause.needs for cause in causes(elsewhere)} == {(), ("packed rows",)}


def test_packed_defect_is_one_cause_in_values_and_gradients_of_every_cell():
    needing = [
        found(PACKED, "v1 lstm i1 h1 t1, float32"),
        found(PACKED, "v1 gru i1 h1 t1, float32"),
        found(PACKED_GRADIENTS, "v1 gru i1 h1 t1, float32", "C1", "gradient of weight_ih_l0"),
    ]
    (cause,) = causes(needing)
    assert cause.needs == ("packed rows",)
    plain = found(GRADIENTS, "v1 gru i1 h1 t1 float32", "C1", "gradient of weight_hh_l0")
    assert sorted(len(cause.findings) for cause in causes([*needing, plain])) == [2, 2]


@pytest.mark.parametrize("word", ["bi", "l2", "nobias", "bf"])
def test_two_defects_of_different_needs_are_two_causes(word):
    one = found(BOUND, f"v1 lstm i1 h1 t1 {word} float32")
    other = found(EVERY_STEP, "v1 lstm i1 h1 t1 float64", "B2", dtype="float64")
    assert len(causes([one, other])) == 2


def test_need_that_did_not_shrink_away_makes_no_cause_of_its_own():
    several = [
        found(BOUND, "v1 lstm i1 h1 t1 unb float32"),
        found(EVERY_STEP, "v1 lstm i1 h1 t1 unb nohx float32", "B2"),
    ]
    (cause,) = causes(several)
    assert cause.needs == ("an unbatched input",)


def test_shape_and_exception_that_need_nothing_are_told_from_numbers():
    several = [
        found(BOUND, "v1 lstm i1 h1 t1 float32"),
        raised(EVERY_STEP, "v1 lstm i1 h1 t1 float32", "boom", "B2"),
        found(
            "test_output_has_the_documented_shape",
            "v1 lstm i1 h1 t1 float32",
            "A1",
            kind="shape (2, 1)",
            documented="(1, 1)",
        ),
    ]
    assert len(causes(several)) == 3


def test_finding_that_did_not_shrink_is_of_the_cause_of_an_alike_one_in_its_test():
    of_one_test = [
        found(UNBATCHED, "v1 lstm i1 h1 t1 unb float32", "A1", "h_n"),
        found(UNBATCHED, "v1 lstm i1 h1 t1 nobias unb float32", "A1", "h_n"),
    ]
    other = found(BOUND, "v1 lstm i1 h1 t1 nobias float32")
    assert {frozenset(cause.findings) for cause in causes([*of_one_test, other])} == {
        frozenset(of_one_test),
        frozenset([other]),
    }


def test_several_defects_at_once_are_a_cause_each():
    """What a run of a subject with ten defects found: what did not shrink away makes no further causes."""
    of = {
        "bias": ["rnn_tanh i1 h1 t1 nobias float32", "rnn_relu i1 h1 t1 l2 nobias float32"],
        "batch_first": ["rnn_tanh i1 h1 t2 bf float32", "rnn_relu i1 h1 t1 bi bf nohx float32"],
        "layers": ["lstm i1 h1 t1 l2 float32", "lstm i2 h1 t2 l2 float32"],
        "directions": ["gru i1 h1 t1 bi float32", "gru i1 h1 t1 l2 bi bfloat16", "gru i1 h1 t1 l2 bi float16"],
        "unbatched": ["gru i1 h1 t2 unb float32", "gru i1 h3 t2 l2 unb bfloat16"],
        "steps": ["gru i1 h1 t10 float32"],
    }
    findings = {name: [found(EVERY_STEP, f"v1 {line}", "B2") for line in lines] for name, lines in of.items()}
    findings["steps"].append(found(PACKED_STEPS, "v1 gru i1 h1 t10, float32", "B2"))
    several = [*(one for found in findings.values() for one in found)]
    told = causes(several)
    assert [len(cause.findings) for cause in told] == sorted(map(len, findings.values()), reverse=True)
    for cause in told:
        (name,) = {name for name, found in findings.items() if set(found) & set(cause.findings)}
        assert set(findings[name]) == set(cause.findings), cause.needs
