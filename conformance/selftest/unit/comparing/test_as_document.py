"""The JSON document of a comparison fits its form, holds what was told, and is there whole or not at all."""

import json
from collections import Counter
from dataclasses import asdict

import pytest

from conformance.commands import compare as command
from conformance.commands.compare import Wanted
from conformance.comparing.as_document import document, write
from conformance.comparing.document import SCHEMA, Compared, Sides
from conformance.comparing.files import HandedOver
from conformance.comparing.recorded import recorded
from conformance.comparing.timing import Times
from conformance.comparing.told import Outcome
from conformance.comparing.verdicts import Changed, Comparison, Headroom
from conformance.harness.pytest_plugin.output.results import results_of
from conformance.results import files
from conformance.results.schema import schema
from conformance.selftest.unit.results.examples import FINDING, HOSTILE, RAISES, full, report

jsonschema = pytest.importorskip("jsonschema", reason="it comes with the extra dev alone")

SIDES = Sides("interpreters", "old/bin/python", "new/bin/python", "2.6.0", "2.15.0")
PLACE = ("lstm", "float32", "grad")


def full_outcome():
    """An outcome with a part of every kind."""
    real = Comparison(cases=3, bits=Counter({PLACE: 2}), warnings_new=Counter({(PLACE, HOSTILE): 1}))
    real.warnings_gone[PLACE, "gone"] += 1
    real.new = {(*RAISES.signature, "lstm"): Changed(RAISES, HOSTILE)}
    real.fixed = {(*FINDING.signature, "lstm"): Changed(FINDING, FINDING.case)}
    real.headroom["B1", "lstm", "float32"] = Headroom(0.2, 0.9, FINDING.case)
    real.kernels[PLACE] = ({"addmm", "tanh"}, {"addmm", HOSTILE})
    return Outcome(
        control=Comparison(cases=3, differing=1),
        real=real,
        weights=("lstm",),
        masks=("gru",),
        times=(Times("LSTM", (1.0,) * 11, (3.0,) * 11), Times("GRU", cannot="raised ValueError")),
        files=(HandedOver("LSTM", "state_dict", trouble="raised KeyError"),),
        waived=frozenset({"mine"}),
    )


def test_document_of_interpreters_fits_its_form_and_has_every_part():
    made = json.loads(json.dumps(asdict(document(SIDES, "deviates", ["a line"], full_outcome())), allow_nan=False))
    jsonschema.validate(made, schema(Compared, SCHEMA))
    assert [name for name, value in made.items() if value in ([], "", 0)] == ["differing"]
    assert made["kernels"] == [dict(zip(("cell", "dtype", "route"), PLACE, strict=True)) | made["kernels"][0]]
    assert made["kernels"][0]["old"] == ["tanh"]
    assert made["bounds"][0] == {
        "clause": "B1", "cell": "lstm", "dtype": "float32", "old": 0.2, "new": 0.9, "lost": True
    }  # fmt: skip
    assert [one["slower"] for one in made["times"]] == [True, False]
    assert all(text.isprintable() for text in _texts(made))


def _texts(value):
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


def test_document_of_results_files_fits_its_form():
    old, new = (results_of(made, seed=seed) for made, seed in ((report(), "1"), (full(), "2")))
    made = json.loads(json.dumps(asdict(document(SIDES, "deviates", [], recorded(old, new))), allow_nan=False))
    jsonschema.validate(made, schema(Compared, SCHEMA))
    assert made["differing"][0] == "seed 1, then 2"
    assert all(text.isprintable() for text in _texts(made))
    assert len(made["new"]) == 3


def test_failed_write_leaves_the_document_before(tmp_path, monkeypatch):
    path = tmp_path / "c.json"
    write(path, SIDES, "deviates", [])
    before = path.read_bytes()

    def fail(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write(path, SIDES, "worse", [])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_command_writes_what_it_printed(tmp_path, capsys):
    results = tmp_path / "r.json"
    files.write(results, results_of(full(), seed="7"))
    path = tmp_path / "c.json"
    assert command.compare(Wanted(str(results), str(results), json=path)) in (command.SAME, command.USAGE)
    made = json.loads(path.read_text())
    assert made["lines"] == capsys.readouterr().out.splitlines()
    assert made["lines"][-1].startswith(f"verdict: {made['verdict']}")
    assert made["sides"]["kind"] == "results"


def test_document_of_before_says_that_a_comparison_did_not_end(tmp_path, capsys):
    path = tmp_path / "c.json"
    write(path, SIDES, "same or better", [])
    assert command.compare(Wanted("a.json", str(tmp_path / "none.json"), json=path)) == command.USAGE
    assert json.loads(path.read_text())["verdict"] == "did not end"
    capsys.readouterr()
