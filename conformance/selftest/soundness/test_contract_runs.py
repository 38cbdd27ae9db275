"""The runs of the whole contract add up, and a red one is told with its seed and clause."""

import json

import pytest

from conformance.selftest.soundness import contract_runs

ROWS = {
    "x.py::test_last_output_is_the_last_hidden_state[gru]": {"verdict": "failed"},
    "x.py::test_y[gru]": {"verdict": "passed"},
}


def test_red_tests_are_counted_by_clause():
    assert contract_runs.reds(ROWS) == {"D1": 1}


def test_runs_add_up_and_a_red_one_is_told(tmp_path, monkeypatch, capsys):
    ends = iter([0, 1])
    monkeypatch.setattr(
        contract_runs, "run", lambda seed, subject: {"seed": seed, "exit": next(ends), "red": {"D1": seed - 1}}
    )
    state = tmp_path / "state.json"
    assert contract_runs.main(["--runs", "1", "--state", str(state)]) == 0
    assert contract_runs.main(["--runs", "2", "--state", str(state)]) == 1
    assert [one["seed"] for one in json.loads(state.read_text())["runs"]] == [1, 2]
    text = capsys.readouterr().out
    assert "2 runs, 1 not green\n  seeds 2\n  D1: 1 red tests" in text


def test_state_of_another_subject_is_refused(tmp_path, capsys):
    state = tmp_path / "state.json"
    state.write_text('{"torch": "1.0", "subject": "", "runs": []}')
    with pytest.raises(SystemExit):
        contract_runs.main(["--state", str(state)])
    assert "name another --state" in capsys.readouterr().err
