"""The cells, dtypes and rounding models that the tests go through."""

from __future__ import annotations

import pytest

from reference.formats import FORMATS
from reference.problem import GATES
from reference.roundings import Rounding, model

EACH_CELL = pytest.mark.parametrize("cell", GATES)
EACH_DTYPE = pytest.mark.parametrize("dtype", FORMATS)
EACH_CAPABILITY = pytest.mark.parametrize("capability", ["AVX2", "AVX512"], ids=["measured", "union"])


def red_model(cell: str, dtype: str = "float32", capability: str = "AVX2") -> Rounding:
    """The model beyond which a result of torch.nn is wrong.

    "AVX2" selects the model of the measured kernels, "AVX512" the union of all correct implementations.
    """
    return model(cell, dtype, "cpu", capability, "2.13", "torch.nn").red
