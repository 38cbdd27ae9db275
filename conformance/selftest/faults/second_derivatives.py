"""Seeded faults of second derivatives, and of autograd APIs other than a single backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from conformance.selftest.faults.fault import EVERY, Faults
from conformance.selftest.faults.gradients import BiasesShareAGradient
from conformance.selftest.implementations.plain import Plain, SingleStep, States
from reference.problem import CELL_SUFFIX, GRU, LSTM, RNN_TANH

FAULTS = Faults()
fault = FAULTS.seed

WITH_SUMMED_BIASES = tuple(cell for cell in EVERY if not cell.startswith(GRU))

WITHOUT_NEED_OF_THEIR_OUTPUT = (LSTM + CELL_SUFFIX, GRU + CELL_SUFFIX)

CURVED = (RNN_TANH, LSTM, GRU)
CURVED_EVERYWHERE = CURVED + tuple(cell + CELL_SUFFIX for cell in CURVED)


# Second derivatives


class _TanhOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(z)
        ctx.save_for_backward(h)
        return h

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dh: torch.Tensor) -> torch.Tensor:
        (h,) = ctx.saved_tensors
        return dh * (1 - h * h)


@fault("C3", "C6", on=CURVED_EVERYWHERE)
class _DifferentiableOnce(Plain):
    """Uses a tanh that is differentiable only once."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return _TanhOnce.apply(z) if torch.is_grad_enabled() else torch.tanh(z)


class _TanhCurved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, curvature: float) -> torch.Tensor:
        h = torch.tanh(z)
        ctx.curvature = curvature
        ctx.save_for_backward(h)
        return h

    @staticmethod
    def backward(ctx: Any, dh: torch.Tensor) -> tuple[torch.Tensor, None]:
        (h,) = ctx.saved_tensors
        slope = 1 - h * h
        fixed = slope.detach()
        return dh * (fixed + ctx.curvature * (slope - fixed)), None


@fault("C3", on=CURVED_EVERYWHERE)
class _SlopeDetached(Plain):
    """Detaches the derivative of tanh, which drops terms of second derivatives."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return _TanhCurved.apply(z, 0.0) if torch.is_grad_enabled() else torch.tanh(z)


@fault("C3", on=CURVED_EVERYWHERE)
class _CurvatureOff(Plain):
    """Computes the second derivative of tanh an eighth too large."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return _TanhCurved.apply(z, 1.125) if torch.is_grad_enabled() else torch.tanh(z)


@fault("C3", "C6", on=CURVED_EVERYWHERE)
class _CurvatureOffInFloat32(Plain):
    """Computes the second derivative of tanh an eighth too large in float32 alone."""

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        wrong = z.dtype == torch.float32 and torch.is_grad_enabled()
        return _TanhCurved.apply(z, 1.125) if wrong else torch.tanh(z)


# Autograd APIs


class _WithoutForwardMode(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, dx: torch.Tensor) -> torch.Tensor:
        return dx.clone()


class _WithForwardMode(_WithoutForwardMode):
    @staticmethod
    def jvp(ctx: Any, dx: torch.Tensor) -> torch.Tensor:
        return dx.clone()


class _WithoutGraph(_WithForwardMode):
    @staticmethod
    def backward(ctx: Any, dx: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            raise NotImplementedError("no second derivatives here")
        return dx.clone()


class _WrongForwardMode(_WithoutForwardMode):
    @staticmethod
    def jvp(ctx: Any, dx: torch.Tensor) -> torch.Tensor:
        return 2 * dx


class _WithoutBatches(_WithForwardMode):
    generate_vmap_rule = False

    @staticmethod
    def backward(ctx: Any, dx: torch.Tensor) -> torch.Tensor:
        return dx.clone() if bool(dx.isfinite().all()) else dx


class _InFloat32(Plain):
    """Passes the input of each step through the function `through` in float32."""

    through: Any

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        return super().step(self.through.apply(x) if x.dtype == torch.float32 else x, states, layer, direction)


@fault("C6", on=EVERY)
class _GraphRefused(_InFloat32):
    """Raises in double backward in float32."""

    through = _WithoutGraph


@fault("C6", on=EVERY)
class _ForwardModeRefused(_InFloat32):
    """Has no forward-mode derivative in float32."""

    through = _WithoutForwardMode


@fault("C6", "C1", on=EVERY)
class _ForwardModeOff(_InFloat32):
    """Doubles forward-mode derivatives of the input in float32."""

    through = _WrongForwardMode


@fault("C6", on=EVERY)
class _BatchesRefused(_InFloat32):
    """Rejects batched cotangents in float32."""

    through = _WithoutBatches


@fault("C6", on=WITH_SUMMED_BIASES)
class _BiasesShareAGradientInFloat32(BiasesShareAGradient):
    """Returns the gradients of both biases in the same memory in float32."""

    def pre_activation(
        self, x: torch.Tensor, h: torch.Tensor, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
    ) -> torch.Tensor:
        sound = x.dtype != torch.float32
        return (Plain if sound else BiasesShareAGradient).pre_activation(self, x, h, w_ih, w_hh, b_ih, b_hh)


@fault("C6", on=EVERY)
class _HooksLost(Plain):
    """Skips module hooks in float32."""

    def __call__(self, input: Any, hx: Any = None) -> Any:
        called = self.forward if next(self.parameters()).dtype == torch.float32 else super().__call__
        return called(input, hx)


@fault("C6", on=WITHOUT_NEED_OF_THEIR_OUTPUT)
class _OutputNeeded(Plain):
    """Saves the output of a single step for its backward pass in float32."""

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, states, layer, direction)
        needed = isinstance(self, SingleStep) and x.dtype == torch.float32
        return tuple(_Kept.apply(state) for state in after) if needed else after


class _Kept(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> torch.Tensor:
        (y,) = ctx.saved_tensors
        return dy.clone() if y.shape == dy.shape else dy


@fault("C6", "C1", on=EVERY)
class _OtherwiseAgain(Plain):
    """Saves more tensors for its backward pass from its second step on in float32."""

    calls = 0

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        self.calls += 1
        more = self.calls > 1 and x.dtype == torch.float32
        return super().step(x * torch.ones_like(x) if more else x, states, layer, direction)
