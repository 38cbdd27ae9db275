"""Is the judge sound? A campaign looks for a false alarm.

    python -m conformance.selftest.soundness.campaign --cases 500000 --state FILE

Random and adversarial trials run on every eager route and are judged under the sharp model and under the union of what
correct implementations may do. Counts add up over runs. Ctrl-C loses nothing that the state file does not do again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from functools import cache
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

import reference
from conformance.harness.checks.ratios import compare_with_bounds, is_bounded
from conformance.harness.execution import machine
from conformance.harness.execution.observation import Differentiated, LabelledArray, Observation
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.forward import Forward, ForwardByLayers
from conformance.harness.execution.requests.problem_request import ProblemRequest
from conformance.harness.execution.routes import BACKWARD_ROUTES, EAGER_ROUTES
from conformance.harness.execution.subject import Subject, torch_nn
from conformance.selftest.arguments import Parser, end_with
from conformance.selftest.implementations import plain
from conformance.selftest.soundness.adversary import ALL_COMBINATIONS, KINDS, ORDINARY, Trial, draw
from conformance.selftest.soundness.campaign_state import (
    GRADIENTS,
    RESULTS,
    Row,
    State,
    Worst,
    table,
)
from conformance.selftest.soundness.sound_variations import variations
from conformance.selftest.soundness.state_file import Kept, StateError, resumed, sources_hash
from reference.backward import Gradients
from reference.ball import Ball
from reference.network import Enclosure
from reference.problem import Problem
from reference.roundings import Rounding
from strategies import Case, CaseError, losses
from strategies.case_line import LARGEST_SEED

SHARP, UNION = "sharp", "union"
FULL, FORCED, BACKWARD = "full", "forced", "backward"
ADVERSARY = "adversary"
"""Beside `ORDINARY`: rows of trials whose numbers were transformed."""

BATCH = 250
"""Trials that one worker does before it reports."""

UNION_CHECKED_EVERY = 4
"""One trial in this many is also judged under the union. Its bounds are wider, constant by constant, so every excess
over it is also an excess over the sharp model, which is always checked."""


def subjects() -> dict[str, Subject]:
    """The subjects that a campaign can judge, by name."""
    own = (torch_nn(), plain.subject("plain"), *(variation.subject for variation in variations()))
    return {subject.name: subject for subject in own}


@cache
def models(cell: str, dtype: str, subject: str) -> dict[str, Rounding]:
    """The sharp model of torch.nn's kernels on this machine, and the union."""
    where = (machine.capability(), machine.release(), subject)
    judgement = reference.model(cell, dtype, "cpu", *where)
    anywhere = reference.model(cell, dtype, "cpu", "unknown", "unknown", "unknown").red
    return {SHARP: judgement.amber or judgement.red, UNION: anywhere}


def judged(trial: Trial, seen: Observation, enclosure: Enclosure | Gradients) -> tuple[Worst, float]:
    """The worst ratio of an observation's results or gradients, and the share of its bounds that are vacuous."""
    worst, vacuous, size = Worst(), 0.0, 0
    for name, labelled in _judged_values(seen, enclosure).items():
        ball = getattr(enclosure, name) if isinstance(enclosure, Enclosure) else enclosure.of(name)
        comparison = compare_with_bounds(labelled.values, ball, is_bounded(seen.problem, name))
        if comparison.worst > worst.ratio:
            place = name if comparison.worst <= 1 else beyond(labelled, ball, comparison.ratios)
            worst = Worst(comparison.worst, trial.line, trial.kind, place)
        vacuous += comparison.vacuous * labelled.values.size
        size += labelled.values.size
    return worst, vacuous / max(size, 1)


def _judged_values(seen: Observation, enclosure: Enclosure | Gradients) -> dict[str, LabelledArray]:
    """The results, or the gradients, that an enclosure is of."""
    if isinstance(enclosure, Enclosure):
        return seen.results
    assert isinstance(seen, Differentiated), "only a call with a loss has gradients"
    return seen.gradients


def beyond(got: LabelledArray, ball: Ball, found: np.ndarray) -> str:
    """The element that is farthest out, what it is and what is allowed."""
    at = tuple(int(i) for i in np.unravel_index(int(found.argmax()), found.shape))
    return f"{got.at(at)}: {float(got.values[at])!r} is not {float(ball.midpoint[at])!r} +- {ball.radius[at]:.3g};"


class Judge:
    """Judges the observations of one trial; what equal bits decide is computed once."""

    def __init__(self, trial: Trial, subject: str) -> None:
        self.trial = trial
        self.models = models(trial.cell, trial.case.dtype, subject)
        self.kept: dict[tuple[object, ...], Worst | tuple[Worst, float] | Enclosure] = {}

    def full(self, seen: Observation, model: str) -> tuple[Worst, float]:
        """The whole stack, all steps from the inputs."""
        enclosure = self._once((FULL, model), lambda: reference.forward(seen.problem, self.models[model]))
        return self._once((FULL, model, bits(seen)), lambda: judged(self.trial, seen, enclosure))

    def forced(self, seen: Observation, model: str) -> tuple[Worst, float]:
        """Every layer alone, each step from the subject's own state before it."""
        parts = [self._layer(layer, model) for layer in seen.parts]
        return max((worst for worst, _ in parts), key=lambda worst: worst.ratio), sum(v for _, v in parts) / len(parts)

    def backward(self, seen: Observation, model: str) -> tuple[Worst, float]:
        """Every gradient of the loss that was differentiated."""
        loss = seen.loss if isinstance(seen, Differentiated) else None
        assert loss is not None, "only a call with a loss has gradients"
        enclosure = self._once(
            (BACKWARD, model), lambda: reference.backward(seen.problem, self.models[model], loss.cotangents)
        )
        return self._once((BACKWARD, model, bits(seen)), lambda: judged(self.trial, seen, enclosure))

    def _layer(self, seen: Observation, model: str) -> tuple[Worst, float]:
        key = (FORCED, model, seen.layer, seen.problem.input.tobytes() if seen.layer else b"", bits(seen))

        def decide() -> tuple[Worst, float]:
            enclosure = reference.forward_forced(seen.problem, self.models[model], seen.output.values)
            return judged(self.trial, seen, enclosure)

        return self._once(key, decide)

    def _once(self, key: tuple[object, ...], compute: Callable[[], object]):  # type: ignore[no-untyped-def]
        if key not in self.kept:
            self.kept[key] = compute()  # type: ignore[assignment]
        return self.kept[key]


def bits(seen: Observation) -> bytes:
    """Everything that a call returned, and every gradient."""
    gradients = seen.raw_gradients.values() if isinstance(seen, Differentiated) else ()
    return b"".join(values.tobytes() for values in (*seen.raw.values(), *gradients))


Modes = dict[str, Callable[[Observation, str], tuple[Worst, float]]]


def planned(trial: Trial, problem: Problem, judge: Judge, of: str) -> tuple[ProblemRequest[Any], Modes]:
    """What is done in a trial, and how it is judged."""
    if of == GRADIENTS:
        return Backward(problem, BACKWARD_ROUTES, loss=losses.loss(trial.case, problem)), {BACKWARD: judge.backward}
    single = problem.architecture.single_step
    modes: Modes = {} if single else {FORCED: judge.forced}
    modes |= {FULL: judge.full} if trial.case.short else {}  # for longer cases, bounds carried through time are vacuous
    return (Forward if single else ForwardByLayers)(problem, EAGER_ROUTES), modes


def verdicts(
    trial: Trial, subject: Subject, union: bool, of: str = RESULTS
) -> Iterator[tuple[str, str, str, Worst, float]]:
    """Mode, route, model, worst ratio and vacuous share of a trial; mode "" and a message if a call was refused."""
    problem = trial.problem()
    request, modes = planned(trial, problem, Judge(trial, subject.name), of)
    for seen in request.execute(subject):
        failed = next((one for one in (seen, *seen.parts) if one.failure or one.misshapen), None)
        if failed is not None:
            why = failed.failure.text if failed.failure else f"{failed.misshapen} has another shape"
            yield "", seen.route, why, Worst(0, trial.line, trial.kind), 0.0
            continue
        for mode, judged_by in modes.items():
            worst, vacuous = judged_by(seen, SHARP)
            yield mode, seen.route, SHARP, worst, vacuous
            if union or worst.ratio > 1:
                yield mode, seen.route, UNION, *judged_by(seen, UNION)


@cache
def supported(subject: str) -> tuple[tuple[str, str], ...]:
    """The cells and dtypes that the subject accepts at size 1 on some eager route."""
    return tuple(pair for pair in ALL_COMBINATIONS if _accepted(subjects()[subject], *pair))


def _accepted(subject: Subject, cell: str, dtype: str) -> bool:
    request = Forward(Case(dtype=dtype).on(cell), EAGER_ROUTES)
    return any(one.failure is None for one in request.execute(subject))


def fresh(subject: str, seed: int, of: str = RESULTS) -> State:
    """A campaign that has counted nothing yet."""
    return State(sources_hash(), torch.__version__, machine.capability(), subject, seed, of)


def batch(name: str, seed: int, of: str, number: int, worst: Sequence[Trial]) -> State:
    """One batch of trials, the same for the same arguments; one in eight with two threads."""
    machine.pin(threads=2 if number % 8 == 7 else 1)
    random, found, subject = Random(f"{seed} {number}"), fresh(name, seed, of), subjects()[name]
    found.batches = 1
    for place in range(BATCH):
        trial = draw(random, supported(name), worst)
        if of == GRADIENTS:
            trial = replace(trial, case=losses.shortened(trial.case))
        found.trials += 1
        strain = ORDINARY if trial.kind == ORDINARY else ADVERSARY
        for word in layout_of(trial.case):
            found.layouts[word] = found.layouts.get(word, 0) + 1
        for mode, route, model, seen, vacuous in verdicts(trial, subject, place % UNION_CHECKED_EVERY == 0, of):
            if not mode:
                found.refused.setdefault(f"{trial.cell} {trial.case.dtype} {route} {model}", trial.line)
                continue
            found.row(trial.cell, trial.case.dtype, strain, mode, route, model).count(seen, vacuous)
    return found


def layout_of(case: Case) -> list[str]:
    """The words that describe a case: packed or padded, projection, memory, and the words of its layout."""
    packed = "packed" if case.packed else "padded"
    return [packed, *(["projection"] if case.projection else []), f"mem={case.memory}", *case.layout]


def summits(state: State) -> list[Trial]:
    """The worst trials so far, from which others climb: of every row one that is within its bound."""
    rows = [row for key, row in state.rows.items() if key.endswith(SHARP)]
    return [Trial.of(row.worst.line, row.worst.kind) for row in rows if 0 < row.worst.ratio <= 1]


class Campaign(Kept[State]):
    """Batches done by this process or by several."""

    def __init__(self, state: State, path: Path) -> None:
        super().__init__(state, path)
        self.began, self.before = self.saved, state.trials

    def run(self, cases: int, jobs: int) -> None:
        """Continues until the state counts `cases` trials."""
        self.add_all(told_excesses(self._batches(cases, jobs)))

    def told(self) -> str:
        """Cases, cases per second, and excesses."""
        rate = (self.state.trials - self.before) / (self.saved - self.began)
        beyond = f"{self.state.excesses(SHARP)} beyond sharp, {self.state.excesses(UNION)} beyond union"
        return f"{self.state.trials:,} cases, {rate:.0f}/s: {beyond}"

    def _arguments(self, number: int) -> tuple[str, int, str, int, list[Trial]]:
        return self.state.subject, self.state.seed, self.state.of, number, summits(self.state)

    def _batches(self, cases: int, jobs: int) -> Iterator[State]:
        numbers = count(self.state.batches)
        if jobs == 1:
            while self.state.trials < cases:
                yield batch(*self._arguments(next(numbers)))
            return
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            running: set[Future[State]] = set()
            while self.state.trials < cases:
                wanted = min(jobs, -(-(cases - self.state.trials) // BATCH))
                running |= {pool.submit(batch, *self._arguments(next(numbers))) for _ in range(wanted - len(running))}
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    yield one.result()


def told_excesses(batches: Iterable[State]) -> Iterator[State]:
    """The batches, and a line for each excess that one found."""
    for done in batches:
        for key, row in done.rows.items():
            for worst in row.beyond:
                print(f"BEYOND {key}: {worst}", flush=True)
        yield done


def replay(trial: Trial, subject: Subject, of: str) -> None:
    """Prints every verdict on one trial."""
    for mode, route, model, worst, vacuous in verdicts(trial, subject, True, of):
        told = f"{worst.ratio:.4g} times the bound, {worst.field}, {vacuous:.0%} says nothing"
        print(f"{mode or 'refused':<7} {route:<10} {model:<6} {told if mode else ''}")


def _options(arguments: Sequence[str] | None) -> tuple[Parser, argparse.Namespace]:
    parser = Parser("campaign", description="Looks for a false alarm; counts add up in a state file.")
    parser.add_argument("--cases", type=int, default=10_000, help="how many cases the state is to count (10,000)")
    parser.add_argument("--state", type=Path, action="append", default=[], help="the state file; --table takes several")
    parser.add_argument("--seed", type=int, default=0, help="which cases (0)")
    parser.add_argument("--subject", default="torch.nn", help="torch.nn, plain, or a sound variation's name")
    parser.add_argument("--of", choices=(RESULTS, GRADIENTS), default=RESULTS, help="what is judged (results)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--table", action="store_true", help="print what the state files count, and run nothing")
    parser.add_argument("--replay", metavar="LINE", help="judge one case line")
    parser.add_argument("--kind", default=ORDINARY, help="the kind of a replayed case: " + ", ".join(KINDS))
    options = parser.parse_args(arguments)
    if options.subject not in subjects():
        parser.error(f"--subject {options.subject}: no such subject; one of {', '.join(subjects())}")
    if options.kind != ORDINARY and options.kind not in KINDS:
        parser.error(f"--kind {options.kind}: no such kind; one of {', '.join((ORDINARY, *KINDS))}")
    if options.cases < 1 or options.jobs < 1 or not 0 <= options.seed <= LARGEST_SEED:
        parser.error(f"--cases and --jobs are at least 1, --seed lies between 0 and {LARGEST_SEED}")
    if not options.replay and (not options.state or (len(options.state) > 1 and not options.table)):
        parser.error("--state names one file, with --table one or more")
    return parser, options


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 without an excess over the union, 1 with one, 2 for arguments or a state it cannot use."""
    parser, options = _options(arguments)
    machine.pin()
    try:
        if options.table:
            print(table(State.load(path) for path in options.state))
            return 0
        if options.replay:
            replay(Trial.of(options.replay, options.kind), subjects()[options.subject], options.of)
            return 0
        begun = fresh(options.subject, options.seed, options.of)
        campaign = Campaign(resumed(options.state[0], begun), options.state[0])
    except (StateError, CaseError) as error:
        parser.error(str(error))
    try:
        campaign.run(options.cases, options.jobs)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 1 if campaign.state.excesses(UNION) else 0


__all__ = ["Campaign", "Row", "main"]

if __name__ == "__main__":
    end_with(main)
