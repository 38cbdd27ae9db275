"""Folders: their data are as documented, each is written once, hostile text harms nothing."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from torch.utils import collect_env

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.checks.case_record import Found
from conformance.harness.execution import machine
from conformance.harness.execution.failure import KILLED, RAISED, Failure
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.recorder import Element, Finding
from conformance.harness.property import properties
from conformance.harness.pytest_plugin.output import report_folders
from conformance.harness.reports import folder, versions
from conformance.harness.reports.calls.call_text import literal
from conformance.harness.reports.facts import facts
from conformance.harness.reports.scripts import endings
from conformance.harness.reports.scripts.script import script
from conformance.harness.session import Session
from conformance.selftest.golden_reports import FOLDER
from conformance.selftest.implementations import plain
from strategies import parse
from strategies.weights import Weights

DOCS = (FOLDER.parent / "reports.md").read_text(encoding="utf-8")
TYPES = {"int": int, "str": str, "list": list, "bool": bool, "dict": dict, "null": type(None)}

HOSTILE = "`````x`````|<script>alert(1)</script>[a](b)\n# h\n\x1b[31m\x07\"\"\"'''\\\u2028*b* _c_ ${d} {{ e }} {% f %}"

FINDING = Finding(
    severity="red",
    clause="A1",
    test="test_output_has_the_documented_shape",
    cell="lstm",
    subject=TORCH_NN,
    route="grad",
    dtype="float32",
    field="call",
    kind="raised ValueError",
    lines=("ValueError: no",),
    case="v1 lstm i1 h1 t1 float32 fill=dyadic",
    failure=Failure(RAISED, "ValueError", "no"),
)


def documented(first_column):
    """The fields of a table of docs/reports.md, and the types that they may have."""
    table = DOCS.partition(f"| {first_column} | type |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", table, re.MULTILINE)
    return {name: tuple(TYPES[one] for one in types.split(" or ")) for name, types in rows}


def as_json(finding):
    return json.loads(json.dumps(folder.as_data(finding, seed="")))


@pytest.mark.parametrize(
    "finding",
    [FINDING, replace(FINDING, failure=None, element=Element("output", {"row": 0}, 0.5, 0.25))],
    ids=["failure", "element"],
)
def test_case_json_has_the_documented_fields_and_types(finding):
    data = as_json(finding)
    for table, part in (("field", data), ("field of `finding`", data["finding"])):
        assert part.keys() == documented(table).keys()
        assert all(isinstance(part[name], types) for name, types in documented(table).items())
    assert Finding.from_json(data["finding"]) == finding
    for name, kind in (("failure", Failure), ("element", Element)):
        said = next(line for line in DOCS.splitlines() if line.startswith(f"| `{name}` |"))
        assert re.findall(r"`(\w+)`", said)[1:] == list(kind.__dataclass_fields__)


def hostile():
    """A finding of which every foreign text is hostile, and its observation."""
    failure = Failure(RAISED, f"Error{HOSTILE}", HOSTILE)
    found = replace(
        FINDING,
        field=f"call {HOSTILE}",
        kind=failure.title,
        lines=(f"{HOSTILE}:  got {HOSTILE}", HOSTILE),
        failure=failure,
        options=f"--subject {HOSTILE}",
        kernels=(HOSTILE,),
    )
    problem = parse(FINDING.case)[0].on("lstm")
    return Found(found, Observation(problem, TORCH_NN, "grad", failure=failure))


def outside_of_fences(text):
    """How many blocks of Markdown are fenced, and what is outside of them."""
    fence, fences, outside = "", 0, ""
    for line in text.splitlines(keepends=True):
        if not fence and re.match("```+$", line):
            fence, fences = line, fences + 1
        elif line == fence:
            fence = ""
        elif not fence:
            outside += line
    assert not fence, "each is closed"
    return fences, outside


def test_hostile_text_does_not_leave_its_place_in_facts():
    found = hostile()
    finding = replace(found.finding, subject=f"torch.nn {HOSTILE}")
    text = facts(found._replace(finding=finding), f"no script: {HOSTILE}")
    assert all(character.isprintable() or character == "\n" for character in text)
    fences, outside = outside_of_fences(text)
    assert fences == 2
    assert not re.search(r"(?<!\\)[`<|]", outside), outside
    headings = re.findall("^#+ .*", outside, re.MULTILINE)
    assert len(headings) == 6, headings


def test_hostile_text_does_not_leave_its_place_in_a_script():
    text = script(hostile())
    compile(text, "repro.py", "exec")
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "alert" not in text.split('"""')[2].partition("startswith")[0]


def test_hostile_kind_of_a_fact_does_not_leave_its_place():
    found = hostile()
    warned = replace(found.finding, field="warnings", kind=f"warns: {HOSTILE}", failure=None)
    text = script(Found(warned, replace(found.seen, failure=None)))
    compile(text, "repro.py", "exec")


def large(value):
    """A number outside its bound in a module with many parameters, real ones of this value if there is one."""
    case = parse("v1 gru i200 h200 t1 float32 fill=initial weights=encoder.rnn")[0]
    parameters = case.architecture("gru").parameter_shapes()
    arrays = {name: np.full(shape, value or 0.5) for name, shape in parameters.items()}
    if value is None:
        arrays["weight_hh_l0"][::2] = 0.25
    problem = replace(case, weights=Weights("encoder.rnn", arrays), layout=("nohx",)).on("gru")
    element = Element("output", {"layer": 0, "direction": 0, "row": 0, "step": 0, "unit": 0}, 0.5, 0.25, 1e-6)
    finding = replace(FINDING, case=problem.case, options="--like a:build", failure=None, element=element, cell="gru")
    finding = replace(finding, field="output", kind="outside its bound")
    return Found(finding, Observation(problem, TORCH_NN, "grad"))


def test_script_without_room_for_the_weights_says_so_first_and_ends_with_2(tmp_path):
    found = large(None)
    first, second = script(found).splitlines()
    assert first.startswith("# This script needs the model's weights")
    assert first.endswith(found.finding.again)
    assert "--like a:build" in first
    path, outcome = folder.write(tmp_path, found)
    assert "shows nothing, it needs the model's weights" in outcome
    assert folder.exit_code(path / folder.SCRIPT) == 2 == int(second.partition("(")[2][:-1])


def test_many_equal_numbers_are_short_and_read_back():
    text = script(large(0.25))
    assert len(text) < 10_000
    assert eval(literal(np.full((3, 400), 0.25))) == [[0.25] * 400] * 3


def test_ending_that_the_system_does_not_name_is_compared_as_a_whole():
    failure = Failure(KILLED, number=9)
    seen = replace(hostile().seen, failure=failure)
    text = script(Found(replace(FINDING, kind=failure.title, failure=failure), seen))
    assert "'killed by signal 9'" in text


def test_versions_hold_no_local_path_and_survive_a_failure(monkeypatch):
    monkeypatch.setattr(versions, "_told", lambda: ["cuDNN version: /usr/lib/x86_64/libcudnn.so.8", "\x1b[1m"])
    told = versions.versions.__wrapped__()
    assert "cuDNN version: libcudnn.so.8\n" in told
    assert "/usr" not in told
    assert "\x1b" not in told
    monkeypatch.undo()
    monkeypatch.setattr(collect_env, "get_env_info", lambda: 1 / 0)
    assert machine.describe() in versions.versions.__wrapped__()


class Halved(plain.Plain):
    """Its tanh is half of tanh."""

    def tanh(self, z):
        return super().tanh(z) / 2


@pytest.fixture(scope="module")
def halved():
    """What a wrong LSTM shows; it is no torch.nn, so that no script is run."""
    tested = next(one for one in properties() if one.name == "test_results_lie_within_their_error_bound")
    case, cell = parse("v1 lstm i1 h1 t1 float32 fill=dyadic")
    with session.nested(Session(plain.subject("halved", Halved))) as here:
        return next(found_by(here, tested, cell, case))


def test_finding_that_is_told_already_is_left_as_it_is(halved, tmp_path):
    first, outcome = folder.write(tmp_path, halved)
    assert outcome.startswith("no script")
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    assert before.keys() == {"case.json", "facts.md"}
    assert folder.write(tmp_path, halved, seed="9") == (first, "was there already")
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before


def test_another_finding_of_the_same_name_gets_a_number(halved, tmp_path):
    first, _ = folder.write(tmp_path, halved)
    other, _ = folder.write(tmp_path, halved._replace(finding=replace(halved.finding, case="v1 lstm i1 h1 t3 float32")))
    assert other.name == f"{first.name}-2"
    assert json.loads((first / "case.json").read_text())["finding"]["case"] == halved.finding.case
    assert TORCH_NN not in halved.finding.subject


def test_folder_whose_script_is_still_running_says_so(halved, tmp_path, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "script", lambda _: "import sys\nsys.exit(10)\n")
    monkeypatch.setattr(folder, "exit_code", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.write(tmp_path, halved)
    (left,) = tmp_path.iterdir()
    assert "was not run to its end" in (left / "repro.py").read_text().splitlines()[0]
    assert "was not run to its end" in (left / "facts.md").read_text()
    monkeypatch.setattr(folder, "exit_code", lambda _: 10)
    whole, outcome = folder.write(tmp_path, halved)
    assert outcome == "repro.py shows it: exit 10"
    assert not any("not run to its end" in path.read_text() for path in whole.iterdir())


def test_call_that_hangs_leaves_time_for_the_script_and_the_script_for_its_check():
    importing = 10
    assert endings.LIMIT_SECONDS + importing <= folder.SECONDS
    assert 2 * report_folders.CALL_SECONDS + folder.SECONDS + importing <= report_folders.SECONDS_EACH
    assert report_folders.SECONDS_EACH < report_folders.MOST_SECONDS
