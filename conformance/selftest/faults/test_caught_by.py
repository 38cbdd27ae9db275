"""Which property is tried first on a fault: the recorded one, and all of them where there is none that holds."""

import pytest

from conformance.selftest.faults import caught_by
from conformance.selftest.faults.catalogue import faults

FAULT = next(fault for fault in faults() if fault.name == "gru-swaps-z-and-1-z")
BOUNDS = "test_results_lie_within_their_error_bound[gru]"
LATER = "test_results_do_not_hang_on_what_requires_a_gradient[gru]"
UNHARMED = "test_parameters_have_the_documented_names_and_shapes[gru]"


@pytest.fixture(autouse=True)
def own_records(tmp_path, monkeypatch):
    """Records are written to a file of the test's own, and read from there."""
    monkeypatch.setattr(caught_by, "RECORDS", tmp_path / "caught_by.toml")


def first_finding():
    return next(caught_by.findings_in(FAULT, 0, caught_by.shows(FAULT)))


def test_recorded_property_is_tried_first():
    first, cell = next(node for node in caught_by.nodes(FAULT) if caught_by.node_id(node) == LATER)
    caught_by.write({FAULT.name: caught_by.node_id((first, cell))})
    finding = first_finding()
    assert (finding.test, finding.cell) == (first.name, cell)


@pytest.mark.parametrize("stale", [None, "test_no_such_property[gru]", UNHARMED, "no node at all"])
def test_fault_without_a_record_that_holds_is_caught_all_the_same(stale):
    caught_by.write({FAULT.name: stale} if stale else {})
    finding = first_finding()
    assert finding.clause in FAULT.clauses
    assert caught_by.shows(FAULT)(finding)
    assert caught_by.tells(finding)


def test_command_records_a_property_of_the_fault_and_keeps_the_other_records(capsys):
    other = faults()[0].name
    caught_by.write({other: BOUNDS, "no-such-fault": BOUNDS})
    assert caught_by.main([FAULT.name]) == 0
    found = caught_by.records()
    assert found[FAULT.name] in [caught_by.node_id(node) for node in caught_by.nodes(FAULT)]
    assert found == {FAULT.name: found[FAULT.name], other: BOUNDS}
    assert list(found) == sorted(found)
    assert capsys.readouterr().out == f"{FAULT.name}: {found[FAULT.name]}\n"


def test_property_that_finds_nothing_or_has_no_time_does_not_catch_a_fault():
    by_name = {caught_by.node_id(node): node for node in caught_by.nodes(FAULT)}
    of_lstm = next(fault for fault in faults() if fault.name == "lstm-gates-read-as-ifog")
    assert caught_by.catches(by_name[BOUNDS], FAULT, patience=60)
    assert not caught_by.catches(by_name[BOUNDS], FAULT, patience=-1)
    assert not caught_by.catches(by_name[BOUNDS], of_lstm, patience=60)


def test_command_answers_an_unknown_fault_in_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        caught_by.main(["no-such-fault"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not caught_by.RECORDS.exists()
