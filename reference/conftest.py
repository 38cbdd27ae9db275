"""What the tests of this floor share: what they go through, the model that judges, and when two balls are one."""

from __future__ import annotations

import numpy as np
import pytest

from reference.ball import Ball
from reference.formats import FORMATS
from reference.problem import GATES
from reference.roundings import Rounding, model

CELLS = pytest.mark.parametrize("cell", GATES)
DTYPES = pytest.mark.parametrize("dtype", FORMATS)
MODELS = pytest.mark.parametrize("capability", ["AVX2", "AVX512"], ids=["measured", "union"])


def red_model(cell: str, dtype: str = "float32", capability: str = "AVX2") -> Rounding:
    """The model beyond which torch.nn is wrong: that of its measured kernels, or the union of all with "AVX512"."""
    return model(cell, dtype, "cpu", capability, "2.13", "torch.nn").red


def assert_close(one: Ball, other: Ball, name: str, rtol: float) -> None:
    """Two balls are equal but for the order in which a matrix product is summed."""
    for kind, atol in (("midpoint", 1e-15), ("radius", 0)):
        first, second = (np.asarray(getattr(ball, kind), float) for ball in (one, other))
        np.testing.assert_allclose(first, second, rtol=rtol, atol=atol, err_msg=f"{name} {kind}")
