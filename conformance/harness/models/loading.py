"""A user's model: `package.module:build`, imported and called."""

from __future__ import annotations

import importlib
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from types import FrameType
from typing import Any, NoReturn

import torch

from conformance.harness.foreign_text import one_line, piece, said_by

EXAMPLE = "example"
"""The function beside `build` that returns the arguments of the model's forward."""

SEED = 0

LIMIT_SECONDS = 180.0
"""The most that the import of a model, `build`, `example` and the recorded pass may take together."""

AGAIN_SECONDS = 1.0
"""The time after which code that went on in spite of the limit is interrupted once more."""


class LikeError(ValueError):
    """A model or an inventory that cannot be used; one line that names it and the remedy."""


class _TookTooLong(KeyboardInterrupt):
    """Interrupts a user's code; what that catches of exceptions does not hold this one up."""


@contextmanager
def limited(text: str) -> Iterator[None]:
    """The time limit of what loads a model. Raises LikeError, which says where it stood.

    There is none where the system has no timer, or outside of the main thread.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, at: FrameType | None) -> NoReturn:
        where = f"{at.f_code.co_filename}, line {at.f_lineno}" if at is not None else "a place that has no name"
        raise _TookTooLong(f"it stood at {one_line(where, 160)}")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS, AGAIN_SECONDS)
    try:
        yield
    except _TookTooLong as stood:
        remedy = "let it do without a network, a lock or input"
        raise LikeError(f"{piece(text)} is not built after {LIMIT_SECONDS:g} s; {stood}; {remedy}") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def model(text: str) -> torch.nn.Module:
    """The module that `package.module:build` returns, or is; called after torch.manual_seed(0). Raises LikeError."""
    found = _attribute(text)
    if isinstance(found, torch.nn.Module):
        return found
    if not callable(found):
        raise LikeError(f"{piece(text)} is no function and no module; name a function that returns the model")
    torch.manual_seed(SEED)
    made = _called(found, text, "give a function that needs no arguments and returns the model")
    if not isinstance(made, torch.nn.Module):
        raise LikeError(f"{piece(text)} returned {piece(type(made).__name__)}; return the model, a torch.nn.Module")
    return made


def example(text: str) -> tuple[Any, ...] | None:
    """The arguments of a forward pass, as `example` beside `build` returns them; None if there is none."""
    imported = _module(text)
    given = getattr(imported, EXAMPLE, None)
    if given is None:
        return None
    torch.manual_seed(SEED)
    arguments = _called(given, f"{text.partition(':')[0]}:{EXAMPLE}", "return the arguments of the model's forward")
    return arguments if isinstance(arguments, tuple) else (arguments,)


def _called(function: Callable[[], Any], text: str, remedy: str) -> Any:
    try:
        return function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a model that ends the process at its import is the user's as well
        raise LikeError(f"{piece(text)} raised {said_by(error, 160)}; {remedy}") from None


def _attribute(text: str) -> Any:
    imported, name = _module(text), text.partition(":")[2]
    try:
        return attrgetter(name)(imported)
    except AttributeError:
        raise LikeError(f"{piece(text)}: the module has no {piece(name)}; name a function that it has") from None


def _module(text: str) -> Any:
    """The Python module that holds the model."""
    name = text.partition(":")[0]
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", text):
        raise LikeError(f"{piece(text)}: name a model as package.module:build, or a file that inventory wrote")
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        remedy = "run from the folder that it lies in, or install it"
        raise LikeError(f"{piece(text)}: importing {piece(name)} raised {said_by(error, 160)}; {remedy}") from None
