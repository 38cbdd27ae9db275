"""Chapter J: what a call refuses."""

from dataclasses import replace

from conformance.harness.api import (
    LSTM,
    LSTM_CELL,
    MODULES,
    RNN_RELU,
    RNN_TANH,
    assert_accepted,
    assert_refused,
    cases,
    clause,
    observe_invalid,
    observe_invalid_packing,
    probes,
)
from reference.invalid_calls import ARGUMENTS, CALLS, CONSTRUCTOR, UTILITIES, spoils
from reference.problem import CELL_SUFFIX
from strategies.families import ONE_STEP

SMALL = {
    "input_size": (1, 2, 3),
    "hidden_size": (1, 2, 3),
    "steps": (1, 2),
    "memory": "contiguous",
    "bias": True,
    "share": 5,
    "least": 6,
}
"""The word drop may be there: it makes the call in evaluation mode, with a dropout that does nothing."""

A_BATCH_WITH_STATES = {"hx": True, "unbatched": False}

CONSTRUCTED = SMALL | A_BATCH_WITH_STATES | {"dropout": False, "share": 4, "least": 10}
"""A module that is constructed; an argument has up to seven wrong values."""

OF_PACKED = ("batch_sizes.sum", "batch_sizes.order")
"""Places that a padded call does not have."""

OF_PADDED = ("input.type", "input.rows", "input.steps")
"""Places that a packed call does not have, or not as its argument."""

INPUT_ALONE = ("input.features", "input.steps", "input.dtype", "input.device", "input.type")
"""Places where a call is invalid whatever else it is given."""

OF_LSTM = (*(place for place in CALLS if place.startswith("c_0")), "hx.count")


WITHOUT_ROWS = {"hx": False, "unbatched": False}
"""A call in which an input without rows contradicts nothing."""


def needs(place):
    """What makes a call invalid once this place is spoilt, and nothing else of it."""
    if place == "input.rows":
        return WITHOUT_ROWS
    return {} if place in INPUT_ALONE or is_of_parameters(place) else A_BATCH_WITH_STATES


def in_both_modes(**pinned):
    """A family of which about half the cases are in evaluation mode: layouts of more words are drawn less often."""
    family = cases(**pinned)
    layouts = family.pinned["layout"]
    evaluated = [words for words in layouts if "drop" in words]
    return replace(family, pinned={**family.pinned, "layout": (*layouts, *evaluated, *evaluated)})


MANY_PARAMETERS = {"num_layers": (1, 2, 2, 2), "bidirectional": (False, True, True), "share": 4, "least": 10}
"""Modules of several layers and directions, of whose parameters `pick` chooses the one that is spoilt."""


def is_of_parameters(place):
    """Whether it is a parameter that is spoilt."""
    return place.startswith(("weight", "bias"))


def modules(places):
    """A family of calls of modules for each place."""
    common = SMALL | {"num_layers": (1, 2), "batch_size": (1, 2, 3)}
    packed = dict.fromkeys(OF_PADDED, False) | dict.fromkeys(OF_PACKED, True)
    return {
        place: in_both_modes(
            spoil=spoils(place),
            packed=packed.get(place),
            **common | needs(place) | (MANY_PARAMETERS if is_of_parameters(place) else {}),
        )
        for place in places
    }


def single_steps(places):
    """The same for classes that take a single step, whose states have no axis of layers."""
    common = SMALL | ONE_STEP | {"batch_size": (1, 2, 3)}
    return {
        place: in_both_modes(spoil=spoils(place), **common | needs(place))
        for place in places
        if place not in OF_PACKED and not place.endswith((".layers", ".steps"))
    }


EVERYWHERE = tuple(place for place in CALLS if place not in OF_LSTM)


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


# Constructors


OF_SINGLE_STEPS = ("input_size", "hidden_size", "bias", "device", "dtype")
"""Arguments of every class."""


def of_constructors(names):
    """A family for each argument of a constructor."""
    return {name: cases(spoil=spoils(f"{CONSTRUCTOR}.{name}.value"), packed=False, **CONSTRUCTED) for name in names}


def of_small_constructors(names):
    """The same for classes that take a single step."""
    return {name: cases(spoil=spoils(f"{CONSTRUCTOR}.{name}.value"), **CONSTRUCTED | ONE_STEP) for name in names}


@clause(
    "J1",
    given=of_constructors(name for name in ARGUMENTS if name not in ("nonlinearity", "proj_size")),
    single_step=of_small_constructors(OF_SINGLE_STEPS),
)
def test_invalid_argument_of_a_constructor_is_refused(case, cell):
    is_refused(case, cell)


@clause("J1", on=(LSTM,), given=of_constructors(["proj_size"]))
def test_invalid_argument_of_an_lstms_constructor_is_refused(case, cell):
    is_refused(case, cell)


@clause("J1", on=(RNN_TANH, RNN_RELU), given=of_constructors(["nonlinearity"]))
def test_invalid_argument_of_an_rnns_constructor_is_refused(case, cell):
    is_refused(case, cell)


@clause(
    "J1",
    on=(RNN_TANH + CELL_SUFFIX, RNN_RELU + CELL_SUFFIX),
    given=of_small_constructors(["nonlinearity"]),
)
def test_invalid_argument_of_an_rnn_cells_constructor_is_refused(case, cell):
    is_refused(case, cell)


# Utilities


ROWS = {
    "input_size": (1, 2),
    "hidden_size": 1,
    "batch_size": (2, 3),
    "steps": (2, 3),
    "num_layers": 1,
    "memory": "contiguous",
    "bidirectional": False,
    "bias": True,
    "dropout": False,
    "packed": True,
    "share": 4,
} | A_BATCH_WITH_STATES
"""Rows of several lengths; what only a module has stays at its default."""

OF_UTILITIES = {
    f"{utility}.{place}": cases(spoil=spoils(f"{utility}.{place}"), **ROWS)
    for utility, places in UTILITIES.items()
    for place in places
}


@clause("J1", on=(RNN_TANH,), given=OF_UTILITIES)
def test_invalid_call_of_a_utility_is_refused_and_harms_nothing(case, cell):
    for seen in observe_invalid_packing(case.on(cell), case.spoil):
        assert_refused(seen, case.spoil)


# Siblings


@clause("J2")
def test_cell_accepts_what_its_siblings_accept(cell):
    for siblings in probes(MODULES):
        assert_accepted(siblings[MODULES.index(cell)], siblings)
