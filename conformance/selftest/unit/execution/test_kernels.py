"""The kernel recorder tells kernels apart, lets the call be, and knows what this machine could have reached."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch

from conformance.harness.execution import kernels
from conformance.selftest.implementations.plain import Plain
from reference.problem import GATES, GRU, LSTM, RNN_RELU, RNN_TANH

KINDS = {RNN_TANH: torch.nn.RNN, RNN_RELU: torch.nn.RNN, LSTM: torch.nn.LSTM, GRU: torch.nn.GRU}
LAYOUTS: tuple[dict[str, bool], ...] = ({}, {"batch_first": True}, {"bias": False})

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN")


def module(cell: str, **arguments: object) -> torch.nn.Module:
    more = {"nonlinearity": "relu"} if cell == RNN_RELU else {}
    return KINDS[cell](3, 4, **more, **arguments)


@contextmanager
def on(route: str) -> Iterator[None]:
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(route != "no_mkldnn")
    try:
        with torch.set_grad_enabled(route != "no_grad"):
            yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def sequence(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.linspace(-1, 1, 18).reshape(3, 2, 3).to(dtype)


@needs_onednn
@pytest.mark.parametrize("route", ["grad", "no_grad"])
def test_float32_lstm_reaches_onednn(route: str) -> None:
    lstm = module(LSTM)
    with on(route):
        assert kernels.kernels(lambda: lstm(sequence())) == ("mkldnn_rnn_layer",)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lstm_without_onednn_goes_step_by_step(dtype: torch.dtype) -> None:
    lstm, x = module(LSTM, dtype=dtype), sequence(dtype)
    with on("no_mkldnn"):
        assert kernels.kernels(lambda: lstm(x)) == ("addmm", "sigmoid", "tanh")


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("route", ["grad", "no_grad", "no_mkldnn"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_expected_is_what_the_layouts_reach(cell: str, route: str, dtype: str) -> None:
    seen: set[str] = set()
    for layout in LAYOUTS:
        call = partial(module(cell, dtype=getattr(torch, dtype), **layout), sequence(getattr(torch, dtype)))
        with on(route):
            seen.update(kernels.kernels(call))
    assert seen == set(kernels.expected(cell, dtype, route))


def test_blends_of_a_gru_are_told_apart() -> None:
    theirs, other = module(GRU), Plain(GRU, 3, 4)
    assert "sub" in kernels.kernels(lambda: theirs(sequence()))
    seen = kernels.kernels(lambda: other(sequence()))
    assert "rsub" in seen
    assert "sub" not in seen


def test_packed_sequence_is_told_from_a_padded_one() -> None:
    gru = module(GRU)
    packed = torch.nn.utils.rnn.pack_padded_sequence(sequence(), torch.tensor([3, 2]))
    assert "packed" in kernels.kernels(lambda: gru(packed))
    assert "packed" not in kernels.kernels(lambda: gru(sequence()))


@pytest.mark.parametrize("cell", GATES)
def test_watched_call_returns_the_same_bits(cell: str) -> None:
    one, results = module(cell), []
    kernels.kernels(lambda: results.append(one(sequence())))
    assert torch.equal(results[0][0], one(sequence())[0])


def test_labels_come_in_the_order_of_the_table() -> None:
    def backwards() -> None:
        x = torch.ones(2, 2)
        torch.relu(torch.tanh(torch.sigmoid(x)) @ x)

    assert kernels.kernels(backwards) == ("mm", "sigmoid", "tanh", "relu")


def test_exception_of_the_call_passes_through() -> None:
    gru = module(GRU)
    with pytest.raises(RuntimeError):
        kernels.kernels(lambda: gru(torch.zeros(3, 2, 7)))


FIRST_CALL = """
import sys
import torch
from conformance.harness.execution import kernels

before = set(sys.modules)
kernels.kernels(lambda: torch.zeros(1).add(1))
print(*sorted(set(sys.modules) - before))
"""


def test_recorder_imports_no_compiler():
    done = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
