"""A campaign counts what it sees, goes on where it ended, sees a fault, and never overwrites what it cannot read."""

import numpy as np
import pytest

from conformance.selftest.faults.catalogue import faults
from conformance.selftest.soundness import campaign
from conformance.selftest.soundness.adversary import KINDS, Trial
from conformance.selftest.soundness.campaign_state import BINS, Row, State, Worst, bin_of, middle_of, table
from conformance.selftest.soundness.state_file import resumed
from reference.formats import FORMATS
from reference.problem import GATES
from strategies import Case

CASE = Case(4, 3, 1, 2, 3, True, fill="normal", seed=5, pick=9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("cell", GATES)
def test_every_kind_gives_numbers_of_the_dtype_and_comes_back_from_its_line(cell, dtype, kind):
    trial = Trial(Case(**(vars(CASE) | {"dtype": dtype})), cell, kind)
    problem, again = trial.problem(), Trial.of(trial.line, kind).problem()
    for name, values in problem.parameters.items():
        assert FORMATS[dtype].holds(values)
        assert np.isfinite(values).all()
        assert np.array_equal(values, again.parameters[name])
    assert FORMATS[dtype].holds(problem.input)
    assert np.array_equal(problem.input, again.input)
    assert kind in problem.relation


def test_a_ratio_lies_in_its_bin():
    for ratio in (1e-5, 0.01, 0.3, 0.99, 1.0):
        assert middle_of(bin_of(ratio)) == pytest.approx(ratio, rel=0.1)
    assert bin_of(0.0) == 0
    assert bin_of(1.001) == bin_of(np.inf) == BINS - 1


def test_rows_add_up():
    one, other = Row(), Row()
    one.count(Worst(0.5, "a", "ordinary", "output"), 0.0)
    other.count(Worst(2.0, "b", "tails", "c_n"), 1.0)
    one.add(other)
    assert (one.cases, one.excesses, one.vacuous, one.worst.line) == (2, 1, 1.0, "b")
    assert [worst.line for worst in one.beyond] == ["b"]


def test_a_campaign_goes_on_where_it_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "BATCH", 5)
    path = tmp_path / "state.json"
    assert campaign.main(["--cases", "5", "--state", str(path)]) == 0
    assert State.load(path).trials == 5
    assert campaign.main(["--cases", "12", "--state", str(path)]) == 0
    state = State.load(path)
    assert (state.trials, state.batches) == (15, 3)
    assert state == State.load(path)
    rows = [line for line in table([state]).splitlines() if line.startswith("| ") and "float" in line]
    strains = {key.replace(" adversary ", " ordinary ") for key in state.rows}
    assert len(rows) == len(strains)
    assert sum(state.layouts.get(word, 0) for word in ("packed", "padded")) == state.trials


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 7}'])
def test_a_broken_state_is_one_line_and_stays(tmp_path, capsys, text):
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(SystemExit) as stopped:
        campaign.main(["--cases", "5", "--state", str(path)])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert path.read_text() == text


def test_a_state_of_other_bounds_stays(tmp_path, capsys):
    path = tmp_path / "state.json"
    State("other", "1.0", "AVX2", "torch.nn", 0).save(path)
    before = path.read_text()
    with pytest.raises(SystemExit):
        campaign.main(["--state", str(path)])
    assert "name another file" in capsys.readouterr().err
    assert path.read_text() == before


def test_a_fresh_state_begins_where_there_is_no_file(tmp_path):
    fresh = State("a", "b", "c", "d", 0)
    assert resumed(tmp_path / "none.json", fresh) is fresh


def test_a_campaign_sees_a_fault():
    fault = next(one for one in faults() if one.name == "gru-swaps-z-and-1-z")
    trial = Trial(Case(2, 3, fill="normal"), "gru")
    worst = [seen.ratio for _, _, _, seen, _ in campaign.verdicts(trial, fault.subject, union=True)]
    assert len(worst) == 12  # two modes, three routes, two models
    assert min(worst) > 1


@pytest.mark.parametrize("line", ["v1 i1 h1 t1", "v1 foo", ""])
def test_a_line_that_cannot_be_replayed_is_told(capsys, line):
    with pytest.raises(SystemExit) as stopped:
        campaign.main(["--replay", line or " "])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
