"""What counts in a comparison: recorded times, bounds, bits, and the exit code of each situation."""

import pytest

from conformance.commands.compare import DEVIATES, SAME, WORSE, exit_code
from conformance.comparing.cases import tasks
from conformance.comparing.drift import Drift
from conformance.comparing.files import HandedOver
from conformance.comparing.sides import Look, Seen
from conformance.comparing.timing import Times
from conformance.comparing.told import Outcome, told
from conformance.comparing.verdicts import Comparison
from conformance.harness.findings.recorder import Finding

PLACE = ("gru_cell", "float32", "grad")
TASK = next(one for one in tasks(1, 0, ("gru_cell",)) if one.case is not None)
OLD_TIMES = (0.0102, 0.0101, 0.0112, 0.0100, 0.0103, 0.0101, 0.0240, 0.0102, 0.0101, 0.0103, 0.0104)


def finding(**other):
    given = {"severity": "red", "clause": "B1", "test": "test_x", "cell": "gru_cell", "subject": "torch.nn"}
    given |= {"route": "grad", "dtype": "float32", "field": "h_n", "kind": "outside its error bound"}
    return Finding(**given | {"lines": (), "case": TASK.line, "options": ""} | other)


def look(*findings, worst=0.1, bits=1, warnings=(), kernels=("addmm",)):
    seen = Seen([(PLACE, "raw h_n", bits)], {(PLACE, text) for text in warnings}, {PLACE: set(kernels)})
    return Look({(*one.signature, one.cell): one for one in findings}, 4, worst, seen)


def compared(old, new, control=None):
    real, same = Comparison(), Comparison()
    real.add(TASK, old, new)
    same.add(TASK, old, control or old)
    return Outcome(same, real)


def slowed(times, by, pairs):
    return tuple(t * by if place < pairs else t for place, t in enumerate(times))


@pytest.mark.parametrize(
    ("by", "pairs", "is_slower"), [(1.0, 11, False), (10, 11, True), (10, 9, True), (10, 8, False), (1.9, 11, False)]
)
def test_slower_is_more_than_twice_in_nine_pairs_of_eleven(by, pairs, is_slower):
    assert Times("x", OLD_TIMES, slowed(OLD_TIMES, by, pairs)).is_slower is is_slower


@pytest.mark.parametrize(
    ("old", "new", "is_lost"), [(0.3, 0.3, False), (0.2, 0.45, False), (0.3, 0.55, False), (0.2, 0.55, True)]
)
def test_headroom_is_lost_above_half_a_bound_and_twice_the_old(old, new, is_lost):
    outcome = compared(look(worst=old), look(worst=new))
    assert bool(outcome.real.lost) is is_lost
    assert exit_code(outcome) == (WORSE if is_lost else SAME)


def test_worst_of_a_group_is_over_all_of_its_cases():
    real = Comparison()
    real.add(TASK, look(worst=0.1), look(worst=0.9))
    real.add(TASK, look(worst=0.8), look(worst=0.1))
    assert not real.lost


def test_a_changed_bit_inside_its_bound_is_told_and_counts_for_nothing():
    outcome = compared(look(bits=1), look(bits=2))
    assert exit_code(outcome) == SAME
    assert "changed in 1 of 1 cases, all inside their bounds" in "\n".join(told(outcome))


def test_a_new_deviation_counts_and_a_waived_one_does_not():
    outcome = compared(look(), look(finding(known="mine"), bits=2))
    assert exit_code(outcome) == DEVIATES
    assert "1 of them with a new deviation" in "\n".join(told(outcome))
    waived = Outcome(outcome.control, outcome.real, waived=frozenset({"mine"}))
    assert exit_code(waived) == SAME
    assert "1 new deviation, 1 of them waived" in "\n".join(told(waived))


def test_a_fixed_deviation_is_better():
    outcome = compared(look(finding()), look())
    assert exit_code(outcome) == SAME
    assert "0 new deviations, 1 fixed" in "\n".join(told(outcome))


def test_ten_times_slower_is_worse():
    outcome = Outcome(Comparison(), Comparison(), times=(Times("lstm", OLD_TIMES, slowed(OLD_TIMES, 10, 11)),))
    assert exit_code(outcome) == WORSE
    assert "1 of 1 configurations slower" in "\n".join(told(outcome))


def test_a_file_that_no_longer_loads_counts():
    outcome = Outcome(Comparison(), Comparison(), files=(HandedOver("LSTM", "state_dict", trouble="raised KeyError"),))
    assert exit_code(outcome) == DEVIATES
    assert "LSTM state_dict: raised KeyError" in "\n".join(told(outcome))


def test_a_file_that_the_old_side_cannot_write_counts_for_nothing():
    outcome = Outcome(Comparison(), Comparison(), files=(HandedOver("lstm", "x", not_written="raised OSError"),))
    assert exit_code(outcome) == SAME


def test_differences_of_the_old_side_from_itself_are_false_flags():
    outcome = compared(look(), look(), control=look(bits=2))
    assert next(told(outcome)).startswith("false flags     1 of 1 (1e+02 %)")


def test_other_kernels_and_warnings_are_told_with_their_places():
    lines = "\n".join(told(compared(look(warnings=("old",)), look(warnings=("new\x1b[31m",), kernels=("mkldnn",)))))
    assert "GRUCell float32 grad: addmm became mkldnn" in lines
    assert "1 new, 1 gone" in lines
    assert "\x1b" not in lines


def test_training_outside_the_spread_of_roundings_is_told():
    assert not Drift("x", new=2e-7, spread=1e-7).is_inside
    assert Drift("x", new=1e-7, spread=1e-7).is_inside
    outcome = Outcome(Comparison(), Comparison(), drifts=(Drift("lstm", 2e-7, 1e-7, 20),))
    assert "0 of 1 configurations inside the spread" in "\n".join(told(outcome))


def test_the_same_seed_draws_the_same_cases():
    assert [one.line for one in tasks(2, 7, ("gru_cell",))] == [one.line for one in tasks(2, 7, ("gru_cell",))]
    assert [one.line for one in tasks(2, 7, ("gru_cell",))] != [one.line for one in tasks(2, 8, ("gru_cell",))]
