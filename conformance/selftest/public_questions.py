"""Data in the shape of questions that were asked in public, as files that `python -m conformance judge` answers.

    python -m conformance.selftest.public_questions FOLDER

The numbers are drawn here, and computed on this CPU. What other hardware does is simulated where a docstring says so.
None of them are those of the people who asked.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conformance.harness.execution import tensors
from conformance.judging.live_call import architecture

Arrays = dict[str, np.ndarray]
Product = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Question:
    """A question: its link, what makes the arrays of its file, and the exit code of the answer."""

    link: str
    make: Callable[[], Arrays]
    code: int


def entries(module: torch.nn.Module, x: torch.Tensor, results: Mapping[str, torch.Tensor], **where: Any) -> Arrays:
    """The arrays of a file: what the module was called with, its parameters and arguments, and results by entry."""
    a = architecture(module)
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional", "proj_size")
    arguments = {name: getattr(a, name) for name in names} | {"cell": a.name, "dtype": tensors.dtype_name(x.dtype)}
    named = {"input": x, **dict(module.named_parameters()), **results}
    stored = {name: stored_as(value) for name, value in named.items()}
    return {"module": np.array(json.dumps(arguments | where)), **stored}


def stored_as(value: torch.Tensor) -> np.ndarray:
    """A tensor as a file holds it: bfloat16 as its bits, other types as they are."""
    dtype = tensors.dtype_name(value.dtype)
    values = tensors.array(value)
    if dtype == "bfloat16":
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(dtype)


def overflowing_lstm() -> Arrays:
    """LSTM(50, 50) with inputs near the largest float32; `other` adds the same products from the last to the first."""
    torch.manual_seed(0)
    module = torch.nn.LSTM(50, 50)
    x = 3e38 * torch.sign(torch.randn(1, 4, 50))
    with torch.no_grad():
        dict(module.named_parameters())["weight_ih_l0"].mul_(3)
        output, _ = module(x)

    def backwards(left: np.ndarray, weight: np.ndarray) -> np.ndarray:
        total = np.zeros((len(left), len(weight)), np.float32)
        for k in reversed(range(left.shape[1])):
            total = total + left[:, k : k + 1] * weight[:, k]
        return total

    return entries(module, x, {"output.cpu": output, "output.other": lstm(module, x, backwards)})


def batched_gru(rows: int = 100, steps: int = 100, units: int = 512) -> Arrays:
    """GRU(22, 512) over 100 rows of 100 steps: all rows in one call, and each in a call of its own."""
    torch.manual_seed(0)
    module = torch.nn.GRU(22, units)
    x = torch.randn(steps, rows, 22)
    with torch.no_grad():
        together, _ = module(x)
        apart = torch.cat([module(x[:, row : row + 1])[0] for row in range(rows)], 1)
    return entries(module, x, {"output.together": together, "output.apart": apart})


def float16_lstm() -> Arrays:
    """LSTM(50, 50) in float16 over 64 rows of 10 steps, its results as float16."""
    module, x, output = _float16_lstm()
    return entries(module, x, {"output": output})


def float16_lstm_as_float32() -> Arrays:
    """The same numbers, stored as what a float32 module returned."""
    module, x, output = _float16_lstm()
    return entries(module.float(), x.float(), {"output": output.float()})


def _float16_lstm() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    module = torch.nn.LSTM(50, 50, batch_first=True).half()
    x = torch.randn(64, 10, 50).half()
    with torch.no_grad():
        return module, x, module(x)[0]


def bidirectional_lstm() -> Arrays:
    """LSTM(2, 2, bidirectional=True) over 3 steps; `simulated` computes the reverse half with the forward weights."""
    torch.manual_seed(0)
    x = torch.randn(3, 1, 2)
    module = torch.nn.LSTM(2, 2, bidirectional=True)
    wrong = torch.nn.LSTM(2, 2, bidirectional=True)
    weights = dict(module.named_parameters())
    with torch.no_grad():
        for name, parameter in wrong.named_parameters():
            parameter.copy_(weights[name.removesuffix("_reverse")])
        results = {"output.cpu": module(x)[0], "output.simulated": wrong(x)[0]}
    return entries(module, x, results)


def packed_lstm() -> Arrays:
    """LSTM(2, 2) over 2 packed rows of 3 steps; `simulated` reads the packed data as if rows followed one another."""
    torch.manual_seed(0)
    x = torch.randn(3, 2, 2)
    module = torch.nn.LSTM(2, 2)
    with torch.no_grad():
        right = module(x)[0]
        wrong = module(x.reshape(2, 3, 2).transpose(0, 1))[0]
    found = entries(module, x, {"output.cpu": right, "output.simulated": wrong})
    return found | {"lengths": np.array([3, 3])}


def tf32_lstm() -> Arrays:
    """LSTM(4, 5) over 10 steps; `tf32` is simulated: products of operands rounded to 11 bits, summed in float32."""
    torch.manual_seed(0)
    module = torch.nn.LSTM(4, 5)
    x = torch.randn(10, 3, 4)
    with torch.no_grad():
        full = module(x)[0]

    def rounded(values: np.ndarray) -> np.ndarray:
        mantissa, exponent = np.frexp(values)
        return np.ldexp(np.rint(mantissa * 2**11), exponent - 11).astype(np.float32)

    tf32 = lstm(module, x, lambda left, weight: rounded(left) @ rounded(weight).T)
    return entries(module, x, {"output.full": full, "output.tf32": tf32})


def lstm(module: torch.nn.Module, x: torch.Tensor, product: Product) -> torch.Tensor:
    """The output (T, N, H) of an LSTM of one layer without initial states, whose products left @ weight.T are given."""
    w = {name: tensors.array(value).astype(np.float32) for name, value in module.named_parameters()}
    units = w["weight_hh_l0"].shape[1]
    h: np.ndarray = np.zeros((x.shape[1], units), np.float32)
    c: np.ndarray = np.zeros_like(h)
    outputs = []
    with np.errstate(all="ignore"):
        for step in tensors.array(x).astype(np.float32):
            from_input = product(step, w["weight_ih_l0"]) + w["bias_ih_l0"]
            z = from_input + product(h, w["weight_hh_l0"]) + w["bias_hh_l0"]
            i, f, o = (1 / (1 + np.exp(-z[:, k * units : (k + 1) * units])) for k in (0, 1, 3))
            c = f * c + i * np.tanh(z[:, 2 * units : 3 * units])
            h = o * np.tanh(c)
            outputs.append(h)
    return tensors.tensor(np.stack(outputs), "float32")


ISSUES = "https://github.com/pytorch/pytorch/issues/"

QUESTIONS: Mapping[str, Question] = {
    "overflowing_lstm": Question(ISSUES + "173922", overflowing_lstm, 3),
    "batched_gru": Question(ISSUES + "32023", batched_gru, 0),
    "float16_lstm": Question(ISSUES + "175845", float16_lstm, 0),
    "float16_lstm_as_float32": Question(ISSUES + "175845", float16_lstm_as_float32, 1),
    "bidirectional_lstm": Question(ISSUES + "94754", bidirectional_lstm, 1),
    "packed_lstm": Question(ISSUES + "95118", packed_lstm, 1),
    "tf32_lstm": Question("https://github.com/IBM/aihwkit/issues/766", tf32_lstm, 1),
}
"""By the name of the file, in the order of docs/judge.md."""


def save(path: Path, arrays: Arrays, compression: int = zipfile.ZIP_STORED) -> None:
    """Writes a file that `python -m conformance judge` reads, as numpy.savez does; that takes no array of any name."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def main(folder: Path) -> None:
    """Writes every file into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, question in QUESTIONS.items():
        save(folder / f"{name}.npz", question.make())
        print(f"{name}.npz  {question.link}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
