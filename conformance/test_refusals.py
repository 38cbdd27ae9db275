"""Chapter J: what a call refuses."""

from conformance.harness.api import (
    LSTM,
    LSTM_CELL,
    MODULES,
    assert_accepted,
    assert_refused,
    cases,
    clause,
    observe_invalid,
    probes,
)
from reference.invalid_calls import PLACES, spoils
from strategies.case import ONE_STEP

SMALL = {
    "input_size": (1, 2, 3),
    "hidden_size": (1, 2, 3),
    "steps": (1, 2),
    "memory": "contiguous",
    "dropout": False,
    "bias": True,
    "share": 4,
}
A_BATCH_WITH_STATES = {"hx": True, "unbatched": False}

INPUT_ALONE = ("input.features", "input.dtype", "input.device", "input.type")
"""Places where a call is invalid whatever else it is given."""

OF_LSTM = (*(place for place in PLACES if place.startswith("c_0")), "hx.count")


def needs(place):
    """What makes a call invalid once this place is spoilt."""
    return {} if place in INPUT_ALONE or place.startswith(("weight", "bias")) else A_BATCH_WITH_STATES


def modules(places):
    """A family of calls of modules for each place."""
    common = SMALL | {"num_layers": (1, 2), "batch_size": (1, 2, 3)}
    return {
        place: cases(spoil=spoils(place), packed=False if place == "input.type" else None, **common | needs(place))
        for place in places
    }


def single_steps(places):
    """The same for classes that take a single step, whose states have no axis of layers."""
    common = SMALL | ONE_STEP | {"batch_size": (1, 2, 3)}
    return {
        place: cases(spoil=spoils(place), **common | needs(place)) for place in places if not place.endswith(".layers")
    }


EVERYWHERE = tuple(place for place in PLACES if place not in OF_LSTM)


def is_refused(case, cell):
    """The invalid call is refused and harms nothing."""
    for seen in observe_invalid(case.on(cell), case.spoil, case.pick):
        assert_refused(seen, case.spoil)


@clause("J1", given=modules(EVERYWHERE), single_step=single_steps(EVERYWHERE))
def test_invalid_call_is_refused_and_harms_nothing(case, cell):
    is_refused(case, cell)


@clause("J1", on=(LSTM,), given=modules(OF_LSTM))
def test_invalid_state_of_an_lstm_is_refused_and_harms_nothing(case, cell):
    is_refused(case, cell)


@clause("J1", on=(LSTM_CELL,), given=single_steps(OF_LSTM))
def test_invalid_state_of_an_lstm_cell_is_refused_and_harms_nothing(case, cell):
    is_refused(case, cell)


@clause("J2")
def test_cell_accepts_what_its_siblings_accept(cell):
    for siblings in probes(MODULES):
        assert_accepted(siblings[MODULES.index(cell)], siblings)
