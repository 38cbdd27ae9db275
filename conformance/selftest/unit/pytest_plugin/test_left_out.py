"""Tests are left out by a pattern with a reason; a file that is none of these is refused in one line."""

from __future__ import annotations

import pytest

from conformance.harness.bounded_files import LARGEST_FILE
from conformance.harness.pytest_plugin.left_out import FORM, LeaveOutError, LeftOut, read, reason_for

TEXT = """
# ours
test_rows_*   # rows are padded to eight
test_output[[]gru]# another blend  # see 12
"""


def test_lines_are_patterns_with_reasons(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text(TEXT, encoding="utf-8")
    entries = read(path)
    assert entries == (
        LeftOut("test_rows_*", "rows are padded to eight"),
        LeftOut("test_output[[]gru]", "another blend  # see 12"),
    )
    assert reason_for("test_rows_moved[lstm]", entries) == "as asked, rows are padded to eight"
    assert reason_for("test_output[gru]", entries) == "as asked, another blend # see 12"
    assert reason_for("test_output[lstm]", entries) == ""


@pytest.mark.parametrize("line", ["test_rows_*", "# \ntest_rows_* #", "a b # two", "x" * 5000])
def test_line_without_pattern_or_reason_is_refused_in_one_line(line, tmp_path):
    path = tmp_path / "out.txt"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(LeaveOutError, match=FORM) as refused:
        read(path)
    assert len(str(refused.value)) < 1000


def test_what_is_no_file_of_text_is_refused(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "long").write_text("#" * (LARGEST_FILE + 1), encoding="utf-8")
    for name in ("missing", ".", "bytes", "long"):
        with pytest.raises(LeaveOutError):
            read(tmp_path / name)
