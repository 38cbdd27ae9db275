"""What a case costs, estimated before it is looked at."""

from __future__ import annotations

from collections.abc import Iterable

from strategies.case import Case

SECONDS_PER_CALL = 5e-3
SECONDS_PER_PARAMETER = 2e-8
SECONDS_PER_PARAMETER_AND_STEP = 8e-10
SECONDS_PER_PARAMETER_AND_STEP_OF_A_ROW = 1.6e-10
SECONDS_PER_UNIT_AND_STEP_OF_A_ROW = 5e-7
"""Processor seconds of a case whose every value is bounded, fitted to GRUs and LSTMs of 64 to 400 units."""

SECONDS_PER_LAYER_AND_STEP = 1e-4
SECONDS_PER_PAIR_OF_LAYERS = 6e-5
"""Likewise, fitted to LSTMs of one unit with up to 128 layers and 512 steps."""

TIMES_OF_CHAPTER = {"A": 0.3, "C": 5.0, "D": 0.4, "E5": 30.0, "I": 3.0}
"""The cost of a case of these chapters and clauses in that of bounding its values: gradients take five times as long,
calls with other settings around them are made in many, and equal bits need no bound."""


def seconds_of(case: Case, clause: str) -> float:
    """Processor seconds that a property of this clause needs for a case, within a factor of about three."""
    once = case.of_size("batch_size", 1).of_size("steps", 1)
    units = case.num_layers * (1 + case.bidirectional) * case.hidden_size
    parameters = once.numbers() - case.input_size - units
    row_steps = case.batch_size * case.steps
    seconds = SECONDS_PER_CALL + parameters * (
        SECONDS_PER_PARAMETER
        + case.steps * SECONDS_PER_PARAMETER_AND_STEP
        + row_steps * SECONDS_PER_PARAMETER_AND_STEP_OF_A_ROW
    )
    seconds += row_steps * units * SECONDS_PER_UNIT_AND_STEP_OF_A_ROW
    layers = case.num_layers * (1 + case.bidirectional)
    seconds += layers * case.steps * SECONDS_PER_LAYER_AND_STEP + layers**2 * SECONDS_PER_PAIR_OF_LAYERS
    return seconds * TIMES_OF_CHAPTER.get(clause, TIMES_OF_CHAPTER.get(clause[:1], 1.0))


def level(costs: Iterable[float], total: float) -> float:
    """The most that each of several may cost so that all cost at most `total`: cheap ones leave their share to others.

    Returns infinity if they cost no more as they are.
    """
    left, waiting = total, sorted(costs)
    for done, cost in enumerate(waiting):
        share = left / (len(waiting) - done)
        if cost > share:
            return share
        left -= cost
    return float("inf")
