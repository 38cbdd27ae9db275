"""Does the whole contract pass on a sound subject? Runs of the main job in smoke, each with another seed.

    python -m conformance.selftest.soundness.contract_runs --runs 25 --state FILE [--subject NAME]

Counts add up over calls of the command with one state file: Ctrl-C loses the run at hand alone. The exit code is 1 if a
run was red.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from conformance.harness.property import properties
from conformance.selftest import ledger
from conformance.selftest.arguments import Parser


def reds(rows: dict[str, Any]) -> Counter[str]:
    """How many tests of each clause failed; those of no property under their own name."""
    clause_of = {tested.name.partition("[")[0]: tested.clause.id for tested in properties()}
    names = [node.rpartition("::")[2].partition("[")[0] for node, row in rows.items() if row["verdict"] == "failed"]
    return Counter(clause_of.get(name, name) for name in names)


def run(seed: int, subject: str) -> dict[str, Any]:
    """One run of the main job in smoke: its exit code, and the red tests of each clause."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        options = ["--effort", "smoke", f"--hypothesis-seed={seed}", "-q", "-p", "no:cacheprovider", "-n", "auto"]
        chosen = ["--subject", subject] if subject else []
        chosen += ["--no-reports", "-p", "conformance.selftest.ledger"]
        command = [sys.executable, "-m", "pytest", *options, *chosen]
        done = subprocess.run(command, env=os.environ | {ledger.OUTPUT: str(rows)}, capture_output=True, check=False)
        found = json.loads(rows.read_text(encoding="utf-8")) if rows.exists() else {}
    return {"seed": seed, "exit": done.returncode, "tests": len(found), "red": reds(found)}


def told(state: dict[str, Any]) -> str:
    """Runs, red runs, and red tests per clause, in a few lines."""
    found, runs = Counter[str](), state["runs"]
    for one in runs:
        found.update(one["red"])
    red = [one["seed"] for one in runs if one["exit"] != 0]
    lines = [f"torch {state['torch']}, {state['subject'] or 'torch.nn'}: {len(runs)} runs, {len(red)} not green"]
    lines += [f"  seeds {', '.join(map(str, red))}"] if red else []
    return "\n".join([*lines, *(f"  {clause}: {count} red tests" for clause, count in sorted(found.items()))])


def resumed(path: Path, subject: str) -> dict[str, Any]:
    """The state of a file, or a new one. Raises ValueError for a file that is about something else."""
    fresh = {"torch": torch.__version__, "subject": subject, "runs": []}
    if not path.exists():
        return fresh
    state = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(state, dict) or {name: state.get(name) for name in ("torch", "subject")} != {
        name: fresh[name] for name in ("torch", "subject")
    }:
        raise ValueError(f"{path} is no state of {fresh['torch']} and {subject or 'torch.nn'}; name another --state")
    return state


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = Parser("contract_runs", description="Runs of the whole contract in smoke, each with another seed.")
    parser.add_argument("--runs", type=int, default=25, help="how many runs the state file is to hold (25)")
    parser.add_argument("--state", type=Path, required=True, help="where counts are kept from call to call")
    parser.add_argument("--subject", default="", help="as pytest's; torch.nn unless given")
    options = parser.parse_args(arguments)
    try:
        state = resumed(options.state, options.subject)
    except ValueError as error:
        parser.error(str(error))
    while len(state["runs"]) < options.runs:
        state["runs"].append(run(len(state["runs"]) + 1, options.subject))
        options.state.write_text(json.dumps(state, indent=1), encoding="utf-8")
    print(told(state))
    return int(any(one["exit"] != 0 for one in state["runs"]))


if __name__ == "__main__":
    sys.exit(main())
