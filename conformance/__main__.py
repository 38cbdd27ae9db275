"""The command line beside pytest: `python -m conformance measure`, `python -m conformance judge FILE`."""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from pathlib import Path
from typing import NoReturn

REPORTS = Path(".conformance")

USAGE = 4
"""The exit code of usage errors where 1 and 3 are verdicts."""


class _Parser(argparse.ArgumentParser):
    """Answers a wrong argument with one line and the exit code `wrong`."""

    wrong = 2

    def error(self, message: str) -> NoReturn:
        self.exit(self.wrong, f"{self.prog}: {message}; see {self.prog} --help\n")


def _seed(text: str) -> int:
    """A seed. Raises ArgumentTypeError, which names the accepted values."""
    if not re.fullmatch("[0-9]{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError("give a number from 0 to 999999999")
    return int(text)


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
    report = commands.add_parser("report", help="writes a script and the facts of what one case shows")
    report.add_argument("line", metavar="LINE", help="the case, as after --case")
    report.add_argument("--subject", action="append", default=[], metavar="NAME", help="as for pytest")
    report.add_argument("--test", default="", metavar="NAME", help="the property that found it; all unless given")
    report.add_argument("--reports", type=Path, default=REPORTS, metavar="DIR", help=f"where ({REPORTS})")
    if command in ("judge", "report"):
        parser.wrong = judge.wrong = report.wrong = USAGE
    return parser


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
        from conformance.commands.report import report

        return report(options.line, options.subject, options.test, options.reports)
    from conformance.commands.measure import report as measured

    return measured(options.quick)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
