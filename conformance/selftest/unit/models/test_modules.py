"""The recurrent modules of a model: found by name, with their configuration, weights and recorded calls."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from conformance.harness.execution.tensors import array
from conformance.harness.isolation.interpreter import PLACE
from conformance.harness.models import loading
from conformance.harness.models.fleet import Fleet, fleet, merged, of_source
from conformance.harness.models.inventory import read, written
from conformance.harness.models.loading import LikeError
from conformance.harness.models.recording import Recorded, recorded
from conformance.selftest.unit.models import examples
from strategies import Case, parse
from strategies.configurations import Configuration
from strategies.weights import Weights

EXAMPLES = examples.__name__


def lines(source):
    """The case line of each module by its name, and what is said of modules."""
    found, left = of_source(f"{EXAMPLES}:{source}")
    return {one.name: one.case.line(one.cell) for one in found}, {one.name: one.reason for one in left}


def test_module_is_named_by_its_path_and_has_the_sizes_of_the_example():
    found, left = lines("tagger")
    assert found == {"encoder.rnn": "v1 lstm i12 h20 t9,4,6,1 bi bf nohx float32 fill=initial"}
    assert left == {}


def test_every_kind_of_module_is_taken_or_named(monkeypatch):
    monkeypatch.delattr(examples, "example")
    found, left = lines("odd")
    assert found == {
        "doubling": "v1 gru i3 h4 t20 n8 float32 fill=initial",
        "rnn": "v1 rnn_relu i3 h4 t20 l2 n8 drop float32 fill=initial",
        "narrow": "v1 lstm i3 h4 p2 t20 n8 bfloat16 fill=initial",
        "halved": "v1 gru i3 h5 t20 n8 float32 fill=initial",
        "tied": "v1 rnn_tanh i4 h4 t20 l2 n8 float32 fill=initial",
    }
    assert left.keys() == {"doubling", "again", "scripted", "mixed", "quantized"}
    assert "a forward of its own" in left["doubling"]
    assert left["again"] == "the same module as rnn"
    assert "float32, float64" in left["mixed"]
    assert "quantized" in left["quantized"]
    assert "scripted" in left["scripted"]


def test_cells_are_taken_with_the_rows_of_the_call(monkeypatch):
    monkeypatch.setattr(examples, "example", lambda: torch.zeros(5, 3, 6))
    assert lines("policy")[0] == {
        "first": "v1 gru_cell i6 h24 t1 n3 float32 fill=initial",
        "second": "v1 lstm_cell i24 h24 t1 n3 nobias nohx float32 fill=initial",
    }


@pytest.mark.parametrize("name", ["halved", "tied"])
def test_parametrized_and_tied_weights_are_those_that_the_module_computes_with(name, monkeypatch):
    monkeypatch.delattr(examples, "example")
    found = {one.name: one for one in of_source(f"{EXAMPLES}:odd")[0]}[name]
    module = getattr(loading.model(f"{EXAMPLES}:odd"), name)
    problem = parse(found.case.line(found.cell))[0]
    case = type(problem)(**vars(problem) | {"weights": found.weights})
    parameters = case.on(found.cell).parameters
    for parameter in case.architecture(found.cell).parameter_shapes():
        assert np.array_equal(parameters[parameter], array(getattr(module, parameter)))


@pytest.mark.parametrize(
    ("module", "given", "call"),
    [
        (torch.nn.GRU(2, 3), (torch.zeros(5, 4, 2),), Recorded(4, 5, states=False)),
        (torch.nn.GRU(2, 3, batch_first=True), (torch.zeros(5, 4, 2), torch.zeros(1, 5, 3)), Recorded(5, 4)),
        (torch.nn.GRU(2, 3), (torch.zeros(5, 2),), Recorded(1, 5, states=False, unbatched=True)),
        (torch.nn.GRUCell(2, 3), (torch.zeros(5, 2),), Recorded(5, 1, states=False)),
    ],
)
def test_call_is_recorded_with_its_rows_steps_and_states(module, given, call):
    assert recorded(module, given, "a:b") == {"": [call]}
    assert not module._forward_pre_hooks
    assert module.training


REFUSED = [
    ("linear", "no nn.RNN, LSTM, GRU or Cell"),
    ("raises", r"RuntimeError: no \x1b[31mfile here"),
    ("needs", "a function that needs no arguments"),
    ("number", "returned int; return the model"),
    ("NOTHING", "is no function and no module"),
    ("absent", "the module has no absent"),
]


@pytest.mark.parametrize(("name", "said"), REFUSED)
def test_model_that_cannot_be_used_is_named_in_one_line_with_the_remedy(name, said, monkeypatch):
    monkeypatch.delattr(examples, "example")
    with pytest.raises(LikeError) as caught:
        fleet([f"{EXAMPLES}:{name}"])
    text = str(caught.value)
    assert said in text
    assert f"{EXAMPLES}:{name}" in text
    assert text.isprintable()


@pytest.mark.parametrize("text", ["no_such_package:build", "torch", "a b:c", "torch.nn:", "os:system('x')"])
def test_text_that_names_no_model_is_refused(text):
    with pytest.raises(LikeError):
        fleet([text])


def test_example_that_does_not_fit_the_model_is_named(monkeypatch):
    monkeypatch.setattr(examples, "example", lambda: torch.zeros(2))
    with pytest.raises(LikeError, match="examples:example: the model raised"):
        fleet([f"{EXAMPLES}:policy"])


def test_inventory_holds_case_lines_alone_and_reads_back(tmp_path):
    found, left = of_source(f"{EXAMPLES}:tagger")
    path = tmp_path / "model.toml"
    path.write_text(written(found, left))
    assert path.read_text().splitlines()[1:] == [
        "[modules]",
        '"encoder.rnn" = "v1 lstm i12 h20 t9,4,6,1 bi bf nohx float32 fill=initial"',
    ]
    assert [(one.name, one.key) for one in read(path)] == [(one.name, one.key) for one in found]


BAD_FILES = [
    ("[modules]\n", "a case line for each module"),
    ("[other]\nx = 1\n", "a case line for each module"),
    ("[modules]\na = 'v1 lstm i3 h4'\n[more]\nb = 1\n", "nothing else"),
    ("[modules]\na = 3\n", "a: give a case line"),
    ("[modules]\na = 'v1 lstm hx4'\n", "a: word 3 of the case line"),
    ("[modules]\na = 'v1 i3 h4'\n", "a: the case line names no cell"),
    ("[modules]\na = 'v1 gru i3 h4 weights=b'\n", "a: an inventory has no weights"),
    ("modules", "write it again"),
]


@pytest.mark.parametrize(("text", "said"), BAD_FILES)
def test_file_that_is_no_inventory_is_named_with_its_entry(text, said, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(LikeError) as caught:
        fleet([str(path)])
    assert said in str(caught.value)
    assert "bad.toml" in str(caught.value)


@pytest.fixture
def forty(tmp_path):
    """Inventories of forty models that have ten distinct configurations."""
    paths = [tmp_path / f"model{number}.toml" for number in range(40)]
    for number, path in enumerate(paths):
        path.write_text(f"[modules]\nrnn = 'v1 lstm i3 h{4 + number % 10} n2 t5 fill=initial'\n")
    return list(map(str, paths))


def test_forty_inventories_of_ten_configurations_are_ten(forty):
    found = fleet(forty).configurations
    assert [one.case.hidden_size for one in found] == list(range(4, 14))
    assert {len(one.modules) for one in found} == {4}


def collected(inventories):
    """The ids of the tests that a run with these collects, in alphabetical order: each run has its own."""
    like = [f"--like={one}" for one in inventories]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        *like,
    ]
    done = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, timeout=100, check=True)
    return sorted(line for line in done.stdout.splitlines() if "::" in line)


@pytest.mark.thorough("two collections of a thousand tests")
def test_forty_inventories_of_ten_configurations_cost_as_many_tests_as_ten(forty):
    of_ten = collected(forty[:10])
    assert len(of_ten) > 10 * 50
    assert collected(forty) == of_ten


def test_equal_configurations_keep_every_name():
    case = Case(3, 4)
    twice = [Configuration("gru", case, ((model, "rnn"),)) for model in ("a", "b")]
    assert [one.modules for one in merged(twice)] == [(("a", "rnn"), ("b", "rnn"))]
    assert len(merged([twice[0], Configuration("lstm", case, (("b", "rnn"),))])) == 2


HANGS = """
import time

def wait():
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass

"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timer that interrupts")
@pytest.mark.parametrize(("rest", "line"), [("wait()", 7), ("def build():\n    wait()", 7)])
def test_model_that_hangs_is_named_in_one_line_with_the_place(rest, line, tmp_path, monkeypatch):
    name = f"hangs{len(rest)}"
    (tmp_path / f"{name}.py").write_text(HANGS + rest)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loading, "LIMIT_SECONDS", 0.2)
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(LikeError) as caught:
        fleet([f"{name}:build"])
    where = f"{tmp_path / name}.py, line {line}"
    assert str(caught.value) == (
        f"{name}:build is not built after 0.2 s; it stood at {where}; let it do without a network, a lock or input"
    )
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_case_line_with_weights_needs_the_model():
    case = parse("v1 lstm i12 h20 bi bf weights=encoder.rnn")[0]
    with pytest.raises(LikeError, match="as --like package"):
        fleet([]).armed(case)
    armed = fleet([f"{EXAMPLES}:tagger"]).armed(case)
    assert armed == case
    assert armed.weights is not None
    assert set(armed.weights.arrays) == set(case.architecture("lstm").parameter_shapes())


def test_each_distinct_call_of_a_module_is_kept_the_largest_first(monkeypatch):
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.GRU(2, 3, batch_first=True)

        def forward(self, *given):
            return [self.rnn(one) for one in given]

    given = [torch.zeros(rows, steps, 2) for rows, steps in ((1, 3), (4, 9), (4, 9), (2, 5))]
    calls = recorded(Twice(), tuple(given), "a:b")["rnn"]
    assert [(call.rows, call.steps) for call in calls] == [(4, 9), (2, 5), (1, 3)]
    many = recorded(Twice(), tuple(torch.zeros(1, steps, 2) for steps in range(1, 20)), "a:b")["rnn"]
    assert [call.steps for call in many] == [19, 15, 10, 6, 1]
    monkeypatch.setattr(examples, "example", lambda: tuple(given))
    monkeypatch.setattr(examples, "twice", Twice, raising=False)
    ((one,), _) = of_source(f"{EXAMPLES}:twice")
    assert [(case.batch_size, case.steps) for case in (one.case, *one.calls)] == [(4, 9), (2, 5), (1, 3)]


def test_inventory_may_hold_several_calls_of_a_module(tmp_path):
    path = tmp_path / "model.toml"
    path.write_text("[modules]\nrnn = ['v1 gru i3 h4 t5 n2', 'v1 gru i3 h4 t30,7']\n")
    (one,) = read(path)
    assert [case.line("gru") for case in (one.case, *one.calls)] == [
        "v1 gru i3 h4 t30,7 float32 fill=initial",
        "v1 gru i3 h4 t5 n2 float32 fill=initial",
    ]
    path.write_text(written([one], []))
    assert read(path) == [one]
    path.write_text("[modules]\nrnn = ['v1 gru i3 h4 t5 n2', 'v1 gru i3 h5 t5']\n")
    with pytest.raises(LikeError, match="differ in n, t, nohx and unb alone"):
        read(path)


def test_weights_of_equal_modules_are_all_kept_and_equal_ones_once():
    def weights(model, value):
        return Weights("rnn", {"weight": np.full(2, value)}, model)

    given = [("a", 1.0), ("b", 2.0), ("c", 1.0)]
    found = [Configuration("gru", Case(3, 4), ((m, "rnn"),), weights(m, value)) for m, value in given]
    (one,) = merged(found)
    assert [(w.name, w.model) for w in one.every_weights] == [("rnn", "a"), ("b:rnn", "b")]
    models = Fleet(("a", "b", "c"), (one,))
    armed = models.armed(Case(3, 4, weights=Weights("b:rnn")))
    assert armed.weights is not None
    assert armed.weights.arrays["weight"].tolist() == [2.0, 2.0]
    assert models.option("rnn", armed.weights) == "--like b"
    assert models.option("rnn") == "--like a"


def test_inventory_that_is_nested_or_too_large_or_no_regular_file_is_refused_in_a_line(tmp_path):
    path = tmp_path / "m.toml"
    for text, said in ((f"a = {'[' * 5000}{']' * 5000}", "too deep"), ("#" * 1_000_001, "larger than 1,000,000 bytes")):
        path.write_text(text)
        with pytest.raises(LikeError, match=said):
            read(path)
    with pytest.raises(LikeError, match="not a regular file; name a file that"):
        read(tmp_path)
