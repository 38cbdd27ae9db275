"""What the measurement says of functions and products that are known to be right, or wrong by a planted error."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conformance.__main__ import main
from conformance.clauses import RED
from conformance.commands import measure
from conformance.commands.measure import KernelRow
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.implementations.plain import Plain, subject
from reference.formats import FORMATS


class _SigmoidOffInOneGate(Plain):
    """An LSTM whose output gate alone is off by 1e-4."""

    def lstm(self, z: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, ...]:
        h, c = super().lstm(z, c)
        return h * (1 - 1e-4), c


def rows_of(name: str, kind: type[Plain] | None = None) -> list[KernelRow]:
    planted = next(fault.subject for fault in faults() if fault.name == name) if kind is None else subject(name, kind)
    return list(measure.measure(planted, quick=True, dtypes=("float32",)))


@pytest.fixture(scope="module")
def sound() -> list[KernelRow]:
    return rows_of("plain", Plain)


def test_sound_functions_are_within_what_any_implementation_may_do(sound: list[KernelRow]) -> None:
    assert sound
    assert [row for row in sound if row.severity == RED or row.refused] == []


def test_no_kernel_is_better_than_rounding_to_nearest(sound: list[KernelRow]) -> None:
    assert [row for row in sound if row.worst < 0.49] == []


def test_tanh_off_by_a_ten_thousandth_is_beyond_the_constant() -> None:
    rows = rows_of("computes-tanh-with-a-relative-error-of-1e-4")
    beyond = {(row.kernel, row.function): row.worst for row in rows if row.severity == RED}
    assert {("rnn_tanh, grad", "tanh"), ("gru, grad", "tanh"), ("lstm, grad", "tanh")} <= beyond.keys()
    assert ("gru, grad", "sigmoid") not in beyond
    assert beyond["rnn_tanh, grad", "tanh"] == pytest.approx(1e-4 * 2**24, rel=0.01)


def test_error_of_one_gate_is_seen() -> None:
    beyond = {(row.kernel, row.function) for row in rows_of("gate", _SigmoidOffInOneGate) if row.severity == RED}
    assert ("lstm, grad", "sigmoid") in beyond
    assert not {kernel for kernel, _ in beyond if kernel.startswith("gru")}


def test_sums_kept_in_16_bits_are_beyond_the_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        total = left.new_zeros(left.shape[0], right.shape[1])
        for k in range(left.shape[1]):
            total = total + left[:, k : k + 1] * right[k]
        return total

    layout = measure.LAYOUTS["x @ W.T"]
    wide = measure._product_error(layout, 16, 1, "bfloat16")
    monkeypatch.setattr(torch, "mm", narrow)
    assert measure._product_error(layout, 16, 1, "bfloat16") > 10 * max(wide, 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_finite_value_of_a_16_bit_type_is_an_argument(dtype: str) -> None:
    x = measure.arguments(dtype)
    format = FORMATS[dtype]
    infinite_or_nan = 2**format.precision
    assert len(np.unique(x)) == 2**16 - infinite_or_nan - 1  # +0 and -0 are equal
    assert format.holds(x)


@pytest.mark.parametrize("argv", [[], ["measures"], ["measure", "--fast"]], ids=str)
def test_wrong_argument_is_answered_with_one_line_and_exit_code_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert "--help" in shown.err
