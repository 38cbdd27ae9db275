"""The runner in child processes: it gives what the runner here gives, and what ends a child is an observation."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

from conformance.harness import session
from conformance.harness.execution import subject
from conformance.harness.execution.failure import KILLED, TIMED_OUT, Failure
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests import autograd_apis, packing
from conformance.harness.execution.requests.autograd_apis import CheckSecondDerivatives, DifferentiateByApi
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.backward_of_parts import BackwardOfParts
from conformance.harness.execution.requests.forward import (
    Forward,
    ForwardByLayers,
    ForwardByStep,
    ForwardPoisoned,
    ForwardTwice,
)
from conformance.harness.execution.requests.life_cycle import BackwardAfterChange, doubled
from conformance.harness.execution.requests.module_request import ModuleCall
from conformance.harness.execution.requests.packing import Pack
from conformance.harness.execution.requests.parameters import Construct, DrawParameters
from conformance.harness.execution.requests.problem_request import ProblemRequest
from conformance.harness.execution.requests.request import InProcess, Request
from conformance.harness.execution.routes import EAGER_ROUTES, ROUTES
from conformance.harness.findings.deviation import Deviation
from conformance.harness.isolation import call_watcher, limits, messages, worker_process
from conformance.harness.isolation.worker_process import ChildError, WorkerProcess
from conformance.harness.property import properties
from conformance.harness.pytest_plugin import requirements
from conformance.harness.session import Session
from reference.problem import GRU, LSTM, Architecture
from strategies import Case, losses, parse

ROOT = Path(__file__).parents[4]

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
        made.append(WorkerProcess(**given))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture(scope="module")
def pool():
    """One pool for all tests whose children survive."""
    made = WorkerProcess()
    yield made
    made.close()


def executed(executor, judged, request):
    return executor.execute(judged, request)


def assert_equal(one, other):
    """Two results say the same, bit for bit: every field of them."""
    assert type(one) is type(other)
    for field in fields(one):
        assert_equal_values(getattr(one, field.name), getattr(other, field.name))


def assert_equal_values(mine, theirs):
    if isinstance(mine, np.ndarray):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    elif is_dataclass(mine):
        assert_equal(mine, theirs)
    elif isinstance(mine, dict):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            assert_equal_values(value, theirs[name])
    elif isinstance(mine, tuple):
        for here, there in zip(mine, theirs, strict=True):
            assert_equal_values(here, there)
    else:
        assert mine == theirs


def forward(case, cell, routes=EAGER_ROUTES):
    return Forward(case.on(cell), routes)


def requests_about(problem):
    """One request of each kind that is about a problem's values."""
    yield Construct(problem)
    yield Forward(problem, tuple(ROUTES), record_kernels=True)
    yield ForwardByLayers(problem)
    yield ForwardTwice(problem)
    yield ForwardPoisoned(problem, ("grad",), steps=slice(1, None))
    if problem.architecture.num_layers * problem.architecture.directions == 1:
        yield ForwardByStep(problem, ("no_grad",))


LINES = [
    "v1 lstm i3 h4 t3 n2 bi l2 float32 fill=normal",
    "v1 gru i2 h3 t4 bf bfloat16 fill=dyadic mem=sliced seed=7",
    "v1 rnn_relu i1 h1 t2 nohx nobias float64 unb fill=uniform",
]


def differentiating(problem, loss, lengths):
    """Requests for derivatives, and whether each is refused."""
    yield Backward(problem, ("grad",), loss=loss), False
    yield Backward(problem, ("grad",), loss=loss, later=(loss,)), False
    yield BackwardOfParts(problem, ("grad",), loss=loss, first=1), False
    yield CheckSecondDerivatives(problem, ("grad",), loss=loss), False
    yield DifferentiateByApi(problem, ("grad",), loss=loss, api=autograd_apis.DOUBLE_BACKWARD), False
    yield DifferentiateByApi(problem, ("grad",), loss=loss, api=autograd_apis.FUNC_IN_REVERSE), bool(lengths)


@pytest.mark.parametrize("lengths", [(), (2, 1)])
def test_child_differentiates_as_this_process_does(lengths, pool):
    case = Case(2, 2, lengths=lengths, batch_size=2, steps=2, dtype="float64")
    problem = case.on(GRU)
    for request, refused in differentiating(problem, losses.loss(case, problem), lengths):
        (here,), (there,) = (executed(executor, TORCH_NN, request) for executor in (InProcess(), pool))
        assert (here.failure is not None) is refused
        assert_equal(here, there)


@pytest.mark.parametrize("forking", [worker_process.CAN_FORK, False], ids=["forked", "spawned"])
def test_child_sees_what_this_process_sees(forking, pools):
    pool = pools(forking=forking)
    problems = [case.on(cell) for case, cell in map(parse, LINES)]
    packed = Case(2, 3, lengths=(1, 3, 2), batch_size=3, steps=3).on(LSTM)
    for request in [*(request for problem in problems for request in requests_about(problem)), Forward(packed)]:
        pairs = zip(executed(InProcess(), TORCH_NN, request), executed(pool, TORCH_NN, request), strict=True)
        for here, there in pairs:
            assert_equal(here, there)
            assert there.problem is request.problem


def test_what_a_request_refers_to_is_what_its_results_refer_to(pool):
    case = Case(dtype="float64")
    problem = case.on(GRU)
    loss, other, changed = losses.loss(case, problem), losses.another(case, problem), doubled(problem, "in place")
    (seen,) = executed(pool, TORCH_NN, Backward(problem, ("grad",), loss=loss, later=(other,)))
    assert (seen.problem, seen.loss, seen.later_passes[0].loss) == (problem, loss, other)
    after = BackwardAfterChange(problem, ("grad",), loss=loss, change="in place", changed=changed, first_too=True)
    (seen,) = executed(pool, TORCH_NN, after)
    assert (seen.problem, seen.loss) == (changed, loss)


WORKER_IMPORTS = """
import sys
from conformance.harness.isolation import worker_main
print(sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_child_imports_torch_and_numpy_and_nothing_else_that_is_installed():
    done = subprocess.run([sys.executable, "-c", WORKER_IMPORTS], check=True, capture_output=True, text=True, cwd=ROOT)
    for name in ("hypothesis", "pytest", "packaging", "xdist", "strategies"):
        assert f"'{name}'" not in done.stdout


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
    grad, no_grad, *others = executed(pool, deadly, forward(Case(), LSTM))
    assert grad.failure is None
    assert [other.failure for other in others] == ([] if how == "hang" else [None]), "one hang is waited for"
    assert no_grad.failure.title == said
    assert {failure.title for failure in pool.deaths} == {said}
    assert executed(pool, deadly, forward(Case(), LSTM, ("grad",)))[0].failure is None, "the next child works"


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
    pool = pools(environment={"DIED": str(tmp_path / "died")})
    seen = executed(pool, subject.named(["deadly_once"]), forward(Case(), LSTM))
    assert [one.failure for one in seen] == [Failure(KILLED, number=signal.SIGABRT), None, None]


def test_child_of_its_own_dies_alike_where_processes_cannot_fork(deadly, pools):
    pool = pools(environment={"HOW": "abort"}, forking=False)
    (seen,) = executed(pool, deadly, forward(Case(), LSTM, ("no_grad",)))
    assert seen.failure.title in ("killed by signal 6 (SIGABRT)", "ended the process with exit code 3")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system limits no address space")
def test_who_takes_more_memory_than_is_allowed_is_refused_it(deadly, pools):
    pool = pools(memory=2**32, environment={"HOW": "hog"})
    (seen,) = executed(pool, deadly, forward(Case(), LSTM, ("no_grad",)))
    assert seen.failure.exception == "RuntimeError"
    assert "memory" in seen.failure.message


def packing_of(line):
    """A call of each utility on the rows of a case, and one that is refused."""
    case, cell = parse(line)
    for batch in packing.batches(case.on(cell), surplus=1):
        for utility in packing.UTILITIES:
            options = {"batch_first": batch.batch_first} if packing.takes_batch_first(utility) else {}
            yield Pack(batch, utility, "int32", options)
        yield Pack(batch, "pad_packed_sequence", "list", {"total_length": 1})
        if batch.dtype not in packing.INTEGERS:
            yield Pack(batch, "pad_sequence", "list", {"padding_value": float("-inf")})


@pytest.mark.parametrize(
    "line", ["v1 gru i2 h1 t3,1 float32 fill=normal", "v1 gru i1 h1 t4,2,2 bf bfloat16 mem=sliced"]
)
def test_packing_in_a_child_gives_what_it_gives_here(line, pool):
    failures = []
    for request in packing_of(line):
        (here,), (there,) = (executed(executor, TORCH_NN, request) for executor in (InProcess(), pool))
        assert_equal(here, there)
        failures += [there.failure.exception] if there.failure else []
    case, cell = parse(line)
    assert failures == ["ValueError"] * len(packing.batches(case.on(cell)))


def test_drawing_in_a_child_gives_what_it_gives_here(pool):
    request = DrawParameters(5, (Architecture(LSTM, 2, 3, 2), Architecture(GRU, 1, 1)))
    (here,), (there,) = (executed(executor, TORCH_NN, request) for executor in (InProcess(), pool))
    assert len(here.drawn) == 2
    assert_equal(here, there)


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
    tests = {tested.name: tested for tested in properties()}
    for name, case, field, call in (
        ("test_pad_sequence_pads_with_padding_value_on_padding_side", Case(lengths=(1,)), "pad_sequence", "packing"),
        ("test_manual_seed_draws_the_weights_of_the_worked_examples", None, "call", "constructor"),
    ):
        with session.nested(Session(judged, executor=pool)), pytest.raises(Deviation) as raised:
            tests[name].check("gru", case)
        found = raised.value.finding
        assert (found.severity, found.field, found.kind) == ("red", field, "killed by signal 6 (SIGABRT)")
        assert (found.route, found.test) == (call, name)


def test_call_after_one_that_hung_is_given_less_time(deadly, pools):
    pool = pools(limit=3.0, environment={"HOW": "hang"})
    executed(pool, deadly, forward(Case(), LSTM, ("no_grad",)))
    began = time.monotonic()
    (seen,) = executed(pool, deadly, forward(Case(), LSTM, ("no_grad",)))
    assert time.monotonic() - began < 2.5
    assert seen.failure == Failure(TIMED_OUT, number=3.0), "the same words, so that the failure counts as repeatable"


def test_import_that_ends_its_process_ends_a_child_alone(pools, tmp_path, monkeypatch):
    (tmp_path / "deadly_import.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    pool = pools()
    monkeypatch.setattr(worker_process, "pool", lambda: pool)
    with pytest.raises(pytest.UsageError, match=r"--subject deadly_import: importing has to work first, .* code 3"):
        requirements.require_import_to_return(["deadly_import"], 120.0)
    requirements.require_import_to_return(["torch.nn"], 120.0)


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
        assert executed(pool, judged, forward(Case(), GRU, ("grad",)))[0].failure.message == value


def test_children_end_with_their_pool_whatever_they_do(deadly, pools):
    pool = pools(environment={"HOW": "hang"})
    executed(pool, deadly, forward(Case(), LSTM, ("grad",)))
    pid, server = pool._child.pid, pool._server.process
    os.kill(pid, signal.SIGSTOP)  # one that cannot even read
    pool.close()
    assert server.poll() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_subject_without_a_name_to_import_and_errors_of_the_suite_are_told(pools, monkeypatch):
    mine = subject.Subject("mine", TORCH_NN.classes)
    with pytest.raises(TypeError, match=r"mine exists in this process alone, .* as in --subject pkg\.module"):
        executed(pools(), mine, forward(Case(), LSTM))
    encoded = messages.Writer.encoded

    def with_a_field_too_few(writer, value):
        found = encoded(writer, value)
        if isinstance(value, Forward):
            del found["Forward"]["record_kernels"]
        return found

    monkeypatch.setattr(messages.Writer, "encoded", with_a_field_too_few)
    with pytest.raises(ChildError, match="ValueError: a message has other fields than Forward"):
        executed(pools(), TORCH_NN, forward(Case(), LSTM))


def test_every_kind_of_call_and_every_result_may_travel():
    kinds = {kind for base in (Request, Observation) for kind in every_subclass(base)}
    assert kinds - {ProblemRequest, ModuleCall} <= {*messages.REQUESTS, *messages.RESULTS}


def every_subclass(base):
    for kind in base.__subclasses__():
        yield kind
        yield from every_subclass(kind)


def test_hang_of_one_test_shortens_no_call_of_the_next(pools):
    pool = pools(limit=60.0)
    pool.deaths += [Failure(KILLED, number=9)]
    assert pool._patience() == 60.0
    pool.deaths += [Failure(TIMED_OUT, number=60.0)]
    assert pool._patience() == 3.0
    pool.new_test()
    assert pool._patience() == 60.0


@pytest.mark.skipif(not worker_process.CAN_FORK, reason="children are Pythons of their own")
def test_a_server_that_is_gone_is_said_and_its_children_can_be_closed(pools):
    pool, request = pools(), forward(Case(1, 1), LSTM)
    executed(pool, TORCH_NN, request)
    pool._server.process.kill()
    pool._server.process.wait()
    pool.end_child()
    with pytest.raises(ChildError, match=r"child processes has gone: it was killed by signal 9 \(SIGKILL\)"):
        executed(pool, TORCH_NN, request)


def test_a_subject_whose_import_hangs_is_one_line(pools, tmp_path, monkeypatch):
    (tmp_path / "hanging_lstm.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path)
    pool = pools()
    executed(pool, TORCH_NN, forward(Case(1, 1), LSTM))  # its server has imported torch
    pool.end_child()
    monkeypatch.setattr(worker_process, "IMPORT_LIMIT_SECONDS", 0.5)
    words = "hanging_lstm: importing has to work first, and its process did not return within 0.5 s"
    assert pool.refusal_of_import(["hanging_lstm"]) == f"{words}; {LATE_IMPORT}"


LATE_IMPORT = "let it do without a network, a lock or input, or raise --call-limit"


@pytest.mark.parametrize(("call_limit", "seconds"), [(120, 120), (1, 30), (500, 180), (0, 180)])
def test_an_import_has_the_time_of_a_call_within_limits(call_limit, seconds):
    assert limits.of_import(call_limit) == seconds


def test_an_import_that_takes_long_is_announced(monkeypatch, capsys):
    class Slow(WorkerProcess):
        def refusal_of_import(self, texts):
            time.sleep(1)
            return "own: why not"

    slow = Slow()
    monkeypatch.setattr(worker_process, "pool", lambda: slow)
    monkeypatch.setattr(requirements, "SECONDS_IN_SILENCE", 0.1)
    with pytest.raises(pytest.UsageError, match="--subject own: why not"):
        requirements.require_import_to_return(["gru=own:GRU"], 40.0)
    assert capsys.readouterr().err == "conformance: importing gru=own:GRU, 40 s at most\n"
    assert slow.limit == 40.0


def test_a_server_that_does_not_begin_is_a_line(monkeypatch):
    def silent(pool):
        raise ChildError("the server of child processes is silent for 180 s")

    monkeypatch.setattr(WorkerProcess, "_serving", silent)
    assert WorkerProcess().refusal_of_import(["own"]) == "the server of child processes is silent for 180 s"


@pytest.mark.skipif(not call_watcher.CAN_WATCH, reason="the system cannot end a process from outside in this way")
def test_an_import_that_hangs_only_in_the_process_of_the_run_ends_it_with_a_line(tmp_path):
    done = subprocess.run([sys.executable, "-c", HANGING_IMPORT], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9
    assert done.stderr.strip() == "conformance: importing gru=own:GRU did not return within 0.5 s"
    assert done.stdout.strip() == "importing"


HANGING_IMPORT = """
import time
from types import SimpleNamespace
from conformance.harness.isolation import limits
from conformance.harness.pytest_plugin import crash_recovery
limits.of_import = lambda call_limit: 0.5
plugins = SimpleNamespace(get_plugin=lambda name: None)
config = SimpleNamespace(pluginmanager=plugins, option=SimpleNamespace(call_limit=1.0))
with crash_recovery.import_limited(config, ["gru=own:GRU"]):
    time.sleep(0.1)
with crash_recovery.import_limited(config, ["gru=own:GRU"]):
    print("importing", flush=True)
    time.sleep(50)
"""
