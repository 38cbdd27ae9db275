"""A known deviation is that deviation alone: each part of an entry narrows what it stands for."""

from dataclasses import replace
from typing import Any

import pytest

from conformance.clauses import AMBER
from conformance.harness.findings.known import Known, matching
from conformance.harness.findings.recorder import Finding
from strategies import Case

FINDING = Finding(
    severity=AMBER,
    clause="D1",
    test="test_one",
    cell="lstm",
    subject="torch.nn",
    route="grad",
    dtype="float32",
    field="output",
    kind="differs from h_n",
    lines=(),
    case="v1 lstm i1 h2 t1 float32",
)
CASE = Case(1, 2, layout=("bf", "unb"), lengths=(3, 1))
ENTRY = Known("some-id", "red", "D1", "output", "differs from h_n", "test_one", "", ">=2.0", "none")
OTHERS: dict[str, Any] = {"clause": "D2", "field": "h_n", "kind": "is negative"}

INSIDE = {
    "cell": (("gru", "lstm"), ("gru",)),
    "route": (("grad",), ("no_grad",)),
    "dtype": (("float32",), ("float64",)),
    "hidden_size": ((">=2",), (">2",)),
    "input_size": (("1",), ("2", "3")),
    "bidirectional": (("false",), ("true",)),
    "layout": (("unb",), ("nobias",)),
}
"""Fields of `where`: values that the finding and its case have, and others."""


@pytest.mark.parametrize("field", OTHERS)
def test_finding_with_another_part_of_the_signature_is_unknown(field):
    assert matching([ENTRY], FINDING, CASE) == "some-id"
    assert matching([ENTRY], replace(FINDING, **{field: OTHERS[field]}), CASE) == ""


@pytest.mark.parametrize("field", INSIDE)
def test_every_field_of_where_narrows_an_entry(field):
    for permitted, expected in zip(INSIDE[field], ("some-id", ""), strict=True):
        entry = replace(ENTRY, where=((field, permitted),))
        assert matching([entry], FINDING, CASE) == expected
        both = replace(entry, where=(("cell", ("lstm",)), *entry.where))
        assert matching([both], FINDING, CASE) == expected


def test_field_of_a_case_permits_nothing_where_there_is_none():
    assert matching([replace(ENTRY, where=(("hidden_size", ("2",)),))], FINDING, None) == ""
    assert matching([replace(ENTRY, where=(("cell", ("lstm",)),))], FINDING, None) == "some-id"


def test_first_entry_that_fits_gives_the_name():
    other = replace(ENTRY, id="other", where=(("cell", ("gru",)),))
    assert matching([other, ENTRY, replace(ENTRY, id="last")], FINDING, CASE) == "some-id"


@pytest.mark.parametrize(
    ("torch", "without", "release", "flags", "concerned"),
    [
        (">=2.0,<2.4", "", "2.3.1+cpu", (), True),
        (">=2.0,<2.4", "", "2.4.0", (), False),
        (">=2.0", "", "2.14.0.dev20260101", (), True),
        (">=2.0", "avx512bw", "2.1.0", ("avx2",), True),
        (">=2.0", "avx512bw", "2.1.0", ("avx2", "avx512bw"), False),
        (">=2.0", "avx512bw", "2.1.0", (), False),
    ],
)
def test_release_and_processor_narrow_an_entry(torch, without, release, flags, concerned):
    assert replace(ENTRY, torch=torch, without_cpu_flag=without).concerns(release, flags) is concerned
