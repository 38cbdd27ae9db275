"""The command line beside pytest: `python -m conformance measure`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

REPORTS = Path(".conformance")


class _Parser(argparse.ArgumentParser):
    """Answers a wrong argument with one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns the exit code."""
    parser = _Parser(prog="python -m conformance", description="Tools beside the contract, which pytest runs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    measure = commands.add_parser(
        "measure",
        help="how accurate this machine's tanh, sigmoid and products are, beside the constants of the error bounds",
    )
    measure.add_argument("--quick", action="store_true", help="a tenth of the float32 and float64 arguments")
    report = commands.add_parser("report", help="writes a script and the facts of what one case shows")
    report.add_argument("line", metavar="LINE", help="the case, as after --case")
    report.add_argument("--subject", action="append", default=[], metavar="NAME", help="as for pytest")
    report.add_argument("--test", default="", metavar="NAME", help="the property that found it; all unless given")
    report.add_argument(
        "--reports", type=Path, default=Path(".conformance"), metavar="DIR", help="where (.conformance)"
    )
    options = parser.parse_args(argv)
    if importlib.util.find_spec("torch") is None:
        parser.error("torch is not installed")
    if options.command == "report":
        from conformance.commands.report import report as write

        return write(options.line, options.subject, options.test, options.reports)
    from conformance.commands.measure import report as measured

    return measured(options.quick)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
