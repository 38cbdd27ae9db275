"""The sizes up to which variants are tried: it happens for a finding that is shown, and may take a moment."""

from __future__ import annotations

from reference.problem import GATES, Problem

MOST_PRODUCTS = 2**21
"""The products of a row, or of a whole call with its gradients, from which on variants cost too much to try."""

MOST_STEPS = 64
"""The same of layers times directions times steps."""

MOST_OF_A_CALL = 2**30
"""The products of a call from which on nothing is looked for."""


def is_small(problem: Problem, rows: int) -> bool:
    """Whether variants of so many rows of a call can be tried."""
    a = problem.architecture
    runs = a.num_layers * a.directions * problem.steps
    return runs <= MOST_STEPS and products(problem, rows) <= MOST_PRODUCTS


def products(problem: Problem, rows: int) -> int:
    """The products of a call of so many rows."""
    a = problem.architecture
    width = max(a.input_size, a.layer_input_size(a.num_layers - 1)) + a.output_size
    return a.num_layers * a.directions * problem.steps * rows * len(GATES[a.cell]) * a.hidden_size * width
