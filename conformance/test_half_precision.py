"""Chapter B, clause 5: every value that a 16-bit type has, through one unit of each cell."""

from itertools import product

import numpy as np

from conformance.harness.api import (
    GRU,
    LSTM,
    MODULES,
    RNN_TANH,
    allowed,
    assert_accurate,
    assert_within,
    clause,
    devices,
    from_inputs,
    observe,
)
from reference.problem import GATES, Architecture, Problem


def every_value(dtype):
    """All 65,536 bit patterns of `dtype`, inf and NaN among them, as float64."""
    bits = np.arange(2**16, dtype=np.uint16)
    values = bits.view(np.float16) if dtype == "float16" else (bits.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return values.astype(np.float64)


def through_one_unit(cell, dtype, device, state):
    """One step from states that are all `state`, a row for each value; every gate reads the value and nothing else.

    Infinite and NaN inputs say nothing here: neither the reference nor the bounds give them a meaning.
    """
    architecture = Architecture(cell, 1, 1)
    parameters = {
        name: np.full(shape, float(name.startswith("weight_ih")))
        for name, shape in architecture.parameter_shapes().items()
    }
    values = every_value(dtype)
    states = np.full((1, 1, len(values), 1), state)
    c_0 = states if cell == LSTM else None
    return Problem(architecture, dtype, device, parameters, values[:, None, None], states, c_0)


@clause("B5", on=MODULES)
def test_every_16_bit_value_passes_one_unit_within_its_bound(cell):
    for dtype, device, state in product(("float16", "bfloat16"), devices(), (0.0, 1.0)):
        for seen in observe(through_one_unit(cell, dtype, device, state)):
            assert_within(seen, from_inputs)


def through_one_gate(cell, dtype, device, gate, state):
    """One step in which only `gate` reads anything, every finite value in a row of its own, and all states are `state`.

    What the LSTM's forget gate lets through of c_0 = 1, and the GRU's update gate of h_0 = 1, is the sigmoid itself.
    """
    architecture = Architecture(cell, 1, 1)
    parameters = {name: np.zeros(shape) for name, shape in architecture.parameter_shapes().items()}
    parameters["weight_ih_l0"][GATES[cell].index(gate)] = 1.0
    values = every_value(dtype)
    values = values[np.isfinite(values)]
    states = np.full((1, 1, len(values), 1), state)
    c_0 = states if cell == LSTM else None
    return Problem(architecture, dtype, device, parameters, values[:, None, None], states, c_0)


@clause("B5", on=(RNN_TANH,))
def test_tanh_of_every_16_bit_value_is_as_accurate_as_its_model(cell):
    for dtype, device in product(("float16", "bfloat16"), devices()):
        for seen in observe(through_one_gate(cell, dtype, device, "h", 0.0)):
            exact = np.tanh(seen.problem.input.reshape(1, 1, -1, 1))
            assert_accurate(seen, "tanh", seen.h_n, exact, allowed(seen).tanh)


@clause("B5", on=(LSTM, GRU))
def test_sigmoid_of_every_16_bit_value_is_as_accurate_as_its_model(cell):
    for dtype, device in product(("float16", "bfloat16"), devices()):
        for seen in observe(through_one_gate(cell, dtype, device, "f" if cell == LSTM else "z", 1.0)):
            with np.errstate(over="ignore"):
                exact = 1 / (1 + np.exp(-seen.problem.input.reshape(1, 1, -1, 1)))
            assert_accurate(seen, "sigmoid", seen.c_n if cell == LSTM else seen.h_n, exact, allowed(seen).sigmoid)
