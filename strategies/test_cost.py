"""What cases cost, and how time is shared out among them."""

import math
from dataclasses import replace

import pytest

from strategies import Case
from strategies.cost import level, seconds_of

ENCODER = Case(160, 256, 3, 6, 200, True)

MEASURED = [
    (ENCODER, "B2", 2.4),
    (replace(ENCODER, batch_size=1), "B2", 1.0),
    (replace(ENCODER, batch_size=1, steps=1), "B2", 0.08),
    (ENCODER, "C1", 6.6),
    (replace(ENCODER, batch_size=8, steps=5), "C1", 0.5),
    (ENCODER, "D2", 0.44),
    (Case(7, 64, 2, 32, 96), "B2", 0.27),
    (Case(7, 64, 2, 32, 96), "C1", 0.42),
    (Case(200, 400, 1, 20, 70), "B2", 0.36),
    (Case(200, 400, 1, 20, 70), "C1", 1.63),
    (Case(1, 1, 64, 1, 1), "C4", 1.2),
    (Case(1, 1, 128, 1, 1), "C4", 4.5),
    (Case(1, 1, 16, 1, 64), "I", 0.35),
]


@pytest.mark.parametrize(("case", "clause", "seconds"), MEASURED)
def test_estimate_is_within_a_factor_of_three_of_what_was_measured(case, clause, seconds):
    assert 1 / 3 < seconds_of(case, clause) / seconds < 3


@pytest.mark.parametrize(
    ("costs", "total", "most"),
    [([1, 2, 3], 6, math.inf), ([1, 2, 9], 6, 3), ([9, 9, 9], 6, 2), ([1, 9, 9], 6, 2.5), ([], 0, math.inf)],
)
def test_cheap_ones_leave_their_share_to_others(costs, total, most):
    assert level(costs, total) == most
    assert sum(min(cost, most) for cost in costs) <= total
