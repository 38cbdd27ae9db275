"""The options of pytest that leave out tests, wherever a run was given them: its command, its environment, a file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.harness.foreign_text import one_line

REPEATED = {"--deselect": "deselect", "--ignore": "ignore", "--ignore-glob": "ignore_glob"}
"""Options that may be repeated, with the names under which pytest keeps their values."""


def without_own_tests(config: pytest.Config) -> list[str]:
    """Where tests are looked for: in the contract's files where the checkout, or its folder `conformance`, is named.

    The suite's own tests are named by themselves.
    """
    root = config.rootpath
    contract = [str(path) for pattern in config.getini("testpaths") for path in sorted(root.glob(pattern))]
    whole = (root, root / "conformance")
    named = [
        contract if (config.invocation_params.dir / place).resolve() in whole else [place] for place in config.args
    ]
    return [place for places in named for place in places]


def narrowed_by(config: pytest.Config) -> tuple[str, ...]:
    """What a run is narrowed by, each in words that pytest takes: `-k gru`, `conformance/test_numbers.py`.

    A -m of the project's own settings, and a folder, narrow nothing.
    """
    return tuple(one_line(shlex.join(words)) for words in _narrowing(config))


def _narrowing(config: pytest.Config) -> Iterator[tuple[str, ...]]:
    given = config.option
    if given.keyword:
        yield "-k", given.keyword
    if given.markexpr and given.markexpr not in config.getini("addopts"):
        yield "-m", given.markexpr
    if getattr(given, "lf", False):  # absent with -p no:cacheprovider
        yield ("--lf",)
    if getattr(given, "leave_out", None):
        yield "--leave-out", given.leave_out
    for option, name in REPEATED.items():
        yield from ((option, str(value)) for value in getattr(given, name) or ())
    yield from ((place,) for place in given.file_or_dir if not (config.invocation_params.dir / Path(place)).is_dir())
