"""Seeded faults of what is set around a call: defaults, modes, threads, hooks, forks, and how a module was built."""

from __future__ import annotations

import os
import threading
from typing import Any

import torch

from conformance.selftest.faults.fault import EVERY, Faults
from conformance.selftest.faults.packing import packing_fault
from conformance.selftest.implementations.packing import Packing
from conformance.selftest.implementations.plain import Plain, States

FAULTS = Faults()
fault = FAULTS.seed


@fault("E5", on=EVERY)
class _StatesOnTheDefaultDevice(Plain):
    """Makes its initial states on the default device."""

    def initial_states(self, sequence: torch.Tensor, hx: Any) -> States:
        states = super().initial_states(sequence, hx)
        return states if hx is not None else tuple(torch.zeros(s.shape, dtype=s.dtype) for s in states)


@fault("E5", on=EVERY)
class _ComputesInTheDefaultDtype(Plain):
    """Computes in the default dtype."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        z, dtype = super().linear(x, weight, bias), torch.get_default_dtype()
        return (
            z
            if dtype == torch.float32 or torch.finfo(dtype).bits > torch.finfo(z.dtype).bits
            else z.to(dtype).to(z.dtype)
        )


class _Louder(Plain):
    """Doubles the pre-activations of each step to which it `applies`."""

    def applies(self) -> bool:
        raise NotImplementedError

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super().linear(x, weight, bias) * (2 if self.applies() else 1)


@fault("E5", on=EVERY)
class _AnotherKernelIfDeterministic(_Louder):
    """Computes something else with deterministic algorithms."""

    def applies(self) -> bool:
        return torch.are_deterministic_algorithms_enabled()


@fault("E5", on=EVERY)
class _AnotherKernelInAnomalyMode(_Louder):
    """Computes something else in anomaly mode."""

    def applies(self) -> bool:
        return torch.is_anomaly_enabled()


@fault("E5", on=EVERY)
class _AnotherKernelWithThreads(_Louder):
    """Computes something else with several threads."""

    def applies(self) -> bool:
        return torch.get_num_threads() > 1


@fault("E5", on=EVERY)
class _WorksInTheMainThread(_Louder):
    """Computes something else outside of the main thread."""

    def applies(self) -> bool:
        return threading.current_thread() is not threading.main_thread()


@fault("E5", on=EVERY)
class _WorksOutsideOfBackwardPasses(_Louder):
    """Computes something else inside a backward pass."""

    def applies(self) -> bool:
        return bool(torch._C._current_graph_task_id() >= 0)


class _Built(_Louder):
    """Remembers how it was built."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.how = (torch.is_grad_enabled(), torch.is_inference_mode_enabled())


@fault("E5", on=EVERY)
class _BuiltUnderNoGrad(_Built):
    """Computes something else if it was built under no_grad."""

    def applies(self) -> bool:
        return self.how == (False, False)


@fault("E5", on=EVERY)
class _BuiltInInferenceMode(_Built):
    """Computes something else if it was built in inference mode."""

    def applies(self) -> bool:
        return self.how[1]


_PROCESS = os.getpid()


@fault("E5", on=EVERY)
class _DoesNotReturnFromAFork(Plain):
    """Ends a forked process."""

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if os.getpid() != _PROCESS:
            os._exit(3)
        return super().linear(x, weight, bias)


@fault("E5", on=EVERY)
class _ForgetsInAFork(_Louder):
    """Computes something else after a fork."""

    def applies(self) -> bool:
        return os.getpid() != _PROCESS


class _Zeros(Packing):
    """Returns zeros where it `applies`."""

    def applies(self) -> bool:
        raise NotImplementedError

    def data(self, data: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(data) if self.applies() else data

    def pad_packed_sequence(self, *args: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        batch, lengths = super().pad_packed_sequence(*args, **options)
        return self.data(batch), lengths

    def pad_sequence(self, *args: Any, **options: Any) -> torch.Tensor:
        return self.data(super().pad_sequence(*args, **options))

    def unpadded(self, row: torch.Tensor, length: int) -> torch.Tensor:
        return self.data(super().unpadded(row, length))


@packing_fault
class _ZerosOnAnotherDevice(_Zeros):
    """Pads and packs zeros with another default device."""

    def applies(self) -> bool:
        return torch.empty(0).device.type != "cpu"


@packing_fault
class _ZerosInAnotherDtype(_Zeros):
    """Pads and packs zeros with another default dtype."""

    def applies(self) -> bool:
        return torch.get_default_dtype() != torch.float32


@packing_fault
class _ZerosIfDeterministic(_Zeros):
    """Pads and packs zeros with deterministic algorithms."""

    def applies(self) -> bool:
        return torch.are_deterministic_algorithms_enabled()
