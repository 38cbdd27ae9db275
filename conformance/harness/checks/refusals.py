"""Checks of invalid calls: refused by a usual exception, and nothing harmed."""

from __future__ import annotations

import builtins
from dataclasses import dataclass

from conformance.clauses import REMARK
from conformance.harness.checks import case_record
from conformance.harness.checks.values import assert_returned
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.observation import SECOND_TIME, WITHOUT_STATES, Refused
from conformance.harness.foreign_text import one_line
from reference.invalid_calls import CONSTRUCTOR, EMPTY, META, Spoil, read

USUAL = (TypeError, ValueError, RuntimeError, IndexError)
"""The exceptions of which a refusal is expected to be one."""


@dataclass(frozen=True)
class Promise:
    """A sentence of the documentation that promises a refusal. exception: its class; "" where none is named."""

    sentence: str
    link: str
    exception: str = ""

    def kept_by(self, refusal: Failure | None) -> bool:
        """Whether a call that was refused so, or accepted, keeps it."""
        return refusal is not None and self.exception in ("", refusal.exception)


RNN_UTILITIES = "https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn"

DOCUMENTED = {
    "pad_packed_sequence.total_length.value": Promise(
        "This method will throw ValueError if total_length is less than the max sequence length in sequence.",
        f"{RNN_UTILITIES}.pad_packed_sequence.html",
        "ValueError",
    ),
    "pack_sequence.sequences.order": Promise(
        "enforce_sorted: if True, checks that the input contains sequences sorted by length in a decreasing order.",
        f"{RNN_UTILITIES}.pack_sequence.html",
    ),
}
"""Every refusal that the documentation of releases 2.0 to 2.15 promises, by the place that is wrong."""

ACCEPTED, TAKEN_EMPTY = "accepted", "accepted though empty"

CHANGES, SPOILS, KEEPS = "changes ", "spoils the module", "is kept for ever"
TAKEN_LATER, STATELESS = "is accepted the second time", "spoils calls without states"
"""The kinds of what a call harms; behind the first stands the name of what it changes."""

HARMS = {SECOND_TIME: TAKEN_LATER, WITHOUT_STATES: STATELESS}
"""How the texts of what works another way afterwards begin, and their kinds; all others have SPOILS."""

NOT_REFUSED = "is not refused"
"""The kind of a call that ends its process or returns no answer: which it does may hang on what lies in memory."""


def assert_refused(seen: Refused, spoil: str) -> None:
    """An invalid call is refused, changes nothing, and the valid call after it gives what it gave.

    A call that is accepted is a deviation if what it returns depends on what lies in free memory, or if some of what
    it was given has no influence; else it is a remark.
    """
    if seen.failure is not None and not seen.failure.ended_process:
        assert_returned(seen)  # the valid call before it
        return
    record, what = case_record.current(), read(spoil)
    record.checked(seen, 1, 0.0, 0.0)
    found = [(f"{CHANGES}{name}", f"the call changes {name}") for name in seen.changed]
    if line := seen.works_after:
        found += [(next((kind for begin, kind in HARMS.items() if line.startswith(begin)), SPOILS), line)]
    found += [(KEEPS, "after it refused the call, the module keeps an argument of it")] if seen.keeps else []
    found += _breaks(seen, what) or [(NOT_REFUSED, line) for line in _harms(seen, what)]
    for kind, line in found:
        record.found(seen, what.place, kind, _told(line, seen), failure=seen.failure)
    if not found:
        _remark(seen, what)


def _breaks(seen: Refused, spoil: Spoil) -> list[tuple[str, str]]:
    """How a call breaks what the documentation promises of it: the kind, and a line."""
    promise = DOCUMENTED.get(spoil.place)
    if promise is None or seen.failure is not None or promise.kept_by(seen.refusal):
        return []
    how = "accepted" if seen.refusal is None else seen.refusal.text
    return [(NOT_REFUSED if seen.refusal is None else seen.refusal.title, f"{how}; documented: {promise.sentence}")]


def _harms(seen: Refused, spoil: Spoil) -> list[str]:
    """What shows that a call gives no answer to what was asked; nothing where it is refused."""
    if seen.failure is not None:
        return [seen.failure.text]
    if seen.refusal is not None:
        return []
    if spoil.how in META and any(one.size for one in seen.returned):
        return [f"accepted, and returns numbers, though {spoil.argument} has none"]
    if seen.nonsense:
        return [f"accepted, and {seen.nonsense}"]
    if seen.ignored:
        return [f"accepted, and {_listed(seen.ignored)} no influence"]
    if seen.hangs_on_memory:
        return ["accepted, and the results hang on what else lies in memory"]
    return []


def _listed(elements: tuple[str, ...]) -> str:
    """`element c_0[1, 0, 0] has`, `elements h_0[0, 1, 0], h_0[0, 2, 0] have`."""
    if len(elements) == 1:
        return f"element {elements[0]} has" if "[" in elements[0] else f"the values {elements[0]} have"
    more = f" and {len(elements) - 3} more" if len(elements) > 3 else ""
    return f"elements {', '.join(elements[:3])}{more} have"


def _is_usual(exception: str) -> bool:
    """Whether an exception of this name is a usual one, or of a built-in kind of it."""
    kind = getattr(builtins, exception, None)
    return isinstance(kind, type) and issubclass(kind, USUAL)


def _remark(seen: Refused, spoil: Spoil) -> None:
    """An invalid call that was accepted without harm, or refused by an unusual exception."""
    if seen.refusal is None:
        is_empty = not spoil.called and spoil.how == EMPTY
        kind, line = TAKEN_EMPTY if is_empty else ACCEPTED, _of_accepted(seen)
    elif not _is_usual(seen.refusal.exception):
        kind, line = seen.refusal.title, seen.refusal.text
    else:
        return
    called, name = spoil.called, spoil.argument if spoil.called == CONSTRUCTOR else spoil.aspect
    field = f"{called}.{name}" if called else name
    case_record.current().found(seen, field, kind, _told(line, seen), severity=REMARK, clause="J2")


def _told(line: str, seen: Refused) -> list[str]:
    """The lines of a finding: what was seen, and what is wrong with the call."""
    return [one_line(line), *([f"the call is invalid: {seen.wrong}"] if seen.wrong else [])]


def _of_accepted(seen: Refused) -> str:
    if seen.later is not None:
        return f"accepted; a call of the module raises {seen.later.text}"
    return "accepted, and everything given has an influence" if seen.examined else "accepted"
