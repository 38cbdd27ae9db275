"""The runner in child processes: it gives what the runner here gives, and what ends a child is an observation."""

import os
import signal
import sys
import time

import numpy as np
import pytest

from conformance.harness import (
    answering,
    child,
    contract,
    deaths,
    packing_calls,
    plugin,
    runner,
    session,
    subject,
    ways,
)
from conformance.harness.child import ChildError, Pool
from conformance.harness.packing_calls import PackingSeen
from conformance.harness.runner import Plan
from conformance.harness.session import Session
from conformance.harness.verdict import Deviation
from reference.problem import GRU, LSTM, Architecture
from strategies import Case, losses, parse

TORCH_NN = subject.torch_nn()

DEADLY = """
import ctypes, os, signal
import torch

def die():
    how = os.environ.get("HOW", "abort")
    if how == "abort":
        os.abort()
    if how == "segfault":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(3)
    if how == "hog":
        kept = [torch.empty(2**28) for _ in range(2**16)]
    while how == "hang":
        pass

class LSTM(torch.nn.LSTM):
    def forward(self, input, hx=None):
        if not torch.is_grad_enabled():
            die()
        return super().forward(input, hx)
"""


@pytest.fixture(scope="module")
def deadly(tmp_path_factory):
    """An LSTM that dies under no_grad, in the way that the variable HOW says."""
    folder = tmp_path_factory.mktemp("deadly")
    (folder / "deadly_lstm.py").write_text(DEADLY)
    sys.path.insert(0, str(folder))
    yield subject.named(["deadly_lstm"])
    sys.path.remove(str(folder))


@pytest.fixture
def pools():
    """Makes pools and closes them."""
    made = []

    def make(**given):
        made.append(Pool(**given))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture(scope="module")
def pool():
    """One pool for all tests whose children survive."""
    made = Pool()
    yield made
    made.close()


def ask(run, judged, case, cell, plan=None):
    with session.nested(Session(judged)) as here:
        problem = case.on(cell)
        return run(judged, problem, plan or Plan(), here.judgement(problem))


def assert_equal(one, other):
    """Two observations say the same, bit for bit."""
    for mine, theirs in ((one.raw, other.raw), (one.raw_gradients, other.raw_gradients)):
        assert mine.keys() == theirs.keys()
        for name, values in mine.items():
            assert values.dtype == theirs[name].dtype
            np.testing.assert_array_equal(values, theirs[name])
    for name in ("facts", "failure", "warnings", "repacked", "text", "changed", "kernels", "layer", "step", "route"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.judgement == other.judgement
    assert one.problem.architecture == other.problem.architecture
    assert one.problem.relation == other.problem.relation
    np.testing.assert_array_equal(one.problem.input, other.problem.input)
    for parts in ("layers", "again", "steps"):
        for here, there in zip(getattr(one, parts), getattr(other, parts), strict=True):
            assert_equal(here, there)


PLANS = [
    Plan((*runner.ROUTES, runner.CONSTRUCTOR)),
    Plan(layers=True, again=True, witness=True),
    Plan(("grad",), poison=(slice(None), slice(1, None))),
    Plan(("no_grad",), stepwise=True),
]
LINES = [
    "v1 lstm i3 h4 t3 n2 bi l2 float32 fill=normal",
    "v1 gru i2 h3 t4 bf bfloat16 fill=dyadic mem=sliced seed=7",
    "v1 rnn_relu i1 h1 t2 nohx nobias float64 unb fill=uniform",
]


@pytest.mark.parametrize("way", ["", ways.GRADGRADCHECK, ways.DOUBLE_BACKWARD, ways.FUNC_IN_REVERSE])
def test_child_differentiates_as_this_process_does(way, pool):
    for lengths in ((), (2, 1)):
        case = Case(2, 2, lengths=lengths, batch_size=2, steps=2, dtype="float64")
        plan = Plan(("grad",), loss=losses.loss(case, case.on(GRU)), way=way)
        (here,), (there,) = (ask(run, TORCH_NN, case, GRU, plan) for run in (runner.run, pool.run))
        assert (here.failure is None) is not (lengths and way == ways.FUNC_IN_REVERSE)
        assert_equal(here, there)


@pytest.mark.parametrize("forking", [child.CAN_FORK, False], ids=["forked", "spawned"])
def test_child_sees_what_this_process_sees(forking, pools):
    pool = pools(forking=forking)
    for line in LINES:
        case, cell = parse(line)
        for plan in PLANS:
            if plan.stepwise and case.num_layers * (1 + case.bidirectional) > 1:
                continue
            pairs = zip(
                ask(runner.run, TORCH_NN, case, cell, plan), ask(pool.run, TORCH_NN, case, cell, plan), strict=True
            )
            for here, there in pairs:
                assert_equal(here, there)
    packed = Case(2, 3, lengths=(1, 3, 2), batch_size=3, steps=3)
    for here, there in zip(ask(runner.run, TORCH_NN, packed, LSTM), ask(pool.run, TORCH_NN, packed, LSTM), strict=True):
        assert_equal(here, there)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("abort", "killed by signal 6 (SIGABRT)"),
        ("segfault", "killed by signal 11 (SIGSEGV)"),
        ("kill", "killed by signal 9 (SIGKILL)"),
        ("exit", "ended the process with exit code 3"),
        ("hang", "did not return within 2 s"),
    ],
)
def test_death_is_the_observation_of_its_route_alone(how, said, deadly, pools):
    pool = pools(limit=2.0, environment={"HOW": how})
    grad, no_grad, *others = ask(pool.run, deadly, Case(), LSTM)
    assert grad.failure is None
    assert [other.failure for other in others] == ([] if how == "hang" else [None]), "one hang is waited for"
    assert no_grad.failure == (said, "")
    assert set(pool.told) == {said}
    assert ask(pool.run, deadly, Case(), LSTM, Plan(("grad",)))[0].failure is None, "the next child works"


DEADLY_ONCE = """
import os, torch
class LSTM(torch.nn.LSTM):
    def forward(self, input, hx=None):
        if not os.path.exists(os.environ["DIED"]):
            open(os.environ["DIED"], "w").close()
            os.abort()
        return super().forward(input, hx)
"""


def test_death_that_does_not_come_again_is_an_observation_too(pools, tmp_path, monkeypatch):
    (tmp_path / "deadly_once.py").write_text(DEADLY_ONCE)
    monkeypatch.syspath_prepend(tmp_path)
    seen = ask(pools(environment={"DIED": str(tmp_path / "died")}).run, subject.named(["deadly_once"]), Case(), LSTM)
    assert [one.failure for one in seen] == [("killed by signal 6 (SIGABRT)", ""), None, None]


def test_child_of_its_own_dies_alike_where_processes_cannot_fork(deadly, pools):
    pool = pools(environment={"HOW": "abort"}, forking=False)
    (seen,) = ask(pool.run, deadly, Case(), LSTM, Plan(("no_grad",)))
    assert seen.failure[0] in ("killed by signal 6 (SIGABRT)", "ended the process with exit code 3")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system limits no address space")
def test_who_takes_more_memory_than_is_allowed_is_refused_it(deadly, pools):
    pool = pools(memory=2**32, environment={"HOW": "hog"})
    (seen,) = ask(pool.run, deadly, Case(), LSTM, Plan(("no_grad",)))
    assert seen.failure[0] == "RuntimeError"
    assert "memory" in seen.failure[1]


def calls_of_packing(line):
    """A call of each utility on the rows of a case, and one that is refused."""
    case, cell = parse(line)
    for batch in packing_calls.batches(case.on(cell), surplus=1):
        for utility in packing_calls.UTILITIES:
            options = {} if utility == "pack_sequence" else {"batch_first": batch.batch_first}
            yield packing_calls.Call(batch, utility, "int32", options)
        yield packing_calls.Call(batch, "pad_packed_sequence", "list", {"total_length": 1})
        yield packing_calls.Call(batch, "pad_sequence", "list", {"padding_value": float("-inf")})


def packed(calls, judged, call):
    return calls.pack(judged, call, PackingSeen(call.batch.problem, judged.name, packing_calls.ROUTE, answering.NOBODY))


@pytest.mark.parametrize(
    "line", ["v1 gru i2 h1 t3,1 float32 fill=normal", "v1 gru i1 h1 t4,2,2 bf bfloat16 mem=sliced"]
)
def test_packing_in_a_child_gives_what_it_gives_here(line, pool):
    failures = []
    for call in calls_of_packing(line):
        here, there = packed(session.HERE, TORCH_NN, call), packed(pool, TORCH_NN, call)
        assert_equal(here, there)
        assert there.utility == here.utility
        failures += [there.failure[0]] if there.failure else []
    assert failures == ["ValueError"] * 3


def test_drawing_in_a_child_gives_what_it_gives_here(pool):
    wanted = [Architecture(LSTM, 2, 3, 2), Architecture(GRU, 1, 1)]
    pairs = zip(session.HERE.draw(TORCH_NN, 5, wanted), pool.draw(TORCH_NN, 5, wanted), strict=True)
    for here, there in pairs:
        assert here.keys() == there.keys()
        for name, values in here.items():
            np.testing.assert_array_equal(values, there[name])


DEADLY_ELSEWHERE = """
import os
import torch

def die(*arguments, **more):
    os.abort()

if "IN_CHILD" in os.environ:
    torch.nn.utils.rnn.pad_sequence = die

class GRU(torch.nn.GRU):
    def __init__(self, *arguments, **more):
        if "IN_CHILD" in os.environ:
            die()
        super().__init__(*arguments, **more)
"""


def test_death_of_packing_and_of_drawing_is_a_finding(pools, tmp_path, monkeypatch):
    (tmp_path / "deadly_elsewhere.py").write_text(DEADLY_ELSEWHERE)
    monkeypatch.syspath_prepend(tmp_path)
    judged, pool = subject.named(["deadly_elsewhere"]), pools(environment={"IN_CHILD": "1"})
    calls = session.Calls(pool.run, pool.pack, pool.draw)
    tests = {tested.name: tested for tested in contract.properties()}
    for name, case, field, call in (
        ("test_pad_sequence_pads_with_padding_value_on_padding_side", Case(lengths=(1,)), "pad_sequence", "packing"),
        ("test_manual_seed_draws_the_weights_of_the_worked_examples", None, "call", "constructor"),
    ):
        with session.nested(Session(judged, calls=calls)), pytest.raises(Deviation) as raised:
            tests[name].check("gru", case)
        found = raised.value.finding
        assert (found.severity, found.field, found.kind) == ("red", field, "killed by signal 6 (SIGABRT)")
        assert (found.route, found.test) == (call, name)


def test_call_after_one_that_hung_is_given_less_time(deadly, pools):
    pool = pools(limit=3.0, environment={"HOW": "hang"})
    ask(pool.run, deadly, Case(), LSTM, Plan(("no_grad",)))
    began = time.monotonic()
    (seen,) = ask(pool.run, deadly, Case(), LSTM, Plan(("no_grad",)))
    assert time.monotonic() - began < 2.5
    assert seen.failure == (deaths.late(3.0), ""), "the same words, so that the failure counts as repeatable"


def test_import_that_ends_its_process_ends_a_child_alone(pools, tmp_path, monkeypatch):
    (tmp_path / "deadly_import.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    pool = pools()
    monkeypatch.setattr(child, "pool", lambda: pool)
    with pytest.raises(pytest.UsageError, match=r"--subject deadly_import: importing has to work first, .* code 3"):
        plugin._require_import_to_return(["deadly_import"])
    plugin._require_import_to_return(["torch.nn"])


POISON = """
import os, torch
class GRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        raise ValueError(os.environ.get("MALLOC_PERTURB_", "none"))
"""


def test_environment_is_that_of_the_pool(pools, tmp_path, monkeypatch):
    (tmp_path / "telling_gru.py").write_text(POISON)
    monkeypatch.syspath_prepend(tmp_path)
    judged = subject.named(["telling_gru"])
    for value in ("85", "170"):
        pool = pools(environment={"MALLOC_PERTURB_": value})
        assert ask(pool.run, judged, Case(), GRU, Plan(("grad",)))[0].failure == ("ValueError", value)


def test_children_end_with_their_pool_whatever_they_do(deadly, pools):
    pool = pools(environment={"HOW": "hang"})
    ask(pool.run, deadly, Case(), LSTM, Plan(("grad",)))
    pid, server = pool._child.pid, pool._server.process
    os.kill(pid, signal.SIGSTOP)  # one that cannot even read
    pool.close()
    assert server.poll() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_subject_without_a_name_to_import_and_errors_of_the_suite_are_told(pools, monkeypatch):
    with pytest.raises(TypeError, match=r"mine exists in this process alone, .* as in --subject pkg\.module"):
        ask(pools().run, subject.Subject("mine", TORCH_NN.classes), Case(), LSTM)
    monkeypatch.setattr(child.wire, "plan_to_json", lambda plan, arrays: {})
    with pytest.raises(ChildError, match="KeyError: 'poison'"):
        ask(pools().run, TORCH_NN, Case(), LSTM)
