"""The runner in child processes: it gives what the runner here gives, and what ends a child is an observation."""

import os
import signal
import sys
import time

import numpy as np
import pytest

from conformance.harness import child, deaths, runner, session, subject, ways
from conformance.harness.child import ChildError, Pool
from conformance.harness.runner import Plan
from conformance.harness.session import Session
from reference.problem import GRU, LSTM
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
def test_child_differentiates_as_this_process_does(way, pools):
    pool = pools()
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


def test_call_after_one_that_hung_is_given_less_time(deadly, pools):
    pool = pools(limit=3.0, environment={"HOW": "hang"})
    ask(pool.run, deadly, Case(), LSTM, Plan(("no_grad",)))
    began = time.monotonic()
    (seen,) = ask(pool.run, deadly, Case(), LSTM, Plan(("no_grad",)))
    assert time.monotonic() - began < 2.5
    assert seen.failure == (deaths.late(3.0), ""), "the same words, so that the failure counts as repeatable"


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
    with pytest.raises(TypeError, match="a child needs a name to import"):
        ask(pools().run, subject.Subject("mine", TORCH_NN.classes), Case(), LSTM)
    monkeypatch.setattr(child.wire, "plan_to_json", lambda plan, arrays: {})
    with pytest.raises(ChildError, match="KeyError: 'poison'"):
        ask(pools().run, TORCH_NN, Case(), LSTM)
