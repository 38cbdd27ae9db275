"""A results file is written whole, holds what its schema says, and is refused in one line where it does not."""

import json
import os
from dataclasses import asdict, replace

import pytest

from conformance.harness.foreign_text import one_line
from conformance.harness.pytest_plugin.output.results import results_of
from conformance.results import files
from conformance.results.document import SCHEMA
from conformance.results.files import ResultsError, load, write
from conformance.results.schema import schema
from conformance.selftest.unit.results.examples import full, report

jsonschema = pytest.importorskip("jsonschema", reason="it comes with the extra dev alone")


@pytest.fixture(scope="module")
def results():
    return results_of(full(), seed="7")


@pytest.fixture
def data(results):
    """The results as JSON gives them back."""
    return json.loads(json.dumps(asdict(results)))


def test_results_come_back_as_they_were_written(results, tmp_path):
    path = tmp_path / "r.json"
    write(path, results)
    assert load(path) == results
    assert [one.name for one in tmp_path.iterdir()] == ["r.json"]


def test_schema_is_one_and_every_part_of_a_full_file_fits_it(data):
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(data, schema())
    assert [name for name, value in data.items() if value in ([], {}, "")] == []


def test_failed_write_leaves_the_file_before_and_nothing_else(results, tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    write(path, results)
    before = path.read_bytes()

    def fail(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write(path, replace(results, seconds=1.0))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["r.json"]


def removed(data, *path):
    del at(data, path[:-1])[path[-1]]


def changed(data, *path, value):
    at(data, path[:-1])[path[-1]] = value


def at(data, path):
    for part in path:
        data = data[part]
    return data


DAMAGE = {
    "a key too many": (("judged", 0, "colour"), "blue", "judged[0].colour: no such key"),
    "a hostile key": (("asked", "a\x1b[31m\nb"), "", r"asked.a\x1b[31m b: no such key"),
    "another type": (("totals", "cases"), "many", "totals.cases: a int belongs here, not a str"),
    "a truth for a number": (("totals", "cases"), True, "totals.cases: a int belongs here, not a bool"),
    "a fraction": (("judged", 0, "calls"), 1.5, "judged[0].calls: a int belongs here, not a float"),
    "a negative count": (("judged", 0, "calls"), -1, "judged[0].calls: -1 is negative"),
    "a count without end": (("judged", 0, "calls"), 2**63, f"judged[0].calls: {2**63} is too large"),
    "a number without end": (("seconds",), 10**400, "seconds: 1000000"),
    "a negative number": (("seconds",), -0.5, "seconds: -0.5 is no finite number from 0 on"),
    "an unknown outcome": (("judged", 0, "outcome"), "green", "judged[0].outcome: 'green' is none of red, error"),
    "an outcome of another type": (("judged", 0, "outcome"), [], "judged[0].outcome: '[]' is none of"),
    "text with an escape": (("said",), "a\x1b[31m", "said: a text that is too long or has control characters"),
    "text without end": (("said",), "a" * 20_001, "said: a text that is too long"),
    "a list for a table": (("environment",), [], "environment: a dict belongs here, not a list"),
    "an older schema": (("schema",), 0, f"schema: 0 is not {SCHEMA}"),
    "a newer schema": (("schema",), SCHEMA + 1, f"schema: {SCHEMA + 1} is newer than {SCHEMA}"),
    "no schema": (("schema",), None, "no results of this suite"),
}
"""Places in a file, what stands there, and what is said of it."""


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_file_is_refused_in_one_line_that_names_file_place_and_remedy(damage, data, tmp_path):
    path, value, said = DAMAGE[damage]
    changed(data, *path, value=value)
    assert_refused(tmp_path, json.dumps(data), said)
    if not damage.startswith(("text with", "a negative", "a count without end", "a number without end")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data, schema())


@pytest.mark.parametrize("path", [("environment", "torch"), ("judged", 0, "worst"), ("findings",)])
def test_missing_key_is_named(path, data, tmp_path):
    removed(data, *path)
    assert_refused(tmp_path, json.dumps(data), "is missing")


TEXTS = {
    "nothing": ("", "Expecting value"),
    "no JSON": ("{", "Expecting property name"),
    "a list": ("[]", "no results of this suite"),
    "NaN": ('{"schema": NaN}', "NaN is no number of JSON"),
    "an abyss": ("[" * 100_000, "recursion"),
    "digits without end": ('{"schema": ' + "1" * 10_000 + "}", "integer string conversion"),
    "no UTF-8": (b"\xff\xfe", "codec can't decode"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_results_file_at_all_is_refused(name, tmp_path):
    text, said = TEXTS[name]
    assert_refused(tmp_path, text, said)


def assert_refused(folder, text, said):
    path = folder / "a\x1bb.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ResultsError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(one_line(str(path)) + ": ")
    assert said in message
    assert "; " in message
    assert message.isprintable()
    assert len(message) < 600


def test_only_regular_files_of_some_size_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large.json").write_text(" " * 2000)
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    places = {"pipe": "no regular file", "": "directory", "none": "No such file", "large.json": "2,000 bytes"}
    for name, said in places.items():
        with pytest.raises(ResultsError, match=said):
            load(tmp_path / name)


def test_run_that_did_not_end_is_incomplete_and_says_why():
    made = results_of(report(), seed="", unfinished="the run did not end")
    assert (made.complete, made.reason, made.verdict) == (False, "the run did not end", "INCOMPLETE")
    ended = results_of(report(), seed="")
    assert (ended.complete, ended.reason, ended.verdict) == (True, "", "PASS")


def test_part_with_a_default_may_be_absent(data, tmp_path):
    del data["modules"]
    (tmp_path / "r.json").write_text(json.dumps(data))
    assert load(tmp_path / "r.json").modules == ()
    jsonschema.validate(data, schema())
