"""The command line beside pytest: `python -m conformance measure`, `python -m conformance judge FILE`."""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from typing import NoReturn


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


def main(argv: list[str]) -> int:
    """Runs one command; returns the exit code."""
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
    if argv[:1] == ["judge"]:
        parser.wrong = judge.wrong = 4  # 1 and 3 are verdicts
    options = parser.parse_args(argv)
    if importlib.util.find_spec("torch") is None:
        parser.error("torch is not installed")
    if options.command == "judge":
        from conformance.commands.judge import judge as judged

        return judged(options.file, options.seed)
    from conformance.commands.measure import report

    return report(options.quick)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
