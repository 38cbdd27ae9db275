"""compare tells a changed bit, a bound that is left, a slower kernel and a lost file apart."""

import time
from dataclasses import replace

import pytest
import torch

import conformance.__main__ as command_line
from conformance.commands.compare import DEVIATES, SAME, USAGE, WORSE, Wanted, compare
from conformance.comparing import sides
from conformance.harness.execution import machine
from conformance.harness.execution.requests.request import InProcess
from conformance.harness.execution.subject import torch_nn
from conformance.harness.isolation.interpreter import CannotRun
from conformance.harness.models import loading
from conformance.harness.pytest_plugin.output import github
from conformance.selftest.generate_docs import DOCS
from conformance.selftest.unit.models import examples

CELL = "gru_cell"


def narrowed(old, new, **other):
    return Wanted(old, new, count=1, cells=(CELL,), **other)


class OneBitOff(torch.nn.GRUCell):
    """Each result is the next number."""

    def forward(self, input, hx=None):
        h = super().forward(input, hx)
        return h + (torch.nextafter(h, 2 * h + 1) - h).detach() if h.dtype == torch.float32 else h


class Wrong(torch.nn.GRUCell):
    """Results have the wrong sign."""

    def forward(self, input, hx=None):
        return -super().forward(input, hx)


class Slow(torch.nn.GRUCell):
    """A call takes ten times as long."""

    def forward(self, input, hx=None):
        if input.numel() > 1000:
            time.sleep(0.02)
        return super().forward(input, hx)


class Renamed(torch.nn.GRUCell):
    """A state_dict has other names."""

    def load_state_dict(self, state_dict, strict=True, assign=False):
        raise RuntimeError('Unexpected key(s) in state_dict: "weight_ih"')


class WrongWithOneBias(torch.nn.GRUCell):
    """Results have the wrong sign with the weights of one module."""

    def forward(self, input, hx=None):
        h = super().forward(input, hx)
        return -h if bool((self.bias_ih == examples.SECOND).all()) else h


class WrongAtFourRows(torch.nn.GRUCell):
    """Results of four rows have the wrong sign."""

    def forward(self, input, hx=None):
        h = super().forward(input, hx)
        return -h if len(input) == 4 else h


KINDS = {
    "bit": OneBitOff,
    "wrong": Wrong,
    "slow": Slow,
    "renamed": Renamed,
    "one bias": WrongWithOneBias,
    "four rows": WrongAtFourRows,
}


class Worker(InProcess):
    """Makes the calls here, of a class that its interpreter's name chooses."""

    def __init__(self, python):
        self.python = python

    def execute(self, subject, request):
        if self.python in KINDS:
            subject = replace(subject, classes={**subject.classes, CELL: KINDS[self.python]})
        return super().execute(subject, request)

    def close(self):
        pass


def build_of(python):
    if python == "none":
        raise CannotRun("it cannot import torch: No module named 'torch'")
    return machine.build()


@pytest.fixture(autouse=True)
def workers(monkeypatch):
    """Interpreters that are none."""
    monkeypatch.setattr(sides, "children", Worker)
    monkeypatch.setattr(sides, "build_of", build_of)


WAIVER = """[[deviation]]
id = "mine"
severity = "red"
clause = "B1"
field = "h_n"
kind = "outside its bound"
test = "test_x"
case = ""
torch = ">=2.0"
tracker = "not reported"
"""


SITUATIONS = {
    "same": ("same", SAME, ["0 new deviations, 0 fixed", "bits            the same in all"]),
    "bit": ("same", SAME, ["all inside their bounds"]),
    "wrong": ("same", DEVIATES, ["new red B1 GRUCell h_n outside its bound"]),
    "slow": ("same", WORSE, ["2 of 2 configurations slower", "verdict: less headroom, or slower"]),
    "renamed": ("same", DEVIATES, ["2 of 3 of the old one's load", "GRUCell state_dict: raised RuntimeError"]),
    "fixed": ("wrong", SAME, ["0 new deviations", "fixed red B1 GRUCell h_n outside its bound"]),
}


@pytest.mark.parametrize("new", SITUATIONS)
def test_each_kind_of_change_is_told_apart(new, capsys):
    old, code, lines = SITUATIONS[new]
    assert compare(narrowed(old, new)) == code
    printed = capsys.readouterr().out
    assert all(line in printed for line in lines), printed


def test_an_expired_waiver_waives_nothing(tmp_path, capsys):
    path = tmp_path / "ours.toml"
    for more, is_waived in (("", True), ("expires = 9999-12-31", True), ("expires = 2020-01-01", False)):
        path.write_text(WAIVER + more)
        compare(narrowed("same", "wrong", known=(path,)))
        assert ("1 of them waived" in capsys.readouterr().out) is is_waived


def test_what_is_printed_is_in_the_summary_of_the_job_and_no_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(github.SUMMARY, str(tmp_path / "summary.md"))
    monkeypatch.setenv(github.ACTIONS, "true")
    (tmp_path / "summary.md").write_text("of the step before\n")
    assert compare(narrowed("same", "same")) == SAME
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == last.replace("::", "::stop-commands::", 1)[:-2]
    text = (tmp_path / "summary.md").read_text()
    assert text == "of the step before\n### Recurrent modules\n\n```\n" + "\n".join(lines) + "\n```\n\n"


def test_a_summary_that_cannot_be_written_is_said_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(github.ACTIONS, raising=False)
    monkeypatch.setenv(github.SUMMARY, str(tmp_path / "no" / "folder.md"))
    assert compare(narrowed("same", "same")) == SAME
    assert capsys.readouterr().out.endswith("No such file or directory; no summary of the job was written\n")


def test_a_model_is_compared_at_its_sizes_and_by_its_names(capsys):
    assert compare(Wanted("same", "same", count=1, like=(f"{examples.__name__}:tagger",))) == SAME
    printed = capsys.readouterr().out
    assert "times encoder.rnn grad: v1 lstm i12 h20" in printed
    assert "weights=encoder.rnn" in printed
    assert "bits            the same in all" in printed
    assert "3 of 3 of the old one's load" in printed, printed


@pytest.mark.parametrize(("new", "words", "files"), [("one bias", "weights=other", 5), ("four rows", "n4", 6)])
def test_every_module_is_compared_with_its_weights_and_calls(new, words, files, monkeypatch, capsys):
    monkeypatch.setattr(examples, "example", lambda: (torch.zeros(9, 6), torch.zeros(4, 6)))
    assert compare(Wanted("same", new, count=1, like=(f"{examples.__name__}:twins",))) == DEVIATES
    printed = capsys.readouterr().out
    deviates = "new red C1 GRUCell gradient of input outside its bound: v1 gru_cell i6 h24 t1 n"
    (deviation,) = [line for line in printed.splitlines() if deviates in line]
    assert words in deviation.split(), printed
    assert f"{files} of 6 of the old one's load" in printed, printed
    assert all(f"times one grad: v1 gru_cell i6 h24 t1 n{rows} " in printed for rows in (4, 9)), printed


def test_a_model_that_cannot_be_had_is_one_line(capsys):
    assert compare(narrowed("same", "same", like=("nowhere:build",))) == USAGE
    assert capsys.readouterr().err.startswith("python -m conformance compare: nowhere:build: importing nowhere raised")


def test_a_model_whose_import_hangs_is_one_line_within_the_documented_limit(tmp_path, monkeypatch, capsys):
    (tmp_path / "hanging.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert f"is not built after {loading.LIMIT_SECONDS:g} s" in (DOCS / "compare.md").read_text(encoding="utf-8")
    monkeypatch.setattr(loading, "LIMIT_SECONDS", 0.2)
    assert compare(narrowed("same", "same", like=("hanging:build",))) == USAGE
    said = capsys.readouterr().err
    assert said.startswith("python -m conformance compare: hanging:build is not built after 0.2 s; it stood at ")
    assert said.count("\n") == 1


def test_an_interpreter_that_cannot_run_is_one_line(capsys):
    assert compare(narrowed("same", "none")) == USAGE
    assert capsys.readouterr().err == (
        "python -m conformance compare: none: it cannot import torch: No module named 'torch'\n"
    )


def test_a_file_of_waivers_that_cannot_be_read_is_one_line(tmp_path, capsys):
    assert compare(narrowed("same", "same", known=(tmp_path / "none.toml",))) == USAGE
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("given", [["--cases", "0"], ["--cases", "many"], ["--cell", "no"], ["--seed", "-1"]])
def test_wrong_options_are_one_line(given, capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.main(["compare", "a", "b", *given])
    assert ended.value.code == USAGE
    assert capsys.readouterr().err.count("\n") == 1


def test_the_subject_is_pytorchs_own():
    assert sides.Side("same", machine.build()).subject.texts == torch_nn().texts
