"""The generated tables are those of the code at hand, and each command writes its own part."""

from conformance.selftest import generate_docs
from conformance.selftest.generate_docs import DOCS, LARGE, LARGE_HEAD, SOUNDNESS, clauses
from conformance.selftest.soundness import campaign_state, large_cases_state

TERMS = ("sources", "2.13.0", "AVX2", "torch.nn", 0)


def test_table_of_clauses_is_up_to_date():
    assert (DOCS / "clauses.md").read_text(encoding="utf-8") == clauses()


def test_form_of_results_is_up_to_date():
    assert (DOCS / "results.md").read_text(encoding="utf-8") == generate_docs.results()
    assert (DOCS / "results.schema.json").read_text(encoding="utf-8") == generate_docs.results_schema()


def test_form_of_comparisons_is_up_to_date():
    text = (DOCS / "compare.md").read_text(encoding="utf-8")
    assert text == generate_docs.compare(text)
    assert "| `dropout_masks` |" in text


def test_soundness_begins_as_generated():
    text = (DOCS / "soundness.md").read_text(encoding="utf-8")
    assert text.startswith(SOUNDNESS)
    assert LARGE in text


def test_each_campaign_has_its_part_of_soundness(tmp_path, monkeypatch):
    monkeypatch.setattr(generate_docs, "DOCS", tmp_path)
    ordinary, large = tmp_path / "ordinary.json", tmp_path / "large.json"
    campaign_state.State(*TERMS, trials=4321).save(ordinary)
    row = large_cases_state.Row(cases=8765, elements=1)
    large_cases_state.State(*TERMS, rows={"B2 rows float32": row}).save(large)
    texts = []
    for options in (["--large", str(large)], ["--state", str(ordinary)], ["--large", str(large)]):
        generate_docs.main(options)
        texts.append((tmp_path / "soundness.md").read_text(encoding="utf-8"))
    assert ["4,321" in text for text in texts] == [False, True, True]
    assert all(text.count(LARGE_HEAD) == 1 and "8,765" in text for text in texts)
    assert texts[1] == texts[2]
