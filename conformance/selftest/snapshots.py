"""The scripts and facts of a few seeded faults, kept as text: what a change of the templates changes is seen in them.

    python -m conformance.selftest.snapshots

writes them anew. Versions, what the script did and late digits are left out of the facts: they are the machine's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.checks.case_record import Found
from conformance.harness.execution.requests.packing import TORCH_PACKING
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.property import properties
from conformance.harness.reports.facts import facts
from conformance.harness.reports.scripts.script import script
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from strategies import parse

FOLDER = Path(__file__).parent / "unit" / "reports" / "snapshots"

KINDS = {
    "number": ("lstm-gates-read-as-figo", "test_results_lie_within_their_error_bound", "lstm i1 h1 t1"),
    "step": ("gru-swaps-z-and-1-z", "test_every_step_of_every_layer_lies_within_its_error_bound", "gru i1 h1 t2"),
    "gradient": (
        "doubles-the-gradient-of-b_hh-in-a-gru",
        "test_gradients_lie_within_their_error_bound",
        "gru i1 h1 t1",
    ),
    "sum": (
        "averages-the-gradient-of-input-weights-over-the-batch",
        "test_gradients_of_a_batch_are_the_sums_of_those_of_its_rows",
        "lstm i1 h1 t1 n2",
    ),
    "pair": (
        "ignores-the-given-states-if-there-is-more-than-one-step",
        "test_module_is_a_loop_of_its_cell",
        "lstm i1 h1 t2",
    ),
    "packing": (
        "ignores-padding_value-in-pad_sequence",
        "test_pad_sequence_pads_with_padding_value_on_padding_side",
        "rnn_tanh i1 h1 t1,1,2",
    ),
    "exception": (
        "rejects-a-list-of-lengths",
        "test_packing_cuts_after_the_longest_row_and_keeps_trailing_dimensions",
        "rnn_tanh i1 h1 t1,",
    ),
    "fact": ("warns-on-every-call", "test_valid_call_warns_of_nothing", "gru i1 h1 t1"),
}
"""A fault, the property that shows it, and the case."""


def found_of(kind: str) -> Found:
    """What the case of a kind shows, told of PyTorch."""
    name, test, line = KINDS[kind]
    judged = next(fault.subject for fault in faults() if fault.name == name)
    case, cell = parse(f"v1 {line} float32 fill=dyadic")
    tested = next(one for one in properties() if one.name == test)
    with session.nested(Session(judged)) as here:
        found = next(found_by(here, tested, cell, case))
    told = TORCH_NN if judged.packs_as_torch else TORCH_PACKING
    return found._replace(finding=replace(found.finding, subject=told, kernels=()))


def texts(kind: str) -> Mapping[str, str]:
    """The files of a kind, by name."""
    found = found_of(kind)
    told, _, _ = facts(found, "what the script did").partition("## Versions")
    return {f"{kind}.py.txt": script(found), f"{kind}.md": _steady(told)}


def _steady(text: str) -> str:
    """The text without what another processor rounds otherwise: hexadecimal numbers, late digits, sizes of errors."""
    text = re.sub(r"off by [\d.,e+-]*\d", "off by ...", re.sub(r"-?0x[\da-f.]+p[+-]\d+", "0x...", text))
    text = re.sub(r" {2,}0x", "   0x", text)  # aligned by the digits of the number before
    return re.sub(r"-?\d+\.\d{4,}", lambda number: f"{float(number[0]):.4f}", text)


def main() -> int:
    """Writes every snapshot; 0."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for kind in KINDS:
        for name, text in texts(kind).items():
            (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
