"""Why a call gave no result, as data; the words for it are made last."""

from __future__ import annotations

import signal
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path

RAISED = "raised"
"""The subject raised an exception."""

MALFORMED = "malformed result"
"""The call returned, but not the documented structure of tensors."""

MISMATCHED = "mismatched parameters"
"""The module was built, but its parameters are not the documented ones."""

KILLED, EXITED, LOST = "killed", "exited", "lost"
"""The call ended its process: by a signal, with an exit code, or in a way that the system does not tell."""

TIMED_OUT = "timed out"
"""The call did not return within its limit."""

IN_BACKWARD = "in the backward pass"
"""In which part of a call an exception was raised, as its message begins."""


@dataclass(frozen=True)
class Failure:
    """Why a call gave no result.

    kind       RAISED, MALFORMED, MISMATCHED, KILLED, EXITED, LOST or TIMED_OUT
    exception  the type of a raised exception; of one that ended the process (EXITED)
    message    what the exception says, or what is wrong with a result or with parameters
    number     the signal (KILLED), the exit code (EXITED), or the limit in seconds (TIMED_OUT)
    frames     where it was raised: the subject's own frames of the traceback, the innermost last
    """

    kind: str
    exception: str = ""
    message: str = ""
    number: float = 0
    frames: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def raised(cls, error: BaseException, during: str = "") -> Failure:
        """The failure of a call that raised `error`; `during` says in which part of the call."""
        try:
            message = str(error)
        except Exception:  # the subject's own exception, whose text fails too
            message = "its text cannot be had"
        text = f"{during}: {message}" if during else message
        return cls(RAISED, type(error).__name__, text, frames=own_frames(error))

    @classmethod
    def of_ending(cls, error: BaseException) -> Failure:
        """The failure of a call that raised what ends a process: SystemExit, KeyboardInterrupt."""
        code = error.code if isinstance(error, SystemExit) else 1
        number = code if isinstance(code, int) else int(code is not None)
        return replace(cls.raised(error), kind=EXITED, number=number)

    @classmethod
    def of_exit(cls, code: int | None, limit: float) -> Failure:
        """The failure of a call whose process ended: its exit code, minus the signal, None where it is unknown."""
        if code is None:
            return cls(LOST)
        if code >= 0:
            return cls(EXITED, number=code)
        if limit and -code == getattr(signal, "SIGALRM", None):
            return cls(TIMED_OUT, number=limit)
        return cls(KILLED, number=-code)

    @property
    def ended_process(self) -> bool:
        """Whether the call took its process with it, or would not return."""
        return self.kind in (KILLED, EXITED, LOST, TIMED_OUT)

    @property
    def is_refusal(self) -> bool:
        """Whether the subject declined the call by an exception."""
        return self.kind == RAISED

    @property
    def title(self) -> str:
        """The failure without its message: `raised RuntimeError`, `killed by signal 11 (SIGSEGV)`."""
        if self.kind == RAISED:
            return f"raised {self.exception}"
        if self.kind == KILLED:
            return f"killed by signal {_signal(int(self.number))}"
        if self.kind == EXITED and self.exception:
            return f"ended the process by {self.exception}"
        if self.kind == EXITED:
            return f"ended the process with exit code {self.number:g}"
        if self.kind == LOST:
            return "ended the process"
        return f"did not return within {self.number:g} s" if self.kind == TIMED_OUT else self.kind

    @property
    def fate(self) -> str:
        """The same where the process is the subject of the sentence: `was killed by signal 11 (SIGSEGV)`."""
        if self.kind == KILLED:
            return f"was {self.title}"
        if self.kind == EXITED and self.exception:
            return f"was ended by {self.exception}"
        if self.kind == EXITED:
            return f"ended with exit code {self.number:g}"
        return "ended" if self.kind == LOST else self.title

    @property
    def text(self) -> str:
        """The whole failure: `RuntimeError: mat1 and mat2 shapes cannot be multiplied`."""
        begin = self.exception if self.kind == RAISED and self.exception else self.title
        return ": ".join(filter(None, (begin, self.message)))


MOST_FRAMES = 4
"""Of a longer traceback the outermost and the innermost frames are kept."""

_HARNESS = str(Path(__file__).parents[1])
_CALL_OF_A_MODULE = str(Path("torch", "nn", "modules", "module.py"))


def own_frames(error: BaseException) -> tuple[str, ...]:
    """The frames of a traceback below the last of this suite's, without those by which PyTorch calls a module."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    below = [place for place, (code, _) in enumerate(frames) if code.co_filename.startswith(_HARNESS)]
    told = [
        f"{Path(code.co_filename).name}:{line} in {code.co_name}"
        for code, line in frames[below[-1] + 1 if below else 0 :]
        if not code.co_filename.endswith(_CALL_OF_A_MODULE)
    ]
    return tuple(told if len(told) <= MOST_FRAMES else [*told[:1], *told[1 - MOST_FRAMES :]])


def _signal(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
