"""A campaign over large cases gives every property its turn, adds up, goes on where it ended, and sees a fault."""

import json

import pytest

from conformance.harness.execution.subject import torch_nn
from conformance.selftest.faults.sizes import beyond
from conformance.selftest.soundness import large_cases
from conformance.selftest.soundness.large_cases import LargeCases, axis_of, differentiates, fresh, judging, turn
from conformance.selftest.soundness.large_cases_state import LINES_KEPT, Row, State, table
from conformance.selftest.soundness.state_file import StateError

LARGE = [tested for group in judging() for tested in group]
FEW = 3 * large_cases.BATCH


def a_state(**changed):
    return State(**(vars(fresh(torch_nn(), 0)) | changed))


def number_of(name, cell):
    """The first batch of a property, by its name without test_, on a cell."""
    return next(n for n in range(1000) if turn(n)[0].name == f"test_{name}" and turn(n)[1] == cell)


def test_every_property_and_cell_has_a_turn():
    turns = {(tested.name, cell) for tested, cell in map(turn, range(2000))}
    assert turns == {(tested.name, cell) for tested in LARGE for cell in tested.cells}


def test_a_third_of_the_batches_differentiates_wherever_a_campaign_ends():
    seen = [differentiates(turn(number)[0]) for number in range(1000)]
    assert all(3 * sum(seen[:end]) >= end for end in range(1, 1001))
    assert {tested.clause.id for tested in judging()[0]} >= {"C1"}


def test_other_properties_have_their_turns_evenly():
    _, others = judging()
    turns = [turn(number)[0].name for number in range(1, 3 * len(others))]
    counts = [turns.count(tested.name) for tested in others]
    assert max(counts) - min(counts) <= 1


def test_axis_is_the_parameter_of_a_property():
    assert {tested.clause.id for tested in LARGE} >= {"B1", "B2", "C1", "C2", "C4", "C5", "D1", "D2", "E1", "E3"}
    axes = {tested.name: axis_of(tested, tested.cells[0]) for tested in LARGE}
    assert set(axes.values()) >= {"rows", "steps", "units", "features", "layers", "rows_by_steps", "real"}
    assert axes["test_every_step_of_a_real_configuration_lies_within_its_error_bound"] == "real"


def test_a_campaign_goes_on_where_it_ended(tmp_path, capsys):
    path = tmp_path / "state.json"
    command = ["--state", str(path), "--seed", "3", "--cases"]
    assert large_cases.main([*command, "1"]) == 0
    assert (State.load(path).total().cases, State.load(path).batches) == (large_cases.BATCH, 1)
    assert large_cases.main([*command, str(FEW)]) == 0
    state = State.load(path)
    assert (state.total().cases, state.batches, state.differentiated) == (FEW, 3, large_cases.BATCH)
    assert state.total().elements > 0
    assert all(row.worst <= 1 and row.vacuous <= row.elements for row in state.rows.values())
    capsys.readouterr()
    assert large_cases.main([*command, "1", "--table", "--state", str(path)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ") and "float" in line]
    assert len(rows) == len(state.rows)


def test_an_interrupted_campaign_keeps_what_it_counted(tmp_path, monkeypatch):
    def interrupted(here, seed, number):
        if number == 2:
            raise KeyboardInterrupt
        return a_state(batches=1, rows={"B1 rows float32": Row(cases=4)})

    monkeypatch.setattr(large_cases, "batch", interrupted)
    path = tmp_path / "state.json"
    assert large_cases.main(["--state", str(path)]) == 130
    assert (State.load(path).batches, State.load(path).total().cases) == (2, 8)


def test_a_campaign_sees_a_fault(tmp_path, capsys):
    subject = beyond("row", 64).subject
    first = number_of("every_step_of_a_large_call_lies_within_its_error_bound[rows]", "rnn_tanh")
    campaign = LargeCases(State(**(vars(fresh(subject, 0)) | {"batches": first})), tmp_path / "state.json")
    campaign.run(1, subject)
    found = capsys.readouterr().out.splitlines()
    assert 1 <= campaign.state.total().beyond == len(found)
    assert all(
        line.startswith("BEYOND B2 rows ") and "the first red, outside its bound: " in line and "v1 rnn_tanh" in line
        for line in found
    )
    assert len(State.load(campaign.path).findings) == len(found)


def test_a_campaign_with_a_finding_ends_with_1(tmp_path):
    path = tmp_path / "state.json"
    a_state(rows={"C1 steps float32": Row(cases=1, elements=1, beyond=1)}).save(path)
    assert large_cases.main(["--state", str(path), "--cases", "1"]) == 1


@pytest.mark.parametrize("changed", [{"torch": "1.0"}, {"seed": 1}, {"sources": "other"}])
def test_a_state_of_something_else_is_refused_and_stays(tmp_path, capsys, changed):
    path = tmp_path / "state.json"
    a_state(**changed).save(path)
    before = path.read_text()
    with pytest.raises(SystemExit) as stopped:
        large_cases.main(["--state", str(path)])
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "name another file" in told
    assert len(told.splitlines()) == 1
    assert path.read_text() == before


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', "batches", "seed", "findings", "worst"])
def test_a_file_of_another_campaign_or_of_other_types_is_refused(tmp_path, capsys, text):
    path = tmp_path / "state.json"
    if text.isalpha():
        a_state(rows={"B2 rows float16": Row(2, 10, 1.0, 0.5)}).save(path)
        data = json.loads(path.read_text())
        (data["rows"]["B2 rows float16"] if text == "worst" else data)[text] = "\x1b[31m"
        path.write_text(json.dumps(data))
    else:
        path.write_text(text)
    with pytest.raises(SystemExit) as stopped:
        large_cases.main(["--state", str(path), "--table"])
    assert stopped.value.code == 2
    assert "not the state of a campaign" in capsys.readouterr().err


def test_table_adds_states_up_and_flags_rows_that_say_little():
    told, little = "B2 rows float16", "B1 layers bfloat16"
    one = a_state(rows={told: Row(2, 10, 1.0, 0.5), little: Row(1, 4, 1.0)}, findings=["x"] * LINES_KEPT)
    other = a_state(seed=1, rows={told: Row(1, 10, 2.0, 0.75)}, findings=["y"])
    text = table([one, other])
    assert "| B2 | rows | float16 | 3 | 20 | 15.0% | 0.75 | 0 | 0.00 |" in text
    assert "| B1 | layers | bfloat16 | 1 | 4 | **25.0%** | 0 | 0 | 0.00 |" in text
    assert f"More than 20% says nothing in: torch {one.torch}: B1 layers bfloat16 25%." in text
    assert "4 cases in all" in text
    with pytest.raises(StateError):
        table([one, a_state(sources="other")])


def test_a_row_that_compared_nothing_says_nothing():
    assert Row(cases=3).nothing_said == 1.0
