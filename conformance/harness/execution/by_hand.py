"""The documented equations in plain lines of torch: a witness beside the reference, in any dtype.

Products, sums, sigmoid, tanh and relu, with gradients by autograd; nothing of torch.nn.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from conformance.harness.execution import tensors
from reference.network import reversed_in_time
from reference.problem import GRU, LSTM, REVERSE, RNN_RELU, Loss, Problem

Tensors = Mapping[str, torch.Tensor]


def step(cell: str, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, w: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """h and c (N, features) after a step; w: the parameters of the layer, named without it."""
    of_x, of_h = x @ w["weight_ih"].T, h @ w["weight_hh"].T
    if "bias_ih" in w:
        of_x, of_h = of_x + w["bias_ih"], of_h + w["bias_hh"]
    if cell == LSTM:
        i, f, g, o = (of_x + of_h).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h @ w["weight_hr"].T if "weight_hr" in w else h, c
    if cell == GRU:
        (r_x, z_x, n_x), (r_h, z_h, n_h) = of_x.chunk(3, -1), of_h.chunk(3, -1)
        r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
        return (1 - z) * torch.tanh(n_x + r * n_h) + z * h, c
    return torch.relu(of_x + of_h) if cell == RNN_RELU else torch.tanh(of_x + of_h), c


def results(problem: Problem, given: Tensors, returned: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """output (N, T, D, R), h_n and an LSTM's c_n (L, D, N, features), of tensors `given` by name. Dropout is left out.

    returned: an output (N, T, D, R) of one layer; each step then starts from the h in it instead of its own.
    """
    a, x, last = problem.architecture, given["input"], []
    for layer in range(a.num_layers):
        halves = []
        for direction in range(a.directions):
            end = a.end(layer, direction)
            w = {name.removesuffix(end): given[name] for name in problem.parameters if name.endswith(end)}
            h, c = (given[name][layer, direction] if name in given else None for name in ("h_0", "c_0"))
            before = None if returned is None else returned[:, :, direction]
            hs, h, c = _run(problem, direction, x, h, c, w, before)
            halves.append(hs)
            last.append((h, c))
        x = torch.cat(halves, -1)
    shape = (a.num_layers, a.directions, problem.batch_size, -1)
    found = {"output": torch.stack(halves, 2), "h_n": torch.stack([h for h, _ in last]).reshape(shape)}
    return found | ({"c_n": torch.stack([c for _, c in last]).reshape(shape)} if a.cell == LSTM else {})


def _run(
    problem: Problem,
    direction: int,
    x: torch.Tensor,
    h: torch.Tensor | None,
    c: torch.Tensor | None,
    w: Tensors,
    before: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One direction of a layer over x (N, T, features): every h (N, T, R), the last h and c."""
    a = problem.architecture
    h = x.new_zeros(problem.batch_size, a.output_size) if h is None else h
    c = x.new_zeros(problem.batch_size, a.hidden_size) if c is None else c
    lengths = torch.tensor(problem.lengths or [problem.steps] * problem.batch_size)
    rows, order, hs = torch.arange(problem.batch_size), _order(problem, direction), []
    for t in range(problem.steps):
        start = h if before is None or t == 0 else before[rows, order[:, t - 1]]
        new_h, new_c = step(a.cell, x[rows, order[:, t]], start, c, w)
        running = (t < lengths)[:, None]
        h, c = torch.where(running, new_h, h), torch.where(running, new_c, c)
        hs.append(torch.where(running, new_h, torch.zeros_like(new_h)))
    return torch.stack(hs, 1)[rows[:, None], order], h, c


def _order(problem: Problem, direction: int) -> torch.Tensor:
    """The step (N, T) that each row reads in turn; its own inverse."""
    in_turn = np.tile(np.arange(problem.steps), (problem.batch_size, 1))
    return torch.tensor((reversed_in_time(problem, in_turn) if direction == REVERSE else in_turn).tolist())


@torch.enable_grad()
def computed(
    problem: Problem, dtype: str, loss: Loss | None = None, returned: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Every result by name, and the gradients of a loss as `gradient of input` and so on, computed in `dtype`.

    Raises RuntimeError where PyTorch lacks an operation in that dtype.
    """
    arrays = {"input": problem.input, "h_0": problem.h_0, "c_0": problem.c_0, **problem.parameters}
    given = {name: tensors.tensor(values, dtype) for name, values in arrays.items() if values is not None}
    for tensor in given.values():
        tensor.requires_grad_(loss is not None)
    found = results(problem, given, None if returned is None else tensors.tensor(returned, dtype))
    named = {name: tensors.array(values) for name, values in found.items()}
    if loss is not None:
        total = [(found[name] * tensors.tensor(values, dtype)).sum() for name, values in loss.cotangents.items()]
        if total:
            sum(total[1:], total[0]).backward()
        gradients = {name: tensor.grad for name, tensor in given.items()}
        named |= {f"gradient of {name}": tensors.array(g) for name, g in gradients.items() if g is not None}
    return named
