"""The arguments of the suite's own commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Answers a wrong argument with one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def end_with(main: Callable[[], int]) -> NoReturn:
    """Ends the process with the exit code of a command; with 0 and no word where the reader closed the pipe."""
    try:
        sys.exit(main())
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]
        sys.exit(0)
