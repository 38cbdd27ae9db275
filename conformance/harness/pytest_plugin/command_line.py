"""The options that the suite adds to pytest's, declared; `options` checks what they are given."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness.foreign_text import MOST, one_line, said_by

EFFORTS = {"smoke": 20, "default": 100, "ci": 200, "deep": 5000}
"""Cases for each property."""

AXES = {
    "cell": "this cell: rnn_tanh, rnn_relu, lstm, gru, or one of these with _cell",
    "device": "this device, instead of all that are present",
    "dtype": "this dtype: float32, float64, float16, bfloat16",
    "route": "this route: grad, no_grad, no_mkldnn, inference_mode, frozen, input_grad, meta (compared with grad), "
    "fake (likewise); checks of constructors and of packing still run",
}
"""Options that leave out a part of the contract, and what each keeps."""

Option = dict[str, Any]
"""How pytest takes an option: the arguments of `addoption`."""


def _one(metavar: str, help: str, default: str | None = None) -> Option:
    return {"metavar": metavar, "default": default, "help": help}


def _several(metavar: str, help: str) -> Option:
    return {"action": "append", "default": [], "metavar": metavar, "help": help}


def _flag(help: str) -> Option:
    return {"action": "store_true", "help": help}


OPTIONS: dict[str, Option] = {
    "effort": _one("NAME", "cases per property: smoke 20, default 100, ci 200 (always the same), deep 5000", "default"),
    "subject": _several(
        "NAME",
        "what to judge instead of torch.nn: pkg.module for the RNN, LSTM, GRU and Cells it has, or "
        "lstm=pkg.module:Name for one class; may be repeated",
    ),
    "case": _several(
        "LINE",
        "run this case alone, on every property that it fits: the text in quotes after `again` in a failure",
    ),
    **{axis: _several("NAME", f"only {what}; may be repeated") for axis, what in AXES.items()},
    "like": _several(
        "MODEL",
        "judge the recurrent modules of this model at their sizes: package.module:build, or a file that "
        "`python -m conformance inventory` wrote; may be repeated",
    ),
    "time": _one(
        "SECONDS",
        "end the run after this time, chapters in turn, and the folders of its findings 50 s later; 0 for no limit "
        "(none, 120 with --like)",
    ),
    "repeat": _one("N", "look at each case so often, for results that are wrong in some calls alone (1)"),
    "known": _several("FILE", "known deviations of your own, in the form of conformance/known.toml; may be repeated"),
    "leave-out": _one(
        "FILE", "leave out the tests of a file: each line is a pattern of their names, a # and the reason"
    ),
    "write-known": _one(
        "FILE", "write an entry of known deviations for each cause of a red run, for --known; no file is overwritten"
    ),
    "show-known": _flag("list every known deviation with its tracker after the run"),
    "fail-on": _several("CLAUSE[,CLAUSE]", "amber findings and remarks of these clauses fail the run; may be repeated"),
    "no-stale": _flag("fail on known deviations that no longer occur, and on properties that tested nothing"),
    "reports": _one("DIR", "where a red run writes a folder for each distinct finding (.conformance)"),
    "no-reports": _flag("write no folders"),
    "results": _one(
        "FILE", "write what was judged and found as JSON, in the form of docs/results.md: a name that ends in .json"
    ),
    "call-limit": _one(
        "SECONDS",
        "a call that takes longer counts as one that does not return (120, or a quarter of --time if that is less, but "
        "30 at least); 0 for ever",
    ),
}
"""Each option by its name, in the order of the help."""


def usage_error(message: str) -> pytest.UsageError:
    """What ends a run with one line, which names the remedy, and exit code 4."""
    return pytest.UsageError(one_line(message, MOST))


def declare(parser: pytest.Parser) -> None:
    """Adds the options. Raises pytest.UsageError where another plugin has one of the same name."""
    group = parser.getgroup("conformance", "conformance of PyTorch's recurrent modules")
    try:
        for name, how in OPTIONS.items():
            group.addoption(f"--{name}", **how)
    except ValueError as error:
        raise usage_error(
            f"an option of this suite clashes with another plugin's: {said_by(error)}; disable it with -p no:NAME"
        ) from None
