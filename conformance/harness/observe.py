"""Calls of the subject for properties. A call that fails, or returns wrong shapes, is recorded as a finding."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, TypeVar

import numpy as np

import reference
from conformance.harness import session
from conformance.harness.cells import MODULES, SINGLE_STEPS
from conformance.harness.checks import case_record
from conformance.harness.checks.values import Slice, assert_documented_shape, assert_returned, differ
from conformance.harness.execution.lived import Lived
from conformance.harness.execution.observation import (
    ByLayers,
    BySteps,
    Changed,
    Constructed,
    Differentiated,
    DifferentiatedByApi,
    DifferentiatedByLayers,
    GradgradChecked,
    InLaps,
    Observation,
    PackingObservation,
    Poisoned,
    Refused,
    Repeated,
    Surrounded,
)
from conformance.harness.execution.requests.autograd_apis import (
    DOUBLE_BACKWARD,
    CheckSecondDerivatives,
    DifferentiateByApi,
)
from conformance.harness.execution.requests.backward import Backward
from conformance.harness.execution.requests.backward_by_layers import BackwardByLayers
from conformance.harness.execution.requests.backward_of_parts import BackwardOfParts
from conformance.harness.execution.requests.documentation.spelled import LEFT_OUT
from conformance.harness.execution.requests.forward import (
    Forward,
    ForwardByLayers,
    ForwardByStep,
    ForwardPoisoned,
    ForwardTwice,
)
from conformance.harness.execution.requests.invalid.call import CallInvalidly
from conformance.harness.execution.requests.invalid.construction import ConstructInvalidly
from conformance.harness.execution.requests.invalid.packing import PackInvalidly
from conformance.harness.execution.requests.invalid.words import wrong_in
from conformance.harness.execution.requests.laps import CallInLaps
from conformance.harness.execution.requests.life.history import LiveThrough, at_the_end
from conformance.harness.execution.requests.life_cycle import BackwardAfterChange, ForwardAfterChange, doubled
from conformance.harness.execution.requests.packing import METHOD, OPTIONS, Batch, Pack, takes_batch_first
from conformance.harness.execution.requests.parameters import Construct, DrawParameters
from conformance.harness.execution.requests.problem_request import ProblemRequest
from conformance.harness.execution.requests.request import Executor
from conformance.harness.execution.requests.surroundings import SURROUNDINGS, CallSurrounded
from conformance.harness.execution.routes import BACKWARD_ROUTES, CONSTRUCTOR, EAGER_ROUTES, UNREAL_ROUTES
from conformance.harness.execution.subject import torch_nn
from conformance.harness.foreign_text import one_line
from conformance.harness.isolation.confirmed import CONFIRMED
from conformance.harness.isolation.worker_process import ALONE, IN_CHILDREN
from conformance.harness.support import features, smallest
from reference import histories, invalid_calls
from reference.histories import CONVERSIONS, SUSPECTS
from reference.problem import CELL_SUFFIX, LSTM, RNN_TANH, Architecture, Loss, Problem
from strategies import Case, losses
from strategies.axes import MOST_NUMBERS
from strategies.values import INITIAL

Seen = TypeVar("Seen", bound=Observation)


def _returned(request: ProblemRequest[Seen], values: bool = True, executor: Executor | None = None) -> list[Seen]:
    """The observations of the request, without failed calls, which are findings.

    Results of wrong shapes are findings too; values=False keeps them, for their facts. executor: as in a session.
    """
    seen = session.current().execute(request, executor)
    usable: list[Seen] = []
    for one in seen:
        whole: Observation = one
        if all(_is_usable(part, values) for part in (whole, *whole.parts)):
            usable.append(one)
    return usable


def _is_usable(seen: Observation, values: bool) -> bool:
    return assert_returned(seen) and (assert_documented_shape(seen) or not values)


def observe(
    problem: Problem,
    routes: tuple[str, ...] = EAGER_ROUTES,
    values: bool = True,
    parameter_memory: str = "contiguous",
) -> list[Observation]:
    """The subject's calls of `problem`, one for each route; values=False keeps those of wrong shapes."""
    return _returned(Forward(problem, routes, parameter_memory=parameter_memory), values)


def observe_change(problem: Problem, change: str) -> list[Changed]:
    """Each call, and the call after the weights were doubled in one of the `CHANGES`."""
    return _returned(ForwardAfterChange(problem, change=change, changed=doubled(problem, change)))


def observe_life(problem: Problem, loss: Loss, history: tuple[str, ...], pick: int) -> list[Lived]:
    """A module after each operation of a history, or after the last alone, as `pick` says.

    It is called on the differentiable route of the run that `pick` chooses, and after each operation where it is even.
    Operations that lead to a dtype which the run has not are left out.
    """
    kept = tuple(name for name in history if _is_taken(name, problem.architecture.name))
    request = LiveThrough(problem, _one_route(pick), loss=loss, history=kept, at_the_end=at_the_end(pick))
    seen = _returned(request)
    for one in seen:
        session.current().recorder.lived(kept, one.done)
    return seen


def _is_taken(operation: str, cell: str) -> bool:
    """Whether the run has the dtype that an operation leads to, and the subject states no others."""
    if operation not in CONVERSIONS:
        return True
    here, dtype = session.current(), CONVERSIONS[operation]
    return dtype in here.axes.dtypes and dtype in here.subject.statement(cell).names.get("dtypes", here.axes.dtypes)


A_LIFE = Case(2, 2, batch_size=2, steps=1, fill="uniform")
"""What is led through the histories that have every pair of operations."""


def observe_covering_lives(cell: str) -> Iterator[Lived]:
    """Lives that have every ordered pair of operations; in smoke two of them.

    A module may be broken for good by one of the `SUSPECTS`: a class that takes single steps has those with one. Pairs
    behind an operation that ended a history come again, each in the shortest history that has it.
    """
    suspect, reached, wanted = set(SUSPECTS), set[tuple[str, str]](), set[tuple[str, str]]()
    covering = [one for one in histories.covering() if suspect.isdisjoint(one) is not cell.endswith(CELL_SUFFIX)]
    in_full = session.current().axes.most_numbers >= MOST_NUMBERS["default"]
    for history in covering if in_full else covering[:1]:
        for seen in _a_life(cell, history):
            reached |= _pairs_of(seen.done)
            wanted |= _pairs_of(seen.history)
            yield seen
    for pair in sorted(wanted & histories.pairs()) if in_full else ():
        for seen in _a_life(cell, histories.of_pair(*pair)) if pair not in reached else ():
            reached |= _pairs_of(seen.done)
            yield seen


def _a_life(cell: str, history: tuple[str, ...]) -> list[Lived]:
    case = session.current().subject.statement(cell).nearest(A_LIFE, cell)
    problem = replace(case, history=history).on(cell)
    return observe_life(problem, losses.loss(case, problem), history, 0)


def _pairs_of(history: tuple[str, ...]) -> set[tuple[str, str]]:
    return set(combinations(history, 2))


def observe_layers(problem: Problem) -> list[ByLayers]:
    """Each call beside the composition of its layers."""
    return _returned(ForwardByLayers(problem))


def observe_steps(problem: Problem) -> list[BySteps]:
    """Each call of one layer in one direction beside a call for each of its steps."""
    return _returned(ForwardByStep(problem))


def observe_twice(problem: Problem) -> list[Repeated]:
    """Each call twice, and the changes that the calls made."""
    return _returned(ForwardTwice(problem))


FEW_LENGTHS = Case(4, 32, batch_size=16, steps=25, layout=("nohx",), fill=INITIAL)
MANY_LENGTHS = replace(FEW_LENGTHS, batch_size=4, steps=300)
"""What is called in laps, with every length up to its steps. An output has 27 or 77 kB in float32, on the average."""

LONG_CALL = replace(FEW_LENGTHS, hidden_size=64, batch_size=64, steps=256)
LONG_LENGTHS = 4
"""A long call, and how many lengths it is called with. A state has 16 kB in float32."""


def observe_laps(cell: str) -> list[InLaps]:
    """A module that is called over the same lengths again and again, in a process of its own: for each dtype on CPUs.

    In smoke the first dtype of the run alone, with few lengths. From default on that has many, and the others have few.
    The first dtype has long calls too, and their backward passes. A subject that exists in this process alone is called
    in it.
    """
    here = session.current()
    in_full = here.axes.most_numbers >= MOST_NUMBERS["default"]
    dtypes = here.axes.dtypes if in_full else here.axes.dtypes[:1]
    seen: list[InLaps] = []
    for dtype in dtypes if "cpu" in here.axes.devices else ():
        case = MANY_LENGTHS if in_full and dtype == dtypes[0] else FEW_LENGTHS
        problem = _possible(replace(case, dtype=dtype), cell).on(cell)
        request = CallInLaps(problem, _one_route(0), differentiated=FEW_LENGTHS.steps)
        seen += _returned(request, executor=ALONE if here.subject.texts else None)
        if dtype == dtypes[0]:
            seen += _returned(_long_laps(cell, dtype), executor=ALONE if here.subject.texts else None)
    return seen


def _possible(case: Case, cell: str) -> Case:
    """The case with the sizes that a subject states. Laps cut the first axis: with batch_first they are not asked."""
    near = session.current().subject.statement(cell).nearest(case, cell)
    return replace(near, layout=case.layout, steps=case.steps)


def _long_laps(cell: str, dtype: str) -> CallInLaps:
    steps = LONG_CALL.steps
    problem = _possible(replace(LONG_CALL, dtype=dtype), cell).on(cell)
    return CallInLaps(problem, _one_route(0), differentiated=steps, shortest=steps - LONG_LENGTHS + 1)


def observe_invalid(problem: Problem, spoil: str, pick: int) -> tuple[Refused, ...]:
    """The call of a problem, or of its module's constructor, with one thing spoilt, on the route that `pick` chooses.

    It is made in a child, unless the subject exists in this process alone. What can be spoilt in one way only is called
    on every route.
    """
    here, what = session.current(), invalid_calls.read(spoil)
    routes, executor = here.taken(EAGER_ROUTES), CONFIRMED if here.subject.texts else None
    if len(invalid_calls.PLACES[what.place]) > 1 and routes:
        routes = (routes[pick % len(routes)],)
    if what.called == invalid_calls.CONSTRUCTOR and not here.subject.has_constructor(problem.architecture.name):
        case_record.current().not_asked("no constructor")
        return ()
    if what.called == invalid_calls.CONSTRUCTOR:
        return _worded(here.execute(ConstructInvalidly(problem, routes, spoil=spoil), executor), what)
    return _worded(here.execute(CallInvalidly(problem, routes, spoil=spoil, pick=pick), executor), what)


def observe_invalid_packing(problem: Problem, spoil: str) -> tuple[Refused, ...]:
    """A call of a packing utility with one thing spoilt: in a child, but for a subject's own that exist here alone."""
    here = session.current()
    judged = torch_nn() if here.subject.packs_as_torch else here.subject
    executor: Executor = CONFIRMED if judged.texts else here.executor
    seen = executor.execute(judged, PackInvalidly(Batch(problem, problem.input), spoil))
    return _worded(seen, invalid_calls.read(spoil))


def _worded(seen: tuple[Refused, ...], what: invalid_calls.Spoil) -> tuple[Refused, ...]:
    """Observations of invalid calls, which say what is wrong with them."""
    return tuple(replace(one, wrong=wrong_in(one.problem, what, one.parameter)) for one in seen)


def observe_poisoned(problem: Problem, rows: slice, steps: slice) -> list[Poisoned]:
    """Each call of a padded batch, and the call after these rows and steps became NaN."""
    return _returned(ForwardPoisoned(problem, rows=rows, steps=steps))


def construct(problem: Problem) -> list[Constructed]:
    """The module of the problem, constructed but not called."""
    return _returned(Construct(problem))


def differentiate(
    problem: Problem,
    loss: Loss,
    routes: tuple[str, ...] = BACKWARD_ROUTES,
    parameter_memory: str = "contiguous",
    later: tuple[Loss, ...] = (),
) -> list[Differentiated]:
    """The subject's gradients of `loss`, one observation for each route; `later` losses get passes of their own."""
    return _returned(Backward(problem, routes, loss=loss, later=later, parameter_memory=parameter_memory))


def differentiate_parts(problem: Problem, first: int, loss: Loss, later: tuple[Loss, ...] = ()) -> list[Differentiated]:
    """The gradients of a batch that two calls of one module take: its first rows, and the others."""
    return _returned(BackwardOfParts(problem, BACKWARD_ROUTES, loss=loss, later=later, first=first))


def differentiate_change(problem: Problem, loss: Loss, change: str, first_too: bool) -> list[Differentiated]:
    """The gradients of each call after the weights were doubled in one of the `CHANGES`.

    first_too: the call before was differentiated too
    """
    changed = doubled(problem, change)
    return _returned(
        BackwardAfterChange(problem, BACKWARD_ROUTES, loss=loss, change=change, changed=changed, first_too=first_too)
    )


def differentiate_layers(problem: Problem, loss: Loss) -> list[DifferentiatedByLayers]:
    """The subject's gradients of `loss` for a padded batch, beside the composition of its layers."""
    return _returned(BackwardByLayers(problem, BACKWARD_ROUTES, loss=loss))  # type: ignore[arg-type]


def observe_surrounded(problem: Problem, loss: Loss, surrounding: str, pick: int) -> list[Surrounded]:
    """A call and its gradients, and the same in one of the `SURROUNDINGS`, where a linear layer works in it.

    On the differentiable route of the run that `pick` chooses.
    """
    if not SURROUNDINGS[surrounding].differentiable:
        loss = replace(loss, wanted=())
    return _returned(CallSurrounded(problem, _one_route(pick), loss=loss, surrounding=surrounding))  # type: ignore[arg-type]


def observe_pairs(
    problem: Problem, other: Problem, routes: tuple[str, ...] = EAGER_ROUTES, same: Sequence[Slice] = ()
) -> Iterator[tuple[Observation, Observation]]:
    """Observations of two equivalent problems, route by route.

    same: parts that must be equal. If they differ, both observations carry the kernels that they reached.
    """
    others = {seen.route: seen for seen in observe(other, routes)}
    here = session.current()
    for seen in observe(problem, tuple(others)):
        there = others[seen.route]
        if same and differ(seen, there, *same):
            yield replace(seen, kernels=here.kernels(seen)), replace(there, kernels=here.kernels(there))
        else:
            yield seen, there


def observe_chain(route: str, count: int, problem: Callable[[int, Any], Problem]) -> list[Observation]:
    """`count` calls; `problem` makes each from its number and the observation of the previous call, or None.

    Returns an empty list if a call fails.
    """
    seen: list[Observation] = []
    for number in range(count):
        one = observe(problem(number, seen[-1] if seen else None), (route,))
        if not one:
            return []
        seen += [replace(one[0], before=tuple(seen))]
    return seen


def at_least(major: int, minor: int) -> bool:
    """Whether the PyTorch that makes the calls is of that release or a newer one."""
    return session.current().build.at_least(major, minor)


def devices() -> tuple[str, ...]:
    """The devices of the run."""
    return session.current().axes.devices


def parameters_drawn(seed: int, *architectures: Architecture) -> list[tuple[dict[str, np.ndarray], ...]]:
    """The float32 parameters that the subject draws for these architectures in turn, from one seed.

    In a list of one; the list is empty, and a finding recorded, if they cannot be drawn.
    """
    here = session.current()
    (seen,) = here.executor.execute(here.subject, DrawParameters(seed, architectures))
    standing = Observation(smallest(RNN_TANH, "float32", "cpu"), here.subject.name, CONSTRUCTOR, failure=seen.failure)
    return [seen.drawn] if assert_returned(standing) else []


def observe_beyond(cell: str) -> Iterator[tuple[Observation, str]]:
    """Small calls just beyond what the subject states, each with the part of the statement that it is beyond.

    No two sizes of them are equal where that is possible, so that an argument which is ignored shows. They are made in
    a child, unless the subject exists in this process alone: an impossible call may end its process.
    """
    here = session.current()
    stated, executor = here.subject.statement(cell), IN_CHILDREN if here.subject.texts else here.executor
    routes = here.possible(here.taken(EAGER_ROUTES), cell)[:1]
    small = Case(5, 4, batch_size=2, steps=1 if cell in SINGLE_STEPS else 3, dtype=here.axes.dtypes[0])
    case = stated.nearest(replace(small, device=here.axes.devices[0]), cell)
    for what, beyond in stated.beyond(case, cell):
        if routes:
            yield executor.execute(here.subject, Forward(beyond.on(cell), routes))[0], what
    if not stated.has_gradients and (routes := here.taken(BACKWARD_ROUTES)[:1]):
        problem = case.on(cell)
        differentiated = Backward(problem, routes, loss=losses.loss(case, problem))
        yield executor.execute(here.subject, differentiated)[0], stated.said("gradients")


def probes(cells: Sequence[str]) -> list[list[Observation]]:
    """Calls of size 1: for each dtype, device and route of the run that all of them can be called on, a list with one
    call for each cell."""
    here = session.current()
    routes = here.taken(EAGER_ROUTES + UNREAL_ROUTES)
    possible = [r for r in routes if all(here.possible((r,), cell) for cell in cells)]
    combinations = [(dtype, device, r) for dtype in here.axes.dtypes for device in here.axes.devices for r in possible]
    return [[here.probe(cell, *combination) for cell in cells] for combination in combinations]


# Packing utilities


def observe_packing(
    batch: Batch, utility: str, lengths: str = "list", *, surrounding: str = "", spelled: str = "", **options: Any
) -> list[PackingObservation]:
    """The result of `attempt_packing` in a list of one; an empty list, and a finding, if the call raised."""
    seen = attempt_packing(batch, utility, lengths, surrounding=surrounding, spelled=spelled, **options)
    if seen.failure is None:
        return [seen]
    if seen.failure.is_refusal:
        lines = [one_line(seen.failure.text), seen.call]
        case_record.current().checked(seen, 1, 0.0, 0.0)
        case_record.current().found(seen, utility, seen.failure.title, lines)
    return []


def observe_packed(batch: Batch, method: str, **options: Any) -> list[PackingObservation]:
    """The same for a method or property of the packed sequence that the subject makes of the batch. dtype: a name."""
    return observe_packing(batch, METHOD + method, **options)


def observe_packing_spelled(
    batch: Batch, utility: str, lengths: str, spelled: str
) -> Iterator[tuple[PackingObservation, PackingObservation]]:
    """A call of a packing utility with every documented option, spelled in one way, and the usual call."""
    options: dict[str, Any] = {"enforce_sorted": batch.is_sorted, "padding_value": 2.0, "padding_side": "left"}
    options |= {"batch_first": batch.batch_first, "total_length": batch.problem.steps + 1}
    if spelled == LEFT_OUT:
        options |= {"padding_value": 0.0, "padding_side": "right", "total_length": None}
    documented = [name for name in OPTIONS[utility] if name != "padding_side" or len(padding_sides()) > 1]
    given = {name: options[name] for name in documented}
    for usual in observe_packing(batch, utility, lengths, **given):
        for seen in observe_packing(batch, utility, lengths, spelled=spelled, **given):
            yield seen, usual


def attempt_packing(
    batch: Batch, utility: str, lengths: str = "list", *, surrounding: str = "", spelled: str = "", **options: Any
) -> PackingObservation:
    """Calls the subject's function of torch.nn.utils.rnn of this name, and returns its result or its failure.

    A call that ends its process is a finding. lengths: one of `LENGTHS`. surrounding: one of `SURROUNDINGS`.
    spelled: how all arguments are given; "" for options alone by name.
    batch_first is that of the problem. Packed arguments are packed by the subject.
    """
    here = session.current()
    if takes_batch_first(utility):
        options = {"batch_first": batch.batch_first} | options
    request = Pack(batch, utility, lengths, options, surrounding, spelled)
    (seen,) = here.executor.execute(here.subject, request)
    seen = replace(seen, request=request)
    if seen.failure is not None and seen.failure.ended_process:
        assert_returned(seen, utility)
    return seen


def padding_sides() -> list[dict[str, str]]:
    """The options that select a side in pad_sequence; only {} if it has no padding_side (before PyTorch 2.5)."""
    here = session.current()
    if here.subject.packs_as_torch:
        named = here.build.pads_on_sides
    else:
        named = "padding_side" in inspect.signature(here.subject.packing.pad_sequence).parameters
    return [{}, {"padding_side": "right"}, {"padding_side": "left"}] if named else [{}]


# Derivatives other than one backward pass


def check_second_derivatives(problem: Problem, loss: Loss, pick: int) -> list[GradgradChecked]:
    """The result of gradgradcheck for the loss, on the differentiable route of the run that `pick` chooses."""
    return _returned(CheckSecondDerivatives(problem, _one_route(pick), loss=loss))


def _one_route(pick: int) -> tuple[str, ...]:
    """The differentiable route of the run that `pick` chooses, if there is any."""
    routes = session.current().taken(BACKWARD_ROUTES)
    return (routes[pick % len(routes)],) if routes else ()


def distance_from_kinks(problem: Problem) -> float:
    """The smallest distance of a pre-activation of RNN(relu) from 0, its kink; inf for other cells."""
    return reference.distance_from_kinks(problem, session.current().judgement(problem).red)


def differentiate_by(cell: str, api: str) -> tuple[list[DifferentiatedByApi], list[DifferentiatedByApi]]:
    """The smallest calls of a cell, of each dtype, device, kind and route, differentiated by an API; failed ones too.

    Calls that a plain backward pass cannot differentiate are left out. Beside them, where all of them failed, the calls
    of other cells that are otherwise alike.
    """
    here, seen = session.current(), list[DifferentiatedByApi]()
    for dtype in here.axes.dtypes:
        for device in here.axes.devices:
            for wanted in _kinds_of_calls(cell):
                problem = _nonnegative(here.smallest(cell, dtype, device, wanted))
                loss = _loss(problem)
                plain = here.execute(Backward(problem, BACKWARD_ROUTES, loss=loss))
                routes = tuple(one.route for one in plain if one.failure is None and not one.misshapen)
                seen += here.execute(DifferentiateByApi(problem, routes, loss=loss, api=api))
    if any(one.failure is None for one in seen):
        return seen, []
    return seen, [other for one in seen for other in _siblings(api, one)]


def _nonnegative(problem: Problem) -> Problem:
    """The same call with the absolute value of every number, so that every relu is active."""
    h_0, c_0 = (None if values is None else np.abs(values) for values in (problem.h_0, problem.c_0))
    parameters = {name: np.abs(values) for name, values in problem.parameters.items()}
    return replace(problem, parameters=parameters, input=np.abs(problem.input), h_0=h_0, c_0=c_0)


def _kinds_of_calls(cell: str) -> tuple[tuple[str, ...], ...]:
    """Features of the smallest calls that may reach a kernel of their own."""
    if cell.endswith(CELL_SUFFIX):
        return ((), ("unbatched input",))
    kinds: tuple[tuple[str, ...], ...] = ((), ("unbatched input",), ("packed sequences",))
    return (*kinds, ("projection",)) if cell == LSTM else kinds


def _loss(problem: Problem) -> Loss:
    return losses.loss(Case(dtype=problem.dtype), problem)


def _siblings(api: str, seen: Observation) -> list[DifferentiatedByApi]:
    """Calls of other cells, but otherwise like `seen`, differentiated by an API."""
    here, problem, found = session.current(), seen.problem, list[DifferentiatedByApi]()
    wanted = [feature for feature in features(problem) if feature != "projection"]
    for cell in SINGLE_STEPS if problem.architecture.single_step else MODULES:
        if cell in here.subject.classes:
            other = _nonnegative(here.smallest(cell, problem.dtype, problem.device, tuple(wanted)))
            found += here.execute(DifferentiateByApi(other, (seen.route,), loss=_loss(other), api=api))
    return found


def in_float64(seen: DifferentiatedByApi) -> DifferentiatedByApi | None:
    """The call of `seen` with the same numbers in float64, differentiated twice; None if that fails."""
    assert seen.loss is not None, "only a call with a loss has gradients"
    wide = replace(seen.problem, dtype="float64")
    found = session.current().execute(DifferentiateByApi(wide, (seen.route,), loss=seen.loss, api=DOUBLE_BACKWARD))
    return next((one for one in found if one.failure is None), None)
