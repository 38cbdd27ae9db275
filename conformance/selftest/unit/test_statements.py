"""Kernels that say what they can do are asked that, all of it, and nothing else."""

import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import Phase

import conformance
from conformance.clauses import CLAUSES, REMARK
from conformance.harness import session
from conformance.harness.execution import subject
from conformance.harness.execution.callables import Applied
from conformance.harness.findings.recorder import node as node_of
from conformance.harness.property import properties
from conformance.harness.pytest_plugin.output.report import findings_of
from conformance.harness.reports.calls.classes import Classes
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.session import Session
from conformance.judging.errors import CheckError
from conformance.selftest import trial
from conformance.selftest.implementations.plain import Plain
from conformance.selftest.implementations.restricted import RESTRICTIONS, Restricted, Wrong, restricted
from conformance.selftest.trial import findings_by
from reference.problem import GRU, LSTM
from strategies import Case, parse, stated

ROOT = Path(__file__).parents[3]

ASKED = (
    "test_results_lie_within_their_error_bound",
    "test_packed_results_lie_within_their_error_bound",
    "test_unbatched_states_have_no_axis_of_the_batch",
    "test_gradients_lie_within_their_error_bound",
    "test_call_is_its_first_steps_and_the_rest_from_the_states_they_returned",
)
"""Properties that between them use every feature."""

BY_NAME = {tested.name: tested for tested in properties()}


def come_to(judged, names=ASKED, cell=LSTM):
    """By the name of each property, what it found red, or why it was not asked; "" where it conforms."""
    told = dict[str, str]()
    with session.nested(Session(judged)) as here:
        for name in names:
            asked = BY_NAME[name].within(judged.statement(cell), cell)
            if isinstance(asked, str):
                told[name] = asked
                continue
            told[name] = one_that_fails(asked, cell) or here.nothing_asked(node_of(name, cell))
    return told


def one_that_fails(asked, cell):
    """The text of what a property finds red."""
    try:
        asked.test(cell, hypothesis.settings(trial.settings("few"), phases=[Phase.generate]), 0)(cell=cell)
    except Exception as error:
        return findings_of(error, None)[0].text()
    return ""


@pytest.mark.parametrize("name", RESTRICTIONS)
def test_kernel_is_asked_what_it_states_and_a_fault_in_it_is_found(name):
    told = come_to(restricted(name))
    assert not [text for text in told.values() if text.startswith("RED")]
    assert sum(not text for text in told.values()) >= 2
    assert come_to(restricted(name, Wrong), ASKED[:1])[ASKED[0]].startswith("RED  B1")


def test_what_is_stated_as_possible_and_refused_is_red():
    refusing = restricted("no packed input")
    claims = replace(refusing, stated={LSTM: stated.read({"packed": True})})
    asked = ("test_packed_results_lie_within_their_error_bound",)
    assert come_to(refusing, asked) == {asked[0]: "packed: False"}
    assert "NotImplementedError: not this call" in come_to(claims, asked)[asked[0]]
    nothing = replace(refusing, stated={})
    assert come_to(nothing, asked) == {asked[0]: "packed sequences: rejected even in the smallest call"}


def test_claim_that_is_too_modest_is_a_remark_and_a_true_one_is_not():
    (tested,) = (one for one in properties() if one.clause.id == "A7")
    modest = replace(subject.of(Plain, ()), classes=restricted("batch first").classes)
    modest = replace(modest, stated={LSTM: stated.read({"batch_first": True, "layers": {"max": 2}})})
    found = list(findings_by(tested, modest, (LSTM,), 0))
    assert [(one.severity, one.kind) for one in found] == [(REMARK, "layers: max 2")]
    for name in RESTRICTIONS:
        assert not list(findings_by(tested, restricted(name), (LSTM,), 0)), name


# Constructors, functions, instances


class Narrow(torch.nn.Module):
    """Takes neither a device nor what it cannot do."""

    conformance = {"batch_first": True, "layers": 1, "bidirectional": False, "proj_size": False, "dropout": False}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, bias):
        super().__init__()
        self.inner = torch.nn.LSTM(input_size, hidden_size, bias=bias, batch_first=True)
        for name, parameter in self.inner.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, input, hx=None):
        return self.inner(input, hx)


def test_constructor_takes_no_device_nor_what_is_stated_to_be_the_only_value():
    judged = subject.of(Narrow, (LSTM,))
    module = judged.drawn(Case(3, 4, layout=("bf",)).architecture(LSTM), "float64", "meta")
    assert {(one.dtype, one.device.type) for one in module.parameters()} == {(torch.float64, "meta")}
    with pytest.raises(TypeError, match="num_layers"):
        judged.drawn(Case(3, 4, num_layers=2, layout=("bf",)).architecture(LSTM), "float32", "cpu")
    assert not come_to(judged, ("test_results_lie_within_their_error_bound",))[ASKED[0]]


class Passing(torch.nn.Module):
    """Hands its arguments on to a constructor that takes no device."""

    def __init__(self, *given, **named):
        super().__init__()
        self.made = Narrow(*given, **named)


def test_constructor_that_hands_its_arguments_on_to_one_without_a_device():
    judged = subject.of(Passing, (LSTM,), "passing")
    with pytest.raises(TypeError, match="num_layers"):
        judged.drawn(Case().architecture(LSTM), "float64", "cpu")


def step(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(torch.nn.functional.linear(x, w_ih, b_ih) + torch.nn.functional.linear(h, w_hh, b_hh))


def of_list(x, hx, weights):
    h = x.new_zeros(x.shape[1], weights[1].shape[1]) if hx is None else hx[0]
    outputs = []
    for t in range(len(x)):
        h = step(x[t], h, *weights, *([None] * (4 - len(weights))))
        outputs.append(h)
    return torch.stack(outputs), h[None]


def of_names(x, hx, weight_hh_l0, weight_ih, bias_hh, bias_ih, *, hidden_size, training):
    assert weight_hh_l0.shape == (hidden_size, hidden_size)
    return of_list(x, hx, [weight_ih, weight_hh_l0, *([] if bias_ih is None else [bias_ih, bias_hh])])


def one_after_the_other(x, hx, *weights):
    return of_list(x, hx, weights)


OF_ONE_LAYER = {"layers": 1, "bidirectional": False, "batch_first": False, "packed": False, "unbatched": False}
FUNCTIONS: tuple[Any, ...] = (of_list, of_names, one_after_the_other)
for _function in FUNCTIONS:
    _function.conformance = OF_ONE_LAYER | {"dropout": False}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_of_weights_is_a_subject(function):
    judged = subject.of(function, ("rnn_tanh",))
    assert isinstance(judged.drawn(Case(2, 3).architecture("rnn_tanh"), "float32", "cpu"), Applied)
    told = come_to(judged, cell="rnn_tanh")
    assert not [text for text in told.values() if text.startswith("RED")]
    assert not told["test_results_lie_within_their_error_bound"]


def test_function_that_is_wrong_is_red():
    def wrong(x, hx, weights):
        output, h = of_list(x, hx, weights)
        return output * 1.01, h

    vars(wrong)["conformance"] = OF_ONE_LAYER
    assert "RED  B1" in come_to(subject.of(wrong, ("rnn_tanh",)), cell="rnn_tanh")[ASKED[0]]


def test_function_that_is_batch_first_alone_needs_no_parameter_of_that_name():
    def rows_first(x, hx, weights):
        output, h = of_list(x.transpose(0, 1), hx, weights)
        return output.transpose(0, 1), h

    unstated = subject.of(rows_first, ("rnn_tanh",))
    with pytest.raises(TypeError, match="the function takes no batch_first"):
        unstated.drawn(parse("v1 rnn_tanh i2 h3 t1 bf float32")[0].architecture("rnn_tanh"), "float32", "cpu")
    vars(rows_first)["conformance"] = OF_ONE_LAYER | {"batch_first": True, "dropout": False}
    told = come_to(subject.of(rows_first, ("rnn_tanh",)), cell="rnn_tanh")
    assert not [text for text in told.values() if text.startswith("RED")]
    assert not told["test_results_lie_within_their_error_bound"]


class NamedTwice(torch.nn.Module):
    """Has the documented parameters, the last first, and each by a second name."""

    def __init__(self, *given, **named):
        super().__init__()
        self.inner = torch.nn.LSTM(*given, **named)
        for name, parameter in reversed(list(self.inner.named_parameters())):
            self.register_parameter(name, parameter)

    def forward(self, input, hx=None):
        return self.inner(input, hx)


@pytest.mark.parametrize("operation", ["forward", "state_dict", "freeze"])
def test_life_cycle_asks_torch_nn_alone_for_the_order_of_names_and_nobody_for_names_of_their_own(operation):
    name = f"test_module_is_its_weights_after[{operation}]"
    told = come_to(subject.of(NamedTwice, (LSTM,)), (name,))
    assert told == {name: ""}


def test_function_that_returns_modules_is_a_constructor():
    def made(*given, **named):
        return torch.nn.GRU(*given, **named)

    assert isinstance(subject.of(made, (GRU,)).drawn(Case().architecture(GRU), "float32", "cpu"), torch.nn.GRU)


def test_no_script_constructs_a_function(tmp_path, monkeypatch):
    (tmp_path / "kernel_of_weights.py").write_text("def rnn(x, hx, weights): return x, x[:1]\n")
    monkeypatch.syspath_prepend(tmp_path)
    options = "--subject rnn_tanh=kernel_of_weights:rnn"
    finding: Any = SimpleNamespace(subject="kernel_of_weights:rnn", options=options, cell="rnn_tanh")
    with pytest.raises(NoScript, match="is a function or an instance, and has no constructor"):
        Classes.of(finding)


def test_instance_is_asked_at_its_own_sizes_and_stays_as_it_was():
    instance = torch.nn.GRU(3, 5, num_layers=2, bias=False, batch_first=True, bidirectional=True)
    before = {name: one.detach().clone() for name, one in instance.named_parameters()}
    judged = subject.of(instance, (GRU,))
    told = judged.statement(GRU)
    sizes = {name: list(values) for name, values in told.sizes.items()}
    assert sizes == {"input_size": [3], "hidden_size": [5], "layers": [2]}
    assert told.flags == {"bias": (False,), "bidirectional": (True,), "batch_first": (True,)}
    assert not come_to(judged, ASKED[:1], GRU)[ASKED[0]]
    assert all(torch.equal(one, before[name]) for name, one in instance.named_parameters())


class Scaled(torch.nn.GRU):
    def forward(self, input, hx=None):
        output, h_n = super().forward(input, hx)
        return output * 1.001, h_n


def test_instance_that_is_wrong_is_red():
    assert "RED  B1" in come_to(subject.of(Scaled(2, 3), (GRU,)), ASKED[:1], GRU)[ASKED[0]]


# Clauses A3, A4 and A6


class BatchFirst(Plain):
    """Behaves exactly like nn.LSTM, but for a default."""

    def __init__(self, cell, input_size, hidden_size, num_layers=1, bias=True, batch_first=True, **more):
        super().__init__(cell, input_size, hidden_size, num_layers, bias, batch_first, **more)


def test_other_default_of_a_constructor_with_every_argument_is_red_and_one_without_is_not_asked():
    def made(*given, **named):
        return BatchFirst.made(LSTM, *given, **named)

    asked = "test_arguments_mean_the_same[left_out]"
    assert BY_NAME[asked].clause.id == "A6"
    assert "RED" in come_to(subject.of(made, (LSTM,)), (asked,))[asked]
    assert come_to(subject.of(Narrow, (LSTM,)), (asked,)) == {asked: "no constructor with every argument of LSTM"}


@pytest.mark.parametrize("id", ["A3-order", "A4-repr"])
def test_remarks_on_repr_and_order_bind_torch_nn_alone(id):
    assert CLAUSES[id].severity == REMARK
    assert not CLAUSES[id].binds_subject("mine")


# What a subject raises


class Raises(Restricted):
    def refuses(self, x, hx):
        return self.deep(3)

    def deep(self, more):
        return self.deep(more - 1) if more else {"here": 0}["missing"]


def test_exception_shows_the_frames_of_the_subject_and_none_of_the_suite():
    def made(*given, **named):
        return Raises.made(LSTM, *given, **named)

    judged = replace(subject.of(made, (LSTM,)), stated={LSTM: stated.read({"dtypes": ["float32"]})})
    text = come_to(judged, ASKED[:1])[ASKED[0]]
    assert "KeyError: 'missing'" in text
    assert re.findall(r"^  at ([\w.]+):\d+ in (\w+)$", text, re.M) == [
        ("restricted.py", "forward"),
        *[("test_statements.py", "deep")] * 3,
    ]


class LeavesInferenceTensors(torch.nn.LSTM):
    def forward(self, input, hx=None):
        result = super().forward(input, hx)
        if torch.is_inference_mode_enabled():
            for name, one in list(self.named_parameters()):
                self._parameters[name] = torch.nn.Parameter(one.clone(), requires_grad=False)
        return result


def test_parameters_that_a_subject_left_as_inference_tensors_are_its_finding():
    judged = subject.of(LeavesInferenceTensors, (LSTM,))
    name = "test_results_do_not_hang_on_what_requires_a_gradient"
    assert "its parameters, made ready for another call" in come_to(judged, (name,))[name]


# Statements on the command line


def run(folder, text, *arguments):
    """A run of chapter B on the module mine: exit code and output, its blanks as one."""
    (folder / "mine.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--effort", "smoke"]
    command += ["--no-reports", *arguments, str(ROOT / "conformance" / "test_numbers.py")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


STATES = """
import conformance
import torch
class LSTM(torch.nn.LSTM):
    conformance = {}
"""

FEW = ("-k", "test_results_lie or test_packed_results or test_projected_results", "--cell", "lstm")


def test_verdict_counts_what_was_not_asked_and_tells_each_clause_and_cell(tmp_path):
    code, text = run(tmp_path, STATES.format({"packed": False}), "--subject", "lstm=mine:LSTM", *FEW)
    assert code == 0, text
    assert "PASS mine:LSTM on torch" in text
    assert " 3 properties, " in text
    assert "1 of 3 properties not asked" in text
    assert "CLAUSE LSTM B1 conforms 2/3 " in text
    assert "LACKS 1 property left out: not asked: packed: False" in text
    assert "2 passed, 1 skipped" in text


def test_run_of_which_nothing_can_be_asked_is_not_green(tmp_path):
    states = STATES.format({"packed": False, "proj_size": False})
    given = ("--subject", "lstm=mine:LSTM", "--cell", "lstm", "-k", "packed_results or projected_results")
    code, text = run(tmp_path, states, *given)
    assert code == 1, text
    assert "NOTHING was tested. This run says nothing about mine:LSTM; nothing of it could be asked" in text


ONE_LINE = {
    "unknown key": ({"hidden": 3}, "lstm=mine:LSTM: `conformance` has no key 'hidden'; "),
    "wrong type": ({"packed": 0}, "lstm=mine:LSTM: `conformance` 'packed' is True for what is possible"),
    "devices": ({"devices": ["xpu"]}, "mine:LSTM states the devices xpu, and this run has cpu; run it where they are"),
    "too large": ({"hidden_size": 9999}, "mine:LSTM: the smallest lstm that it states has "),
}


@pytest.mark.parametrize("name", ONE_LINE)
def test_statement_that_cannot_be_served_is_one_line_and_exit_4(name, tmp_path):
    if name == "devices" and torch.xpu.is_available():
        pytest.skip("there is such a device here")
    statement, told = ONE_LINE[name]
    code, text = run(tmp_path, STATES.format(statement), "--subject", "lstm=mine:LSTM", *FEW)
    assert code == 4, text
    assert f"ERROR: --subject {told}" in text
    assert "Traceback" not in text


def test_case_beyond_the_statement_is_one_line(tmp_path):
    case = ("--case", "v1 lstm i1 h1 t1, float32 fill=dyadic")
    code, text = run(tmp_path, STATES.format({"packed": False}), "--subject", "lstm=mine:LSTM", *case)
    assert code == 4, text
    assert "--case: mine:LSTM states packed: False; change the case, or what it states" in text


def test_statement_of_a_class_is_added_to_that_of_its_module(tmp_path, monkeypatch):
    lines = ["import torch", "conformance = {'packed': False, 'layers': 2}", "GRU = torch.nn.GRU"]
    lines += ["class LSTM(torch.nn.LSTM):", "    conformance = {'layers': 1}"]
    (tmp_path / "stating_kernels.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    judged = subject.named(["stating_kernels"])
    assert {cell: sorted(one.sizes["layers"].only) for cell, one in judged.stated.items()} == {"lstm": [1], "gru": [2]}
    assert all(one.features == {"packed": False} for one in judged.stated.values())


def test_module_that_imports_the_suite_states_nothing(tmp_path, monkeypatch):
    (tmp_path / "importing_kernels.py").write_text("import torch, conformance\nGRU = torch.nn.GRU\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert subject.named(["importing_kernels"]).stated == {}


# Within one's own tests


class GRUScaled(torch.nn.GRU):
    conformance = {"layers": 1}  # noqa: RUF012

    def forward(self, input, hx=None):
        output, h_n = super().forward(input, hx)
        return output * 1.001, h_n * 1.001


def test_check_raises_the_text_of_the_finding_and_leaves_threads_as_they_were():
    torch.set_num_threads(2)
    try:
        with pytest.raises(AssertionError) as raised:
            conformance.check(GRUScaled, seconds=60)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    text = str(raised.value)
    assert re.match(r"\n\n(RED|AMBER) +[A-I]\d \S* *GRU fails: ", text), text
    assert "  module   GRUScaled GRU(" in text
    assert re.search(r"^  case     v1 gru ", text, re.M)
    assert "pytest" not in text


def test_check_of_a_sound_kernel_says_what_it_came_to():
    told = conformance.check(torch.nn.LSTMCell, seconds=1.5)
    assert told.compared > 0
    assert told.cells == ("lstm_cell",)
    assert re.match(r"LSTMCell conforms as LSTMCell: [\d,]+ cases? of \d+ properties; of ", str(told))


def nameless(x, hx, weights):
    return of_list(x, hx, weights)


UNFIT = {
    "no cell": (lambda: conformance.check(nameless), "its name tells no cell; say which, as in check(kernel, 'lstm')"),
    "another cell": (lambda: conformance.check(Narrow, "lstn"), "no such cell, lstn; one of rnn_tanh"),
    "no time": (lambda: conformance.check(GRUScaled, seconds=0), "seconds=0: give a number above 0"),
    "no module": (lambda: conformance.check("no.such"), "there is no module no here"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_check_that_cannot_be_made_says_why(name):
    call, told = UNFIT[name]
    with pytest.raises(CheckError) as raised:
        call()
    assert told in str(raised.value)


# Accuracy


class Absolute(Plain):
    """Has a sigmoid that is exact to 2e-8, far from it where the value is small."""

    error = 1.9e-8

    def sigmoid(self, z):
        return torch.sigmoid(z) + self.error * torch.cos(7 * z.detach())


class SixteenTimes(Absolute):
    """Is sixteen times as far off."""

    error = 16 * Absolute.error


OF_SIGMOIDS = (
    "test_results_lie_within_their_error_bound",
    "test_every_step_of_every_layer_lies_within_its_error_bound",
    "test_gradients_lie_within_their_error_bound",
)
SAID = {"accuracy": {"sigmoid": {"relative": 8, "absolute": 2e-8}}, "dtypes": ["float32", "float64"]}


def judged_at(kind, said):
    stating = {LSTM: stated.read(said)} if said else {}
    return replace(subject.of(partial(kind.made, LSTM), (LSTM,)), stated=stating)


@pytest.mark.parametrize(
    ("kind", "said", "is_red"), [(Absolute, SAID, False), (SixteenTimes, SAID, True), (Absolute, None, True)]
)
def test_kernel_is_judged_at_the_accuracy_that_it_states(kind, said, is_red):
    told = come_to(judged_at(kind, said), OF_SIGMOIDS)
    assert any(text.startswith("RED") for text in told.values()) is is_red


@pytest.mark.parametrize(
    "accuracy",
    [{}, 3, {"tan": 1}, {"tanh": 0}, {"tanh": True}, {"sigmoid": {"absolute": 0.5}}, {"accumulation": -1}],
)
def test_accuracy_that_cannot_be_is_refused(accuracy):
    with pytest.raises(stated.StatementError):
        stated.read({"accuracy": accuracy})
