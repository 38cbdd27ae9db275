"""The executor of invalid calls: a death counts where it comes again, alone or after calls that made it possible."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from conformance.harness.execution.requests.request import Request, Result
from conformance.harness.execution.subject import Subject
from conformance.harness.isolation.worker_process import WorkerProcess, beside_the_pool, pool

MOST_REMEMBERED = 256
"""How many of the calls before a death are tried again."""

SHORTEST_LIMIT_SECONDS = 2.0
"""The shortest time limit of a call after another of its test did not return."""


@cache
def _children() -> WorkerProcess:
    """The children of this process that make invalid calls."""
    return beside_the_pool(shortest=SHORTEST_LIMIT_SECONDS)


def new_test() -> None:
    """Has the next call that does not return waited for in full; later ones of the same test are told from that."""
    _children().new_test()


def _asked(subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
    children = _children()
    children.limit, children.memory = pool().limit, pool().memory
    return children.execute(subject, request)


class _Confirmed:
    """Carries requests out in one living child, and what it dies of once more in others."""

    def __init__(self) -> None:
        self._before: deque[Request[Any]] = deque(maxlen=MOST_REMEMBERED)

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
        """As `WorkerProcess`; the message of a death that needs calls before it says how many."""
        results = _asked(subject, request)
        if not any(_died(one) for one in results):
            self._before.append(request)
            if any(_is_suspect(one) for one in results):
                _children().end_child()
                self._before.clear()
            return results
        before = tuple(self._before)
        self._before.clear()
        alone = _asked(subject, request)
        if any(_died(one) for one in alone):
            return alone
        needed = _fewest(before, lambda some: _dies_after(some, subject, request))
        said = f"after {len(needed)} other calls in one process" if needed else "once; it did not come again"
        return tuple(_with_message(one, said) for one in results)


def _is_suspect(result: Any) -> bool:
    """Whether a call may have written where nothing was its own."""
    return bool(result.nonsense or result.ignored or result.hangs_on_memory)


def _died(result: Any) -> bool:
    return result.failure is not None and result.failure.ended_process


def _with_message(result: Any, said: str) -> Any:
    return replace(result, failure=replace(result.failure, message=said)) if _died(result) else result


def _dies_after(before: Sequence[Request[Any]], subject: Subject, request: Request[Any]) -> bool:
    """Whether a fresh child dies of these calls and then of the last."""
    _children().end_child()
    return any(_died(one) for each in (*before, request) for one in _asked(subject, each))


def _fewest(before: tuple[Request[Any], ...], fails: Any) -> tuple[Request[Any], ...]:
    """The shorter half, again and again, that still fails; () where not even all do."""
    if not before or not fails(before):
        return ()
    while len(before) > 1:
        half = len(before) // 2
        kept = next((part for part in (before[half:], before[:half]) if fails(part)), None)
        if kept is None:
            break
        before = kept
    return before


CONFIRMED = _Confirmed()
"""The executor of invalid calls."""
