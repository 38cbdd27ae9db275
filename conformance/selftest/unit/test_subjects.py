"""Any subject: how it is named, what it may lack, and what the axes of the command line leave of a run."""

import contextlib
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from conformance.clauses import CLAUSES
from conformance.harness import session
from conformance.harness.checks.bounds import from_inputs
from conformance.harness.checks.values import assert_within
from conformance.harness.execution import subject
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.execution.requests.request import InProcess
from conformance.harness.execution.routes import CONSTRUCTOR, ROUTES, UNREAL_ROUTES
from conformance.harness.execution.subject import Subject
from conformance.harness.findings.deviation import Deviation
from conformance.harness.observe import observe
from conformance.harness.property import Property, properties
from conformance.harness.pytest_plugin import options
from conformance.harness.pytest_plugin.output import summary
from conformance.harness.pytest_plugin.output.report import Report
from conformance.harness.session import Session
from conformance.harness.support import FEATURES, features, smallest
from conformance.selftest import trial
from conformance.selftest.implementations import plain
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH
from strategies import Case, cases

ROOT = Path(__file__).parents[3]
ADAPTER = "conformance.adapters.quantizable_lstm"


def read(**given):
    """The options of a command line that gives these alone."""
    axes = {f"{axis}s": given.get(axis, []) for axis in ("cell", "device", "dtype", "route")}
    return options.read(
        "smoke", given.get("subject", []), given.get("case"), known=given.get("known", []), no_stale=False, **axes
    )


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes a module for as long as the test lasts, and gives its name, which no other test has."""
    monkeypatch.syspath_prepend(tmp_path)
    written: list[str] = []

    def write(text):
        written.append(f"own_{tmp_path.name}_{len(written)}")
        (tmp_path / f"{written[-1]}.py").write_text(text)
        return written[-1]

    yield write
    for name in written:
        sys.modules.pop(name, None)


TWO_CLASSES = """
import torch
class LSTM(torch.nn.LSTM): pass
class RNN(torch.nn.RNN): pass
GRU = "not a class"
"""


def test_module_gives_the_documented_classes_that_it_has(modules):
    name = modules(TWO_CLASSES)
    judged = subject.named([name])
    assert judged.name == name
    assert set(judged.classes) == {RNN_TANH, RNN_RELU, LSTM}
    assert judged.lacking == (GRU, "rnn_tanh_cell", "rnn_relu_cell", "lstm_cell", "gru_cell")


def test_classes_of_any_name_are_given_cell_by_cell(modules):
    name = modules("import torch\nclass Mine(torch.nn.LSTM): pass\nclass Kit:\n    Simple = torch.nn.RNN\n")
    judged = subject.named([f"lstm={name}:Mine", f"rnn={name}:Kit.Simple", "gru_cell=torch.nn:GRUCell"])
    assert judged.name == f"{name}:Mine+{name}:Kit.Simple+torch.nn:GRUCell"
    assert set(judged.classes) == {LSTM, RNN_TANH, RNN_RELU, "gru_cell"}


def test_only_torch_nn_itself_is_judged_by_what_was_measured_of_it():
    assert subject.named(["torch.nn"]).name == subject.torch_nn().name == subject.TORCH_NN
    assert subject.named(["lstm=torch.nn:LSTM"]).name != subject.TORCH_NN


@pytest.mark.parametrize(
    ("given", "named", "remedy"),
    [
        ({"subject": ["no_such.module"]}, "there is no module no_such here", "run from the folder"),
        ({"subject": ["torch.no_such"]}, "there is no module torch.no_such here", "or install it"),
        ({"subject": ["json"]}, "json has none of RNN, LSTM, GRU", "lstm=json:Name"),
        ({"subject": ["torch.nn:LSTM"]}, "say which cell", "lstm=torch.nn:LSTM"),
        ({"subject": ["own/lstm.py"]}, "own/lstm.py is no name of a module", "pkg.module"),
        ({"subject": ["mlp=torch.nn:LSTM"]}, "no such cell, mlp", "one of rnn_tanh, rnn_relu, lstm, gru"),
        ({"subject": ["lstm=torch.nn:Lstm"]}, "torch.nn has no Lstm", "name a class that it has"),
        ({"subject": ["lstm=torch.nn"]}, "name the class too", "lstm=torch.nn:Name"),
        ({"subject": ["lstm=torch:__version__"]}, "__version__ is no class", "name one that takes"),
        ({"subject": ["torch.nn", "lstm=torch.nn:LSTM"]}, "lstm is given already", "name each cell once"),
        ({"cell": ["mlp"]}, "--cell mlp", "rnn_tanh, rnn_relu, lstm, gru"),
        ({"cell": ["gru"], "subject": ["lstm=torch.nn:LSTM"]}, "--cell gru", "it has lstm"),
        ({"dtype": ["float8"]}, "--dtype float8", "one of float32, float64, float16, bfloat16"),
        ({"route": ["jit"]}, "--route jit", "no_mkldnn, inference_mode, frozen, input_grad, meta, fake"),
        ({"dtype": ["float64"], "case": "v1 lstm float16"}, "float16 is none of --dtype float64", "leave --dtype out"),
    ],
)
def test_option_that_cannot_be_served_names_it_and_the_remedy_on_one_line(given, named, remedy):
    with pytest.raises(options.OptionError) as raised:
        read(**given)
    assert named in str(raised.value)
    assert remedy in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise ValueError('red\\x1b[31m\\nand more')", r"ValueError: red\x1b[31m and more"),
        ("def __getattr__(name): raise LookupError('not today')", "LookupError: not today"),
    ],
)
def test_whatever_an_import_raises_becomes_one_line(text, told, modules):
    with pytest.raises(options.OptionError) as raised:
        read(subject=[modules(text)])
    assert told in str(raised.value)
    assert "has to work first" in str(raised.value)
    assert str(raised.value).isprintable()


OTHER_NAMES = """
from torch.ao.nn.quantizable import LSTM
"""
OTHER_SHAPE = """
import torch
def LSTM(input_size, hidden_size, **others):
    return torch.nn.LSTM(input_size, 2 * hidden_size, **others)
"""
NOTHING_WORKS = """
class LSTM:
    def __init__(self, *args, **kwargs):
        raise OSError("no licence")
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OTHER_NAMES, ("weight_ih_l0: absent, documented (4, 1)", "layers.0.layer_fw.cell.igates.weight (4, 1)")),
        (OTHER_SHAPE, ("weight_ih_l0: (8, 1), documented (4, 1)",)),
    ],
)
def test_subject_with_other_parameters_is_shown_the_way_to_an_adapter(text, told, modules):
    chosen = read(subject=[modules(text)])
    with pytest.raises(options.OptionError) as raised:
        chosen.session()
    assert all(part in str(raised.value) for part in (*told, "conformance/adapters/quantizable_lstm.py"))


def test_subject_that_refuses_everything_cannot_be_judged(modules):
    chosen = read(subject=[modules(NOTHING_WORKS)])
    with pytest.raises(options.OptionError, match=r"every call of size 1 in float32.* raises OSError: no licence"):
        chosen.session()


INHERITS = """
import torch

class GRU(torch.nn.GRU):
    pass
"""

CALLS = """
import torch

class GRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        return super().forward(input, hx)
"""


def test_known_deviations_hold_for_calls_that_are_inherited_and_others_have_those_of_packing_alone(modules):
    every = read().known
    assert {entry.clause for entry in every} > {"E4"}
    assert read(subject=["lstm=torch.nn:LSTM"]).known == every
    assert read(subject=[modules(INHERITS)]).known == every
    kept = read(subject=[modules(CALLS)]).known
    assert {entry.clause for entry in kept} == {"E4", "J1", "J2"}
    assert all(entry.clause == "E4" or "utility" in entry.test for entry in kept)


def body(case, cell):
    for seen in observe(case.on(cell)):
        assert_within(seen, from_inputs)


def look(judged, case, **more):
    """The session in which a property of B1 looked at one LSTM case. Raises Deviation."""
    with session.nested(Session(judged, **more)) as here:
        Property(CLAUSES["B1"], "test_own", (((LSTM,), cases()),), body).check(LSTM, case)
    return here


def left_out(here):
    """What was left out of a run, by name, and in how many calls."""
    return {row.what: row.calls for row in here.recorder.left_out()}


class Refusing(plain.Plain):
    """Refuses what `refuses`, a function of the module and the input, says; states the number of its units."""

    refuses: Any

    def forward(self, input, hx=None):
        if self.refuses(input):
            raise NotImplementedError(f"not with {self.hidden_size} units")
        return super().forward(input, hx)


def refusing(refuses, name="mine"):
    return Subject(name, {LSTM: partial(type("Mine", (Refusing,), {"refuses": refuses}), LSTM)})


REFUSALS = {
    "projection": lambda self, x: self.proj_size,
    "packed sequences": lambda self, x: not isinstance(x, torch.Tensor),
    "unbatched input": lambda self, x: isinstance(x, torch.Tensor) and x.dim() == 2,
    "bidirectional": lambda self, x: self.directions == 2,
    "several layers": lambda self, x: self.num_layers > 1,
    "bias=False": lambda self, x: not self.bias,
    "batch_first": lambda self, x: self.batch_first,
    "dropout in evaluation mode": lambda self, x: self.dropout,
}


@pytest.mark.parametrize("name", FEATURES)
def test_feature_that_the_smallest_call_is_refused_for_is_unsupported(name):
    problem = smallest(LSTM, "float32", "cpu", [name])
    assert features(problem) == (name,)
    fields = dict(FEATURES[name].fields) | {"hidden_size": 3}
    here = look(refusing(REFUSALS[name]), Case(**fields, layout=tuple(filter(None, [FEATURES[name].word]))))
    assert left_out(here) == {name: 3}
    assert here.recorder.tallies["test_own[lstm]"].vacuous_cases == 1
    assert "not with" in here.recorder.left_out()[0].message


def test_refusal_that_the_smallest_calls_do_not_explain_is_a_finding():
    with pytest.raises(Deviation, match="not with 3 units"):
        look(refusing(lambda self, x: self.directions == 2 and self.hidden_size > 1), Case(1, 3, bidirectional=True))


def test_refusal_of_two_features_that_are_each_accepted_alone_is_a_finding():
    judged = refusing(lambda self, x: self.directions == 2 and self.num_layers == 2)
    with pytest.raises(Deviation, match="NotImplementedError: not with"):
        look(judged, Case(num_layers=2, bidirectional=True))


def test_dtype_or_route_that_is_refused_is_unsupported_in_any_subject_but_torch_nn():
    judged = refusing(lambda self, x: x.dtype == torch.float64 or not torch.is_grad_enabled())
    assert left_out(look(judged, Case(dtype="float64"))) == {"float64": 3}
    assert left_out(look(judged, Case())) == {"float32": 1}
    with pytest.raises(Deviation):
        look(Subject(subject.TORCH_NN, judged.classes), Case(dtype="float64"))


def test_torch_nn_may_lack_no_feature_but_in_16_bit():
    judged = refusing(REFUSALS["batch_first"], subject.TORCH_NN)
    with pytest.raises(Deviation):
        look(judged, Case(layout=("bf",)))
    assert left_out(look(judged, Case(layout=("bf",), dtype="bfloat16"))) == {"batch_first": 3}


def test_subject_that_takes_batch_first_alone_is_judged_on_that():
    judged = refusing(lambda self, x: not self.batch_first)
    assert left_out(look(judged, Case(hidden_size=3))) == {"float32": 3}
    here = look(judged, Case(hidden_size=3, layout=("bf",), bidirectional=True))
    assert not left_out(here)
    assert here.recorder.tallies["test_own[lstm]"].elements


class Unpacked(plain.Plain):
    """Returns a padded batch for a packed one."""

    def output(self, sequence):
        return sequence


def test_wrong_parameters_and_malformed_results_are_never_excused():
    ignoring = {LSTM: lambda *args, proj_size=0, **others: torch.nn.LSTM(*args, **others)}
    with pytest.raises(Deviation, match="mismatched parameters"):
        look(Subject("mine", ignoring), Case(1, 2, proj_size=1))
    with pytest.raises(Deviation, match="malformed result"):
        look(Subject("mine", {LSTM: partial(Unpacked, LSTM)}), Case(lengths=(1,)))


def test_probes_are_made_once_and_only_of_what_fails():
    made = []

    def refuses(self, x):
        made.append(x)
        return self.batch_first

    judged = refusing(refuses)
    with session.nested(Session(judged)) as here:
        for _ in range(3):
            here.execute(Forward(Case().on(LSTM)))
        calls = 9 + 3  # the first on each route once more, to record its kernels
        assert len(made) == calls
        for _ in range(3):
            here.execute(Forward(Case(layout=("bf",)).on(LSTM)))
    assert len(made) == calls + 9 + 2 * 3


def test_routes_and_dtypes_that_are_not_asked_for_are_not_taken():
    chosen = read(route=["no_grad"], dtype=["float64"])
    with session.nested(chosen.session()) as here:
        taken = here.execute(Forward(Case(dtype="float64").on(GRU), ("grad", "no_grad", "meta")))
        assert [seen.route for seen in taken] == ["no_grad"]
        assert here.axes.dtypes == ("float64",)
        assert not here.execute(Forward(Case().on(GRU)))


class Noting(InProcess):
    """An executor that notes the routes of all calls."""

    def __init__(self):
        self.routes = set[str]()

    def execute(self, subject, request):
        self.routes |= set(getattr(request, "routes", ()))
        return super().execute(subject, request)


@pytest.mark.parametrize("asked", [("no_grad",), ("meta", "fake"), tuple(r for r in ROUTES if r not in UNREAL_ROUTES)])
def test_no_property_and_no_probe_calls_a_route_that_is_left_out(asked):
    noting = Noting()
    with session.nested(read(route=asked, dtype=["float32", "bfloat16"]).session(noting)):
        for tested in properties():
            case = Case(hidden_size=2, steps=2) if tested.draws else None
            if tested.fits(case, LSTM) if case else LSTM in tested.cells:
                with contextlib.suppress(pytest.skip.Exception):
                    tested.check(LSTM, case)
    assert noting.routes - {CONSTRUCTOR} == set(asked)


def test_subject_that_refuses_every_route_asked_for_but_takes_meta_tensors_lacks_the_dtype():
    judged = refusing(lambda self, x: x.dtype == torch.bfloat16 and x.device.type != "meta")
    here = replace(read(route=["no_grad", "meta"]), subject=judged, cells=(LSTM,)).session()
    assert "bfloat16" not in here.axes.dtypes
    assert left_out(here) == {"bfloat16": 1}


def test_adapter_gives_the_quantizable_lstm_its_documented_parameters_and_passes_on_values():
    judged = subject.named([ADAPTER])
    one_layer = cases(num_layers=1, unbatched=False, dtype="float32")
    one_direction = cases(bidirectional=False, unbatched=False, dtype="float32")
    with session.nested(Session(judged)) as here:
        for number, family in enumerate((one_layer, one_direction)):
            own = Property(CLAUSES["B1"], "test_own", (((LSTM,), family),), body)
            own.test(LSTM, trial.settings("smoke"), number)(cell=LSTM)
    assert not here.recorder.quiet_findings()
    assert here.recorder.tallies["test_own[lstm]"].elements > 1000
    for architecture in (
        Case(3, 4).architecture(LSTM),
        Case(2, 3, bidirectional=True, layout=("nobias",)).architecture(LSTM),
    ):
        module = judged.drawn(architecture, "float32", "cpu")
        assert [(n, tuple(p.shape)) for n, p in module.named_parameters()] == [*architecture.parameter_shapes().items()]


def test_summary_says_where_bounds_of_float64_are_doubled(monkeypatch):
    monkeypatch.setattr(summary, "lacks_wider_type", lambda: True)
    chosen = read(dtype=["float64"])
    text = " ".join(" ".join(summary.Summary(Report(Session(subject.torch_nn()), chosen, ()), 80).lines("7")).split())
    assert "bounds of float64 are doubled" in text


def run(folder, *arguments):
    """A run of chapter B from `folder`: exit code and output."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--effort", "smoke"]
    command += ["--no-reports", *arguments, str(ROOT / "conformance" / "test_numbers.py")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


WITHOUT_PROJECTION = """
import torch
class LSTM(torch.nn.LSTM):
    def __init__(self, *args, proj_size=0, **others):
        if proj_size:
            raise NotImplementedError("no projection\\x07 here")
        super().__init__(*args, **others)
"""


def test_class_in_the_current_folder_is_judged_and_what_it_lacks_is_listed(tmp_path):
    (tmp_path / "mine.py").write_text(WITHOUT_PROJECTION)
    code, text = run(
        tmp_path, "--subject", "mine", "-k", "(test_results_lie or test_projected_results) and not requires"
    )
    assert code == 0, text
    said = " ".join(text.split())
    rejected = r"LACKS projection \(lstm\): rejected even in the smallest call, \d+ calls left out: "
    assert re.search(rejected + r"NotImplementedError: no projection\\x07 here", said), text
    assert "LACKS 7 properties left out: no rnn_tanh, rnn_relu, gru, rnn_tanh_cell" in said
    assert ": mine has none" in said
    assert re.search(r"PASS mine on torch \S+ computes LSTM as documented", said), text
    assert re.search(r" 9 properties, \d+ s, 1 of 2 properties not asked, 7 of the properties tested", said), text


def test_run_that_tested_nothing_says_so_and_names_the_cells_that_were_asked_for(tmp_path):
    (tmp_path / "mine.py").write_text(WITHOUT_PROJECTION)
    given = ("--subject", "lstm=mine:LSTM", "-k", "test_results_lie or test_projected")
    code, text = run(tmp_path, *given, "-k", "test_results_lie and gru and not cell")
    assert code == 0, text
    assert "NOTHING was tested. This run says nothing about mine:LSTM" in text
    assert "1 property, " in text
    assert "PASS " not in text
    code, text = run(tmp_path, *given, "--cell", "lstm", "--collect-only", "-q")
    assert {line for line in text.splitlines() if "[" in line} == {
        line for line in text.splitlines() if "[lstm]" in line
    }
    assert text.count("[lstm]") == 2
