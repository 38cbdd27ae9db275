"""What a finding quotes from the installed release's docstrings, also where it speaks against the report."""

from __future__ import annotations

from conformance.harness.reports.quoted import quotation
from reference.problem import GRU, LSTM


def test_a_packed_sequence_made_by_hand_is_told_as_what_the_documentation_advises_against():
    case = "v1 lstm i1 h1 t2,1 float32 bad=batch_sizes.order=rising"
    told = quotation("batch_sizes.order", case, LSTM)
    assert "batch_sizes (Tensor)" in told
    assert "should never be created manually" in told


def test_arguments_by_position_are_told_with_the_documented_signature():
    told = quotation("call", "v1 gru i1 h1 t1 float32", GRU, spelled="by position")
    assert "__init__(input_size,hidden_size" in told
