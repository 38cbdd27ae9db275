"""A cell is green only where a whole run compared something and found nothing."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from conformance.clauses import CLAUSES
from conformance.page.cells import matrix
from conformance.page.states import STATES
from conformance.results.document import Outcome
from conformance.selftest.unit.page.examples import results, run, sound

OUTCOMES = get_args(Outcome)


def cells(folder, made):
    """The cells of a run by clause."""
    return {row.clause: row.cells[0] for row in matrix([run(folder, made)])}


def states(folder, made):
    return {clause: cell.state.name for clause, cell in cells(folder, made).items()}


def test_what_passed_is_green_and_nothing_else_is(tmp_path):
    found = states(tmp_path, sound())
    assert found.pop("B1") == "pass"
    assert set(found.values()) == {"not run"}
    assert set(found) == CLAUSES.keys() - {"B1"}


def test_what_passed_in_a_run_that_did_not_end_is_not_green(tmp_path):
    assert states(tmp_path, sound(complete=False, reason="interrupted"))["B1"] == "part"


def test_clause_of_which_nothing_was_compared_is_not_green(tmp_path):
    made = sound()
    judged = tuple(replace(row, outcome="nothing") for row in made.judged)
    tests = tuple(replace(row, outcome="nothing") for row in made.properties)
    assert states(tmp_path, replace(made, judged=judged, properties=tests))["B1"] == "nothing"


def test_known_deviations_have_a_state_of_their_own(tmp_path):
    made = results()
    known = tuple(one for one in made.findings if one.known)
    assert [one.clause for one in known] == ["B1"]
    assert states(tmp_path, replace(sound(), findings=known))["B1"] == "known"
    unknown = tuple(replace(one, known="") for one in known)
    assert states(tmp_path, replace(sound(), findings=unknown))["B1"] == "red"


@pytest.mark.parametrize("where", ["judged", "properties"])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_is_a_state_and_outranks_passing(outcome, where, tmp_path):
    made = sound()
    rows = getattr(made, where)
    wanted = "pass" if outcome == "nothing" else outcome
    changed: dict[str, Any] = {where: (replace(rows[0], outcome=outcome),)}
    assert states(tmp_path, replace(made, **changed))["B1"] == wanted


def test_outcomes_have_the_order_of_results_files():
    assert [name for name in STATES if name in OUTCOMES] == list(OUTCOMES)


def test_clause_that_only_a_file_knows_has_a_row(tmp_path):
    made = sound()
    found = states(tmp_path, replace(made, judged=(replace(made.judged[0], clause="Z9"),)))
    assert found["Z9"] == "pass"


def test_cell_says_what_was_looked_at_and_found(tmp_path):
    cell = cells(tmp_path, results())["B1"]
    assert cell.said == "2 red, 1 amber, 1 known, 1 property, 20 cases, largest error / bound 0.50"
    assert cell.known.keys() == {one.known for one in cell.findings if one.known}
    assert cell.dtypes == ["float32"]
    ((state, worst),) = cell.places()["lstm"]
    assert (state.name, worst) == ("red", 0.5)


def luminance(colour):
    def linear(part):
        part /= 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_sign_can_be_read_on_its_background(state, scheme):
    dark, light = sorted(luminance(colour) for colour in getattr(state, scheme))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_each_state_has_a_sign_of_its_own():
    assert len({state.sign for state in STATES.values()}) == len(STATES)
