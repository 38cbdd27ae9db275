"""Scripts of other subjects import them by name, show the fault, and cannot run without them."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.execution.subject import named
from conformance.harness.property import properties
from conformance.harness.reports.calls.classes import Classes
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.folder import exit_code, write
from conformance.harness.reports.scripts.script import CANNOT_RUN, WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.unit.reports.test_scripts import assert_short
from strategies import parse

MODULE = """\
import warnings

import torch


class Net(torch.nn.LSTM):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.register_buffer("calls", torch.zeros(1))  # a state_dict has more than the documented parameters

    def forward(self, x, hx=None):
        out, states = super().forward(x, hx)
        {}
        return out, states
"""

FAULTS = {
    "number": ("out = 1.25 * out", "test_results_lie_within_their_error_bound", "t1"),
    "gradient": ("out = 2 * out - out.detach()", "test_gradients_lie_within_their_error_bound", "t1"),
    "pair": ("out = self.num_layers * out", "test_stack_is_the_composition_of_its_layers", "t1 l2"),
    "exception": ("assert x.size(1) < 2", "test_results_lie_within_their_error_bound", "t1 n2"),
    "warning": ('warnings.warn("no")', "test_valid_call_warns_of_nothing", "t1"),
    "memory of its input": ("x.detach().zero_()", "test_same_call_gives_the_same_again", "t1"),
}
"""A line of the forward pass, a property that it breaks, and sizes."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, where modules can be imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def found_in(folder, name, body, test, sizes):
    """What a property finds in the class Net of a module with this line in its forward pass."""
    (folder / f"{name}.py").write_text(MODULE.format(body))
    case, cell = parse(f"v1 lstm i1 h1 {sizes} float32 fill=dyadic")
    tested = next(one for one in properties() if one.name == test)
    with session.nested(Session(named([f"lstm={name}:Net"]))) as here:
        return next(found_by(here, tested, cell, case))


@pytest.mark.parametrize("kind", FAULTS)
def test_script_shows_a_fault_of_another_subject(kind, folder):
    module = f"wrong_{kind}".replace(" ", "_")
    text = script(found_in(folder, module, *FAULTS[kind]))
    assert_short(text)
    assert f"Needs torch and {module}." in text
    assert f"import {module} as subject" in text
    path = folder / "repro.py"
    path.write_text(text)
    assert exit_code(path) == WITH_DEFECT, text
    (folder / f"{module}.py").write_text(MODULE.format("pass"))
    assert exit_code(path) == WITHOUT_DEFECT, text


def test_script_without_its_subject_says_so_in_one_line(folder):
    text = script(found_in(folder, "soon_gone", *FAULTS["number"]))
    (folder / "apart").mkdir()
    path = folder / "apart" / "repro.py"
    path.write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, path.name], cwd=path.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == CANNOT_RUN
    assert done.stdout == "it cannot run: ModuleNotFoundError: No module named 'soon_gone'\n"
    assert not done.stderr


@pytest.mark.parametrize(
    "options", ["", "--subject lstm=class:Net", '--subject lstm=a:b"c', "--subject lambda", "--subject x=a:b"]
)
def test_subject_that_no_import_can_name_has_no_script(options, folder):
    found = found_in(folder, "named_well", *FAULTS["number"])
    with pytest.raises(NoScript):
        script(found._replace(finding=replace(found.finding, options=options)))


def test_classes_of_two_modules_keep_apart(folder):
    finding = found_in(folder, "one_of_two", *FAULTS["number"]).finding
    both = Classes.of(replace(finding, options="--subject lstm=a.b:Net --subject lstm_cell=c:Net"))
    assert both.modules == {"subject": "a.b", "subject_2": "c"}
    assert both.places == {"lstm": ("subject", "Net"), "lstm_cell": ("subject_2", "Net")}
    assert Classes.of(replace(finding, options="--subject a.b")).places["gru_cell"] == ("subject", "GRUCell")


HOSTILE = "`````x`````|<script>alert(1)</script>[a](b)\n# h\n\x1b[31m\x07\"\"\"'''\\\u2028*b* _c_ ${d} {{ e }} {% f %}"

WITH_HOSTILE_NAME = """\
import torch

HOSTILE = {!r}


class Net(torch.nn.LSTM):
    def forward(self, x, hx=None):
        if self.hidden_size > 1:
            raise type(HOSTILE, (ValueError,), {{}})(HOSTILE)
        return super().forward(x, hx)


Net.__name__ = Net.__qualname__ = HOSTILE
globals()[HOSTILE] = Net
"""


def printed(text):
    """Whether a text has no characters that a terminal takes for commands."""
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize("named_as", ["Net", HOSTILE], ids=["exception", "name"])
def test_subject_with_a_hostile_name_and_exceptions_harms_neither_terminal_nor_folder(named_as, folder):
    (folder / "hostile.py").write_text(WITH_HOSTILE_NAME.format(HOSTILE))
    tested = next(one for one in properties() if one.name == "test_results_lie_within_their_error_bound")
    case, _ = parse("v1 lstm i1 h2 t1 float32 fill=dyadic")
    with session.nested(Session(named([f"lstm=hostile:{named_as}"]))) as here:
        found = next(found_by(here, tested, "lstm", case))
    path, outcome = write(folder / "reports", found)
    assert printed(found.finding.text())
    assert printed((path / "facts.md").read_text())
    if named_as == HOSTILE:
        assert outcome.startswith("no script")
    else:
        text = (path / "repro.py").read_text()
        assert printed(text)
        assert outcome.endswith("exit 10"), text
