"""facts.md links to the documentation of the module at hand, and searches for words that a tracker has."""

from dataclasses import replace

import pytest

from conformance.clauses import CLAUSES
from conformance.harness.cells import CELL_NAMES
from conformance.harness.checks.case_record import Found
from conformance.harness.execution.failure import KILLED, TIMED_OUT, Failure
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests.packing import TORCH_PACKING
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.recorder import Finding
from conformance.harness.reports.facts import facts, searches
from strategies import parse

WRONG = Finding(
    severity="red",
    clause="B1",
    test="test_results_lie_within_their_error_bound",
    cell="gru",
    subject=TORCH_NN,
    route="grad",
    dtype="float32",
    field="h_n",
    kind="outside its bound",
    lines=("h_n:  got 0   reference 1",),
    case="v1 gru i1 h1 t1 float32 fill=dyadic",
)

SEEN = Observation(parse(WRONG.case)[0].on(WRONG.cell), TORCH_NN, "grad")

OWN_WORDS = ("outside", "bound", "h_n", "c_n", "agree", "within")
"""Words of this suite."""


@pytest.mark.parametrize("cell", [cell for cell in CELL_NAMES if cell])
def test_source_is_the_page_of_the_module_at_hand(cell):
    name = CELL_NAMES[cell].partition("(")[0]
    assert f"/generated/torch.nn.{name}.html\n" in facts(Found(replace(WRONG, cell=cell, case=""), SEEN), "")


def test_source_that_is_no_module_stays():
    for id in ("C2", "C3", "E4", "E5", "D5"):
        assert CLAUSES[id].link_for("GRU") == CLAUSES[id].link
    assert CLAUSES["B1"].link_for("") == CLAUSES["B1"].link


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "GRU wrong hidden state"),
        ({"field": "gradient of input"}, "GRU wrong gradient"),
        ({"field": "output", "kind": "does not agree"}, "GRU different output"),
        ({"field": "warnings", "kind": "warns: this module is slow"}, "this module is slow"),
        ({"field": "call", "kind": "changes: h_0"}, "GRU modifies input in place"),
        ({"field": "call", "kind": "x", "failure": Failure(TIMED_OUT, number=15)}, "GRU hangs"),
        ({"field": "call", "kind": "x", "failure": Failure(KILLED, number=11)}, "GRU segmentation fault"),
        (
            {"subject": TORCH_PACKING, "cell": "rnn_tanh", "field": "pad_sequence: padded", "kind": "differs"},
            "pad_sequence different padded",
        ),
    ],
)
def test_words_are_those_that_reports_use(changes, words):
    found = searches(replace(WRONG, **changes))
    assert words in found
    assert not {word for text in found for word in text.split()} & {*OWN_WORDS}


def test_facts_of_another_subject_name_its_authors_and_link_no_tracker():
    ours, theirs = (facts(Found(replace(WRONG, subject=name), SEEN), "") for name in (TORCH_NN, "a_kernel[b](c)"))
    assert "github.com/pytorch/pytorch/issues" in ours
    assert "authors" not in ours
    assert "github.com/pytorch/pytorch/issues" not in theirs
    assert r"a\_kernel\[b\](c) is not PyTorch's: the report goes to its own authors." in theirs
    assert "\n* GRU wrong hidden state\n" in theirs
