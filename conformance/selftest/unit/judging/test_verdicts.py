"""Sound results of torch.nn are allowed; results of other equations, rows and precisions are not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrize
from torch.nn.utils.prune import l1_unstructured
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import conformance
from conformance.harness.execution import machine
from conformance.judging import sampling
from conformance.judging.errors import JudgeError
from conformance.judging.verdict import WIDTH
from conformance.selftest.implementations.plain import Plain

nn = torch.nn

MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "rnn": (lambda: nn.RNN(3, 4), (3, 2, 3)),
    "relu": (lambda: nn.RNN(3, 4, nonlinearity="relu", batch_first=True), (2, 3, 3)),
    "gru": (lambda: nn.GRU(3, 4, bias=False), (3, 2, 3)),
    "lstm": (lambda: nn.LSTM(3, 4), (3, 2, 3)),
    "unbatched": (lambda: nn.LSTM(3, 4, bidirectional=True), (3, 3)),
    "stack": (lambda: nn.GRU(3, 4, 2, bidirectional=True), (3, 2, 3)),
    "projection": (lambda: nn.LSTM(3, 4, 2, proj_size=2, bidirectional=True), (3, 2, 3)),
    "rnn_cell": (lambda: nn.RNNCell(3, 4, nonlinearity="relu"), (2, 3)),
    "gru_cell": (lambda: nn.GRUCell(3, 4), (2, 3)),
    "lstm_cell": (lambda: nn.LSTMCell(3, 4), (3,)),
}
"""Modules, and the shape of an input to each."""

DTYPES = ("float64", "float32", "bfloat16", "float16")


@pytest.fixture(autouse=True)
def _drawn_alike() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODULES)
def test_what_pytorch_returns_is_allowed(name: str, dtype: str) -> None:
    if dtype in ("float16", "bfloat16") and not machine.at_least(2, 6):
        pytest.skip("older releases lack kernels of the 16-bit types")
    make, shape = MODULES[name]
    kind = getattr(torch, dtype)
    verdict = conformance.judge(make().to(kind), torch.randn(shape).to(kind))
    assert verdict.allowed
    assert not verdict.says_nothing
    assert verdict.times <= 1
    assert str(verdict).splitlines()[-1].startswith("allowed: ")
    assert max(map(len, str(verdict).splitlines())) <= WIDTH


@pytest.mark.parametrize("lengths", [(2, 5, 3), (4,)], ids=str)
def test_packed_results_are_allowed(lengths: tuple[int, ...]) -> None:
    module = nn.LSTM(3, 4, bidirectional=True)
    packed = pack_sequence([torch.randn(length, 3) for length in lengths], enforce_sorted=False)
    states = torch.randn(2, len(lengths), 4), torch.randn(2, len(lengths), 4)
    assert conformance.judge(module, packed, states, module(packed, states)).allowed


def test_long_sequences_are_judged_step_by_step() -> None:
    module, x = nn.GRU(3, 4), torch.randn(200, 2, 3)
    verdict = conformance.judge(module, x)
    assert verdict.allowed
    assert verdict.vacuous == 0
    output, h_n = module(x)
    output = output.detach().clone()
    output[150, 1, 2] += 1e-4
    wrong = conformance.judge(module, x, None, (output, h_n))
    assert not wrong.allowed
    assert wrong.field == "output"
    assert wrong.place == "layer 0 forward, row 1, step 150, unit 2"


def test_module_of_its_own_is_judged_by_its_parameters() -> None:
    assert conformance.judge(Plain("gru", 3, 4), torch.randn(3, 2, 3)).allowed


def test_weights_that_are_shared_by_layers_are_judged() -> None:
    module = nn.GRU(4, 4, 2)
    module.weight_hh_l1 = module.weight_hh_l0
    assert conformance.judge(module, torch.randn(3, 2, 4)).allowed


def test_numbers_whose_sign_is_still_to_be_changed_are_read_with_it() -> None:
    x = torch.full((1, 1, 1), 1j, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    assert conformance.judge(nn.RNN(1, 4), x).allowed


def test_what_the_module_raises_is_not_hidden() -> None:
    class Raising(nn.GRU):
        def forward(self, *_: Any) -> Any:
            raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        conformance.judge(Raising(3, 4), torch.zeros(3, 2, 3))


def swapped(module: nn.Module) -> nn.Module:
    """An LSTM whose gates i and f have changed places."""
    other = nn.LSTM(3, 4)
    with torch.no_grad():
        for (_, mine), (_, its) in zip(module.named_parameters(), other.named_parameters(), strict=True):
            i, f, g, o = mine.chunk(4)
            its.copy_(torch.cat([f, i, g, o]))
    return other


def test_swapped_gates_are_not_allowed() -> None:
    module, x = nn.LSTM(3, 4), torch.randn(3, 2, 3)
    verdict = conformance.judge(module, x, None, swapped(module)(x))
    assert (verdict.allowed, verdict.clause) == (False, "B1")
    assert verdict.times > 1e4
    assert abs(verdict.got - verdict.reference) > verdict.allowed_error
    assert "not allowed: output, layer 0 forward" in str(verdict)


def test_one_wrong_row_is_named() -> None:
    module, x = nn.RNN(3, 4), torch.randn(3, 5, 3)
    output, h_n = (part.detach().clone() for part in module(x))
    output[:, 3], h_n[:, 3] = output[:, 2].clone(), h_n[:, 2].clone()
    verdict = conformance.judge(module, x, None, (output, h_n))
    assert not verdict.allowed
    assert "row 3" in verdict.place


def test_float16_passed_off_as_float32_is_not_allowed() -> None:
    module, x = nn.GRU(3, 8), torch.randn(3, 2, 3)
    verdict = conformance.judge(module, x, None, tuple(part.half().float() for part in module(x)))
    assert not verdict.allowed


def test_last_state_that_is_not_the_last_output_is_not_allowed() -> None:
    module, x = nn.GRU(3, 4, 4), torch.randn(60, 2, 3)
    output, h_n = (part.detach().clone() for part in module(x))
    h_n[-1, 1, 2] += 1e-6
    verdict = conformance.judge(module, x, None, (output, h_n))
    assert (verdict.allowed, verdict.clause, verdict.field) == (False, "D1", "h_n")
    assert verdict.place == "layer 3 forward, row 1, unit 2"
    said = " ".join(str(verdict).split())
    assert " the output at the end of the row" in said.partition("documented")[2]
    assert said.endswith("unit 2 is not the output at the end of the row (clause D1)")


@pytest.mark.parametrize("value", [1.5, float("nan")], ids=str)
def test_state_beyond_its_limit_is_not_allowed_where_bounds_say_nothing(value: float) -> None:
    module, x = nn.GRU(3, 64, 3), torch.randn(60, 2, 3).mul(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(20)
    output, h_n = (part.detach().clone() for part in module(x))
    h_n[0, 1, 2] = value
    verdict = conformance.judge(module, x, None, (output, h_n))
    assert not verdict.allowed
    assert verdict.place == "layer 0 forward, row 1, unit 2"
    assert verdict.clause == "D3"
    assert "    allowed     at most 1.0" in str(verdict)
    assert "reference" not in str(verdict)


def test_nothing_is_said_where_everything_may_overflow() -> None:
    module, x = nn.RNN(30, 4), torch.full((1, 1, 30), 3e38)
    assert conformance.judge(module, x).says_nothing


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows of RNN(3, 4) over 3 steps are all that is judged."""
    monkeypatch.setattr(sampling, "MOST_PRODUCTS", 2 * 3 * 4 * 7)


def test_large_calls_are_sampled(few_rows: None) -> None:
    module, x = nn.RNN(3, 4), torch.randn(3, 20, 3)
    verdict = conformance.judge(module, x)
    assert verdict.allowed
    assert len(verdict.rows) == 2
    assert "2 of 20 are judged, drawn with --seed 0" in str(verdict)


def test_rows_with_nan_are_judged_first(few_rows: None) -> None:
    module, x = nn.RNN(3, 4), torch.randn(3, 20, 3)
    output, h_n = (part.detach().clone() for part in module(x))
    output[1, 17, 0] = float("nan")
    verdict = conformance.judge(module, x, None, (output, h_n))
    assert (verdict.allowed, verdict.place) == (False, "layer 0 forward, row 17, step 1, unit 0")


def test_sampled_packed_rows_are_cut_to_their_own_steps(few_rows: None) -> None:
    module = nn.LSTM(3, 4)
    lengths = [6, *([1] * 9)]
    packed = pack_padded_sequence(torch.randn(6, 10, 3), lengths)
    assert conformance.judge(module, packed).allowed


def fake_input() -> torch.Tensor:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode().from_tensor(torch.zeros(1, 1, 3))


def malformed() -> PackedSequence:
    """Fewer rows than it says."""
    return PackedSequence(torch.zeros(3, 3), torch.tensor([2, 2]))


def normed() -> nn.Module:
    module = nn.GRU(3, 4)
    parametrize.register_parametrization(module, "weight_hh_l0", nn.Identity())
    return module


def of_shape(*shape: int) -> nn.Module:
    """A module whose weights have this shape."""
    module = nn.Module()
    module.weight_ih_l0, module.weight_hh_l0 = (nn.Parameter(torch.zeros(shape)) for _ in "ab")
    return module


A_TEXT: Any = "gru"
A_CLASS: Any = nn.GRU

WRONG_CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "dropout": (lambda: conformance.judge(nn.GRU(3, 4, 2, dropout=0.5), torch.zeros(1, 1, 3)), "module.eval"),
    "linear": (lambda: conformance.judge(nn.Linear(3, 4), torch.zeros(1, 3)), "no weight_ih_l0"),
    "integers": (lambda: conformance.judge(nn.GRU(3, 4), torch.zeros(1, 1, 3, dtype=torch.int64)), "type int64"),
    "mixed": (lambda: conformance.judge(nn.GRU(3, 4), torch.zeros(1, 1, 3).double()), "give one dtype"),
    "no tensor": (lambda: conformance.judge(nn.GRU(3, 4), [1.0]), "give a tensor"),
    "one state": (lambda: conformance.judge(nn.LSTM(3, 4), torch.zeros(1, 1, 3), torch.zeros(1, 1, 4)), "give both"),
    "two states": (lambda: conformance.judge(nn.GRU(3, 4), torch.zeros(1, 1, 3), (1, 2)), "h_0 is a tuple"),
    "text": (lambda: conformance.judge(A_TEXT, torch.zeros(1, 1, 3)), "the module is a str; give an instance"),
    "class": (lambda: conformance.judge(A_CLASS, torch.zeros(1, 1, 3)), "the module is a type; give an instance"),
    "meta module": (lambda: conformance.judge(nn.GRU(3, 4, device="meta"), torch.zeros(1, 1, 3)), "without values"),
    "meta input": (lambda: conformance.judge(nn.GRU(3, 4), torch.zeros(1, 1, 3, device="meta")), "without values"),
    "fake": (lambda: conformance.judge(nn.GRU(3, 4), fake_input()), "input is a tensor without values"),
    "sparse": (lambda: conformance.judge(nn.GRU(3, 4), torch.zeros(1, 1, 3).to_sparse()), "give a dense tensor"),
    "packed": (lambda: conformance.judge(nn.GRU(3, 4), malformed()), "cannot be padded"),
    "weight norm": (
        lambda: conformance.judge(normed(), torch.zeros(1, 1, 3)),
        "GRU is parametrized, which is not judged",
    ),
    "pruned": (
        lambda: conformance.judge(l1_unstructured(nn.GRU(3, 4, 2), "weight_hh_l1", 0.5), torch.zeros(1, 1, 3)),
        "GRU is parametrized, which is not judged",
    ),
    "lazy": (lambda: conformance.judge(nn.Sequential(nn.LazyLinear(3)), torch.zeros(1, 3)), "without a shape; call it"),
    "vectors": (lambda: conformance.judge(of_shape(12), torch.zeros(1, 1, 3)), "no matrices"),
    "no units": (lambda: conformance.judge(of_shape(0, 0), torch.zeros(1, 1, 3)), "no matrices"),
    "no rows": (lambda: conformance.judge(nn.GRU(3, 4), torch.zeros(3, 0, 3)), "has no numbers, in shape (3, 0, 3)"),
    "narrow": (lambda: conformance.judge(nn.GRU(3, 4), torch.zeros(1, 1, 2)), "with I = 3"),
    "nan": (lambda: conformance.judge(nn.GRU(3, 4), torch.full((1, 1, 3), float("nan"))), "finite"),
    "no tuple": (lambda: conformance.judge(nn.GRU(3, 4), torch.zeros(1, 1, 3), None, torch.zeros(1)), "documented"),
    "shape": (
        lambda: conformance.judge(
            nn.GRU(3, 4), torch.zeros(1, 1, 3), None, (torch.zeros(1, 1, 5), torch.zeros(1, 1, 4))
        ),
        "output has shape (1, 1, 5); documented is (1, 1, 4)",
    ),
}


@pytest.mark.parametrize(("call", "said"), WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_call_that_cannot_be_judged_is_one_line(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(JudgeError) as raised:
        call()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("scale", "may"), [(1.0, False), (3e38, True)], ids=str)
def test_gates_may_overflow_where_their_sums_may(scale: float, may: bool) -> None:
    module, x = nn.GRU(30, 4, 2), torch.ones(3, 1, 30) * scale
    output, h_n = module(x)
    verdict = conformance.judge(module, x, None, (torch.full_like(output, float("nan")), h_n))
    assert verdict.allowed == may


@pytest.mark.parametrize("limit", ["MOST_STEPS", "MOST_OF_ONE_ROW"])
def test_call_that_would_take_hours_is_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, limit, 5)
    with pytest.raises(JudgeError, match="give fewer steps"):
        conformance.judge(nn.GRU(1, 1), torch.zeros(6, 1, 1))


def test_package_is_imported_without_torch() -> None:
    asked = "import sys, conformance; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
