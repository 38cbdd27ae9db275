"""One call of a module: guarded, its warnings recorded, its result checked for the documented structure."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, Protocol, TypeVar

import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from conformance.harness.execution import machine, tensors
from conformance.harness.execution.failure import MALFORMED, Failure
from conformance.harness.execution.inputs import Inputs, PaddedOrPacked
from conformance.harness.execution.observation import Fact, Observation
from conformance.harness.execution.routes import ROUTES
from reference.problem import LSTM, Architecture, Problem

MASK_SEED = 0
"""The seed of calls with active dropout."""

_SOURCE_LINE = re.compile(r" \(Triggered internally at .*\)$")
"""Where a warning comes from in PyTorch's sources: another place in every release."""

T = TypeVar("T")
Seen = TypeVar("Seen", bound=Observation)


class Observer(Protocol):
    """Is notified before each call into the subject, and after it returned or raised."""

    def before(self, case: str, route: str) -> None: ...

    def after(self) -> None: ...


_observers: list[Observer] = []


def tell(observer: Observer) -> None:
    """Registers `observer` for every call."""
    _observers.append(observer)


def tell_no_more(observer: Observer) -> None:
    """Unregisters `observer`."""
    if observer in _observers:
        _observers.remove(observer)


class CallInterrupted(BaseException):
    """Another's limit of time ended a call into the subject, or the wait for one: it did not return.

    Hypothesis takes what a limit raises, pytest's Failed, for a failure of the case, and would make the call again.
    """

    def __init__(self, case: str, route: str, said: str) -> None:
        super().__init__(said)
        self.case, self.route = case, route

    @property
    def seconds(self) -> float:
        """The limit, as the text that ended the call says it; 0 where it does not."""
        found = re.search(r"[0-9]+(\.[0-9]+)?", str(self))
        return float(found[0]) if found else 0.0


def is_time_limit(error: BaseException) -> bool:
    """Whether this is what pytest-timeout raises wherever the process is."""
    return type(error).__name__ == "Failed" and str(error).startswith("Timeout ")


def guarded_call(case: str, route: str, work: Callable[[], T]) -> T:
    """Returns the result of `work`, a call into the subject. Notifies observers before and after.

    Raises CallInterrupted where a limit of time ends it.
    """
    for observer in _observers:
        observer.before(case, route)
    try:
        return work()
    except BaseException as error:
        if is_time_limit(error):
            raise CallInterrupted(case, route, str(error)) from None
        raise
    finally:
        for observer in _observers:
            observer.after()


def call_module(module: torch.nn.Module, inputs: Inputs, blank: Seen) -> tuple[Seen, dict[str, Any]]:
    """One call, what it warned of and what it returned; an exception of the subject's becomes the failure."""
    with recorded_warnings() as caught:
        try:
            arguments = inputs.arguments()
            result = guarded_call(blank.problem.case, blank.route, lambda: module(*arguments))
        except Exception as error:  # the subject's own, whatever it is
            return replace(blank, failure=Failure.raised(error)), {}
    try:
        returned = named_results(result, blank.problem.architecture)
        padded = {"output": padded_output(returned["output"], blank.problem)} if "output" in returned else {}
        found = returned | padded
        raw = {name: tensors.array(t) for name, t in found.items()} if ROUTES[blank.route].has_values else {}
        facts = {name: fact(t) for name, t in found.items()}
    except TypeError as error:
        return replace(blank, failure=Failure(MALFORMED, message=str(error))), {}
    except Exception as error:  # of a tensor that is not a plain one: its own methods, or PyTorch's for its layout
        why = f"a result that cannot be read: {Failure.raised(error).text}"
        return replace(blank, failure=Failure(MALFORMED, message=why)), {}
    seen = replace(
        blank,
        facts=facts,
        raw=raw,
        repacked=repacked(inputs.input, returned.get("output")),
        warnings=tuple(dict.fromkeys(_SOURCE_LINE.sub("", str(warning.message)) for warning in caught)),
    )
    return seen, returned


def repacked(given: Any, returned: Any) -> tuple[str, ...]:
    """Which parts of the packing went in and did not come out the same: values, dtype and device."""
    if not (isinstance(given, PackedSequence) and isinstance(returned, PackedSequence)):
        return ()
    names = ("batch_sizes", "sorted_indices", "unsorted_indices")
    return tuple(name for name in names if not _same_indices(getattr(given, name), getattr(returned, name)))


def _same_indices(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.device == b.device and a.tolist() == b.tolist()


@contextmanager
def recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Records every warning of the block, also repeated ones; none is shown."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.set_warn_always(True)
        try:
            yield caught
        finally:
            torch.set_warn_always(False)


@contextmanager
def masks_repeatable(problem: Problem) -> Iterator[None]:
    """Seeds every call with active dropout alike; on the CPU the global generator is left as it was."""
    if not (problem.training and problem.architecture.dropout):
        yield
        return
    with torch.random.fork_rng(devices=[]):
        seed_generators(MASK_SEED)
        yield


def seed_generators(seed: int) -> None:
    """Seeds every generator.

    torch.manual_seed leaves a note for CUDA, with a traceback, where there is none: that takes longer than most calls.
    """
    if _has_devices():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@cache
def _has_devices() -> bool:
    return machine.devices() != ("cpu",)


def padded_output(output: PaddedOrPacked, problem: Problem) -> torch.Tensor:
    """An output in the layout of a padded batch. Raises TypeError if exactly one of input and output is packed."""
    if isinstance(output, PackedSequence) is (problem.lengths is None):
        raise TypeError(f"packed in, packed out is documented, this is {_shape_of(output)}")
    if not isinstance(output, PackedSequence):
        return output
    try:
        return pad_packed_sequence(output, problem.architecture.batch_first, total_length=problem.steps)[0]
    except Exception as error:  # whatever a malformed packed sequence leads to
        raise TypeError(f"a packed output that cannot be padded: {error}") from None


def named_results(result: object, architecture: Architecture) -> dict[str, Any]:
    """output, h_n and c_n of a call's result; of a single step its states alone. Raises TypeError for another build."""
    output, state = {}, result
    if not architecture.single_step:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"a tuple (output, state) is documented, this is {_shape_of(result)}")
        output, state = {"output": result[0]}, result[1]
    names = ("h_n", "c_n") if architecture.cell == LSTM else ("h_n",)
    states = state if architecture.cell == LSTM else (state,)
    if not (isinstance(states, tuple) and len(states) == len(names)):
        raise TypeError(f"the state is documented as {' and '.join(names)}, this is {_shape_of(state)}")
    named = output | dict(zip(names, states, strict=True))
    for name, value in named.items():
        data = value.data if isinstance(value, PackedSequence) and name == "output" else value
        if not (isinstance(data, torch.Tensor) and data.is_floating_point()):
            raise TypeError(f"{name} is documented as a floating-point tensor, this is {_shape_of(value)}")
    return named


def _shape_of(value: object) -> str:
    plain = isinstance(value, tuple | list) and not isinstance(value, PackedSequence)
    return f"a {type(value).__name__}" + (f" of {len(value)}" if plain else "")  # type: ignore[arg-type]


def fact(t: torch.Tensor) -> Fact:
    """The facts of a tensor apart from its values."""
    return Fact(type(t).__name__, tuple(t.shape), tensors.dtype_name(t.dtype), str(t.device), tuple(t.stride()))
