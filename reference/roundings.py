"""How correct implementations round: the constants of the error bounds, each with its provenance.

`model` chooses the constants that judge a call. If the kernels that the call can reach were measured, exceeding their
own constants is red. Otherwise, exceeding the union of all correct implementations is red, and exceeding the constants
of the measured kernels is amber: no measurement on that platform supports the sharper limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from reference.formats import BFLOAT16, FLOAT32, FLOAT64, FORMATS, Format
from reference.problem import LSTM

WIDEST: type[np.floating] = np.longdouble
"""The widest type for the midpoints of float64: 80 bits on x86, no wider than float64 on some platforms."""


def lacks_wider_type() -> bool:
    """Whether this platform has no type wider than float64; the bounds then include the reference's own rounding."""
    return bool(np.finfo(WIDEST).nmant < 63)


@dataclass(frozen=True)
class Rounding:
    """The rounding errors that a correct implementation may make in one format.

    format             the format of stored results; u below is its unit roundoff
    accumulation       unit roundoff of the running sum of a matrix product
    stored             each operation rounds its result to the format (16-bit types), not the sums of the gates alone
    tanh, sigmoid      worst relative error of the function, in u
    sigmoid_slope      added to `sigmoid`, times abs(x), in u
    floor              absolute error of an operation whose result underflows
    sigmoid_floor      the same for the sigmoid
    tanh_floor         the same for tanh
    flushed_operands   products may read operands smaller than this as zero; 0 if they read all operands
    fused_biases       b_ih + b_hh may be added, and rounded, before anything else
    wider_states       the states carried from step to step may have a wider type than the returned ones
    slack              factor that covers the products of two errors, which the rules leave out
    provenance         where the constants come from
    """

    format: Format
    accumulation: float
    stored: bool
    tanh: float
    sigmoid: float
    sigmoid_slope: float
    floor: float
    sigmoid_floor: float
    tanh_floor: float
    flushed_operands: float
    fused_biases: bool
    wider_states: bool
    slack: float
    provenance: str

    @cached_property
    def unit_roundoff(self) -> float:
        return self.format.unit_roundoff

    @property
    def inner_slack(self) -> float:
        """The slack of an error that enters a curved function.

        It leaves out the doubling by a reference without a wider type: that would double again at every step.
        """
        return min(self.slack, _room(self.format))

    @property
    def working_type(self) -> type[np.floating]:
        """The NumPy type that midpoints are computed in: wider than the format."""
        return WIDEST if self.format is FLOAT64 else np.float64


@dataclass(frozen=True)
class Judgement:
    """The models of one call: exceeding `red` is red, exceeding `amber` is amber.

    amber is None if red is already the sharpest model.
    """

    red: Rounding
    amber: Rounding | None


@dataclass(frozen=True)
class Accuracy:
    """How accurate an implementation says that it is; None where it says nothing.

    tanh, sigmoid  worst error of a returned value: relative to it in units of roundoff, and absolute; both may occur
    accumulation   unit roundoff of the running sum of a matrix product, in units of the dtype's
    """

    tanh: tuple[float, float] | None = None
    sigmoid: tuple[float, float] | None = None
    accumulation: float | None = None

    def __str__(self) -> str:
        """`tanh 3 u, sigmoid 2e-08, sums 2 u`; u is the unit roundoff."""
        words = [f"{name} {_errors(error)}" for name in ("tanh", "sigmoid") if (error := getattr(self, name))]
        words += [f"sums {self.accumulation:g} u"] if self.accumulation is not None else []
        return ", ".join(words)


def _errors(error: tuple[float, float]) -> str:
    relative, absolute = error
    return " and ".join([*([f"{relative:g} u"] if relative else []), *([f"{absolute:g}"] if absolute else [])])


STATED = "stated by the implementation"
"""The provenance of constants that an implementation states of itself."""


def at_accuracy(rounding: Rounding, accuracy: Accuracy) -> Rounding:
    """The model of an implementation that is as accurate as it says, and of the given model where it says nothing."""
    u, changed = rounding.unit_roundoff, dict[str, float]()
    if accuracy.tanh is not None:
        relative, absolute = accuracy.tanh
        changed |= {"tanh": relative, "tanh_floor": max(absolute, rounding.tanh_floor)}
    if accuracy.sigmoid is not None:
        relative, absolute = accuracy.sigmoid
        changed |= {"sigmoid": relative, "sigmoid_slope": 0.0, "sigmoid_floor": max(absolute, rounding.sigmoid_floor)}
    if accuracy.accumulation is not None:
        changed |= {"accumulation": accuracy.accumulation * u}
    return replace(rounding, provenance=STATED, **changed)  # type: ignore[arg-type]


ATEN_TANH, ATEN_SIGMOID = 2.0, 4.0
"""Worst errors measured in PyTorch's own kernels on AVX2, float64 then float32: tanh 1.24 u and 1.0 u, sigmoid 2.39 u
and 2.42 u."""

ONEDNN_SIGMOID = 8.0
"""Worst error measured in oneDNN's float32 LSTM on AVX2: 6.5 u at -87, exhaustively on [-88, -4]; its tanh 1.33 u."""

ONEDNN_SIGMOID_SLOPE = 1.0
"""The same on older instruction sets (AVX, SSE 4.1): 69 u at -72, that is 8 + abs(x)."""

HALF_FUNCTION = 1.01
"""tanh and sigmoid of the 16-bit types over all 65,536 values: below 1.0 u."""

# oneDNN's bfloat16 kernels on AVX-512: the LSTM's logistic is exactly 0 at -87, where 1.6e-38 is right, and products of
# more than 4,096 terms read subnormal operands as zero. Release 2.0 names such a processor AVX2, so they belong here.

MEASURED_CAPABILITIES = ("AVX2",)
MEASURED_RELEASES = ("2.0", "2.6", "2.13", "2.15")
BFLOAT16_ACCUMULATES_IN_FLOAT32 = ("2.2", "2.6", "2.13", "2.15")
"""Worst 0.983 u with one rounding of the product; release 2.0 sums gradients and column-major operands in bfloat16."""


def model(cell: str, dtype: str, device: str, capability: str, release: str, subject: str) -> Judgement:
    """The rounding models that judge `cell` in `dtype` on `device`.

    device      its type: "cpu", "cuda"
    capability  PyTorch's CPU capability: "AVX2"
    release     PyTorch's major.minor version: "2.13"
    subject     the name of the judged implementation: "torch.nn"

    Raises KeyError for an unknown dtype.
    """
    sharp = _measured(cell, FORMATS[dtype], release)
    known = (
        device == "cpu"
        and subject == "torch.nn"
        and capability in MEASURED_CAPABILITIES
        and release in MEASURED_RELEASES
    )
    return Judgement(sharp, None) if known else Judgement(_union(FORMATS[dtype]), sharp)


def _measured(cell: str, format: Format, release: str) -> Rounding:
    half = format.precision < FLOAT32.precision
    onednn = cell == LSTM and format is FLOAT32
    flushes = format is BFLOAT16
    wide_sum = not half or release in BFLOAT16_ACCUMULATES_IN_FLOAT32 or format.name == "float16"
    u = format.unit_roundoff
    return Rounding(
        format=format,
        accumulation=(FLOAT32.unit_roundoff if half else u) if wide_sum else u,
        stored=half,
        tanh=HALF_FUNCTION if half else ATEN_TANH,
        sigmoid=HALF_FUNCTION if half else ONEDNN_SIGMOID if onednn else ATEN_SIGMOID,
        sigmoid_slope=0.0,
        floor=_floor(format),
        sigmoid_floor=2 * _floor(format) if onednn or (cell == LSTM and flushes) else _floor(format),
        tanh_floor=_floor(format),
        flushed_operands=format.smallest_normal if flushes else 0.0,
        fused_biases=False,
        wider_states=False,
        slack=_slack(format),
        provenance="measured on x86 with AVX2, PyTorch " + ", ".join(MEASURED_RELEASES),
    )


def _union(format: Format) -> Rounding:
    """The errors of any correct implementation, for every summation order, fusion and width."""
    half = format.precision < FLOAT32.precision
    return replace(
        _measured(LSTM, format, ""),
        accumulation=format.unit_roundoff,
        sigmoid_slope=0.0 if half else ONEDNN_SIGMOID_SLOPE,
        sigmoid=HALF_FUNCTION if half else ONEDNN_SIGMOID,
        sigmoid_floor=2 * _floor(format),
        fused_biases=True,
        wider_states=True,
        provenance="union of correct implementations",
    )


def _floor(format: Format) -> float:
    """The smallest number that every kernel keeps. Subnormals may be flushed, except float16, computed in float32."""
    return format.smallest_subnormal if format.name == "float16" else format.smallest_normal


def _slack(format: Format) -> float:
    """The slack: doubled if the reference computes in no wider type than the subject."""
    return (2.0 if format is FLOAT64 and lacks_wider_type() else 1.0) * _room(format)


def _room(format: Format) -> float:
    """The factor that covers the products of two errors."""
    return 1 + 2.0**-6 if format.precision < FLOAT32.precision else 1 + 2.0**-9
