"""What judging costs: `python -m conformance.selftest.benchmark` sets it beside the bare work of the subject.

Times are medians over float32 cases as the properties draw them, on every cell in turn, in one process and thread. A
second row is the worked shape LSTM(20, 64, bidirectional) on 128 rows of 100 steps. Nothing here is a test.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

import reference
from conformance.clauses import CLAUSES
from conformance.harness import session
from conformance.harness.cells import MODULES
from conformance.harness.checks import bounds, case_record
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.checks.gradients import assert_gradients_within
from conformance.harness.checks.values import assert_within
from conformance.harness.execution import machine, tensors
from conformance.harness.execution.inputs import inputs
from conformance.harness.execution.module_call import named_results
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests.backward import Backward, pulled
from conformance.harness.execution.requests.forward import Forward, ForwardByLayers
from conformance.harness.execution.requests.invalid.call import CallInvalidly
from conformance.harness.execution.routes import BACKWARD_ROUTES, EAGER_ROUTES
from conformance.harness.execution.subject import torch_nn
from conformance.harness.isolation import worker_process
from conformance.harness.isolation.call_journal import CallJournal
from conformance.harness.isolation.confirmed import CONFIRMED
from conformance.harness.isolation.limits import CALL_LIMIT
from conformance.harness.session import Session
from conformance.selftest.arguments import Parser
from reference.invalid_calls import CALLS, spoils
from reference.problem import GRU, LSTM, RNN_TANH, Loss, Problem
from reference.roundings import Rounding
from strategies import Case, cases, losses
from strategies.drawn_cases import look_at

PARTS = ("drawing", "numbers", "subject", "reference", "verdict")

WORKED = Case(20, 64, 1, 128, 100, True, ("bf", "nohx"))
"""LSTM(20, 64, bidirectional) on (128, 100, 20)."""

HARNESS_TARGET = 4.0
"""How large all that the suite adds may be beside the subject, all its routes counted."""

TARGETS = {"default cases": 1.0, "worked shape": 10.0, "gradient cases": 2.5}
"""How large (reference + verdict) / subject should be at most."""

T = TypeVar("T")


@dataclass
class Times:
    """Seconds of every case, by part of the work, and how many routes a property takes with it."""

    routes: int = len(EAGER_ROUTES)
    of: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part in PARTS})

    def timed(self, part: str, work: Callable[[], T]) -> T:
        """Does `work` and adds its time to `part`."""
        began = time.perf_counter()
        done = work()
        self.of[part].append(time.perf_counter() - began)
        return done

    def judging(self) -> list[float]:
        """(reference + verdict) / subject of every case."""
        parts = zip(self.of["reference"], self.of["verdict"], self.of["subject"], strict=True)
        return [(enclosing + deciding) / bare for enclosing, deciding, bare in parts]

    def harness(self) -> list[float]:
        """Drawing, numbers, reference and verdict of every case, over the bare subject, all routes counted for both.

        Routes that return equal bits share a reference; here each is counted as if it had one of its own.
        """
        routes = self.routes
        parts = zip(*(self.of[part] for part in PARTS), strict=True)
        return [(d + n + routes * (r + v)) / (routes * s) for d, n, s, r, v in parts]

    def overall(self) -> float:
        """The same of all cases together: what a whole run pays."""
        return (sum(self.of["reference"]) + sum(self.of["verdict"])) / sum(self.of["subject"])


def drawn(count: int, seed: int, **pinned: object) -> Iterator[tuple[Case, float]]:
    """Cases as the properties draw them, in float32, each with the seconds that Hypothesis took for it."""
    found: list[tuple[Case, float]] = []
    began = time.perf_counter()

    def keep(case: Case) -> None:
        nonlocal began
        found.append((case, time.perf_counter() - began))
        began = time.perf_counter()

    look_at(cases(dtype="float32", **pinned), count, seed, keep)
    yield from found


def bare(problem: Problem, requiring: Sequence[str] = ()) -> Callable[[], object]:
    """The bare work of a call: build the module, set its weights, call it once; tensors are made beforehand."""
    a, dtype, classes = problem.architecture, problem.dtype, torch_nn()
    weights = [tensors.tensor(values, dtype) for values in problem.parameters.values()]
    arguments = inputs(problem, requiring=requiring).arguments()

    def work() -> object:
        module = classes.drawn(a, dtype, problem.device)
        with torch.no_grad():
            for parameter, values in zip(module.parameters(), weights, strict=True):
                parameter.copy_(values)
        return module(*arguments)

    return work


def bare_backward(problem: Problem, loss: Loss) -> Callable[[], object]:
    """The same, and differentiating it once; cotangents are made beforehand."""
    call, a = bare(problem, loss.wanted), problem.architecture
    cotangents = [cotangent for _, cotangent in pulled(problem, loss, named_results(call(), a))]

    def work() -> None:
        results = named_results(call(), a)
        torch.autograd.backward([results[name] for name in loss.cotangents], cotangents)

    return work


def measure_gradients(case: Case, cell: str, drawing: float, times: Times) -> None:
    """Adds the times of one case: the subject's call and backward pass once, then all gradients' enclosure, verdict."""
    times.of["drawing"].append(drawing)
    problem, loss = times.timed("numbers", lambda: posed(case, cell))
    times.timed("subject", bare_backward(problem, loss))
    here = session.current()
    judgement = here.judgement(problem)
    (seen,) = Backward(problem, ("grad",), loss=loss).execute(here.subject)
    with case_record.entered(CaseRecord(here, CLAUSES["C1"], "benchmark", cell, case)):
        times.timed("reference", lambda: bounds.from_cotangents(seen, judgement.amber or judgement.red))
        times.timed("verdict", lambda: assert_gradients_within(seen))


def posed(case: Case, cell: str) -> tuple[Problem, Loss]:
    """A case on a cell, and what is differentiated there."""
    problem = case.on(cell)
    return problem, losses.loss(case, problem)


def measure(case: Case, cell: str, drawing: float, times: Times) -> None:
    """Adds the times of one case: the subject once, then every layer's enclosure and verdict, per-step mode."""
    times.of["drawing"].append(drawing)
    problem = times.timed("numbers", lambda: case.on(cell))
    times.timed("subject", bare(problem))
    here = session.current()
    judgement = here.judgement(problem)
    rounding = judgement.amber or judgement.red
    (seen,) = ForwardByLayers(problem, ("grad",)).execute(here.subject)
    enclosures = times.timed(
        "reference", lambda: [reference.forward_forced(one.problem, rounding, one.output.values) for one in seen.layers]
    )
    with case_record.entered(CaseRecord(here, CLAUSES["B2"], "benchmark", cell, case)):
        times.timed("verdict", lambda: _decide(seen.layers, dict(zip(map(id, seen.layers), enclosures, strict=True))))


def _decide(layers: Sequence[Observation], enclosures: dict[int, reference.Enclosure]) -> None:
    def known(seen: Observation, rounding: Rounding) -> reference.Enclosure:
        return enclosures[id(seen)]

    for seen in layers:
        assert_within(seen, known)


def benchmark(count: int, seed: int) -> dict[str, Times]:
    """Times of `count` default cases, of the worked shape, and of `count` cases with gradients."""
    measured = {name: Times() for name in TARGETS}
    measured["gradient cases"].routes = len(BACKWARD_ROUTES)
    with session.nested(Session(torch_nn())):
        for cell in MODULES:
            measure(Case(2, 3), cell, 0.0, Times())  # warm-up: set-up on first use is not measured
        for (case, drawing), cell in zip(drawn(count, seed), cycle(MODULES), strict=False):
            measure(case, cell, drawing, measured["default cases"])
        for _ in range(5):
            measure(WORKED, LSTM, 0.0, measured["worked shape"])
        for (case, drawing), cell in zip(drawn(count, seed, **losses.short("float32")), cycle(MODULES), strict=False):
            measure_gradients(case, cell, drawing, measured["gradient cases"])
    return measured


def table(measured: dict[str, Times]) -> str:
    """Median milliseconds of every part, and the ratios."""
    head = f"{'median ms':<14}" + "".join(f"{part:>11}" for part in PARTS)
    lines = [head + f"{'judging/subject':>17}{'all together':>14}{'target':>8}{'harness/subject':>17}{'target':>8}"]
    for name, times in measured.items():
        parts = "".join(f"{1e3 * median(times.of[part]):>11.3f}" for part in PARTS)
        judging = f"{median(times.judging()):>17.2f}{times.overall():>14.2f}{TARGETS[name]:>8.1f}"
        lines.append(f"{name:<14}{parts}{judging}{median(times.harness()):>17.2f}{HARNESS_TARGET:>8.1f}")
    return "\n".join(lines)


def child_rate(count: int, seed: int) -> float:
    """Calls of default cases a second, one route each, in a child process that has made its first ones."""
    problems = [case.on(cell) for (case, _), cell in zip(drawn(count, seed), cycle(MODULES), strict=False)]
    with session.nested(Session(torch_nn(), executor=worker_process.IN_CHILDREN)) as here:
        for problem in problems[: len(MODULES)]:
            here.execute(Forward(problem, ("grad",)))
        began = time.perf_counter()
        for problem in problems:
            here.execute(Forward(problem, ("grad",)))
        return len(problems) / (time.perf_counter() - began)


def invalid_rate(repeats: int = 5) -> float:
    """Invalid calls a second in one living child, each between two valid ones: those that every module can be given."""
    of_lstm = ("c_0", "hx.count", "batch_sizes")
    wrong = [spoil for place in CALLS if not place.startswith(of_lstm) for spoil in spoils(place)]
    asked = [
        CallInvalidly(Case(2, 2, batch_size=2, steps=2, fill="normal").on(cell), ("grad",), spoil=spoil)
        for spoil in wrong
        for cell in (RNN_TANH, GRU)
    ]
    with session.nested(Session(torch_nn())) as here:
        here.execute(asked[0], CONFIRMED)
        began = time.perf_counter()
        for request in asked * repeats:
            here.execute(request, CONFIRMED)
        return repeats * len(asked) / (time.perf_counter() - began)


def recording_cost(calls: int = 100_000) -> float:
    """Seconds that it takes to write a call down before it begins, and that it came back."""
    line = WORKED.line(LSTM)
    with TemporaryDirectory() as folder:
        box = CallJournal(Path(folder) / "benchmark.box", CALL_LIMIT)
        began = time.perf_counter()
        for _ in range(calls):
            box.before(line, "grad")
            box.after()
        took = (time.perf_counter() - began) / calls
        box.close()
    return took


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints the machine and the table."""
    parser = Parser("benchmark", description="What judging costs, beside the bare work of the subject.")
    parser.add_argument("--cases", type=int, default=2000, help="how many default cases (2,000)")
    parser.add_argument("--seed", type=int, default=0, help="which cases (0)")
    options = parser.parse_args(arguments)
    if options.cases < 1:
        parser.error(f"--cases is at least 1, not {options.cases}")
    warnings.simplefilter("ignore")  # that dropout needs a second layer, once for each line of PyTorch that says so
    print(machine.describe())
    print(table(benchmark(options.cases, options.seed)))
    print(f"{'in a child':<14}{child_rate(options.cases, options.seed):.0f} calls a second")
    print(f"{'invalid':<14}{invalid_rate():.0f} calls a second in a child, each between two valid ones")
    print(f"{'recording':<14}{1e6 * recording_cost():.1f} us for each call")
    return 0


if __name__ == "__main__":
    sys.exit(main())
