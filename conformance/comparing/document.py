"""The form of a comparison as a JSON document. docs/compare.md has its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from conformance.results.document import says

SCHEMA = 1
"""The version of the form. A part that is added, left out or changed makes a new one."""

Verdict = Literal["same or better", "deviates", "worse", "cannot tell", "did not end"]


@dataclass(frozen=True)
class Sides:
    """What was compared."""

    kind: Literal["interpreters", "results"] = says("what the command line named")
    old: str = says("the first of them")
    new: str = says("the second")
    old_torch: str = says("the version of PyTorch in the first")
    new_torch: str = says("the same of the second")


@dataclass(frozen=True)
class Deviation:
    """A deviation from the contract that only one side shows."""

    severity: Literal["red", "amber", "remark"] = says("as in the README")
    clause: str = says("its id")
    cell: str = says("lstm, gru_cell, ...; empty where it is about none")
    field: str = says("what deviates")
    kind: str = says("how; clause, field and kind are the signature")
    known: str = says("the id of the known deviation that it is, or empty")
    waived: bool = says("whether --known waives it")
    case: str = says("the first case that shows it, or the test")


@dataclass(frozen=True)
class Bits:
    """Where bits differ."""

    cell: str = says("as above")
    dtype: str = says("of the call")
    route: str = says("how the call was made")
    cases: int = says("in which they differ")


@dataclass(frozen=True)
class Bound:
    """The worst error / bound of a clause, cell and dtype on both sides."""

    clause: str = says("its id")
    cell: str = says("as above")
    dtype: str = says("of the calls")
    old: float = says("the worst on the old side")
    new: float = says("the same on the new side")
    lost: bool = says("whether that is a loss of headroom")


@dataclass(frozen=True)
class Kernels:
    """Kernels that one side alone reached."""

    cell: str = says("as above; empty where results files are compared, which have them for the whole run")
    dtype: str = says("of the calls, or empty")
    route: str = says("how the calls were made, or empty")
    old: tuple[str, ...] = says("those of the old side alone")
    new: tuple[str, ...] = says("those of the new side alone")


@dataclass(frozen=True)
class Time:
    """How long calls took."""

    label: str = says("the module, or the cell, dtype and route")
    ratio: float = says("new / old, the median of the pairs; 0 where a call failed")
    pairs: int = says("pairs of measurements; 1 where results files are compared, whose ratios count for nothing")
    slower: bool = says("whether the new side is slower")
    cannot: str = says("why a call failed, or empty")


@dataclass(frozen=True)
class File:
    """A module that the old side wrote, and the new one read."""

    module: str = says("its name")
    form: str = says("state_dict, pickled or scripted")
    lost: bool = says("whether the new side cannot use it")
    trouble: str = says("why not, or why the old side could not write it, or empty")


@dataclass(frozen=True)
class Compared:
    """A comparison. What the kind of comparison cannot tell is empty or 0."""

    schema: int = says("the version of this form")
    suite: str = says("the version of the suite")
    verdict: Verdict = says("exit code 0, 1, 3 and 4, and that of a command that was ended")
    lines: tuple[str, ...] = says("what the command printed")
    sides: Sides = says("what was compared")
    differing: tuple[str, ...] = says("options and machines of two results files that differ")
    cases: int = says("cases that both sides were asked")
    false_flags: int = says("differences of the old side from itself")
    new: tuple[Deviation, ...] = says("new deviations")
    fixed: tuple[Deviation, ...] = says("those that only the old side shows")
    bits: tuple[Bits, ...] = says("where bits differ")
    bounds: tuple[Bound, ...] = says("every group of cases that has bounds")
    kernels: tuple[Kernels, ...] = says("where others were reached")
    warnings_new: tuple[str, ...] = says("texts that only the new side warns of")
    warnings_gone: tuple[str, ...] = says("texts that only the old side warns of")
    initial_weights: tuple[str, ...] = says("classes whose initial weights of one seed changed")
    dropout_masks: tuple[str, ...] = says("classes whose dropout masks of one seed changed")
    times: tuple[Time, ...] = says("how long calls took")
    files: tuple[File, ...] = says("what the old side wrote")
