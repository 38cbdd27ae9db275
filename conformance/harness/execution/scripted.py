# mypy: ignore-errors
"""Models around a recurrent module for TorchScript, which calls overloaded forward methods only from within another.

It reads comments that speak of types, and the annotations of arguments but not those of results.
"""

import torch


class _WithPair(torch.nn.Module):
    """A model around an LSTM or its single step."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor, hx: tuple[torch.Tensor, torch.Tensor]):
        return self.inner(x, hx)


class _WithState(_WithPair):
    """A model around any other module."""

    def forward(self, x: torch.Tensor, hx: torch.Tensor):
        return self.inner(x, hx)


def model_of(module: torch.nn.Module) -> torch.nn.Module:
    """A model that hands its arguments, input and initial states, to a recurrent module."""
    return (_WithPair if isinstance(module, torch.nn.LSTM | torch.nn.LSTMCell) else _WithState)(module)
