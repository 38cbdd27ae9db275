"""What the command line asks for, checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.harness import known as known_deviations
from conformance.harness import platform, subject
from conformance.harness.known import Known, KnownError
from conformance.harness.session import Session
from strategies import Axes, Case, CaseError, parse
from strategies.axes import DTYPES

EFFORT_NAMES = ("smoke", "default", "ci", "deep")


class OptionError(ValueError):
    """An option that cannot be served; one line that names the value and the remedy."""


@dataclass(frozen=True)
class Options:
    """The options of a run; case with the cell that its line names ("" for every cell)."""

    effort: str
    case: Case | None
    cell: str
    devices: tuple[str, ...]
    known: tuple[Known, ...]
    no_stale: bool

    def session(self) -> Session:
        """The session of a run."""
        made = Session(subject.torch_nn(), Axes(DTYPES, self.devices), self.concerned())
        made.leave_out_unsupported_dtypes()
        return made

    def concerned(self) -> tuple[Known, ...]:
        """The known deviations that this PyTorch has on this machine."""
        import torch

        flags = platform.cpu_flags()
        return tuple(entry for entry in self.known if entry.concerns(torch.__version__, flags))


def read(
    effort: str, case: str | None, devices: Sequence[str] | None, known: Sequence[Path], no_stale: bool
) -> Options:
    """The options from their texts. Raises OptionError."""
    if effort not in EFFORT_NAMES:
        raise OptionError(f"--effort {effort}: no such effort; one of {', '.join(EFFORT_NAMES)}")
    present = platform.devices()
    for device in devices or ():
        if device not in present:
            raise OptionError(f"--device {device}: not present here; present: {', '.join(present)}")
    try:
        parsed, cell = parse(case) if case is not None else (None, "")
        entries = tuple(entry for path in (known_deviations.SHIPPED, *known) for entry in known_deviations.load(path))
    except CaseError as error:
        raise OptionError(f"--case: {error}") from None
    except KnownError as error:
        raise OptionError(f"--known: {error}") from None
    if parsed is not None and parsed.device not in present:
        raise OptionError(f"--case: device {parsed.device} is not present here; present: {', '.join(present)}")
    return Options(effort, parsed, cell, tuple(devices or present), entries, no_stale)
