"""Files of older releases, and the command that wrote them: `python -m conformance.harness.state_dicts.writing`.

It writes one state_dict for each cell to a folder of the release that runs it. A file of a release that is no longer
at hand stays as it was written: what it holds follows from `problem_of`, which must not change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from conformance.harness.execution.subject import CELLS, torch_nn
from reference.problem import CELL_SUFFIX, LSTM, Architecture, Problem

LARGEST_FILE = 10_000
"""The most bytes of a file."""


def problem_of(cell: str) -> Problem:
    """A call of a module with known weights: two directions and a projection, where the cell has these."""
    if cell.endswith(CELL_SUFFIX):
        architecture = Architecture(cell.removesuffix(CELL_SUFFIX), 2, 3, single_step=True)
    elif cell == LSTM:
        architecture = Architecture(cell, 2, 3, bidirectional=True, proj_size=2)
    else:
        architecture = Architecture(cell, 2, 3, num_layers=2, bidirectional=True)
    parameters = {
        name: _numbers(shape, place) for place, (name, shape) in enumerate(architecture.parameter_shapes().items())
    }
    steps = 1 if architecture.single_step else 3
    return Problem(architecture, "float32", "cpu", parameters, _numbers((2, steps, 2), len(parameters)))


def _numbers(shape: tuple[int, ...], place: int) -> np.ndarray:
    """Multiples of 1/16 in [-1/2, 1/2], exact in every dtype; in an order that is another at each place."""
    numbers = (np.arange(int(np.prod(shape))) * 7 + place * 5) % 17
    return (numbers.reshape(shape) - 8) / 16


def main() -> None:
    """Writes the files of the release that runs this."""
    folder = Path(__file__).parent / torch.__version__.partition("+")[0]
    folder.mkdir()
    for cell in CELLS:
        torch.save(torch_nn().loaded(problem_of(cell)).state_dict(), folder / f"{cell}.pt")
        print(folder / f"{cell}.pt", (folder / f"{cell}.pt").stat().st_size)


if __name__ == "__main__":
    main()
