"""The cases that a property has at a configuration of a model, and what is found there."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from conformance.harness import session
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.rendering import finding_text
from conformance.harness.models.fleet import Fleet, fleet
from conformance.harness.property import Property, properties
from conformance.harness.pytest_plugin.asked import asked
from conformance.harness.session import Session
from conformance.selftest import trial
from conformance.selftest.faults.fault import Faults
from conformance.selftest.implementations.plain import Plain
from conformance.selftest.unit.models import examples
from reference.problem import GRU, LSTM
from strategies import Axes, Case, cases, parse
from strategies.configurations import Configuration, ModelCases, at
from strategies.families import FEWEST_CASES
from strategies.real import real_cases
from strategies.weights import NoWeights, Weights

CASE = parse("v1 lstm i6 h24 l3 n16 t40 bi bf nohx fill=initial")[0]
ENCODER = Configuration(LSTM, CASE, (("a:build", "encoder.rnn"),))
FAULTS = Faults()


def cases_at(family, configuration, long):
    """The cases that a family has at a configuration."""
    there = at(family, configuration, long)
    assert isinstance(there, ModelCases)
    return there


few = settings(max_examples=40, database=None, deadline=None)


@pytest.mark.parametrize(
    ("family", "long", "steps"),
    [
        (cases(packed=None, projection=None), True, {1, 2, 3, 4, 5, 40}),
        (cases(packed=None, projection=None), False, {1, 2, 3, 4, 5}),
        (cases(short=True), True, {1, 2, 3, 4, 5}),
        (cases(steps=(2, 3)), True, {2, 3}),
        (cases(far="hidden_size"), False, {1, 2, 3, 4, 5}),
        (real_cases(), False, {40}),
    ],
)
def test_drawn_case_has_the_sizes_of_the_module_and_the_steps_that_its_bounds_allow(family, long, steps):
    there = cases_at(family, ENCODER, long)

    @few
    @given(there.strategy(Axes))
    def drawn(case):
        assert (case.input_size, case.hidden_size, case.num_layers, case.bidirectional) == (6, 24, 3, True)
        assert {word for word in case.layout if word in ("bf", "nobias", "drop")} == {"bf"}
        assert (case.dtype, case.proj_size) == ("float32", 0)
        assert case.steps in steps or case.lengths
        assert case in there

    drawn()


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        (cases(bidirectional=False), "about one direction"),
        (cases(num_layers=1), "about num_layers 1"),
        (cases(projection=True), "about a projection"),
        (cases(dtype="float64"), "about other dtypes"),
        (cases(batch_first=False), "about other flags"),
        (cases(far="batch_size", num_layers=1), "about num_layers 1"),
        (cases(hidden_size=(1, 2, 3)), "about hidden_size 1 to 3"),
    ],
)
def test_family_that_leaves_a_configuration_out_says_why(family, reason):
    assert at(family, ENCODER, True) == reason


@pytest.mark.parametrize("family", [cases(num_layers=(2,)), cases(num_layers=(2, 3)), cases(far="hidden_size")])
def test_several_sizes_above_one_stand_for_more_and_near_ones_for_any(family):
    four = replace(ENCODER, case=replace(CASE, num_layers=4))
    assert isinstance(at(family, four, True), str) is (family.pinned.get("num_layers") == (2,))


@pytest.mark.parametrize(
    ("most", "rows", "steps"), [(2**20, 16, 40), (95_000, 10, 40), (40_000, 1, 40), (39_000, 1, 37), (1, 1, 1)]
)
def test_rows_are_reduced_before_steps_and_units_never(most, rows, steps):
    there = cases_at(cases(), ENCODER, True)
    first = there.firsts(most)[0][0]
    assert (first.hidden_size, first.num_layers) == (24, 3)
    assert first.numbers() <= most or (first.batch_size, first.steps) == (1, 1)
    assert (first.batch_size, first.steps) == (rows, steps)


def test_module_with_dropout_is_tried_without_it_where_a_family_has_none():
    dropping = replace(ENCODER, case=replace(CASE, layout=("bf", "nohx", "drop")))
    assert cases_at(cases(dropout=False), dropping, True).whole[0].layout == ("bf", "nohx")
    assert cases_at(cases(), dropping, True).whole[0].layout == ("bf", "nohx", "drop")
    assert at(cases(dropout=True), ENCODER, True) == "about other flags"


def test_weights_are_drawn_beside_others_and_stand_in_the_line():
    arrays = {name: np.full(shape, 0.25) for name, shape in CASE.architecture(LSTM).parameter_shapes().items()}
    armed = replace(ENCODER, weights=Weights("encoder.rnn", arrays))
    there, seen = cases_at(cases(), armed, True), set()

    @few
    @given(there.strategy(Axes))
    def drawn(case):
        seen.add(case.weights is not None)
        assert parse(case.line(LSTM)) == (case, LSTM)
        if case.weights is not None:
            problem = case.on(LSTM)
            assert " weights=encoder.rnn " in problem.case
            assert (problem.granule, problem.parameters["weight_hh_l2_reverse"].max()) == (0.0, 0.25)

    drawn()
    assert seen == {False, True}
    assert cases_at(cases(fill="digital"), armed, True).weights == ()


def test_weights_of_other_shapes_are_refused():
    with pytest.raises(NoWeights, match="weight_ih_l0 is absent"):
        Case(weights=Weights("rnn")).on(GRU)
    with pytest.raises(NoWeights, match=r"\(3, 2\), the case has \(3, 1\)"):
        Case(weights=Weights("rnn", {"weight_ih_l0": np.zeros((3, 2))})).on(GRU)


@pytest.mark.parametrize("word", ["weights=", "weights=a`b", "weights=a\x1b[31m", "weights=" + "a" * 201])
def test_name_that_no_line_can_hold_is_refused(word):
    with pytest.raises(ValueError, match="weights"):
        parse(f"v1 gru {word}")


@FAULTS.seed("B2", on=(GRU,))
class _HalvesAtTwentyThreeUnits(Plain):
    """Halves the output of modules of exactly 23 units."""

    def forward(self, input, hx=None):
        output, states = super().forward(input, hx)
        return (output / 2 if self.hidden_size == 23 else output), states


@pytest.mark.parametrize(("hidden_size", "found"), [(23, True), (22, False)])
def test_fault_at_exactly_one_size_of_a_model_is_found_and_speaks_of_the_module(hidden_size, found):
    models = Fleet(("a:build",), (Configuration(GRU, Case(5, hidden_size, 1, 4, 12), (("a:build", "decoder"),)),))
    tested = [one for one in asked(properties(), models).properties if one.clause.id == "B2"]
    findings = []
    with session.nested(Session(FAULTS[0].subject, fleet=models)):
        for one in tested:
            try:
                one.test(GRU, trial.settings("few"), 0)(cell=GRU)
            except Deviation as deviation:
                findings.append(deviation.finding)
    assert bool(findings) is found
    for finding in findings:
        assert "--like a:build" in finding.again
        assert f"decoder: {FAULTS[0].subject.name}" in finding_text(finding, 300)
        assert finding.node.endswith("-decoder]")
        assert any(one.fits(parse(finding.case)[0], GRU) for one in tested)


def test_call_in_full_with_the_real_weights_comes_first():
    models = fleet([f"{examples.__name__}:tagger"])
    (one,) = models.configurations
    tested = next(
        p
        for p in asked(properties(), models).properties
        if p.name == "test_every_step_of_a_large_packed_call_lies_within_its_error_bound[rows]"
    )
    lines = []
    with session.nested(Session(FAULTS[0].subject, fleet=models)) as here:
        here.on_case = lambda record: lines.append(record.case and record.case.line(record.cell))
        tested.test(LSTM, trial.settings("few"), 0)(cell=LSTM)
    assert lines[0] == one.case.line(LSTM).replace("fill", "weights=encoder.rnn fill")


def test_property_that_is_the_same_under_two_names_is_asked_once():
    models = Fleet(("a:build",), (ENCODER,))
    names = [one.name for one in asked(properties(), models).properties]
    large = [name for name in names if name.startswith("test_backward_half_of_the_first_output_of_a_large_call")]
    assert len(large) == 1
    assert len(names) == len(set(names))


@pytest.mark.parametrize("over", [False, True])
def test_no_case_is_looked_at_after_the_deadline(over):
    tested = next(p for p in properties() if p.name == "test_last_output_is_the_last_hidden_state")
    with session.nested(Session(FAULTS[0].subject, deadline=0.0 if over else float("inf"))) as here:
        tested.test(GRU, trial.settings("few"), 0)(cell=GRU)
    assert sum(tally.cases for tally in here.recorder.tallies.values()) == (0 if over else 5)


def test_property_that_had_its_share_of_the_time_stops_with_its_fewest_cases():
    tested = next(p for p in properties() if p.name == "test_last_output_is_the_last_hidden_state")
    with session.nested(Session(FAULTS[0].subject, seconds_each=0.0)) as here:
        tested.test(GRU, trial.settings("few"), 0)(cell=GRU)
    assert here.cut_short
    assert sum(tally.cases for tally in here.recorder.tallies.values()) == FEWEST_CASES


def test_case_that_failed_before_the_deadline_still_fails_after_it(monkeypatch):
    tested = next(p for p in properties() if p.name == "test_every_step_of_every_layer_lies_within_its_error_bound")
    there = tested.at(Configuration(GRU, Case(2, 23), (("a:build", "decoder"),)))
    assert isinstance(there, Property)
    with session.nested(Session(FAULTS[0].subject)) as here:

        def ends_with_the_first_case(record):
            here.deadline = 0.0

        here.on_case = ends_with_the_first_case
        with pytest.raises(Deviation) as caught:
            there.test(GRU, trial.settings("few"), 0)(cell=GRU)
    assert caught.value.finding.repeatable


def test_case_that_would_not_end_in_time_does_not_start():
    tested = next(p for p in properties() if p.name == "test_every_step_of_every_layer_lies_within_its_error_bound")
    large = tested.at(Configuration(GRU, Case(5, 6, 1, 8, 20), (("a:build", "decoder"),)))
    assert isinstance(large, Property)
    with session.nested(Session(FAULTS[0].subject, deadline=time.time() + 5, spent=(10_000.0, 2.0))) as here:
        with pytest.raises(pytest.skip.Exception, match="not reached in time"):
            large.test(GRU, trial.settings("few"), 0)(cell=GRU)
        assert not here.is_over
    assert not here.recorder.tallies


def test_pace_of_the_run_tells_whether_a_case_fits():
    case = Case(160, 256, 3, 6, 200, True)
    here = Session(FAULTS[0].subject, deadline=time.time() + 60)
    assert here.has_time_for(case, "C1")
    here.took(100.0, 2.0)
    assert not here.has_time_for(case, "C1")
    assert here.has_time_for(case.of_size("steps", 1), "B2")


@pytest.mark.parametrize(
    ("seconds", "rows", "steps"), [(math.inf, 16, 40), (0.06, 8, 40), (0.035, 1, 38), (0.01, 1, 3)]
)
def test_call_in_full_is_reduced_to_what_it_may_take(seconds, rows, steps):
    there = cases_at(cases(), ENCODER, True)
    (first, whole), *_ = there.firsts(2**20, seconds)
    assert (first.batch_size, first.steps) == (rows, steps)
    assert (first.hidden_size, first.num_layers) == (24, 3)
    assert whole == there.whole[0]


def test_each_shape_comes_first_and_each_weights_at_the_largest():
    short = replace(CASE, batch_size=2, steps=7)
    arrays = {name: np.zeros(shape) for name, shape in CASE.architecture(LSTM).parameter_shapes().items()}
    several = replace(ENCODER, calls=(short,), weights=Weights("a", arrays), others=(Weights("b", arrays),))
    firsts = [case for case, _ in cases_at(cases(), several, True).firsts(2**20)]
    assert [(one.batch_size, one.steps, one.weights and one.weights.name) for one in firsts] == [
        (16, 40, "a"),
        (16, 40, "b"),
        (2, 7, "a"),
    ]
