"""The command line beside pytest: `python -m conformance measure`, `judge`, `report`, `bisect`, `inventory`, `page`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from conformance.harness.cells import MODULES, SINGLE_STEPS
from conformance.harness.foreign_text import MOST, one_line, say
from conformance.harness.isolation import limits
from conformance.harness.isolation.limits import MOST_SECONDS_OF_A_CASE, NO_ROOM

REPORTS = Path(".conformance")

ALL_CELLS = (*MODULES, *SINGLE_STEPS)

_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"

USAGE = 4
"""The exit code of usage errors where 1 and 3 are verdicts."""

CUT_OFF = 141
"""The exit code where the reader of the output went away, as shells tell it of SIGPIPE: no verdict."""


class _Parser(argparse.ArgumentParser):
    """Answers a wrong argument with one line and the exit code `wrong`."""

    wrong = 2

    def error(self, message: str) -> NoReturn:
        self.exit(self.wrong, one_line(f"{self.prog}: {message}; see {self.prog} --help", MOST) + "\n")


def _seed(text: str) -> int:
    """A seed. Raises ArgumentTypeError, which names the accepted values."""
    if not re.fullmatch("[0-9]{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError("give a number from 0 to 999999999")
    return int(text)


def _count(text: str) -> int:
    """A number of cases. Raises ArgumentTypeError, which names the accepted values."""
    if not re.fullmatch("[1-9][0-9]{0,3}", text, re.ASCII):
        raise argparse.ArgumentTypeError("give a number from 1 to 9999")
    return int(text)


def _seconds(text: str) -> float:
    """A number of seconds. Raises ArgumentTypeError, which names the accepted values."""
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]+)?", text, re.ASCII):
        raise argparse.ArgumentTypeError("give a number of seconds from 0 to 99999")
    return float(text)


def _parser(command: str) -> _Parser:
    """The parser of the command line; usage errors of commands that return verdicts exit with 4."""
    parser = _Parser(prog="python -m conformance", description="Tools beside the contract, which pytest runs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    measure = commands.add_parser(
        "measure",
        help="how accurate this machine's tanh, sigmoid and products are, beside the constants of the error bounds",
    )
    measure.add_argument("--quick", action="store_true", help="a tenth of the float32 and float64 arguments")
    judge = commands.add_parser("judge", help="whether the results in a file are allowed; docs/judge.md gives its form")
    judge.add_argument("file", metavar="FILE", help="npz or safetensors: input, states, parameters, results, arguments")
    judge.add_argument(
        "--seed", type=_seed, default=0, help="draws the rows of a call too large to be judged whole (0)"
    )
    report, bisect, compare = _add_report(commands), _add_bisect(commands), _add_compare(commands)
    inventory = _add_inventory(commands)
    page = _add_page(commands)
    if command in ("judge", "report", "bisect", "compare", "inventory", "page"):
        for one in (parser, judge, report, bisect, compare, inventory, page):
            one.wrong = USAGE
    return parser


def _add_report(commands: _Commands) -> _Parser:
    report = commands.add_parser("report", help="writes a script and the facts of what one case shows")
    add = report.add_argument
    add("line", metavar="LINE", nargs="?", default="", help="the case, as after --case; none with a --test of no case")
    add("--test", default="", metavar="NAME", help="the property that found it; all unless given")
    for name in ("subject", "like", "cell", "dtype", "route"):
        add(f"--{name}", action="append", default=[], metavar="NAME", help="as for pytest")
    add("--reports", type=Path, default=REPORTS, metavar="DIR", help=f"where ({REPORTS})")
    add("--seed", type=int, metavar="N", help="of the run that found it, for the record")
    add("--call-limit", type=_seconds, default=120.0, metavar="SECONDS", help="as for pytest (120)")
    add("--time", **_time_of_a_case())
    add("--seconds", type=_seconds, default=20.0, metavar="SECONDS", help="for simpler numbers of each finding (20)")
    add("--only", action="append", default=[], metavar="KEY", help="one of the reports, as a run names it")
    add(
        "--also",
        action="append",
        default=[],
        metavar="PLACE",
        help="another place where a run saw the same",
    )
    return report


def _time_of_a_case() -> dict[str, Any]:
    """The option that allows a case which takes long by its estimate."""
    return {
        "type": _seconds,
        "default": MOST_SECONDS_OF_A_CASE,
        "metavar": "SECONDS",
        "help": f"refuse a case that takes longer by its estimate ({MOST_SECONDS_OF_A_CASE:g}); 0 for no limit",
    }


def _add_bisect(commands: _Commands) -> _Parser:
    bisect = commands.add_parser("bisect", help="runs one case under several interpreters: which is the first bad one")
    bisect.add_argument("line", metavar="LINE", help="the case, as after --case, or the folder of a report")
    bisect.add_argument("--test", default="", metavar="NAME", help="one property; all that the case fits unless given")
    bisect.add_argument("--like", action="append", default=[], metavar="MODEL", help="as for pytest; it is built here")
    bisect.add_argument("--time", **_time_of_a_case())
    wanted = "interpreters that have torch and NumPy"
    bisect.add_argument("--python", nargs="+", required=True, metavar="PATH", help=wanted)
    return bisect


def _add_compare(commands: _Commands) -> _Parser:
    compare = commands.add_parser("compare", help="what changes for recurrent modules from one PyTorch to another")
    compare.add_argument("old", metavar="OLD", help="an interpreter that has torch and NumPy, or a results file")
    compare.add_argument("new", metavar="NEW", help="another one")
    compare.add_argument("--cases", type=_count, metavar="N", help="cases of each property and cell (2)")
    compare.add_argument("--seed", type=_seed, metavar="N", help="draws the cases (0)")
    compare.add_argument("--cell", action="append", default=[], choices=ALL_CELLS, help="as for pytest")
    model = "a model whose modules are compared, or an inventory, as for pytest"
    compare.add_argument("--like", action="append", default=[], metavar="MODEL", help=model)
    waivers = "a file of deviations that may come, as for pytest"
    compare.add_argument("--known", action="append", default=[], type=Path, metavar="FILE", help=waivers)
    compare.add_argument(
        "--json", type=Path, metavar="FILE", help="write the outcome as JSON, docs/compare.md describes it"
    )
    return compare


def _add_inventory(commands: _Commands) -> _Parser:
    inventory = commands.add_parser("inventory", help="writes the case line of each recurrent module of a model")
    inventory.add_argument("model", metavar="package.module:build", help="a function that returns the model")
    inventory.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="model.toml, for --like")
    return inventory


def _add_page(commands: _Commands) -> _Parser:
    page = commands.add_parser("page", help="makes one page of results files: releases and clauses, bounds, times")
    page.add_argument("results", type=Path, nargs="+", metavar="RESULTS.json", help="written by pytest --results")
    page.add_argument("-o", "--output", type=Path, metavar="FILE.html", help="the page")
    page.add_argument("--svg", type=Path, metavar="FILE.svg", help="the matrix of releases and clauses alone")
    return page


def main(argv: list[str]) -> int:
    """Runs one command; returns the exit code."""
    parser = _parser(argv[0] if argv else "")
    options = parser.parse_args(argv)
    if importlib.util.find_spec("torch") is None:
        parser.error("torch is not installed")
    if options.command == "judge":
        from conformance.commands.judge import judge

        return judge(options.file, options.seed)
    if options.command == "report":
        return _report(options)
    if options.command == "inventory":
        from conformance.commands.inventory import inventory

        return inventory(options.model, options.output)
    if options.command == "page":
        from conformance.commands.page import page

        return page(options.results, options.output, options.svg)
    if options.command == "bisect":
        from conformance.commands.bisect import bisect

        return bisect(options.line, options.test, options.python, options.like, options.time)
    if options.command == "compare":
        return _compare(options)
    from conformance.commands.measure import report as measured

    return measured(options.quick)


def _compare(given: argparse.Namespace) -> int:
    """Runs the command `compare`."""
    from conformance.commands.compare import Wanted, compare

    drawn = (given.cases, given.seed, tuple(given.cell))
    return compare(Wanted(given.old, given.new, *drawn, tuple(given.known), tuple(given.like), given.json))


def _report(given: argparse.Namespace) -> int:
    """Runs the command `report`."""
    from conformance.commands.report import Wanted, report

    narrowed = {"subjects": given.subject, "cells": given.cell, "dtypes": given.dtype, "routes": given.route}
    narrowed["like"] = given.like
    seed = "" if given.seed is None else str(given.seed)
    record = {"seed": seed, "call_limit": given.call_limit, "also": given.also, "only": given.only}
    times = {"time": given.time, "seconds": given.seconds}
    return report(Wanted(given.line, given.reports, given.test, **narrowed, **record, **times))


def run(argv: list[str]) -> int:
    """`main`, whose output may go to a program that stops reading, such as head."""
    limits.no_core_files()
    try:
        try:
            return main(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        code = CUT_OFF
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        say(f"python -m conformance: {error.strerror}: free some room, or write elsewhere", sys.stderr)
        code = USAGE
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more as it ends
    return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
