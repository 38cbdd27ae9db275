"""The form of a results file: what each of its parts holds. docs/results.md and the JSON schema are made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1
"""The version of the form. A part that is added, left out or changed makes a new one."""

Outcome = Literal["red", "error", "amber", "remark", "known", "pass", "nothing"]
"""The worst that was found, the worst first; `nothing` where nothing was compared that could have failed."""

Verdict = Literal["PASS", "FAIL", "ERROR", "INCOMPLETE", "NOTHING"]
"""The first word of a run's summary."""

State = Literal["seen", "not seen", "gone", "expired"]
"""Of a known deviation: met in the run, not met, no longer shown by its stored case, its waiver over."""


def says(meaning: str, **default: Any) -> Any:
    """A field, and what it means; one with a default may be absent from a file."""
    return field(metadata={"says": meaning}, **default)


@dataclass(frozen=True)
class Environment:
    """What the calls were made with."""

    torch: str = says("the version of PyTorch")
    torch_git: str = says("the commit that it was built from")
    onednn: str = says("the version of oneDNN in it, or empty")
    cudnn: str = says("the version of cuDNN, or empty")
    cuda: str = says("the version of CUDA that it was built for, or empty")
    numpy: str = says("the version of NumPy")
    hypothesis: str = says("the version of Hypothesis, which draws the cases")
    python: str = says("the version of Python")
    system: str = says("the operating system and the kind of machine")
    processor: str = says("the processor's name as the system tells it, or empty")
    capability: str = says("the instruction set of PyTorch's CPU kernels")
    devices: tuple[str, ...] = says("those that are present")


@dataclass(frozen=True)
class Asked:
    """What the command line asked for."""

    arguments: tuple[str, ...] = says("pytest's arguments as they were given")
    effort: str = says("smoke, default, ci or deep")
    seed: str = says("the seed of the drawn cases; empty where they are always the same")
    subject: str = says("who is judged: torch.nn or another")
    case: str = says("the one case that was asked for, or empty")
    cells: tuple[str, ...] = says("the classes that are judged")
    dtypes: tuple[str, ...] = says("those asked for")
    devices: tuple[str, ...] = says("those asked for")
    routes: tuple[str, ...] = says("those asked for")
    clauses: tuple[str, ...] = says("the clauses of the properties that were to run")
    fail_on: tuple[str, ...] = says("clauses whose ambers and remarks are red in this run")


@dataclass(frozen=True)
class Totals:
    """Counts of the whole run."""

    tests: int = says("properties, each with its cell, that were to run")
    properties: int = says("those that looked at a case")
    cases: int = says("looked at, those of a search for the smallest failing one too")
    vacuous_cases: int = says("those of which no bound can be broken")
    elements: int = says("numbers and facts that were compared")
    vacuous_share: float = says("the share of bounds that no value could break")
    worst: float = says("the largest error / bound of what is within its bound")
    red: int = says("red findings")
    amber: int = says("kinds of amber findings that are not known")
    remark: int = says("kinds of remarks that are not known")
    never_ran: int = says("tests that did not come to an end")


@dataclass(frozen=True)
class Judged:
    """What was compared in one clause, cell, dtype and on one route, over all properties of the clause."""

    clause: str = says("its id in docs/clauses.md")
    cell: str = says("lstm, gru_cell, ...; empty where a property is about none")
    dtype: str = says("of the call")
    route: str = says("how the call was made: grad, no_grad, ..., constructor, packing")
    outcome: Outcome = says("the worst that was found")
    cases: int = says("in which something was compared here")
    elements: int = says("numbers and facts that were compared")
    vacuous_share: float = says("the share of bounds that no value could break")
    worst: float = says("the largest error / bound of what is within its bound")
    found: dict[str, int] = says("cases that deviated, by severity, or `known`")
    calls: int = says("calls of drawn cases that were timed: those made in the process of the test")
    seconds: float = says("what these took together")


@dataclass(frozen=True)
class Tested:
    """One property on one cell."""

    test: str = says("as pytest names it, with the cell")
    clause: str = says("its id")
    outcome: Outcome = says("the worst that was found; `error` where the suite itself failed")
    cases: int = says("looked at")
    vacuous_cases: int = says("those of which no bound can be broken")
    elements: int = says("numbers and facts that were compared")
    worst: float = says("the largest error / bound of what is within its bound")
    detectable_error: dict[str, float] = says("for each dtype the smallest relative error that a case would have shown")
    seconds: float = says("of the test, all that the suite adds included")


@dataclass(frozen=True)
class Found:
    """A finding: each red one, and of the others one for each signature, and cell unless it is a remark."""

    severity: Literal["red", "amber", "remark"] = says("as in the README")
    known: str = says("the id of the known deviation that it is, or empty")
    clause: str = says("its id")
    claim: str = says("what the property claims")
    test: str = says("as pytest names it, with the cell")
    cell: str = says("as above")
    dtype: str = says("of the call")
    route: str = says("as above")
    subject: str = says("who was called: torch.nn, torch.nn.utils.rnn or another")
    field: str = says("what deviates")
    kind: str = says("how; clause, field and kind are the signature, which makes two findings the same defect")
    case: str = says("the case line; empty where the property draws none")
    again: str = says("the command that shows it again")
    lines: tuple[str, ...] = says("what the run said of it, cut")
    what: tuple[str, ...] = says("what the numbers would be right for")
    kernels: tuple[str, ...] = says("those that the call reached")
    repeatable: bool = says("false where the same case gave something else before")
    count: int = says("cases that showed it")


@dataclass(frozen=True)
class Deviation:
    """A known deviation that this release has on this machine."""

    id: str = says("in its file")
    severity: Literal["red", "amber", "remark"] = says("as recorded")
    clause: str = says("its id")
    field: str = says("as of a finding")
    kind: str = says("as of a finding")
    tracker: str = says("a link, or the words that were searched")
    waiver: str = says("until when, by whom and why it is waived, or empty")
    state: State = says("what became of it in this run")
    count: int = says("cases that showed it")


@dataclass(frozen=True)
class LeftOut:
    """Calls that were left out, because the subject refuses the smallest one too."""

    what: str = says("the feature or dtype that is refused")
    device: str = says("on which")
    message: str = says("of the refusal")
    cells: tuple[str, ...] = says("of the calls")
    dtypes: tuple[str, ...] = says("of the calls")
    routes: tuple[str, ...] = says("of the calls")
    calls: int = says("that were left out")


@dataclass(frozen=True)
class Module:
    """A recurrent module of a model that --like named."""

    model: str = says("as --like names it")
    name: str = says("the path of the module in it")
    case: str = says("the line of its largest call, without weights")
    calls: int = says("its calls of other rows, steps or lengths")
    weights: bool = says("whether its own weights were tried beside drawn ones")
    verdict: Verdict = says("FAIL where it deviates, NOTHING where nothing was asked of it, else PASS")
    broken: tuple[str, ...] = says("the clauses that it breaks")
    asked: int = says("properties that were asked of it; equal modules share them")
    reached: int = says("those of them that looked at a case")


@dataclass(frozen=True)
class Results:
    """The results of a run."""

    schema: int = says("the version of this form")
    suite: str = says("the version of the suite")
    complete: bool = says("whether every test came to its end")
    reason: str = says("why not, or empty")
    verdict: Verdict = says("the first word of the summary")
    said: str = says("the verdict in a sentence")
    started: str = says("when, in UTC: 2026-12-31T23:59:59+00:00")
    seconds: float = says("until the last test ended")
    environment: Environment = says("what the calls were made with")
    asked: Asked = says("what the command line asked for")
    totals: Totals = says("counts of the whole run")
    judged: tuple[Judged, ...] = says(
        "a row for each clause, cell, dtype and route in which anything was compared or called"
    )
    properties: tuple[Tested, ...] = says("a row for each property and cell that ran")
    findings: tuple[Found, ...] = says("what was found, known deviations too")
    known: tuple[Deviation, ...] = says("the known deviations of this release and machine")
    kernels: dict[str, int] = says("the kernels that were reached, and in how many recorded calls")
    left_out: tuple[LeftOut, ...] = says("what the subject cannot do")
    lacking: dict[str, int] = says("why properties were left out, and how many")
    never_ran: tuple[str, ...] = says("tests that did not come to an end")
    errors: tuple[str, ...] = says("errors of the suite, and other tests that failed")
    accuracy: dict[str, float] = says("the worst tanh and sigmoid over every 16-bit value, in units of roundoff")
    largest: dict[str, int] = says("the largest sizes of all cases")
    modules: tuple[Module, ...] = says("the modules of the models after --like", default=())
