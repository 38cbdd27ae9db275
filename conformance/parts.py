"""Calls beside their parts, at any size: each function makes the calls of a property and compares them."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import relations
from conformance.harness.api import (
    FORWARD,
    LSTM,
    REVERSE,
    assert_agree,
    observe,
    observe_chain,
    observe_pairs,
)
from conformance.harness.execution.observation import Observation
from reference.problem import Problem
from strategies import Case

ALL = np.s_[:]

Part = tuple[Any, ...]
"""A result's name, where to look in the whole call, where in the part."""


def states(cell: str) -> tuple[str, ...]:
    """The names of a cell's states."""
    return ("h_n", "c_n") if cell == LSTM else ("h_n",)


def returned(seen: Observation, cell: str) -> relations.States:
    """The states that a call returned, for the next call."""
    return seen.h_n.values, seen.c_n.values if cell == LSTM else None


def everything(cell: str, rows: slice = ALL) -> tuple[Part, ...]:
    """These rows of the output and of the states, which are all that the other call has."""
    return (("output", rows, ALL), *((name, np.s_[:, :, rows], ALL) for name in states(cell)))


def directions_agree(case: Case, cell: str) -> None:
    """A bidirectional layer agrees with each direction alone: the reverse one reads the rows turned around."""
    problem = case.on(cell)
    for direction, in_time in ((FORWARD, np.s_[:, :, 0]), (REVERSE, np.s_[:, ::-1, 0])):
        for seen, alone in observe_pairs(problem, relations.one_direction(problem, direction)):
            assert_agree(seen, alone, ("output", np.s_[:, :, direction], in_time))
            assert_agree(seen, alone, *((name, np.s_[:, direction], np.s_[:, 0]) for name in states(cell)))


def parts_in_time_agree(case: Case, cell: str) -> None:
    """A call agrees with its first steps, and with the rest from the states that these returned."""
    problem, split = case.on(cell), 1 + case.pick % (case.steps - 1)

    def part(number: int, before: Any) -> Problem:
        if number == 0:
            return relations.first_steps(problem, split)
        return relations.later_steps(problem, split, returned(before, cell))

    for seen in observe(problem):
        if parts := observe_chain(seen.route, 2, part):
            assert_agree(seen, parts[0], ("output", np.s_[:, :split], ALL))
            assert_agree(seen, parts[1], ("output", np.s_[:, split:], ALL), *everything(cell)[1:])


def row_agrees(problem: Problem, cell: str, row: int) -> None:
    """A row of a batch agrees with that row alone."""
    only, length = np.s_[row : row + 1], problem.lengths[row] if problem.lengths else problem.steps
    for seen, alone in observe_pairs(problem, relations.row_alone(problem, row)):
        assert_agree(seen, alone, ("output", np.s_[only, :length], ALL), *everything(cell, only)[1:])


def steps_of_the_cell_agree(case: Case, cell: str) -> None:
    """A call of one layer agrees with a loop of its Cell."""
    problem = case.on(cell)

    def step(t: int, before: Any) -> Problem:
        return relations.single_step(problem, t, None if before is None else returned(before, cell))

    for seen in observe(problem):
        for t, one in enumerate(observe_chain(seen.route, case.steps, step)):
            assert_agree(seen, one, ("output", np.s_[:, t, 0], np.s_[0, 0], "h_n"))
