"""Seeded faults of refusals: packing utilities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from conformance.selftest.faults.fault import Fault, Faults
from conformance.selftest.implementations.plain import name_by_docstring, subject
from conformance.selftest.implementations.refusing_packing import CHECKS as PACKING_CHECKS
from conformance.selftest.implementations.refusing_packing import RefusingPacking
from reference.problem import CELL_SUFFIX, LSTM, RNN_TANH

FAULTS = Faults()
fault = FAULTS.seed

OF_LSTM = (LSTM, LSTM + CELL_SUFFIX)


OPERATIONS_REFUSE: tuple[str, ...] = ()
"""Places whose checks may be left out: what is done with the arguments refuses them."""


def packing_fault(kind: type[RefusingPacking], *clauses: str) -> type[RefusingPacking]:
    """Registers a class as a fault, named by its docstring."""
    name = name_by_docstring(kind)
    FAULTS.append(Fault(name, clauses, (RNN_TANH,), replace(subject(name), packing=kind())))
    return kind


for _utility, _places in PACKING_CHECKS.items():
    for _place in _places:
        if f"{_utility}.{_place}" not in OPERATIONS_REFUSE:
            _unchecked = {"unchecked": (f"{_utility}.{_place}",), "__doc__": f"Does not check {_utility} {_place}."}
            packing_fault(type("_UncheckedPacking", (RefusingPacking,), _unchecked), "J1", "J2")


class _WrongException(RefusingPacking):
    """Raises RuntimeError for a total_length that is too short."""

    def total(self, steps: int, total_length: int | None) -> int:
        if total_length is not None and total_length < steps:
            raise RuntimeError("total_length is too short")
        return super().total(steps, total_length)


class _TotalLengthIgnored(RefusingPacking):
    """Ignores a total_length that is too short."""

    def total(self, steps: int, total_length: int | None) -> int:
        return steps if total_length is None else max(steps, total_length)


class _RowsOverwritten(RefusingPacking):
    """Overwrites the rows before it refuses lengths."""

    def refuse(self, utility: str, given: Any) -> None:
        try:
            super().refuse(utility, given)
        except ValueError:
            first = next(iter(given.values()))
            if isinstance(first, torch.Tensor):
                first.fill_(7)
            raise


class _ForgetsOrderAfterwards(RefusingPacking):
    """Packs backwards in the call after one that it refused."""

    def __init__(self) -> None:
        self.refused = False

    def refuse(self, utility: str, given: Any) -> None:
        try:
            super().refuse(utility, given)
        except ValueError:
            self.refused = True
            raise

    def data(self, data: torch.Tensor) -> torch.Tensor:
        refused, self.refused = self.refused, False
        return super().data(data).flip(0) if refused else super().data(data)


class _RaisesKeyError(RefusingPacking):
    """Refuses lengths by KeyError."""

    def refuse(self, utility: str, given: Any) -> None:
        try:
            super().refuse(utility, given)
        except ValueError as error:
            raise (KeyError if "lengths" in str(error) else ValueError)(str(error)) from None


packing_fault(_WrongException, "J1")
packing_fault(_TotalLengthIgnored, "J1")
packing_fault(_RowsOverwritten, "J1")
packing_fault(_ForgetsOrderAfterwards, "J1")
packing_fault(_RaisesKeyError, "J1", "J2")
