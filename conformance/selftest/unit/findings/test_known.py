"""A known deviation is that deviation alone: each part of an entry narrows what it stands for."""

import math
import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from conformance.clauses import AMBER, RED
from conformance.harness.execution.subject import torch_nn
from conformance.harness.findings.known import Known, KnownError, load, matching
from conformance.harness.findings.recorder import Element, Finding
from conformance.harness.session import Session
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
    "packed": (("true",), ("false",)),
    "unsorted": (("false",), ("true",)),
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


@pytest.mark.parametrize(
    ("got", "dtype", "name"), [(math.nan, "float32", "some-id"), (1.0, "float32", ""), (math.nan, "float64", "")]
)
def test_entry_of_nan_elsewhere_is_of_any_signature_that_shows_nan_and_is_narrowed_alike(got, dtype, name):
    entry = replace(ENTRY, clause="F5", elsewhere="nan", where=(("dtype", ("float32",)),))
    element = Element("output", {}, got, 1.0)
    assert matching([entry], replace(FINDING, dtype=dtype, element=element), CASE) == name


def test_first_entry_that_fits_gives_the_name():
    other = replace(ENTRY, id="other", where=(("cell", ("gru",)),))
    assert matching([other, ENTRY, replace(ENTRY, id="last")], FINDING, CASE) == "some-id"


@pytest.mark.parametrize(
    ("torch", "with_", "without", "release", "flags", "concerned"),
    [
        (">=2.0,<2.4", "", "", "2.3.1+cpu", (), True),
        (">=2.0,<2.4", "", "", "2.4.0", (), False),
        (">=2.0", "", "", "2.14.0.dev20260101", (), True),
        (">=2.0", "", "avx512bw", "2.1.0", ("avx2",), True),
        (">=2.0", "", "avx512bw", "2.1.0", ("avx2", "avx512bw"), False),
        (">=2.0", "", "avx512bw", "2.1.0", (), False),
        (">=2.0", "amx_bf16", "", "2.1.0", ("avx2", "amx_bf16"), True),
        (">=2.0", "amx_bf16", "", "2.1.0", ("avx2",), False),
    ],
)
def test_release_and_processor_narrow_an_entry(torch, with_, without, release, flags, concerned):
    entry = replace(ENTRY, torch=torch, with_cpu_flag=with_, without_cpu_flag=without)
    assert entry.concerns(release, flags) is concerned


@pytest.mark.parametrize(
    ("day", "expired"), [(date(2026, 12, 31), False), (date(2027, 1, 1), True), (date(2026, 1, 1), False)]
)
def test_waiver_covers_its_last_day_too(day, expired):
    assert replace(ENTRY, expires=date(2026, 12, 31)).is_expired(day) is expired
    assert not ENTRY.is_expired(day)


def test_waiver_is_told_in_a_line():
    full = replace(ENTRY, owner="ana", reason="we wait\nfor 2.16\x1b", expires=date(2026, 12, 31))
    assert full.waiver == r"waived until 2026-12-31 by ana: we wait for 2.16\x1b"
    assert replace(full, reason="", expires=None).waiver == "waived by ana"
    assert ENTRY.waiver == ""


@pytest.mark.parametrize("severity", [AMBER, RED])
def test_expired_waiver_covers_nothing_even_where_another_entry_would(severity):
    expired = replace(ENTRY, id="old", owner="ana", expires=date(2020, 1, 1))
    finding = replace(FINDING, severity=severity)
    for known in ((), (ENTRY,)):
        judged = Session(torch_nn(), known=known, expired=(expired,)).judged(finding, CASE)
        assert (judged.known, judged.severity) == ("", severity)
        assert judged.lines == (*FINDING.lines, "waived until 2020-01-01 by ana")
    assert Session(torch_nn(), known=(ENTRY,)).judged(finding, CASE).known == "some-id"


def test_clause_of_fail_on_is_red_unless_it_is_known():
    here = Session(torch_nn(), fail_on=("D1",))
    assert here.judged(FINDING, CASE).severity == RED
    assert here.judged(FINDING, CASE).lines[-1] == "red because of --fail-on D1, amber without it"
    assert here.judged(replace(FINDING, clause="D2"), CASE).severity == AMBER
    assert replace(here, known=(ENTRY,)).judged(FINDING, CASE) == replace(FINDING, known="some-id")
    red = replace(FINDING, severity=RED)
    assert here.judged(red, CASE) is red


TEXT = """
[[deviation]]
id = "mine"
severity = "red"
clause = "D1"
field = "output"
kind = "differs from h_n"
test = "test_one"
case = ""
torch = ">=2.0"
tracker = "none"
"""


@pytest.mark.parametrize("line", ["expires = 2026-12-31", 'expires = "2026-12-31"'])
def test_day_is_a_date_of_toml_or_its_text(line, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT + f'owner = "ana"\nreason = "why"\n{line}\n')
    (entry,) = load(path)
    assert (entry.owner, entry.reason, entry.expires) == ("ana", "why", date(2026, 12, 31))


WRONG = {
    'expires = "next year"': "expires is a day such as 2026-12-31, not 'next year'",
    "expires = 2026-12-31T00:00:00Z": "expires is a day such as 2026-12-31",
    "expires = 20261231": "expires is a day such as 2026-12-31, not '20261231'",
    'expires = "2026-02-30"': "expires is a day such as 2026-12-31, not '2026-02-30'",
    "expires = []": "expires is a day such as 2026-12-31",
    'where = "lstm"': 'where is a table such as { cell = "lstm" }',
    'where = { colour = "blue" }': "where has no field 'colour'; it has cell, route, ",
    'where = { hidden_size = ">=x" }': "a whole number, or a comparison such as",
    'where = { cell = "lstms" }': "cell is never 'lstms'; it is one of rnn_tanh, ",
    'where = { dtype = ">=float16" }': "dtype is never '>=float16'; it is one of float32, ",
    "where = { packed = 1 }": "packed is never '1'; it is one of true, false",
    "where = { steps = 1.5 }": "steps is never '1.5'; it is a whole number",
    "where = { lengths = 2 }": "where has no field 'lengths'",
    'where = { layout = ["bf", "batch_first"] }': "layout is never 'batch_first'",
    'where = { history = "melt" }': "history is never 'melt'; it is one of forward, ",
    'where = { cell = { cell = "lstm" } }': "cell is never ",
    'also = [["B9", "output", "differs"]]': "also is a list of signatures such as",
    'also = ["B2", "output", "differs"]': "also is a list of signatures such as",
    "also = 3": "also is a list of signatures such as",
    "owners = 1": "no such key: owners",
}
"""Lines that an entry cannot have, and what is said of them."""


@pytest.mark.parametrize("line", WRONG)
def test_entry_that_is_wrong_is_refused_in_one_line_with_file_entry_and_remedy(line, tmp_path):
    assert_refused(tmp_path, TEXT + line + "\n", WRONG[line])


def test_range_of_versions_that_is_none_is_refused_in_one_line(tmp_path):
    assert_refused(tmp_path, TEXT.replace(">=2.0", "2.x\\u001b"), 'releases are written as ">=2.0,<2.4"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 2_000 + "]" * 2_000, "too deep"),
        ("#" * 1_000_001, "larger than 1,000,000 bytes"),
        ("a = \x1b", "see conformance/known.toml for the form"),
    ],
    ids=["deep", "large", "control"],
)
def test_file_that_is_none_of_known_deviations_is_refused_in_one_line(text, said, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(KnownError, match=said) as caught:
        load(path)
    assert str(caught.value).isprintable()


def test_what_never_ends_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(KnownError, match="not a regular file; name a file of known deviations"):
            load(path)


def assert_refused(folder, text, said):
    path = folder / "mine.toml"
    path.write_text(text)
    with pytest.raises(KnownError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: entry 1, mine: ")
    assert said in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("deviation = [1]", "write it as [[deviation]]"), ("[[deviation]]\nid = 'a'", "; an entry has id, severity, ")],
)
def test_an_entry_that_is_none_or_lacks_a_key_is_answered_with_the_remedy(text, remedy, tmp_path):
    path = tmp_path / "k.toml"
    path.write_text(text)
    with pytest.raises(KnownError) as refused:
        load(path)
    assert remedy in str(refused.value)
