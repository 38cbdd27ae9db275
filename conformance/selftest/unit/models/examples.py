"""Models as users build them, for the tests of --like."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, rnn

SECOND = 0.125
"""The bias of the second of `Twins`."""


class Tagger(nn.Module):
    """Tags words: packed rows of several lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 12)
        self.encoder = nn.ModuleDict({"rnn": nn.LSTM(12, 20, batch_first=True, bidirectional=True)})
        self.head = nn.Linear(40, 5)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        packed = rnn.pack_padded_sequence(self.embed(words), lengths, batch_first=True, enforce_sorted=False)
        padded, _ = rnn.pad_packed_sequence(self.encoder["rnn"](packed)[0], batch_first=True)
        return self.head(padded)


class Policy(nn.Module):
    """Acts step by step: Cells, called once for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.GRUCell(6, 24), nn.LSTMCell(24, 24, bias=False)

    def forward(self, seen: Tensor) -> Tensor:
        h, state = seen.new_zeros(seen.shape[1], 24), None
        for step in seen:
            h = self.first(step, h)
            state = self.second(h, state)
        return h if state is None else state[0]


class Twins(nn.Module):
    """Two Cells of one configuration with weights of their own, each called with many rows and with few."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.GRUCell(6, 24), nn.GRUCell(6, 24)
        nn.init.constant_(self.other.bias_ih, SECOND)

    def forward(self, *seen: Tensor) -> list[Tensor]:
        return [cell(rows) for cell in (self.one, self.other) for rows in seen]


class Doubling(nn.GRU):
    """A GRU with a forward of its own."""

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        output, h_n = super().forward(input, hx)
        return 2 * output, h_n


class Half(nn.Module):
    """A parametrization: half of what is stored."""

    def forward(self, stored: Tensor) -> Tensor:
        return stored / 2


class Odd(nn.Module):
    """What modules may be: a subclass, the same module twice, parametrized, in 16 bits, quantized, scripted."""

    def __init__(self) -> None:
        super().__init__()
        self.doubling = Doubling(3, 4)
        self.rnn = nn.RNN(3, 4, nonlinearity="relu", dropout=0.25, num_layers=2)
        self.again = self.rnn
        self.narrow = nn.LSTM(3, 4, proj_size=2).bfloat16()
        self.halved = nn.GRU(3, 5)
        parametrize.register_parametrization(self.halved, "weight_hh_l0", Half())
        self.tied = nn.RNN(4, 4, 2)
        self.tied.weight_hh_l1 = self.tied.weight_hh_l0
        self.scripted = torch.jit.script(nn.LSTM(3, 4))
        self.mixed = nn.GRU(3, 4)
        self.mixed.weight_ih_l0.data = self.mixed.weight_ih_l0.data.double()
        self.quantized = torch.ao.nn.quantized.dynamic.LSTM(3, 4)


def tagger() -> nn.Module:
    return Tagger()


def example() -> tuple[Tensor, Tensor]:
    return torch.randint(0, 50, (4, 9)), torch.tensor([9, 4, 6, 1])


def policy() -> nn.Module:
    return Policy()


def twins() -> nn.Module:
    return Twins()


def odd() -> nn.Module:
    return Odd()


linear = nn.Linear(2, 3)


def raises() -> nn.Module:
    raise RuntimeError("no \x1b[31mfile\nhere")


def needs(size: int) -> nn.Module:
    return nn.GRU(size, size)


def number() -> int:
    return 3


NOTHING = 4
