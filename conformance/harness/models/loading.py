"""A user's model: `package.module:build`, imported and called."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch

from conformance.harness.findings.rendering import one_line

EXAMPLE = "example"
"""The function beside `build` that returns the arguments of the model's forward."""

SEED = 0


class LikeError(ValueError):
    """A model or an inventory that cannot be used; one line that names it and the remedy."""


def model(text: str) -> torch.nn.Module:
    """The module that `package.module:build` returns, or is; called after torch.manual_seed(0). Raises LikeError."""
    found = _attribute(text)
    if isinstance(found, torch.nn.Module):
        return found
    if not callable(found):
        raise LikeError(f"{text} is no function and no module; name a function that returns the model")
    torch.manual_seed(SEED)
    made = _called(found, text, "give a function that needs no arguments and returns the model")
    if not isinstance(made, torch.nn.Module):
        raise LikeError(f"{text} returned {type(made).__name__}; return the model, a torch.nn.Module")
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
        raise LikeError(f"{text} raised {_said(error)}; {remedy}") from None


def _attribute(text: str) -> Any:
    imported, name = _module(text), text.partition(":")[2]
    try:
        return attrgetter(name)(imported)
    except AttributeError:
        raise LikeError(f"{text}: the module has no {name}; name a function that it has") from None


def _module(text: str) -> Any:
    """The Python module that holds the model."""
    name = text.partition(":")[0]
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", text):
        raise LikeError(f"{one_line(text)}: name a model as package.module:build, or a file that inventory wrote")
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        remedy = "run from the folder that it lies in, or install it"
        raise LikeError(f"{text}: importing {name} raised {_said(error)}; {remedy}") from None


def _said(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}", 160)
