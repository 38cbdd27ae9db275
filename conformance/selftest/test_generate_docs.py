"""The generated tables are those of the code at hand."""

from conformance.selftest.generate_docs import DOCS, clauses


def test_table_of_clauses_is_up_to_date():
    assert (DOCS / "clauses.md").read_text(encoding="utf-8") == clauses()
